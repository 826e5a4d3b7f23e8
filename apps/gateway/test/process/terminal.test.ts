// `npm start` on a real terminal: a shell's prompt, npm, the program, and one Ctrl-C for all of them. The terminal is a
// pseudo terminal of script(1); what comes back after the gateway has ended is the shell's prompt, and not before.
import { assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { temporaryFolder, tool, until } from "../harness.ts"
import { canScript } from "../program.ts"

const root = fileURLToPath(new URL("../../../../", import.meta.url))

/** A shell on a terminal of its own. */
class Shell {
  printed = ""
  readonly child: ChildProcess
  constructor(folder: string) {
    const env = {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      TERM: "xterm",
      PS1: "PROMPT> ",
      SLUICE_PORT: "0",
      SLUICE_STATE_DIR: join(folder, "state")
    }
    const shell = "bash --norc --noprofile --noediting -i"
    this.child = spawn("script", ["-q", "-e", "-c", shell, join(folder, "typescript")], { cwd: root, env })
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.printed += text
    })
  }
  type(text: string): void {
    this.child.stdin?.write(text)
  }
  /** Waits until it has printed this, from a place on. */
  says(text: string, from = 0): Effect.Effect<string> {
    return until(
      `the terminal says "${text}"`,
      Effect.sync(() => this.printed.slice(from)),
      (printed) => printed.includes(text)
    )
  }
}

const shellIn = (folder: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new Shell(folder)),
    // A terminal that is closed ends all that is on it.
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

describe("npm start on a terminal", () => {
  beforeEach((context) => {
    if (!canScript) context.skip("there is no script(1) here that makes a terminal")
  })

  it.live("one Ctrl-C drains once: the turn that runs is finished, then the prompt comes back", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const shell = yield* shellIn(folder)
      yield* shell.says("PROMPT> ")
      let from = shell.printed.length
      shell.type("npm start --silent\n")
      yield* shell.says("last stop", from)
      const address = JSON.parse(readFileSync(join(folder, "state", "address.json"), "utf8"))
      const token = readFileSync(join(folder, "state", "token"), "utf8").trim()
      const sent = yield* Effect.promise(() =>
        fetch(`${address.url}/v1/conversations/kim/messages`, {
          method: "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          body: JSON.stringify({ text: "work 1s and done" })
        })
      )
      assert.strictEqual(sent.status, 202)
      from = shell.printed.length
      shell.type("\u0003")
      yield* shell.says("PROMPT> ", from)
      shell.type("echo code $?\n")
      yield* shell.says("code 0", from)
      const printed = shell.printed.slice(from)
      assert.strictEqual(printed.match(/Stopped in/g)?.length, 1, printed)
      assert.include(printed.slice(0, printed.indexOf("PROMPT> ")), "Stopped in")
      const report = JSON.parse(readFileSync(join(folder, "state", "last-shutdown.json"), "utf8"))
      assert.deepStrictEqual(report.by, ["SIGINT"])
      assert.deepStrictEqual(
        report.sessions.map(({ outcome }: { readonly outcome: string }) => outcome),
        ["finished"]
      )
      assert.isFalse(existsSync(`/proc/${address.pid}`))
      shell.type("exit\n")
    }).pipe(Effect.scoped)
  )

  it.live("a terminal that is closed stops it in order", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const shell = yield* shellIn(folder)
      yield* shell.says("PROMPT> ")
      const from = shell.printed.length
      shell.type("npm start --silent\n")
      yield* shell.says("last stop", from)
      const { pid } = JSON.parse(readFileSync(join(folder, "state", "address.json"), "utf8"))
      shell.child.kill("SIGKILL")
      yield* until(
        "the gateway is gone",
        Effect.sync(
          () => existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
        ),
        (lives) => !lives
      )
      const report = JSON.parse(readFileSync(join(folder, "state", "last-shutdown.json"), "utf8"))
      assert.match(report.by[0], /SIGHUP/)
      assert.strictEqual(report.exitCode, 0)
    }).pipe(Effect.scoped)
  )
})

describe("a command line that can't be understood", () => {
  const cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, code: number, says: RegExp]> = [
    [["rnu"], 64, /rnu/],
    [["run", "--prot", "1"], 64, /prot/],
    [["run", "extra"], 64, /extra/],
    [["run", "--port", "99999"], 78, /--port/],
    [["run", "--port", "-1"], 78, /--port|port/],
    [["run", "--host", "0.0.0.0"], 78, /exposed/],
    [["run", "--log-level", "\u001b[31mloud"], 78, /log\.level/],
    [["run", "--set", "drain.timeout=soon"], 78, /drain\.timeout/],
    [["run", "--set", "nothing.of.it=1"], 78, /nothing/],
    [["run", "--set", "__proto__.polluted=1"], 78, /__proto__|proto/],
    [["run", "--config", "/no/such/file.yaml"], 78, /no\/such\/file/],
    [["audit", "--state-dir", ""], 78, /stateDirectory = "" \(--state-dir\): use a path/],
    [["dead-letters", "replay", "x"], 64, /x/],
    [["status"], 3, /no gateway|not running|no store/i]
  ]
  for (const [args, code, says] of cases) {
    it.live(`sluice ${JSON.stringify(args.join(" "))}: code ${code}, and what to do`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const asked = yield* tool(folder, args)
        const said = `${asked.out}\n${asked.err}`
        assert.strictEqual(asked.code, code, said)
        assert.match(said, says)
        assert.notInclude(said, "\u001b[31mloud")
        assert.notMatch(said, /\n\s+at .*:\d+:\d+/)
        assert.isFalse(existsSync(join(folder, ".sluice", "journal.db")))
      }).pipe(Effect.scoped)
    )
  }
})

describe("a configuration that is hostile", () => {
  const bomb = [
    "a: &a [x, x, x, x, x, x, x, x, x]",
    ..."bcdefgh".split("").map((name, n) => {
      const before = String.fromCharCode(97 + n)
      return `${name}: &${name} [${Array.from({ length: 9 }, () => `*${before}`).join(", ")}]`
    })
  ].join("\n")
  const cases: ReadonlyArray<readonly [what: string, text: string | Buffer, says: RegExp]> = [
    ["is no YAML", "http: { port: [1\n", /sluice\.yaml/],
    ["is a list", "- 1\n- 2\n", /sluice\.yaml/],
    ["is a text", "hello\n", /sluice\.yaml/],
    ["has bytes that are no text", Buffer.from([0xff, 0xfe, 0x00, 0x41]), /sluice\.yaml/],
    ["doubles itself a billion times", bomb, /sluice\.yaml/],
    ["names one key twice", "http: { port: 1 }\nhttp: { port: 2 }\n", /sluice\.yaml:2\): Map keys must be unique/],
    ["names an agent that reaches for paths", 'agents: { "../etc": { kind: demo } }\n', /agents/],
    [
      "wants longer answers than can be passed on",
      "agents: { a: { kind: command, argv: [x], maxAnswer: 2 MiB } }\n",
      /maxAnswer.*from 1 KiB to 1 MiB/
    ],
    ["has an empty program", "agents: { a: { kind: command, argv: [] } }\n", /argv/],
    [
      "names a persona without its agent",
      "agents: { a: { kind: demo } }\npersonas: { default: { agent: b } }\n",
      /personas/
    ],
    ["colours the terminal", 'log: { level: "\\e[31mloud" }\n', /log\.level/]
  ]
  for (const [what, text, says] of cases) {
    it.live(`one that ${what}: code 78 from \`check\` and from \`run\`, in the same words`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        writeFileSync(join(folder, "sluice.yaml"), text)
        const checked = yield* tool(folder, ["check"])
        const run = yield* tool(folder, ["run"])
        assert.deepStrictEqual([checked.code, run.code], [78, 78], checked.out + checked.err + run.out + run.err)
        assert.match(run.err, says)
        assert.notInclude(run.err, "\u001b[31mloud")
        assert.notMatch(run.err, /\n\s+at .*:\d+:\d+/)
        assert.isBelow(run.err.length, 20_000)
        assert.isFalse(existsSync(join(folder, ".sluice")))
      }).pipe(Effect.scoped)
    )
  }
})
