// The tour of the README, taken by a machine: two terminals, the same commands, the same order, and what is printed compared
// with what the README shows, times and numbers of processes aside. `UPDATE_DOCS=1 npm test -- tour` writes the blocks anew.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { type ChildProcess, spawn } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { program, store, temporaryFolder, until } from "../harness.ts"

const readme = fileURLToPath(new URL("../../../../README.md", import.meta.url))

/** What differs from run to run. */
const masks: ReadonlyArray<readonly [RegExp, string]> = [
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, "2026-11-21T09:30:00Z"],
  [/127\.0\.0\.1:\d+/g, "127.0.0.1:4747"],
  [/pid \d+/g, "pid 4711"],
  [/kill -9 \d+/g, "kill -9 4711"],
  [/, some time after/g, ", some time after"],
  [/\b\d+(\.\d+)? (ms|s|min|h)\b( ago)?/g, "1 s$3"]
]
const masked = (text: string): string => masks.reduce((seen, [pattern, by]) => seen.replace(pattern, by), text)

/** A port that is free now: the gateway comes back on it, as the chat expects. */
const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** A terminal: a process of the program, and every line that it has printed. */
class Terminal {
  readonly lines: Array<string> = []
  readonly process: ChildProcess
  readonly ended: Promise<number | string>

  constructor(folder: string, port: number, args: ReadonlyArray<string>) {
    this.process = spawn(process.execPath, [program, ...args], {
      cwd: folder,
      env: {
        PATH: process.env["PATH"],
        HOME: process.env["HOME"],
        SLUICE_PORT: String(port),
        SLUICE_LOG_FORMAT: "pretty",
        // As at a terminal: in a container without one it would assume that somebody kills it after 10 s.
        SLUICE_STOP_BUDGET: "none"
      }
    })
    for (const stream of [this.process.stdout, this.process.stderr]) {
      let rest = ""
      stream?.setEncoding("utf8").on("data", (chunk: string) => {
        const lines = (rest + chunk).split("\n")
        rest = lines.pop() ?? ""
        this.lines.push(...lines)
      })
    }
    this.ended = new Promise((resolve) => this.process.once("close", (code, signal) => resolve(code ?? signal ?? "")))
  }

  /** Waits for a line, from a place on. */
  says(text: string, from = 0): Effect.Effect<void> {
    const look = Effect.suspend(() =>
      this.lines.slice(from).some((line) => line.startsWith(text)) ? Effect.void : Effect.fail(this.lines.join("\n"))
    )
    return look.pipe(
      Effect.retry(Schedule.spaced("10 millis").pipe(Schedule.upTo({ duration: "30 seconds" }))),
      Effect.mapError((lines) => new Error(`"${text}" was not printed:\n${lines}`)),
      Effect.orDie
    )
  }

  type(text: string): void {
    this.process.stdin?.write(`${text}\n`)
  }
}

/** Takes the tour; returns its blocks by name, as the README shows them. */
const tour = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const port = yield* freePort
  const terminal = (...args: ReadonlyArray<string>) =>
    Effect.acquireRelease(
      Effect.sync(() => new Terminal(folder, port, args)),
      ({ process }) => Effect.sync(() => process.kill("SIGKILL"))
    )
  const tool = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
    const asked = yield* terminal(...args)
    yield* Effect.promise(() => asked.ended)
    return [`$ npm run -s sluice -- ${args.join(" ")}`, ...asked.lines]
  })
  const startLines = (gateway: Terminal) => ["$ npm start", ...gateway.lines]
  const boot = Effect.tap(terminal("run"), (gateway) => gateway.says("  last stop"))

  const first = yield* boot
  const start = startLines(first)
  const chat = yield* terminal("chat")
  const typed = (text: string) => Effect.sync(() => chat.type(text))
  const since = () => chat.lines.length

  yield* typed("hello there")
  yield* chat.says("hello there")
  let from = since()
  yield* typed("tool 2s deploy")
  yield* chat.says("tool 2s deploy")
  const talk = [
    "$ npm run -s sluice -- chat",
    "> hello there",
    "hello there",
    "> tool 2s deploy",
    ...chat.lines.slice(from)
  ]

  from = since()
  yield* typed("work 4s think about it")
  yield* chat.says("working for 4s", from)
  const middle = since()
  yield* typed("one more thing")
  const accepted = Effect.sync(
    () => store({ stateDirectory: join(folder, ".sluice") }, "select seq from sluice_inbound").length
  )
  yield* until("both messages are accepted", accepted, (count) => count === 4)
  first.process.kill("SIGINT")
  assert.strictEqual(yield* Effect.promise(() => first.ended), 0)
  yield* chat.says("one more thing", middle)
  const drain = [
    "> work 4s think about it",
    ...chat.lines.slice(from, middle),
    "> one more thing",
    ...chat.lines.slice(middle)
  ]
  const stop = ["^C", ...first.lines.slice(start.length - 1)]

  from = since()
  const second = yield* boot
  const again = startLines(second)
  yield* chat.says("(connected again)", from)
  yield* typed("tool 4s deploy")
  yield* chat.says("- deploy", from)
  const busy = yield* tool("status")
  const kill = `$ kill -9 ${second.process.pid}`
  second.process.kill("SIGKILL")
  assert.strictEqual(yield* Effect.promise(() => second.ended), "SIGKILL")
  yield* chat.says("(connection lost", from)
  const lost = chat.lines.slice(from)
  const back = since()
  const third = yield* boot
  yield* chat.says("tool 4s deploy", back)
  const crash = [lost[0] ?? "", "> tool 4s deploy", ...lost.slice(1), ...chat.lines.slice(back)]
  const recovered = startLines(third)

  from = since()
  yield* typed("work 5m something long")
  yield* chat.says("working for 5m", from)
  const audit = yield* tool("audit")
  const report = third.lines.length
  third.process.kill("SIGINT")
  yield* chat.says("(the gateway is stopping", from)
  // Two within 250 ms are one Ctrl-C that came twice.
  yield* Effect.sleep("400 millis")
  third.process.kill("SIGINT")
  assert.strictEqual(yield* Effect.promise(() => third.ended), 81)
  const hurried = ["^C^C", ...third.lines.slice(report)]

  return { start, talk, drain, stop, again, busy: [...busy, kill], crash, recovered, hurried, audit }
})

/** The blocks of the README by their names. */
const shown = (page: string): ReadonlyMap<string, string> =>
  new Map(
    [...page.matchAll(/^<!-- tour: (\w+) -->\n```console\n([^]*?)^```$/gm)].map(([, name = "", block = ""]) => [
      name,
      block.trimEnd()
    ])
  )

const updated = (page: string, name: string, block: string): string =>
  page.replace(
    new RegExp(`(<!-- tour: ${name} -->\n\`\`\`console\n)[^]*?(^\`\`\`$)`, "m"),
    (_, head: string, tail: string) => `${head}${block}\n${tail}`
  )

describe("the README's tour", () => {
  it.live("prints what the README shows, from the first start to the end of the tour", () =>
    Effect.gen(function* () {
      const blocks = Object.entries(yield* tour).map(([name, lines]) => [name, lines.join("\n").trimEnd()] as const)
      if (process.env["UPDATE_DOCS"] === "1") {
        const page = readFileSync(readme, "utf8")
        writeFileSync(
          readme,
          blocks.reduce(
            (text, [name, block]) => updated(text, name, block.replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:4747")),
            page
          )
        )
      }
      const page = shown(readFileSync(readme, "utf8"))
      assert.deepStrictEqual([...page.keys()].toSorted(), blocks.map(([name]) => name).toSorted())
      for (const [name, block] of blocks) assert.strictEqual(masked(page.get(name) ?? ""), masked(block), name)
    }).pipe(Effect.scoped)
  )
})
