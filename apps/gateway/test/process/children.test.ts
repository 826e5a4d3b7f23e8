// Programs that agents run, as they are in real life: they ignore signals, are stopped, flood their pipes, leave
// grandchildren in sessions of their own, die with the gateway's crash. Whatever they do, the deadline holds, and who
// belongs to this gateway is gone at the end, and nobody else.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { acpProgram, claudeProgram, showing } from "../kinds.ts"
import { now, type Process, reportIn, type Running, start, temporaryFolder, until } from "../harness.ts"

const configuration =
  'agents: { main: { kind: command, argv: ["node", "agent.mjs"] } }\nturns: { backoff: [50 millis, 50 millis] }\n'

/** A gateway whose agent is this program. */
const withAgent = Effect.fnUntraced(function* (
  text: string,
  options: { readonly folder?: string; readonly environment?: { readonly [name: string]: string } } = {}
) {
  const folder = options.folder ?? (yield* temporaryFolder)
  writeFileSync(join(folder, "agent.mjs"), text)
  return yield* start({ ...options, folder, configuration })
})

/** Whether the process lives; one that has ended and was not fetched by its parent does not. */
const lives = (pid: number): boolean => {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return false
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(file, "utf8"))
  } catch {
    // It ended between the two calls.
    return false
  }
}

/** Pids that a program has written down, one file for each. */
const pidsIn = (folder: string): ReadonlyArray<number> =>
  readdirSync(folder).flatMap((name) => (name.startsWith("pid-") ? [Number(name.slice(4))] : []))

const written = (process: Process, count: number) =>
  until(
    `${count} processes run`,
    Effect.sync(() => pidsIn(process.folder)),
    (pids) => pids.length >= count
  )

/** Kills what a test that failed has left behind, each by its number. */
const cleared = (folder: string) =>
  Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const pid of pidsIn(folder)) if (lives(pid)) process.kill(pid, "SIGKILL")
    })
  )

const note = (pid: string) => `require("node:fs").writeFileSync("pid-" + ${pid}, "")`

/** A child with a grandchild in a session of its own; both ignore everything that can be ignored. */
const stubborn = `
  import { spawn } from "node:child_process"
  import { createRequire } from "node:module"
  const require = createRequire(import.meta.url)
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(name, () => {})
  const code = 'for (const name of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(name, () => {}); ' +
    'require("node:fs").writeFileSync("pid-" + process.pid, ""); setInterval(() => {}, 1000)'
  spawn(process.execPath, ["-e", code], { detached: true, stdio: "ignore" }).unref()
  ${note("process.pid")}
`

const stopped = Effect.fnUntraced(function* (gateway: Running) {
  const sent = yield* gateway.signal("SIGTERM")
  const exit = yield* gateway.exited
  return { code: exit.code, millis: exit.at - sent, report: reportIn(gateway) }
})

describe("S11: an agent's program that does not want to end", () => {
  // It is let go of as soon as it floods: its grandchild has to ignore signals by then.
  const begun = `
    const begun = () => require("node:fs").readdirSync(".").filter((name) => name.startsWith("pid-")).length > 1
    while (!begun()) await new Promise((done) => setTimeout(done, 10));`
  const idle = `${stubborn} setInterval(() => {}, 1000)`
  const cases: ReadonlyArray<readonly [what: string, program: string, kinds: ReadonlyArray<"acp" | "claude">]> = [
    ["ignores SIGTERM and has a grandchild in a session of its own", idle, ["acp", "claude"]],
    ["floods its output", `${stubborn} ${begun} for (;;) process.stdout.write("x".repeat(65536))`, []],
    ["is stopped", idle, ["acp", "claude"]]
  ]
  for (const [what, program, others] of cases) {
    it.live(`one that ${what} is gone by the deadline and is named as killed`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const agents = {
          main: { kind: "command", argv: ["node", "agent.mjs"] },
          acp: { kind: "acp", argv: ["node", "stubborn.mjs", acpProgram, "--deaf"] },
          claude: { kind: "claude-code", argv: ["node", "stubborn.mjs", claudeProgram, "deaf"] }
        }
        writeFileSync(join(folder, "agent.mjs"), program)
        // The others speak their protocols besides.
        writeFileSync(
          join(folder, "stubborn.mjs"),
          `${program}; process.argv.splice(1, 1); await import(process.argv[1])`
        )
        const gateway = yield* start({
          folder,
          configuration: JSON.stringify({
            agents,
            personas: { default: { agent: "main" }, acp: { agent: "acp" }, claude: { agent: "claude" } }
          }),
          environment: { SLUICE_DRAIN_TIMEOUT: "3s" }
        })
        yield* cleared(gateway.folder)
        for (const kind of others) {
          yield* gateway.client.send(kind, `/new w ${kind}`)
          yield* gateway.client.send(kind, "hang")
          yield* showing(gateway, kind, /"responding"/)
        }
        yield* gateway.client.send("kim", "hello")
        const pids = yield* written(gateway, 2 + 2 * others.length)
        if (what === "is stopped") for (const pid of pids) process.kill(pid, "SIGSTOP")
        const { code, millis, report } = yield* stopped(gateway)
        assert.strictEqual(code, 80, gateway.output().out.slice(-1)[0])
        // Its own watchdog would have killed it at D and 1 s; the rest is the machine's.
        assert.isBelow(millis, 20_000)
        assert.deepStrictEqual(pids.filter(lives), [])
        assert.sameMembers(
          report.sessions.map(({ key, outcome }) => `${key} ${outcome}`),
          ["http/kim killed", ...others.map((kind) => `http/${kind}#w killed`)]
        )
        for (const { pid, signal } of report.sessions) {
          assert.include(pids, pid)
          assert.strictEqual(signal, "SIGKILL")
        }
      }).pipe(Effect.scoped)
    )
  }
})

describe("Q16: programs that outlive their gateway", () => {
  it.live("are found and ended by the next boot, and only they", () =>
    Effect.gen(function* () {
      const gateway = yield* withAgent(`${stubborn} setInterval(() => {}, 1000)`)
      yield* cleared(gateway.folder)
      yield* gateway.client.send("kim", "hello")
      const pids = yield* written(gateway, 2)
      // The same program in the same folder, started by somebody else.
      const foreign = yield* Effect.acquireRelease(
        Effect.sync(() => spawn(process.execPath, ["agent.mjs"], { cwd: gateway.folder, stdio: "ignore" })),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      const others = yield* written(gateway, 4)
      yield* gateway.signal("SIGKILL")
      yield* gateway.exited
      assert.deepStrictEqual(others.filter(lives), others)
      const next = yield* withAgent('console.log("better")', { folder: gateway.folder })
      const [reply] = yield* next.client.repliesUntil("kim", 1)
      assert.strictEqual(reply?.text.trim(), "better")
      yield* until(
        "the orphans are gone",
        Effect.sync(() => pids.filter(lives)),
        (left) => left.length === 0
      )
      assert.deepStrictEqual(
        others.filter(lives),
        others.filter((pid) => !pids.includes(pid))
      )
      assert.isTrue(lives(foreign.pid ?? 0))
    }).pipe(Effect.scoped)
  )
})

describe("what a program answers", () => {
  it.live("Q17: it fails twice and is tried again after a wait; the third answer is the only one", () =>
    Effect.gen(function* () {
      const gateway = yield* withAgent(`
        import { existsSync, writeFileSync } from "node:fs"
        const n = existsSync("two") ? 3 : existsSync("one") ? 2 : 1
        if (n < 3) { writeFileSync(n === 1 ? "one" : "two", ""); console.log("half an ans"); process.exit(n) }
        console.log("at last")
      `)
      const { id } = yield* gateway.client.send("kim", "hello")
      const replies = yield* gateway.client.repliesUntil("kim", 1)
      assert.deepStrictEqual(
        replies.map(({ inReplyTo, text }) => [text.trim(), inReplyTo]),
        [["at last", [id]]]
      )
    }).pipe(Effect.scoped)
  )

  it.live("Q17 D20: it always fails: one sentence after the last try, with no word of its own, and /retry works", () =>
    Effect.gen(function* () {
      const gateway = yield* withAgent(`
        import { existsSync } from "node:fs"
        if (existsSync("repaired")) console.log("fine now")
        else { console.error("secret stack trace"); process.exit(3) }
      `)
      const first = yield* gateway.client.send("kim", "hello")
      const replies = yield* gateway.client.repliesUntil("kim", 1)
      assert.match(replies[0]?.text ?? "", /^"hello" failed 3 times, so I've set it aside\..*\/retry/)
      assert.notInclude(replies[0]?.text, "secret")
      const again = yield* gateway.client.send("kim", "hello", { id: first.id, wait: "1s" })
      assert.deepInclude(again, { ended: "suspended", why: "failed" })
      yield* gateway.client.send("sam", "hi")
      writeFileSync(join(gateway.folder, "repaired"), "")
      yield* gateway.client.send("kim", "/retry")
      const later = yield* gateway.client.repliesUntil("kim", 2, 1)
      assert.deepStrictEqual(
        later.map(({ text }) => text.trim()),
        ["Trying again with 1 message.", "fine now"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("C9: 100 MB are cut at the limit, the program is ended, and the memory stays", () =>
    Effect.gen(function* () {
      const gateway = yield* withAgent(`
        const block = "y".repeat(1024 * 1024)
        for (let n = 0; n < 100; n++) await new Promise((done) => process.stdout.write(block, done))
      `)
      const before = now()
      yield* gateway.client.send("kim", "talk")
      const [reply] = yield* gateway.client.repliesUntil("kim", 1)
      assert.isBelow(now() - before, 30_000)
      assert.isBelow(reply?.text.length ?? 0, 1024 * 1024 + 200)
      assert.match(reply?.text ?? "", /(ends here\.\]|the rest is cut off\.\))$/)
      const status = readFileSync(`/proc/${gateway.pid}/status`, "utf8")
      assert.isBelow(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]), 400_000)
    }).pipe(Effect.scoped)
  )

  it.live(
    "C9: bytes that are no text, control characters and half a character become text, and nothing else breaks",
    () =>
      Effect.gen(function* () {
        const gateway = yield* withAgent(`
        process.stdout.write(Buffer.from([0x68, 0x69, 0xff, 0xfe, 0x00, 0x1b, 0x5b, 0x33, 0x31, 0x6d, 0xe2, 0x82]))
      `)
        yield* gateway.client.send("kim", "talk")
        const [reply] = yield* gateway.client.repliesUntil("kim", 1)
        assert.match(reply?.text ?? "", /^hi\ufffd\ufffd/)
        assert.isTrue((reply?.text ?? "").isWellFormed())
        const { body } = yield* Effect.orDie(gateway.client.call("/v1/audit"))
        assert.deepInclude(body, { accepted: 1, open: 0, balanced: true })
      }).pipe(Effect.scoped)
  )

  it.live("a program that does not exist: the person hears of it, the log names it, the gateway goes on", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const gateway = yield* start({
        folder,
        configuration: configuration.replace('"node", "agent.mjs"', '"no-such-program-here"')
      })
      yield* gateway.client.send("kim", "hello")
      const [reply] = yield* gateway.client.repliesUntil("kim", 1)
      assert.match(reply?.text ?? "", /set it aside/)
      assert.include(gateway.output().out.join("\n"), "no-such-program-here")
    }).pipe(Effect.scoped)
  )
})
