// C9: waiting is bounded by lengths of time, and a length is measured on the monotonic clock. The wall clock may jump by
// an hour or a year, either way, while the gateway runs or between two boots: nothing comes due by it and nothing is
// held back by it.
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { TestAgent } from "../../src/testing/index.ts"
import { boot, finishing, given, meanwhile, rest, world } from "./boots.ts"

const hour = 3_600_000
const jumps: ReadonlyArray<readonly [name: string, millis: number]> = [
  ["an hour ahead", hour],
  ["an hour back", -hour],
  ["a year ahead", 8760 * hour],
  ["a year back", -8760 * hour]
]

/** The test's clock with a wall that can be moved. It begins two years after the epoch, so that it can go back. */
const movable = Effect.map(Clock.Clock, (clock) => {
  let offset = 17_520 * hour
  const millis = () => clock.currentTimeMillisUnsafe() + offset
  const nanos = () => clock.currentTimeNanosUnsafe() + BigInt(offset) * 1_000_000n
  const moved: Clock.Clock = {
    sleep: (duration) => clock.sleep(duration),
    monotonicTimeNanos: clock.monotonicTimeNanos,
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos)
  }
  return {
    clock: moved,
    jump: (by: number) => {
      offset += by
    }
  }
})

describe("C9: the wall clock jumps while the gateway runs", () => {
  for (const [name, by] of jumps) {
    it.effect(`D19: ${name}: a burst closes after its quiet period, not before and not later`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const { clock, jump } = yield* movable
        const agent = TestAgent.echo()
        const current = yield* boot(place, { agent, clock, debounce: { quiet: "2 seconds" } })
        yield* current.say("kim", "one")
        yield* TestClock.adjust("1 second")
        jump(by)
        yield* current.say("kim", "two")
        yield* TestClock.adjust("1900 millis")
        assert.deepStrictEqual(given(agent), [])
        yield* TestClock.adjust("200 millis")
        assert.deepStrictEqual(given(agent), ["one\ntwo"])
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["one\ntwo"], "the answer is not called late")
      })
    )

    it.effect(`D19: ${name}: a turn stalls and times out by its own time`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const { clock, jump } = yield* movable
        const agent = TestAgent.make({ stallTimeout: 60_000, turnTimeout: 300_000 })
        const current = yield* boot(place, { agent, clock })
        yield* current.say("kim", "work")
        const run = yield* agent.run(1)
        yield* TestClock.adjust("30 seconds")
        jump(by)
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual(agent.runs.length, 1)
        yield* run.emit({ _tag: "Alive" })
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual(agent.runs.length, 1)
        // No event for its minute: now it has stalled, and is tried again after its backoff.
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* run.over, "interrupted")
        jump(by)
        assert.strictEqual(agent.runs.length, 1)
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* agent.run(2)).turn.attempt, 2)
      })
    )

    it.effect(`D19: ${name}: an idle agent is closed after its idle time`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const { clock, jump } = yield* movable
        const agent = TestAgent.echo()
        const current = yield* boot(place, { agent, clock, session: { idleTimeout: "10 minutes" } })
        yield* current.say("kim", "hello")
        yield* current.gateway.settled("chat/kim")
        yield* TestClock.adjust("5 minutes")
        jump(by)
        yield* TestClock.adjust("4 minutes")
        assert.strictEqual(agent.open.size, 1)
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(agent.open.size, 0)
      })
    )

    it.effect(`D19: ${name}: a channel that asked for a pause is left alone for so long, and no longer`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const { clock, jump } = yield* movable
        place.far.chat?.fates({ throttle: 60_000, scope: "conversation" })
        const current = yield* boot(place, { agent: TestAgent.echo(), clock })
        yield* current.say("kim", "hello")
        yield* current.gateway.settled("chat/kim")
        yield* TestClock.adjust("30 seconds")
        jump(by)
        yield* TestClock.adjust("29 seconds")
        assert.deepStrictEqual(place.far.chat?.seen("kim"), [])
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["hello"])
      })
    )

    it.effect(`D19: ${name}: a stop has the time that it was given`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const { clock, jump } = yield* movable
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent, clock, drain: { timeout: "20 seconds" } })
        yield* current.say("kim", "hang")
        yield* agent.run(1)
        const stop = yield* Effect.forkChild(current.gateway.stop({ reason: "stop" }), { startImmediately: true })
        yield* TestClock.adjust("5 seconds")
        jump(by)
        yield* TestClock.adjust("10 seconds")
        assert.isUndefined(stop.pollUnsafe())
        const report = yield* meanwhile(current.gateway.stopped)
        assert.isAtMost(report.millis, 20_000)
        assert.strictEqual(report.exitCode, 80)
      })
    )
  }
})

describe("C9: the wall clock jumps between two boots", () => {
  for (const [name, by] of jumps) {
    it.effect(`D19: ${name}: a stored backoff and a stored pause are never longer than they were`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const { clock, jump } = yield* movable
        const turns = { backoff: ["1 minute"] } as const
        const first = yield* boot(place, { clock, turns })
        yield* first.say("kim", "flaky")
        yield* (yield* first.agent.run(1)).fail()
        place.far.chat?.fatesOf("deliver", { throttle: 60_000, scope: "conversation" })
        yield* first.say("lee", "hello")
        yield* (yield* first.agent.run(2)).finish("hi")
        yield* first.gateway.settled("chat/lee")
        yield* TestClock.adjust("10 seconds")
        yield* first.crash
        jump(by)
        const second = yield* boot(place, { clock, turns })
        yield* finishing(second.agent, 1, "done")
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(given(second.agent), ["flaky"])
        yield* rest(second, "chat/kim", "chat/lee")
        // A reply whose pause ended in a year that never was says that it is late; it is there all the same.
        assert.match(place.far.chat?.seen("lee").join() ?? "", /hi$/)
      })
    )

    it.effect(`D19: ${name}: the pause of automatic resume ends after five minutes of this boot`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const { clock, jump } = yield* movable
        for (let n = 0; n < 2; n++) yield* (yield* boot(place, { clock })).crash
        const cut = yield* boot(place, { clock })
        yield* cut.say("kim", "work")
        yield* cut.agent.run(1)
        yield* cut.crash
        const paused = yield* boot(place, { clock })
        assert.isFalse((yield* paused.gateway.readiness).ready)
        yield* TestClock.adjust("2 minutes")
        jump(by)
        yield* TestClock.adjust("2 minutes")
        assert.deepStrictEqual(given(paused.agent), [])
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* paused.agent.run(1)).turn.text, "work")
      })
    )
  }
})
