// A place or a configuration that is wrong: the program says which, where, and what to do, on standard error, ends with
// the code that a supervisor can tell apart, and leaves nothing half done.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { launch, type Options, start, temporaryFolder, tool } from "../harness.ts"

/** Starts what can't start: its code and what it says on standard error. */
const refused = Effect.fnUntraced(function* (options: Options) {
  const gateway = yield* launch(options)
  const { code } = yield* gateway.exited
  const { err, out } = gateway.output()
  assert.deepStrictEqual(out, [])
  return { code, said: err.join("\n"), gateway }
})

describe("what can't start says why", () => {
  it.live("a configuration with several mistakes: all of them, code 78, and nothing is made", () =>
    Effect.gen(function* () {
      const { code, gateway, said } = yield* refused({
        configuration: "http: { prot: 1 }\ndrain: { timeout: 30 }\nagents: { a: { kind: comand } }\n",
        environment: { SLUICE_LOG_LEVEL: "loud" }
      })
      assert.strictEqual(code, 78)
      assert.deepStrictEqual(said.split("\n"), [
        'sluice: http.prot = 1 (sluice.yaml:1): unknown key; did you mean "port"?',
        'sluice: drain.timeout = 30 (sluice.yaml:2): use a duration from 1 second to 24 hours, such as "30 seconds"',
        'sluice: agents.a.kind = "comand" (sluice.yaml:3): use one of demo, command, acp, claude-code, model; did you mean "command"?',
        'sluice: log.level = "loud" (SLUICE_LOG_LEVEL): use one of trace, debug, info, warn, error, none'
      ])
      assert.isFalse(existsSync(gateway.stateDirectory))
    }).pipe(Effect.scoped)
  )

  it.live("a port that somebody else uses: code 78, with the field and the remedy", () =>
    Effect.gen(function* () {
      const port = yield* Effect.acquireRelease(
        Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
          const server = createServer()
          server.listen(0, "127.0.0.1", () => {
            const address = server.address()
            const port = typeof address === "object" && address !== null ? address.port : 0
            resume(Effect.succeed({ port, close: () => void server.close() }))
          })
        }),
        ({ close }) => Effect.sync(close)
      )
      const { code, said } = yield* refused({ environment: { SLUICE_PORT: String(port.port) } })
      assert.strictEqual(code, 78)
      assert.match(said, /^sluice: channels\.http .*SLUICE_PORT/)
    }).pipe(Effect.scoped)
  )

  it.live("a state directory that can't be written: code 78", () =>
    Effect.gen(function* () {
      // Nobody can make a file there, root neither.
      const { code, said } = yield* refused({ environment: { SLUICE_STATE_DIR: "/proc/self/sluice" } })
      assert.strictEqual(code, 78)
      assert.match(said, /^sluice: state directory = "\/proc\/self\/sluice" \(SLUICE_STATE_DIR\): can't be used: /)
    }).pipe(Effect.scoped)
  )

  it.live("a token that others can read: code 78, and the token itself is not printed", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      mkdirSync(join(folder, ".sluice"), { mode: 0o700 })
      const secret = "a-secret-that-leaks-0123456789"
      writeFileSync(join(folder, ".sluice", "token"), secret)
      chmodSync(join(folder, ".sluice", "token"), 0o644)
      const { code, said } = yield* refused({ folder })
      assert.strictEqual(code, 78)
      assert.match(said, /others can read it \(mode 644\); run: chmod 600/)
      assert.notInclude(said, secret)
    }).pipe(Effect.scoped)
  )

  it.live("D28: a store of a newer major version: code 78, naming the version that opens it", () =>
    Effect.gen(function* () {
      const first = yield* start()
      yield* first.signal("SIGTERM")
      yield* first.exited
      const database = new DatabaseSync(join(first.stateDirectory, "journal.db"))
      database.exec("update sluice_meta set value = '99.0.0' where key = 'version'")
      database.exec("insert into sluice_migrations (migration_id, name, created_at) values (99000001, 'later', 0)")
      database.close()
      const { code, said } = yield* refused({ folder: first.folder })
      assert.strictEqual(code, 78, said)
      assert.include(said, "99.0.0")
    }).pipe(Effect.scoped)
  )

  it.live("a file in the place of the store: code 78, and the file is left as it is", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      mkdirSync(join(folder, ".sluice"), { mode: 0o700 })
      const file = join(folder, ".sluice", "journal.db")
      writeFileSync(file, "this is no database, but somebody may still want it\n".repeat(100))
      const { code, said } = yield* refused({ folder })
      assert.strictEqual(code, 78, said)
      assert.match(said, /^sluice: .*is not a SQLite database; move it away or name another one/)
      assert.strictEqual(statSync(file).size, 5200)
    }).pipe(Effect.scoped)
  )

  it.live("a budget that can't be read: code 78", () =>
    Effect.gen(function* () {
      const { code, said } = yield* refused({ environment: { SLUICE_STOP_BUDGET: "soon" } })
      assert.strictEqual(code, 78)
      assert.match(said, /^sluice: SLUICE_STOP_BUDGET = "soon": use a duration with a unit/)
    }).pipe(Effect.scoped)
  )
})

describe("what starts is private", () => {
  it.live("state directory 0700, every file in it 0600", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.client.send("kim", "hello")
      yield* gateway.client.repliesUntil("kim", 1)
      const modes = (names: ReadonlyArray<string>) =>
        names.map((name) => `${name} ${(statSync(join(gateway.stateDirectory, name)).mode & 0o777).toString(8)}`)
      assert.deepStrictEqual(modes(["."]), [". 700"])
      assert.deepStrictEqual(modes(["journal.db", "journal.db-wal", "token", "address.json"]), [
        "journal.db 600",
        "journal.db-wal 600",
        "token 600",
        "address.json 600"
      ])
      yield* gateway.signal("SIGTERM")
      yield* gateway.exited
      assert.deepStrictEqual(modes(["last-shutdown.json"]), ["last-shutdown.json 600"])
      assert.isFalse(existsSync(join(gateway.stateDirectory, "address.json")))
    }).pipe(Effect.scoped)
  )

  it.live("the token is in no line of the log and in no argument", () =>
    Effect.gen(function* () {
      const token = "an-operators-token-0123456789"
      const gateway = yield* launch({ environment: { SLUICE_TOKEN: token, SLUICE_LOG_LEVEL: "trace" } })
      yield* gateway.event("ready", ({ message }) => message === "ready")
      const { json } = yield* tool(gateway.folder, ["status", "--json"], { SLUICE_TOKEN: token })
      assert.deepInclude(json, { running: true, answering: true })
      yield* gateway.signal("SIGTERM")
      yield* gateway.exited
      const { err, out } = gateway.output()
      assert.notInclude([...out, ...err].join("\n"), token)
      assert.isFalse(existsSync(join(gateway.stateDirectory, "token")))
    }).pipe(Effect.scoped)
  )
})
