/** Contract C7 at the store: what a boot counts, what it leaves, and what a jump of the clock can't do. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import {
  type Boot,
  bootFile,
  claimed,
  done,
  kim,
  lee,
  message,
  movableWall,
  outside,
  push,
  settle,
  storeFile
} from "./harness.ts"

const counts = (boot: Boot) =>
  boot.journal.opening.turns.map(({ crashes, cuts, cutBy, state }) => ({ state, crashes, cuts, cutBy }))

/** A boot that dies with the session's open turn running, resumed if an earlier boot opened it. */
const dieRunning = Effect.fnUntraced(function* (file: string) {
  const boot = yield* bootFile(file)
  const [open] = boot.journal.opening.turns
  if (open === undefined) {
    yield* boot.journal.admit(message("work"))
    yield* claimed(boot, [1])
  } else yield* boot.journal.resume(open.id)
  yield* boot.end
  return boot
})

const report = { reason: "stop", exitCode: 0, millis: 1200, clean: true, json: { any: "thing" } }

describe("opening", () => {
  it.effect("a new store: first boot, epoch 1, nothing to tell", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootFile(yield* storeFile)
      const { epoch, instance, lastSeq, postMortem, turns, uncleanChain } = journal.opening
      assert.deepStrictEqual([epoch, lastSeq, turns, uncleanChain, postMortem.end], [1, 0, [], 0, "first"])
      assert.match(instance, /^[0-9a-f]{12}$/)
    })
  )

  it.effect("C7: a turn that ran when the process died counts a crash, each time", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* dieRunning(file)
      yield* dieRunning(file)
      const third = yield* bootFile(file)
      assert.deepStrictEqual(counts(third), [{ state: "interrupted", crashes: 2, cuts: 0, cutBy: "crash" }])
      assert.deepStrictEqual([third.journal.opening.epoch, third.journal.opening.lastSeq], [3, 1])
    })
  )

  it.effect("C7: only turns that were dispatched in the dying epoch are counted", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* dieRunning(file)
      // A boot that dies before it resumed anything.
      yield* (yield* bootFile(file)).end
      const third = yield* bootFile(file)
      assert.deepStrictEqual(counts(third), [{ state: "interrupted", crashes: 1, cuts: 0, cutBy: "crash" }])
    })
  )

  it.effect("D15: a cut that its stop committed counts nothing, and its reason is told", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("work"))
      const turn = yield* claimed(first, [1])
      yield* first.journal.preMark("restart")
      yield* settle(first, turn, { _tag: "Interrupted", reason: "restart", asked: false })
      yield* first.journal.storeReport(report)
      yield* first.end
      const second = yield* bootFile(file)
      assert.deepStrictEqual(counts(second), [{ state: "interrupted", crashes: 0, cuts: 0, cutBy: "restart" }])
    })
  )

  it.effect("a turn that asked for the stop counts a cut", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("restart yourself"))
      const turn = yield* claimed(first, [1])
      assert.isUndefined(yield* first.journal.asked(turn.turn.id, "restart"))
      assert.isUndefined(yield* first.journal.asked(turn.turn.id, "restart"), "twice in one epoch is one request")
      yield* settle(first, turn, { _tag: "Interrupted", reason: "restart", asked: true })
      yield* first.journal.storeReport({ ...report, reason: "restart" })
      yield* first.end
      const second = yield* bootFile(file)
      assert.deepStrictEqual(counts(second), [{ state: "interrupted", crashes: 0, cuts: 1, cutBy: "restart" }])
      assert.deepStrictEqual(yield* second.journal.asked(turn.turn.id, "restart"), {
        reason: "restart",
        epoch: 1,
        report: { any: "thing" }
      })
    })
  )

  it.effect(
    "D5: killed while the stop waited: the mark makes it a cut, and says what cut it; a turn that ended carries none",
    () =>
      Effect.gen(function* () {
        const file = yield* storeFile
        const first = yield* bootFile(file)
        yield* first.journal.admit(message("long"))
        yield* first.journal.admit(message("short", { address: lee }))
        const long = yield* first.journal.claim({ session: 1, seqs: [1], agent: "main" })
        const short = yield* claimed(first, [2])
        assert.deepStrictEqual(yield* first.journal.preMark("SIGTERM"), { turns: 2, sessions: 2 })
        assert.deepStrictEqual(yield* first.journal.preMark("again"), { turns: 2, sessions: 2 })
        yield* settle(first, short, done("finished in the drain"))
        yield* first.end
        const second = yield* bootFile(file)
        assert.strictEqual(long?.turn.id, second.journal.opening.turns[0]?.id)
        assert.deepStrictEqual(counts(second), [{ state: "interrupted", crashes: 0, cuts: 1, cutBy: "SIGTERM" }])
        const { end, marked, reason } = second.journal.opening.postMortem
        assert.deepStrictEqual([end, marked, reason], ["unclean", true, "SIGTERM"])
        // A mark counts only for its own epoch.
        yield* second.journal.resume(1)
        yield* second.end
        assert.deepStrictEqual(counts(yield* bootFile(file)), [
          { state: "interrupted", crashes: 1, cuts: 1, cutBy: "crash" }
        ])
      })
  )

  it.effect("a claim during a stop is marked like everything else", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("work"))
      yield* first.journal.preMark("stop")
      yield* claimed(first, [1])
      yield* first.end
      assert.deepStrictEqual(counts(yield* bootFile(file)), [
        { state: "interrupted", crashes: 0, cuts: 1, cutBy: "stop" }
      ])
    })
  )

  it.effect("an epoch that ended in a storage failure counts cuts, never crashes, whoever could still note it", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("work"))
      yield* claimed(first, [1])
      yield* first.journal.storeReport({ ...report, clean: false, exitCode: 74 })
      yield* first.end
      const second = yield* bootFile(file)
      assert.deepStrictEqual(counts(second), [{ state: "interrupted", crashes: 0, cuts: 1, cutBy: "storage" }])
      assert.strictEqual(second.journal.opening.uncleanChain, 0)
    })
  )

  it.effect("D13: while a suspect is tried a crash counts for it alone; after five minutes for everybody again", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("guilty"))
      yield* first.journal.admit(message("innocent", { address: lee }))
      yield* first.journal.claim({ session: 1, seqs: [1], agent: "main" })
      yield* first.journal.claim({ session: 2, seqs: [2], agent: "main" })
      yield* first.end
      const both = Effect.fnUntraced(function* (millis: number) {
        const boot = yield* bootFile(file)
        yield* boot.journal.resume(1)
        yield* boot.journal.resume(2)
        yield* TestClock.adjust(millis)
        // Whatever the trial's end writes is written before this.
        yield* boot.journal.healthy
        yield* boot.end
      })
      yield* both(0)
      const third = yield* bootFile(file)
      assert.deepStrictEqual(
        third.journal.opening.turns.map((turn) => turn.crashes),
        [2, 2]
      )
      // The innocent one is tried while an ordinary turn runs beside it.
      yield* third.journal.admit(message("newcomer", { address: { ...kim, peer: "pat" } }))
      yield* third.journal.claim({ session: 3, seqs: [3], agent: "main" })
      yield* third.journal.resume(2)
      yield* third.end
      const fourth = yield* bootFile(file)
      assert.deepStrictEqual(
        fourth.journal.opening.turns.map((turn) => turn.crashes),
        [2, 3, 0]
      )
      assert.strictEqual(fourth.journal.opening.uncleanChain, 0, "what broke the process is known")
      yield* fourth.journal.resume(1)
      yield* fourth.journal.resume(3)
      yield* TestClock.adjust("5 minutes")
      yield* fourth.journal.healthy
      yield* fourth.end
      assert.deepStrictEqual(
        (yield* bootFile(file)).journal.opening.turns.map((turn) => turn.crashes),
        [3, 3, 1]
      )
    })
  )

  it.effect(
    "D14: unclean boots within five minutes of each other are a chain; health, a clean stop or time end it",
    () =>
      Effect.gen(function* () {
        const file = yield* storeFile
        const chain: Array<number> = []
        const next = Effect.fnUntraced(function* (millis: number, then: (boot: Boot) => Effect.Effect<void, unknown>) {
          const boot = yield* bootFile(file)
          chain.push(boot.journal.opening.uncleanChain)
          yield* TestClock.adjust(millis)
          yield* then(boot)
          yield* boot.end
        })
        const crash = () => Effect.void
        yield* next(1000, crash)
        yield* next(240_000, crash)
        yield* next(240_000, crash)
        yield* next(1000, ({ journal }) => journal.healthy)
        yield* next(1000, crash)
        yield* next(301_000, crash)
        yield* next(1000, ({ journal }) => journal.storeReport(report))
        yield* next(1000, ({ journal }) => Effect.asVoid(journal.preMark("stop")))
        yield* next(1000, crash)
        yield* next(1000, crash)
        assert.deepStrictEqual(chain, [0, 1, 2, 3, 1, 2, 1, 0, 0, 1])
      })
  )

  it.effect("the post-mortem says how the last boot ended and what it left open", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      for (const text of ["a", "b", "c"]) yield* first.journal.admit(message(text))
      yield* settle(first, yield* claimed(first, [1]), done("hi", "there"), push)
      yield* claimed(first, [2])
      yield* TestClock.adjust(5000)
      yield* first.end
      const second = yield* bootFile(file)
      assert.deepInclude(second.journal.opening.postMortem, {
        epoch: 1,
        end: "unclean",
        marked: false,
        openTurns: 1,
        waiting: 1,
        openReplies: 2,
        startedAt: 0
      })
      yield* second.journal.storeReport(report)
      yield* second.journal.close
      yield* second.end
      const third = yield* bootFile(file)
      assert.deepInclude(third.journal.opening.postMortem, {
        epoch: 2,
        end: "clean",
        reason: "stop",
        exitCode: 0,
        millis: 1200,
        endedAt: 5000
      })
      assert.deepStrictEqual(yield* third.journal.reads.report, { any: "thing" })
      assert.deepStrictEqual((yield* third.journal.reads.figures).boots, { first: 1, unclean: 1, clean: 1 })
      const seen = yield* third.journal.reads.opening
      assert.deepStrictEqual(
        [seen.epoch, seen.instance, seen.postMortem.end],
        [3, third.journal.opening.instance, "clean"]
      )
      assert.deepInclude(seen.ended, { epoch: 3, end: "unclean", openTurns: 1, waiting: 1 })
      const json = { reasons: [{ code: 75 }, { code: 80 }] }
      yield* third.journal.storeReport({ ...report, reason: "restart", exitCode: 75, json })
      assert.isTrue((yield* third.journal.reads.opening).ended.cut)
      yield* third.end
      const fourth = yield* bootFile(file)
      assert.deepInclude(fourth.journal.opening.postMortem, { epoch: 3, end: "clean", exitCode: 75, cut: true })
    })
  )

  it.effect("D7: what was being sent when the process died is found as exactly that", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("a"))
      yield* settle(first, yield* claimed(first, [1]), done("sending", "waiting"), push)
      yield* first.journal.step({ _tag: "Sending", reply: 1 })
      assert.isFalse((yield* first.journal.owed(0, 10))[0]?.cut)
      yield* first.end
      const second = yield* bootFile(file)
      const owed = yield* second.journal.owed(0, 10)
      assert.deepStrictEqual(
        owed.map((row) => [row.reply.text, row.state, row.cut, row.tries]),
        [
          ["sending", "sending", true, 1],
          ["waiting", "pending", false, 0]
        ]
      )
      const again = yield* second.journal.step({ _tag: "Later", reply: 1, wait: 0, marked: true })
      assert.deepStrictEqual([again?.state, again?.marked, again?.cut], ["pending", true, false])
      assert.deepStrictEqual(
        (yield* second.journal.owed(1, 10)).map((row) => row.id),
        [2]
      )
    })
  )

  it.effect("a placeholder whose turn ended while it was being placed is nobody's after a crash", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("a"))
      const turn = yield* claimed(first, [1])
      const reply = (yield* first.journal.reserve(turn.turn.id))?.id ?? 0
      yield* first.journal.step({ _tag: "Placing", reply })
      yield* settle(first, turn, { _tag: "Cancelled", by: "stop", replies: [] })
      yield* first.end
      const second = yield* bootFile(file)
      assert.isUndefined(yield* second.journal.step({ _tag: "Placed", reply, remoteId: "r" }))
      assert.deepStrictEqual((yield* second.journal.reads.figures).replies, {})
    })
  )

  it.effect("D19: stored waits keep their length, however far the wall clock jumps between two boots", () =>
    Effect.gen(function* () {
      for (const jump of [31_536_000_000, -31_536_000_000]) {
        const file = yield* storeFile
        const wall = yield* movableWall
        wall.jump(100_000_000_000)
        const open = Effect.provideService(bootFile(file), Clock.Clock, wall.clock)
        const first = yield* open
        for (const text of ["a", "b"]) yield* first.journal.admit(message(text, text === "b" ? { address: lee } : {}))
        const failing = yield* first.journal.claim({ session: 1, seqs: [1], agent: "main" })
        if (failing !== undefined) yield* settle(first, failing, { _tag: "Retry", error: "no", wait: 60_000 })
        yield* settle(first, yield* claimed(first, [2]), done("x"), push)
        yield* first.journal.step({ _tag: "Later", reply: 1, wait: 30_000, marked: false })
        yield* first.journal.throttle({ channel: "http" }, 20_000)
        yield* first.journal.throttle({ channel: "http", conversation: 2 }, 40_000)
        yield* first.journal.notice({
          conversation: 1,
          notice: "back",
          parts: ["I'm back"],
          route: push,
          expiresAt: undefined,
          cap: { count: 1, within: 600_000 }
        })
        yield* first.end
        wall.jump(jump)
        const second = yield* open
        const now = wall.clock.currentTimeMillisUnsafe()
        const forward = jump > 0
        const turn = second.journal.opening.turns[0]
        const left = (turn?.waitUntil ?? 0) - now
        const delay = ((yield* second.journal.owed(0, 1))[0]?.notBefore ?? 0) - now
        const waits = (yield* second.journal.throttles).map((wait) => wait.left)
        if (forward) assert.isTrue(left <= 0 && delay <= 0 && waits.length === 0)
        else assert.deepStrictEqual([left, delay, waits], [60_000, 30_000, [20_000, 40_000]])
        const again = yield* second.journal.notice({
          conversation: 1,
          notice: "back",
          parts: ["I'm back"],
          route: push,
          expiresAt: undefined,
          cap: { count: 1, within: 600_000 }
        })
        assert.strictEqual(again !== undefined, forward)
        yield* TestClock.adjust(600_001)
        const later = yield* second.journal.notice({
          conversation: 1,
          notice: "back",
          parts: ["I'm back"],
          route: push,
          expiresAt: undefined,
          cap: { count: 1, within: 600_000 }
        })
        assert.isDefined(later, "a cap never lasts longer than its length")
        yield* second.end
      }
    })
  )

  it.effect("what another program wrote beside the store does not disturb: unknown tables and columns stay", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("a"))
      yield* first.journal.close
      yield* first.end
      const look = yield* outside(file)
      look.exec("alter table sluice_inbound add column mood text; create table hosts_own (id integer)")
      const second = yield* bootFile(file)
      yield* second.journal.admit(message("b"))
      assert.strictEqual((yield* second.journal.reads.ledger).accepted, 2)
    })
  )
})
