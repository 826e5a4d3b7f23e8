// The command protocol with well-behaved programs: what they read, what becomes of what they print, how they fail.
import { assert, describe, it } from "@effect/vitest"
import type { AgentEvent } from "@sluice/runtime/Agent"
import { Attachment, type Turn } from "@sluice/runtime/Message"
import { answerText, sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Children from "../src/Children.ts"
import * as Command from "../src/Command.ts"
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { problem } from "../src/internal/node/locate.ts"
import { file, folder, node } from "./processes.ts"

const grace = { ask: "50 millis", term: "500 millis", kill: "2 seconds" } as const

const run = Effect.fnUntraced(function* (options: Command.Options, turn: Turn = turnOf(["hello"])) {
  const agent = yield* Command.make({ grace, ...options }).open(sessionOf({ instance: "command" }))
  return yield* Stream.runCollect(agent.answer(turn))
}, Effect.scoped)

const sh = (script: string, ...args: ReadonlyArray<string>): Command.Options => ({
  argv: ["/bin/sh", "-c", script, "sh", ...args]
})

const answer = (options: Command.Options, turn?: Turn) => Effect.map(run(options, turn), answerText)

const failure = (options: Command.Options, turn?: Turn) =>
  Effect.map(Effect.flip(run(options, turn)), ({ reason, cause }) => ({
    reason,
    cause: cause as Command.ProgramFailed
  }))

/** Blocks the loop where timers are served next and only then the pipes, as after a long write to the disk. */
const standStill = (millis: number, first: () => void) =>
  Effect.callback<void>((resume) => {
    setImmediate(() => {
      first()
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)
      resume(Effect.void)
    })
  })

describe("the document", () => {
  it.live("is one line of JSON that holds the whole turn, and then the input ends", () =>
    Effect.gen(function* () {
      const turn: Turn = {
        ...turnOf(["first\nline", "second \u{1f980}"], { id: "t/1", attempt: 2, interrupted: { by: "stop" } }),
        summary: { count: 3, lines: ["a", "b", "c"] }
      }
      const [message] = turn.messages
      assert.isDefined(message)
      const attachment = new Attachment({ hash: "ab", size: 3, type: "image/png", path: "/files/ab" })
      const given = { ...turn, messages: [{ ...message, attachments: [attachment] }], context: [message] }
      const agent = yield* Command.make(sh("cat; echo; echo end")).open({
        ...sessionOf({ instance: "command" }),
        systemPrompt: "You plan."
      })
      const printed = answerText(yield* Stream.runCollect(agent.answer(given)))
      const [line = "", ...rest] = printed.split("\n")
      assert.deepStrictEqual(rest, ["", "end"])
      const plain = { ...message, attachments: [] }
      assert.deepStrictEqual(JSON.parse(line), {
        session: "test/kim",
        conversation: "test/kim",
        turn: "t/1",
        attempt: 2,
        interrupted: { by: "stop", tool: null },
        messages: [{ ...plain, attachments: [{ hash: "ab", size: 3, type: "image/png", path: "/files/ab" }] }],
        text: "first\nline\nsecond \u{1f980}",
        systemPrompt: "You plan.",
        summary: { count: 3, lines: ["a", "b", "c"] },
        context: [plain]
      })
    }).pipe(Effect.scoped)
  )

  it.live("D18: tells the program which tool's outcome is unknown", () =>
    Effect.gen(function* () {
      const turn = turnOf(["go"], { attempt: 2, interrupted: { by: "crash", tool: "deploy" } })
      const read = `process.stdin.on("data", (d) => console.log(JSON.stringify(JSON.parse(d).interrupted)))`
      assert.strictEqual(yield* answer({ argv: [node, "-e", read] }, turn), '{"by":"crash","tool":"deploy"}')
    })
  )

  it.live("what a user writes never becomes an argument or a variable", () =>
    Effect.gen(function* () {
      const text = "--version; $(touch x)"
      const seen = yield* answer(sh('cat >/dev/null; echo "$*"; env', "fixed"), turnOf([text]))
      assert.isTrue(seen.startsWith("fixed\n"))
      assert.notInclude(seen, text)
    })
  )
})

describe("the answer", () => {
  it.live("is streamed as it comes: the first words are there while the program still runs", () =>
    Effect.gen(function* () {
      const said = yield* Deferred.make<AgentEvent>()
      const pipe = `${yield* folder}/go`
      execFileSync("mkfifo", [pipe])
      const agent = yield* Command.make(sh('echo first; cat "$1"', pipe)).open(sessionOf({ instance: "command" }))
      const fiber = yield* agent.answer(turnOf(["hi"])).pipe(
        Stream.tap((event) => Deferred.succeed(said, event)),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      assert.deepStrictEqual(yield* Deferred.await(said), { _tag: "Text", delta: "first" })
      assert.isUndefined(fiber.pollUnsafe())
      yield* Effect.promise(() => writeFile(pipe, "second\n\n"))
      assert.strictEqual(answerText(yield* Fiber.join(fiber)), "first\nsecond")
    }).pipe(Effect.scoped)
  )

  it.live("loses the line feeds at its very end, and only those", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* answer(sh("printf 'a\\n\\n b \\n\\n\\r\\n'")), "a\n\n b ")
      assert.strictEqual(yield* answer(sh("printf '\\n\\n'")), "")
      assert.strictEqual(yield* answer(sh("true")), "")
    })
  )

  it.live("is decoded over the borders of chunks, with bytes that are no UTF-8 replaced", () =>
    Effect.gen(function* () {
      const slow = `
        const bytes = Buffer.from("\u00fc\u4e2d\u{1f980}!")
        const next = (n) => n < bytes.length ? process.stdout.write(bytes.subarray(n, n + 1), () => setImmediate(next, n + 1)) : 0
        next(0)`
      assert.strictEqual(yield* answer({ argv: [node, "-e", slow] }), "\u00fc\u4e2d\u{1f980}!")
      assert.strictEqual(yield* answer(sh("printf 'a\\377\\376b\\303'")), "a\ufffd\ufffdb\ufffd")
      assert.strictEqual(yield* answer(sh("head -c 1000 /dev/zero | tr '\\0' '\\377'")), "\ufffd".repeat(1000))
    })
  )

  it.live("C8: is not lost when the gateway stands still for seconds after the program's end", () =>
    Effect.gen(function* () {
      const place = yield* folder
      // What it leaves behind holds the output open, and says its last word while nobody can listen.
      const script = '(while [ ! -e "$1/go" ]; do printf .; sleep 0.05; done; printf " the end") & printf "$$ "'
      const said = yield* Deferred.make<number>()
      const agent = yield* Command.make({ grace, ...sh(script, place) }).open(sessionOf({ instance: "command" }))
      const fiber = yield* agent.answer(turnOf(["hi"])).pipe(
        Stream.tap((event) =>
          event._tag === "Text" ? Deferred.succeed(said, Number(event.delta.split(" ")[0])) : Effect.void
        ),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      const pid = yield* Deferred.await(said)
      // Reaped: its end has been seen, and what is still on its way is waited for.
      while (existsSync(`/proc/${pid}`)) yield* Effect.sleep("5 millis")
      yield* standStill(2500, () => writeFileSync(`${place}/go`, ""))
      assert.match(answerText(yield* Fiber.join(fiber)), /the end$/)
    }).pipe(Effect.scoped)
  )

  it.live("shows that a program which is quiet but says something on standard error is alive", () =>
    Effect.gen(function* () {
      const events = yield* run(sh("echo 'step 1' >&2; cat >/dev/null; echo done"))
      assert.include(
        events.map(({ _tag }) => _tag),
        "Alive"
      )
      assert.strictEqual(answerText(events), "done")
    })
  )

  it.live(
    "S11: what a program left behind is stopped while the turn is alive, so that no stall takes the answer away",
    () =>
      Effect.gen(function* () {
        // A child inherits that a signal is ignored.
        const leave = sh("trap '' TERM; sleep 60 </dev/null >/dev/null 2>&1 & echo done")
        const events = yield* run({ ...leave, grace: { ...grace, term: "800 millis" } })
        assert.strictEqual(answerText(events), "done")
        const after = events.slice(events.findLastIndex(({ _tag }) => _tag === "Text") + 1)
        assert.isAtLeast(after.filter(({ _tag }) => _tag === "Alive").length, 1)
      })
  )
})

describe("a failure", () => {
  it.live("Q17: a code other than 0 fails the turn with the code and the end of standard error", () =>
    Effect.gen(function* () {
      const { reason, cause } = yield* failure(sh("echo half an answer; echo 'no such thing' >&2; exit 3"))
      assert.strictEqual(reason, "Failed")
      assert.instanceOf(cause, Command.ProgramFailed)
      assert.deepInclude(cause, { program: "/bin/sh", code: 3, stderr: "no such thing" })
      assert.strictEqual(cause.message, 'program "/bin/sh" ended with code 3: no such thing')
    })
  )

  it.live(
    "Q17: an agent that is killed in mid-turn fails the turn, and the next attempt is answered by a new process",
    () =>
      Effect.gen(function* () {
        const script = `
        const turn = JSON.parse(require("fs").readFileSync(0))
        if (turn.attempt === 1) { process.stdout.write("half"); process.kill(process.pid, "SIGKILL"); setInterval(() => {}, 1e6) }
        else process.stdout.write("whole")`
        const agent = yield* Command.make({ argv: [node, "-e", script], grace }).open(
          sessionOf({ instance: "command" })
        )
        const error = yield* Effect.flip(Stream.runCollect(agent.answer(turnOf(["go"]))))
        assert.deepInclude(error.cause, { signal: "SIGKILL" })
        const again = yield* Stream.runCollect(agent.answer(turnOf(["go"], { attempt: 2 })))
        assert.strictEqual(answerText(again), "whole")
      }).pipe(Effect.scoped)
  )

  it.live("keeps of standard error only the end, cut at a character", () =>
    Effect.gen(function* () {
      const script = `process.stderr.write("x".repeat(1e6) + "\u00fc".repeat(60) + "the end"); process.exitCode = 1`
      const { cause } = yield* failure({ argv: [node, "-e", script], stderrTail: 100 })
      assert.match(cause.stderr, /^\u00fc{46}the end$/)
    })
  )

  it.live("a program that can't be started is named with the remedy", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const plain = yield* file(`${dir}/plain.mjs`, "console.log(1)\n", 0o644)
      const orphaned = yield* file(`${dir}/orphaned`, "#!/no/such/interpreter -x\n")
      const cases: ReadonlyArray<readonly [Command.Options, RegExp]> = [
        [
          { argv: ["no-such-program"] },
          /^program "no-such-program" was not found on PATH \(.*\): install it or give its whole path/
        ],
        [
          { argv: ["/no/such/program"] },
          /^program "\/no\/such\/program" does not exist: correct argv\[0\] or install it$/
        ],
        [{ argv: ["./none"], cwd: dir }, /^program "\.\/none" does not exist/],
        [{ argv: [plain] }, /is not executable: run chmod \+x on it, or put its interpreter first, as in \["node", /],
        [{ argv: ["plain.mjs"], env: { set: { PATH: dir } } }, /is not executable/],
        [
          { argv: ["plain.mjs"], cwd: dir },
          /^program "plain\.mjs" was not found on PATH \(.*\): a name without a slash is looked for there only; for the file in \/.* write "\.\/plain\.mjs" in argv\[0\] and run chmod \+x on it, or put its interpreter first$/
        ],
        [{ argv: ["orphaned"], cwd: dir }, /looked for there only; .* write "\.\/orphaned" in argv\[0\]$/],
        [{ argv: [dir] }, /is a folder: correct argv\[0\]$/],
        [{ argv: [orphaned] }, /asks for the interpreter "\/no\/such\/interpreter", which does not exist/],
        [
          { argv: ["/bin/sh"], cwd: `${dir}/none` },
          /^working folder ".*none" does not exist: create it or correct cwd$/
        ],
        [{ argv: ["/bin/sh"], cwd: plain }, /^working folder ".*plain.mjs" is a file: correct cwd$/],
        [{ argv: ["/bin/sh", "x".repeat(3_000_000)] }, /arguments and environment are too long: shorten argv or env$/]
      ]
      for (const [options, expected] of cases) {
        const { reason, cause } = yield* failure(options)
        assert.strictEqual(reason, "Failed")
        assert.instanceOf(cause, Children.NotStarted)
        assert.match((cause as unknown as Children.NotStarted).message, expected)
        // The last one is no matter of looking: only the system knows its limits.
        if (options.argv[1] === undefined) assert.match((yield* Children.check(options)) ?? "", expected)
      }
      assert.isUndefined(yield* Children.check({ argv: ["sh"] }))
    }).pipe(Effect.scoped)
  )

  it.effect(
    "a folder that can't be entered is passed by on PATH, and named where the program is said to be in it",
    () =>
      Effect.gen(function* () {
        const closed = join(yield* folder, "closed")
        mkdirSync(closed, { mode: 0 })
        const file = join(closed, "program")
        // Root may enter everything: it looks as somebody else.
        const isRoot = process.geteuid?.() === 0
        if (isRoot) process.seteuid?.(65_534)
        const found = [
          problem("program", undefined, closed),
          problem(file, undefined, ""),
          problem("sh", closed, "/bin")
        ]
        if (isRoot) process.seteuid?.(0)
        chmodSync(closed, 0o700)
        assert.deepStrictEqual(found, [
          `program "program" was not found on PATH (${closed}): install it or give its whole path in argv[0]`,
          `program "${file}" is in a folder that can't be entered: correct its permissions`,
          `working folder "${closed}" can't be entered: correct its permissions or cwd`
        ])
      }).pipe(Effect.scoped)
  )
})

describe("options", () => {
  it("that can never work are refused at once, with field and remedy", () => {
    const cases: ReadonlyArray<readonly [Command.Options, RegExp]> = [
      [{ argv: [""] }, /^argv: is empty; name a program$/],
      [{ argv: ["a", "b\0c"] }, /^argv: holds a NUL character; remove it$/],
      [{ argv: ["a"], maxAnswer: 0 }, /^maxAnswer 0: is not a number of bytes/],
      [{ argv: ["a"], stderrTail: 1.5 }, /^stderrTail 1.5: is not a number of bytes/],
      [{ argv: ["a"], env: { pass: ["SLUICE_TOKEN"] } }, /^env SLUICE_TOKEN: is never given to a child; remove it$/],
      [{ argv: ["a"], env: { set: { SLUICE_MARKER: "x" } } }, /^env SLUICE_MARKER: is never given/],
      [{ argv: ["a"], env: { pass: ["A=B"] } }, /^env "A=B": is not the name of a variable/],
      [{ argv: ["a"], env: { set: { A: "\0" } } }, /^env A: its value holds a NUL character/]
    ]
    for (const [options, expected] of cases) {
      assert.match(Command.invalid(options) ?? "", expected)
      assert.throws(() => Command.make(options), expected)
    }
    assert.isUndefined(Command.invalid({ argv: ["a"], maxAnswer: 1, env: { pass: ["A"], set: { B: "c" } } }))
  })

  it("decide the policies that the pipeline reads", () => {
    const agent = Command.make({ argv: ["a"], resume: "ask", turnTimeout: "1 minute", stallTimeout: "5 seconds" })
    assert.deepInclude(agent, { resume: "ask", orphan: "reap", turnTimeout: "1 minute", stallTimeout: "5 seconds" })
    assert.strictEqual(Command.make({ argv: ["a"] }).resume, "restart")
  })
})
