/** Commands as rows: effect, end and reply are one, once, and reach only what came before. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { CommandAction, CommandOutcome } from "../../src/Journal.ts"
import { type Boot, bootFile, bootMemory, claim, claimed, done, message, pull, settle, storeFile } from "./harness.ts"

const say = (boot: Boot, text: string, id?: string) =>
  Effect.map(
    boot.journal.admit(message(text, { command: text.startsWith("/"), ...(id === undefined ? {} : { id }) })),
    ({ seq }) => seq
  )

const run = (boot: Boot, seq: number, action: CommandAction, reply = "ok") =>
  boot.journal.command(seq, action, pull, () => [reply])

const stop: CommandAction = { _tag: "Stop" }
const fresh: CommandAction = { _tag: "New", name: undefined, persona: undefined }

const seqsOf = (outcome: CommandOutcome | undefined) => outcome?.cancelled.map((row) => row.seq)

describe("commands", () => {
  it.effect("/stop cancels what waits and runs, and says what it was", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* say(boot, "running")
      const turn = yield* claimed(boot, [1])
      yield* say(boot, "waiting")
      const seq = yield* say(boot, "/stop")
      const outcome = yield* boot.journal.command(seq, stop, pull, (found) => [
        `Stopped ${found.turn?.messages} and ${found.cancelled.length}.`
      ])
      assert.deepStrictEqual([outcome?.turn, seqsOf(outcome)], [{ id: turn.turn.id, session: 1, messages: 1 }, [2]])
      assert.isFalse(yield* settle(boot, turn, done("too late")))
      const { detail, balanced } = yield* boot.journal.reads.ledger
      assert.deepStrictEqual(detail, { "cancelled(stop)": 2, command: 1 })
      assert.isTrue(balanced)
      assert.sameMembers(boot.ended, [1, 2, 3])
      const page = yield* boot.journal.page("http/kim", 0, 10)
      assert.deepStrictEqual(
        page.replies.map(({ inReplyTo, kind, text }) => [kind, text, inReplyTo]),
        [["command", "Stopped 1 and 1.", [boot.rows[2]?.id ?? ""]]]
      )
      const standing = yield* boot.journal.standing(seq)
      assert.deepStrictEqual([standing?.ended?.ending, standing?.replies.length], ["command", 1])
    })
  )

  it.effect("D25: a /stop that is retried or redelivered runs once and never cancels what came after it", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* say(first, "before")
      const seq = yield* say(first, "/stop", "c1")
      yield* say(first, "after")
      yield* first.end
      // Redelivered after a crash in between: still the command of its own place.
      const second = yield* bootFile(file)
      assert.strictEqual(yield* say(second, "/stop", "c1"), seq)
      assert.deepStrictEqual(
        (yield* second.journal.commands).map((row) => [row.seq, row.text]),
        [[seq, "/stop"]]
      )
      assert.deepStrictEqual(seqsOf(yield* run(second, seq, stop)), [1])
      assert.isUndefined(yield* run(second, seq, stop))
      assert.deepStrictEqual(yield* second.journal.commands, [])
      const turn = yield* second.journal.claim({ session: 1, seqs: [3], agent: "main" })
      assert.deepStrictEqual(
        turn?.rows.map((row) => row.text),
        ["after"]
      )
      assert.strictEqual((yield* second.journal.reads.ledger).detail["command"], 1)
    })
  )

  it.effect("D25: a turn that was claimed from later messages is not the one that /stop meant", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      const seq = yield* say(boot, "/stop")
      yield* say(boot, "after")
      const turn = yield* claimed(boot, [2])
      assert.isUndefined((yield* run(boot, seq, stop))?.turn)
      assert.isTrue(yield* settle(boot, turn, done("hi")))
    })
  )

  it.effect("Q6: a settle and a /stop in flight together have one winner", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* say(boot, "work")
      const turn = yield* claimed(boot, [1])
      const seq = yield* say(boot, "/stop")
      const settling = yield* Effect.forkChild(settle(boot, turn, done("answer")))
      const stopping = yield* Effect.forkChild(run(boot, seq, stop))
      const answered = yield* Fiber.join(settling)
      const outcome = yield* Fiber.join(stopping)
      assert.strictEqual(answered, outcome?.turn === undefined)
      assert.isTrue((yield* boot.journal.reads.ledger).balanced)
    })
  )

  it.effect("a turn in backoff, and one that was cut off, is cancelled by /stop too", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* say(boot, "work")
      yield* settle(boot, yield* claimed(boot, [1]), { _tag: "Retry", error: "no", wait: 1000 })
      const outcome = yield* run(boot, yield* say(boot, "/stop"), stop)
      assert.strictEqual(outcome?.turn?.messages, 1)
      assert.isUndefined(yield* boot.journal.resume(1))
    })
  )

  it.effect(
    "Q8: /new cancels what waits and runs; nothing of it leaks into the fresh session, which has the old name",
    () =>
      Effect.gen(function* () {
        const boot = yield* bootMemory()
        yield* say(boot, "running")
        yield* claimed(boot, [1])
        yield* say(boot, "waiting")
        const outcome = yield* run(boot, yield* say(boot, "/new"), fresh)
        assert.deepStrictEqual([outcome?.created, outcome?.turn?.messages, seqsOf(outcome)], [true, 1, [2]])
        assert.deepInclude(outcome?.session, { id: 2, name: "main", current: true, archived: false })
        assert.strictEqual(boot.journal.currentUnsafe("http/kim"), 2)
        yield* say(boot, "fresh start")
        assert.deepInclude(boot.rows.at(-1), { session: 2, opens: true })
        const turn = yield* claimed(boot, [4])
        assert.strictEqual(turn.session.name, "main")
        const all = yield* boot.journal.reads.sessions({ conversation: 1 })
        assert.deepStrictEqual(
          all.map(({ archived, current, name, waiting }) => [name, archived, current, waiting]),
          [
            ["main", false, true, 0],
            ["main~1", true, false, 0]
          ]
        )
        assert.deepStrictEqual((yield* boot.journal.reads.ledger).detail, { "cancelled(new)": 2, command: 1 })
      })
  )

  it.effect("Q8, Q15: /new <name> and /session touch nothing that runs or waits", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* say(boot, "running")
      const turn = yield* claimed(boot, [1])
      yield* say(boot, "waiting")
      const named = yield* run(boot, yield* say(boot, "/new plan"), { _tag: "New", name: "plan", persona: "planner" })
      assert.deepStrictEqual([named?.created, named?.session.name, named?.session.persona], [true, "plan", "planner"])
      assert.deepStrictEqual([named?.turn, seqsOf(named)], [undefined, []])
      yield* say(boot, "planning")
      assert.strictEqual(boot.rows.at(-1)?.session, named?.session.id)
      const back = yield* run(boot, yield* say(boot, "/session main"), { _tag: "Switch", name: "main" })
      assert.deepInclude(back?.session, { id: 1, current: true })
      const again = yield* run(boot, yield* say(boot, "/new plan"), { _tag: "New", name: "plan", persona: undefined })
      assert.deepStrictEqual([again?.created, again?.session.id, again?.session.persona], [false, 2, "planner"])
      const missing = yield* run(boot, yield* say(boot, "/session x"), { _tag: "Switch", name: "x" })
      assert.deepStrictEqual([missing?.missing, missing?.session.name], [true, "plan"])
      assert.isTrue(yield* settle(boot, turn, done("still mine")))
      assert.strictEqual((yield* claim(boot, [2]))?.rows.length ?? 0, 0, "the last row's session is another one")
      const waiting = yield* boot.journal.claim({ session: 1, seqs: [2], agent: "main" })
      assert.strictEqual(waiting?.rows[0]?.text, "waiting")
    })
  )

  it.effect("settings of a session are stored and come back after a restart", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      const timeout = yield* run(first, yield* say(first, "/timeout"), { _tag: "Timeout", millis: 900_000 })
      assert.strictEqual(timeout?.session.idleTimeout, 900_000)
      yield* run(first, yield* say(first, "/queue"), { _tag: "Queue", mode: "followup" })
      yield* first.end
      const second = yield* bootFile(file)
      assert.deepInclude(yield* second.journal.session(1), { idleTimeout: 900_000, queueMode: "followup" })
    })
  )

  it.effect("/retry copies the messages of the turn that was set aside last, once", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      for (const text of ["a", "b"]) yield* say(boot, text)
      yield* settle(boot, yield* claimed(boot, [1, 2]), { _tag: "Suspended", why: "failed", replies: [] })
      const outcome = yield* run(boot, yield* say(boot, "/retry"), { _tag: "Retry" })
      assert.deepStrictEqual(
        outcome?.copies.map(({ closes, opens, replayOf, seq, text }) => [seq, text, replayOf, opens, closes]),
        [
          [4, "a", 1, true, false],
          [5, "b", 2, false, true]
        ]
      )
      assert.deepStrictEqual(boot.rows.slice(-2), outcome?.copies, "handed on like any message")
      assert.deepStrictEqual(yield* boot.journal.rows([4, 5]), outcome?.copies)
      yield* say(boot, "next")
      assert.isTrue(boot.rows.at(-1)?.opens)
      const turn = yield* claimed(boot, [4, 5])
      assert.deepStrictEqual([turn.turn.crashes, turn.rows.length], [0, 2])
      yield* settle(boot, turn, done("at last"))
      const none = yield* run(boot, yield* say(boot, "/retry"), { _tag: "Retry" })
      assert.deepStrictEqual(none?.copies, [])
      const { accepted, balanced, detail } = yield* boot.journal.reads.ledger
      assert.deepStrictEqual([accepted, balanced, detail["replied"], detail["suspended(failed)"]], [7, true, 2, 2])
    })
  )

  it.effect("a cancelled turn can be retried after a restart", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* say(first, "a")
      yield* claimed(first, [1])
      yield* run(first, yield* say(first, "/stop"), stop)
      yield* first.end
      const second = yield* bootFile(file)
      const outcome = yield* run(second, yield* say(second, "/retry"), { _tag: "Retry" })
      assert.strictEqual(outcome?.copies[0]?.text, "a")
    })
  )

  it.effect("Q19: a question is decided by its number or by an option; once; and ends with its turn", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* say(boot, "work")
      const turn = yield* claimed(boot, [1])
      const first = yield* boot.journal.ask(turn.turn.id, "Delete?", ["yes", "no"])
      const second = yield* boot.journal.ask(turn.turn.id, "Which?", ["red", "blue"])
      const third = yield* boot.journal.ask(turn.turn.id, "Sure?", ["yes", "no"])
      assert.deepStrictEqual([first?.number, second?.number, third?.number], [1, 2, 3])
      const allow = (number: number | undefined, option: string) =>
        Effect.flatMap(say(boot, "/allow"), (seq) => run(boot, seq, { _tag: "Allow", number, option }))
      assert.deepInclude((yield* allow(undefined, "blue"))?.permission, { number: 2, decision: "blue" })
      assert.isUndefined((yield* allow(2, "red"))?.permission)
      assert.isUndefined((yield* allow(3, "maybe"))?.permission)
      assert.deepInclude((yield* allow(3, "yes"))?.permission, { number: 3, decision: "yes" })
      assert.deepStrictEqual(
        (yield* boot.journal.permissions(1)).map((row) => row.number),
        [1]
      )
      yield* boot.journal.unask(first?.id ?? 0, "expired")
      const last = yield* boot.journal.ask(turn.turn.id, "Again?", ["yes"])
      // A late answer to an earlier question must not decide it.
      assert.strictEqual(last?.number, 4)
      yield* settle(boot, turn, done("ok"))
      assert.deepStrictEqual(yield* boot.journal.permissions(1), [])
      assert.isUndefined(yield* boot.journal.ask(turn.turn.id, "Too late?", ["yes"]))
    })
  )

  it.effect("a reply that can't be worded fails its command alone, and the command can be run again", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* say(boot, "waiting")
      const bad = yield* say(boot, "/stop")
      const good = yield* say(boot, "/status")
      const [failed, outcome] = yield* Effect.all(
        [
          Effect.exit(
            boot.journal.command(bad, stop, pull, () => {
              throw new Error("no words")
            })
          ),
          run(boot, good, { _tag: "None" })
        ],
        { concurrency: "unbounded" }
      )
      assert.isTrue(Exit.isFailure(failed))
      assert.isDefined(outcome)
      assert.strictEqual((yield* boot.journal.queued(10)).rows[0]?.waiting, 1, "nothing was cancelled")
      assert.deepStrictEqual(seqsOf(yield* run(boot, bad, stop)), [1])
    })
  )
})
