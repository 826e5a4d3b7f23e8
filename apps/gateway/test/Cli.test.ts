// The command line as a person types it: what each word and flag becomes, and that a mistake is told with the way to the
// help that belongs to it and ends with the code for bad usage, before anything is started.
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readFileSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Address from "../src/configuration/Address.ts"
import { conventions, Recorded, sluice } from "../src/Cli.ts"
import { codes, Ending, exitCodeOf, lastWords } from "../src/process/Exit.ts"
import { temporaryFolder } from "./harness.ts"
import { version } from "../src/version.ts"

/** Runs a command line in this process; what it prints, its exit code and its last words. */
const type = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const printed: Array<string> = []
  const note = (...parts: ReadonlyArray<unknown>) => void printed.push(parts.map(String).join(" "))
  let released = 0
  const services = Layer.mergeAll(
    NodeServices.layer,
    conventions,
    Layer.succeed(Recorded, { listen: () => undefined, stops: () => 0, release: () => void released++ }),
    Layer.succeed(Console.Console, { ...globalThis.console, log: note, error: note, info: note, warn: note })
  )
  const exit = yield* Effect.exit(Effect.provide(Command.runWith(sluice, { version })(args), services))
  return { printed: printed.join("\n"), code: exitCodeOf(exit), words: lastWords(exit), released }
})

const inFolder = <A>(use: (folder: string) => Effect.Effect<A>) => Effect.scoped(Effect.flatMap(temporaryFolder, use))

describe("bad usage ends with code 64 and says what is wrong", () => {
  const cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, expected: RegExp]> = [
    [["stpo"], /Unknown subcommand "stpo"/],
    [["run", "--prot", "1"], /Unrecognized flag: --prot/],
    [["dead-letters", "replay"], /number/],
    [["dead-letters", "replay", "seven"], /Invalid value.*seven/],
    [["status", "extra"], /extra/],
    [["run", "--set", "nonsense"], /nonsense/]
  ]
  for (const [args, expected] of cases) {
    it.live(`sluice ${args.join(" ")}`, () =>
      Effect.gen(function* () {
        const { code, printed, words } = yield* type(...args)
        assert.strictEqual(code, codes.usage)
        assert.match(printed, expected)
        assert.match(printed, /\n\nSee: sluice.* --help$/)
        assert.isBelow(printed.split("\n").length, 10)
        assert.deepStrictEqual(words, [])
      })
    )
  }
})

describe("help", () => {
  it.live("lists every subcommand", () =>
    Effect.gen(function* () {
      const { code, printed } = yield* type("--help")
      assert.strictEqual(code, 0)
      for (const name of "run chat status sessions command usage audit report check doctor stop restart reload resume export dead-letters".split(
        " "
      )) {
        assert.include(printed, `  ${name} `)
      }
    })
  )

  it.live("tells the version that the package has", () =>
    Effect.gen(function* () {
      const { printed } = yield* type("--version")
      assert.include(printed, version)
      const manifest = readFileSync(fileURLToPath(new URL("../package.json", import.meta.url)), "utf8")
      assert.strictEqual(JSON.parse(manifest).version, version)
    })
  )
})

describe("tools without a gateway", () => {
  it.live("say so in one sentence, exit with code 3, and let signals end them as any program", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        for (const args of [
          ["stop"],
          ["restart"],
          ["reload"],
          ["resume"],
          ["command", "kim", "/stop"],
          ["dead-letters", "replay", "1"],
          ["chat"]
        ]) {
          const { code, released, words } = yield* type(...args, "--state-dir", folder)
          assert.strictEqual(code, codes.notRunning, args.join(" "))
          assert.match(words.join("\n"), /^sluice: no gateway runs on .*sluice run, or in the project: npm start$/)
          assert.strictEqual(released, 1)
        }
      })
    )
  )

  it.live("look for it also while its configuration can't be parsed, unless that may name another directory", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const file = join(folder, "sluice.yaml")
        const own = ["--config", file, "--state-dir", folder]
        writeFileSync(file, "stateDirectory: there\na: [")
        for (const name of ["stop", "reload", "status"]) {
          assert.strictEqual((yield* type(name, ...own)).code, codes.notRunning, name)
        }
        assert.strictEqual((yield* type("report", ...own)).code, codes.failed)
        const unsure = yield* type("stop", "--config", file)
        assert.strictEqual(unsure.code, codes.configuration)
        assert.match(unsure.words.join("\n"), /configuration file = "a: \[" \(sluice\.yaml:2\)/)
        const { place } = yield* Effect.promise(() => import("../src/configuration/Sources.ts"))
        writeFileSync(file, "a: [")
        const found = yield* place({ environment: {}, folder })
        assert.strictEqual(found.stateDirectory, join(folder, ".sluice"))
      }).pipe(Effect.orDie)
    )
  )

  it.live("look at the store, and say when there is none", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        for (const name of ["status", "sessions", "audit", "dead-letters"]) {
          const { code, words } = yield* type(name, "--state-dir", folder)
          assert.strictEqual(code, codes.notRunning)
          assert.match(words.join("\n"), /there is no store in/)
        }
        const { code, words } = yield* type("report", "--state-dir", folder)
        assert.strictEqual(code, codes.failed)
        assert.match(words.join("\n"), /no stop has left a report/)
      })
    )
  )
})

/** A gateway of another version: it answers what is given, for each path. */
const foreign = (folder: string, answers: { readonly [path: string]: unknown }) =>
  Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer((request, response) => {
        response.writeHead(200, { "content-type": "application/json" })
        response.end(JSON.stringify(answers[request.url ?? ""]))
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        Address.write(folder, { url: `http://127.0.0.1:${port}`, pid: process.pid, epoch: 1 })
        writeFileSync(join(folder, "token"), "a-token-of-20-letters", { mode: 0o600 })
        resume(Effect.succeed(server))
      })
    }),
    (server) => Effect.sync(() => server.close())
  )

describe("tools with a gateway", () => {
  it.live("read what one of an earlier version says, and name the persona of who chose none", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const session = { name: "main", conversationKey: "http/kim", current: true, persona: "", agent: "demo" }
        yield* foreign(folder, {
          "/v1/status": { version: "0.0.9", epoch: 1, lastStop: "none", figures: { accepted: 3 } },
          "/v1/sessions": { sessions: [{ ...session, waiting: 0, lastActive: 0 }] }
        })
        const status = yield* type("status", "--state-dir", folder)
        assert.strictEqual(status.code, 0)
        assert.match(status.printed, /sluice 0\.0\.9[\s\S]*messages {3}not counted by this version/)
        const sessions = yield* type("sessions", "--state-dir", folder)
        // Not in memory: its agent was let go of.
        assert.match(sessions.printed, /http\/kim +suspended +default +demo/)
      }).pipe(Effect.scoped)
    )
  )
})

describe("check", () => {
  it.live("prints as JSON what is in force and where each value was written", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const { code, printed } = yield* type(
          "check",
          "--json",
          "--state-dir",
          folder,
          "--set",
          "drain.timeout=9s",
          "--port",
          "0"
        )
        assert.strictEqual(code, 0)
        const { valid, values } = JSON.parse(printed)
        assert.isTrue(valid)
        assert.deepInclude(values, { key: "drain.timeout", value: "9 seconds", origin: "--set" })
        assert.deepInclude(values, { key: "http.port", value: 0, origin: "--port" })
        assert.deepInclude(values, { key: "queue.cap", value: 20, origin: "default" })
      })
    )
  )

  it.live("warns of an agent whose program is missing, and of a secret that can't be read", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const file = join(folder, "sluice.yaml")
        writeFileSync(
          file,
          "agents: { main: { kind: command, argv: [no-such-program-4711], secrets: { KEY: gone } } }\nhttp: { tokenFile: gone }\n"
        )
        const { code, printed } = yield* type("check", "--config", file)
        assert.strictEqual(code, 0)
        assert.match(printed, /warning: agent "main": program "no-such-program-4711" is not found; install it/)
        assert.match(
          printed,
          /warning: agents\.main\.secrets\.KEY = .*: can't be read: it does not exist.*; until then a start refuses it/
        )
        assert.match(printed, /warning: http\.tokenFile = .*\(sluice\.yaml:2\): can't be read: it does not exist/)
      })
    )
  )

  it.live("tells all problems at once with code 78", () =>
    Effect.gen(function* () {
      const { code, words } = yield* type("check", "--set", "drain.timeout=soon", "--port", "x")
      assert.strictEqual(code, codes.configuration)
      assert.lengthOf(words, 2)
      for (const word of words) assert.match(word, /^sluice: (drain\.timeout|http\.port) = /)
    })
  )
})

describe("last words", () => {
  it("of a failure are sentences without a trace, of a defect they have one", () => {
    const failed = Effect.runSyncExit(new Ending({ code: codes.failed, lines: ["no \u001b[31m luck"] }))
    assert.deepStrictEqual(lastWords(failed), ["no \\u001b[31m luck"])
    assert.strictEqual(exitCodeOf(failed), 1)
    const died = Effect.runSyncExit(Effect.die(new TypeError("x is not a function")))
    assert.match(lastWords(died).join("\n"), /x is not a function[\s\S]*at /)
    assert.strictEqual(exitCodeOf(died), codes.defect)
  })

  it("are none after an interruption, which is how Ctrl-C ends a tool", () => {
    const exit = Effect.runSyncExit(Effect.interrupt)
    assert.deepStrictEqual(lastWords(exit), [])
    assert.strictEqual(exitCodeOf(exit), 0)
  })
})
