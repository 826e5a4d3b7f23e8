/** One owner: the lock, the fence behind it, and readers that disturb nobody. */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as SqlClient from "effect/sql/SqlClient"
import { open } from "../../src/internal/journal/store/database.ts"
import { migrate } from "../../src/internal/journal/store/migrate.ts"
import { migrations } from "../../src/internal/journal/store/schema.ts"
import { Journal, JournalReader } from "../../src/Journal.ts"
import { bootFile, claimed, done, message, outside, push, refused, settle, sqlite, storeFile } from "./harness.ts"

const holder = fileURLToPath(new URL("./programs/holder.ts", import.meta.url))

/** The first line that a process says. */
const firstLine = (child: ChildProcess) =>
  Effect.callback<string>((resume) => {
    let text = ""
    child.stdout?.on("data", (piece: Buffer) => {
      text += piece.toString()
      const end = text.indexOf("\n")
      if (end !== -1) resume(Effect.succeed(text.slice(0, end)))
    })
  })

const exited = (child: ChildProcess) =>
  Effect.callback<number | null>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) resume(Effect.succeed(child.exitCode))
    else child.once("exit", (code) => resume(Effect.succeed(code)))
  })

/** Another process on this store, with the first line that it says; gone with the scope. */
const anotherProcess = Effect.fnUntraced(function* (file: string) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, ["--no-warnings", holder, file], { stdio: ["ignore", "pipe", "inherit"] })
    ),
    (child) =>
      Effect.suspend(() => {
        child.kill("SIGKILL")
        return exited(child)
      })
  )
  return { child, line: yield* firstLine(child) }
})

const read = (client: Layer.Layer<SqlClient.SqlClient>) =>
  Effect.map(Layer.build(Journal.reader(client)), (context) => Context.get(context, JournalReader))

describe("the lock", () => {
  it.live(
    "D12: a second gateway on the same store is refused in under a second, with the file and the remedy; the first goes on",
    () =>
      Effect.gen(function* () {
        const file = yield* storeFile
        const first = yield* anotherProcess(file)
        assert.strictEqual(first.line, "ready 1")
        // On a busy machine the quickest of a few tells how long it takes by itself.
        const took: Array<number> = []
        let error = yield* refused(file)
        while (took.length < 5 && took.every((millis) => millis >= 1000)) {
          const began = performance.now()
          error = yield* refused(file)
          took.push(performance.now() - began)
        }
        assert.isBelow(Math.min(...took), 1000)
        assert.deepStrictEqual(
          [error.reason, error.detail.includes(file), error.detail.includes("sluice stop")],
          ["Locked", true, true]
        )
        assert.isUndefined(first.child.exitCode ?? undefined)
      })
  )

  it.live("D12: after a kill -9 the lock is free at once, and what was acknowledged is there", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* anotherProcess(file)
      first.child.kill("SIGKILL")
      yield* exited(first.child)
      const second = yield* bootFile(file)
      assert.strictEqual(second.journal.opening.epoch, 2)
      const backlog = yield* second.journal.backlog
      assert.deepStrictEqual(backlog, [{ session: 1, waiting: 1, firstSeq: 1 }])
    })
  )

  it.live("D12: a gateway that comes while this one runs hears the same from the other side", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const { journal } = yield* bootFile(file)
      const second = yield* anotherProcess(file)
      assert.match(second.line, /^the store is in use: another gateway uses .*sluice\.db/)
      assert.strictEqual(yield* exited(second.child), 1)
      yield* journal.admit(message("undisturbed"))
    })
  )

  it.live("D26: the lock holds whatever else of the folder the process reads", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const { journal } = yield* bootFile(file)
      const folder = path.dirname(file)
      fs.readdirSync(folder)
      for (const name of fs.readdirSync(folder)) {
        fs.statSync(path.join(folder, name))
        fs.chmodSync(path.join(folder, name), 0o600)
      }
      fs.readFileSync(`${file}.reserve`)
      const look = yield* outside(file)
      look.prepare("select count(*) from sluice_boots").get()
      yield* journal.reads.figures
      assert.match((yield* anotherProcess(file)).line, /^the store is in use/)
    })
  )

  it.effect("the lock is free again when the journal's scope has closed, also after a failed opening", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      for (let k = 1; k <= 3; k++) {
        const boot = yield* bootFile(file)
        assert.strictEqual((yield* refused(file)).reason, "Locked")
        assert.strictEqual(boot.journal.opening.epoch, k)
        yield* boot.end
      }
    })
  )
})

describe("the fence", () => {
  it.effect("D26: a writer of an older epoch writes nothing any more, and its program is told to stop", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file, { lock: Layer.empty })
      yield* first.journal.admit(message("one"))
      const turn = yield* claimed(first, [1])
      const second = yield* bootFile(file, { lock: Layer.empty })
      assert.strictEqual((yield* Effect.flip(first.journal.admit(message("two"))))._tag, "ShuttingDown")
      assert.strictEqual((yield* first.journal.failed).reason, "Fenced")
      assert.strictEqual((yield* Effect.flip(settle(first, turn, done("late"), push))).reason, "Fenced")
      assert.strictEqual((yield* Effect.flip(first.journal.preMark("stop"))).reason, "Fenced")
      assert.deepStrictEqual(first.rows.length, 1)
      const again = yield* second.journal.resume(turn.turn.id)
      assert.strictEqual(again?.turn.attempt, 2)
      assert.strictEqual((yield* second.journal.reads.ledger).accepted, 1)
    })
  )
})

describe("readers", () => {
  it.effect("D12: status and audit of another connection never disturb the gateway, and see what is committed", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const boot = yield* bootFile(file)
      const reader = yield* read(SqliteClient.layer({ filename: file, readonly: true }))
      yield* boot.journal.admit(message("one"))
      yield* settle(boot, yield* claimed(boot, [1]), done("hi"), push)
      yield* boot.journal.step({ _tag: "Sending", reply: 1 })
      yield* boot.journal.step({ _tag: "Dead", reply: 1, error: "gone" })
      yield* boot.journal.admit(message("two"))
      assert.deepStrictEqual(yield* reader.ledger, yield* boot.journal.reads.ledger)
      assert.deepStrictEqual(yield* reader.sessions({}), yield* boot.journal.reads.sessions({}))
      assert.deepStrictEqual(
        yield* reader.deadLetters({ limit: 5 }),
        yield* boot.journal.reads.deadLetters({ limit: 5 })
      )
      assert.deepStrictEqual(yield* reader.opening, yield* boot.journal.reads.opening)
      const [seen, own] = [yield* reader.figures, yield* boot.journal.reads.figures]
      assert.deepStrictEqual([seen.waiting, seen.turns, seen.replies], [own.waiting, own.turns, own.replies])
      yield* boot.journal.admit(message("three"))
      assert.strictEqual((yield* reader.ledger).accepted, 3)
    })
  )

  it.effect("a reader answers from a store that no gateway has opened since an upgrade, whatever step it is at", () =>
    Effect.gen(function* () {
      for (const { id } of migrations) {
        const file = yield* storeFile
        const old = yield* open(sqlite(file), { write: true })
        yield* migrate(old, { now: 0, migrations: migrations.filter((one) => one.id <= id), copy: undefined })
        yield* old.close
        const reader = yield* read(SqliteClient.layer({ filename: file, readonly: true }))
        assert.deepStrictEqual(yield* reader.deadLetters({ limit: 5 }), [], `step ${id}`)
        assert.deepStrictEqual(yield* reader.sessions({}), [], `step ${id}`)
        assert.deepStrictEqual(yield* reader.usage({ by: "day" }), [], `step ${id}`)
        assert.isTrue((yield* reader.ledger).balanced, `step ${id}`)
        assert.deepStrictEqual((yield* reader.figures).replies, {}, `step ${id}`)
      }
    })
  )

  it.effect("a reader answers from a store that nobody runs, and says so when there is none", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const boot = yield* bootFile(file)
      yield* boot.journal.admit(message("one"))
      yield* boot.journal.storeReport({ reason: "stop", exitCode: 0, millis: 5, clean: true, json: { text: "clean" } })
      yield* boot.journal.close
      yield* boot.end
      const reader = yield* read(SqliteClient.layer({ filename: file, readonly: true }))
      assert.deepStrictEqual(yield* reader.report, { text: "clean" })
      assert.strictEqual((yield* reader.ledger).open, 1)
      const empty = yield* Effect.flip(read(sqlite(":memory:")))
      assert.deepStrictEqual([empty.reason, empty.detail], ["Unsupported", "there is no store here"])
    })
  )
})
