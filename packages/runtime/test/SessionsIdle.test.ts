// Sessions at rest: agents that are closed when they were idle long enough, places that are given up, and many
// conversations that cost nothing while nobody writes.
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { TestAgent } from "../src/testing/index.ts"
import { boot, given, meanwhile, rest, world } from "./guarantees/boots.ts"

const ticks = (count: number) =>
  Effect.gen(function* () {
    for (let tick = 0; tick < count; tick++) yield* Effect.yieldNow
  })

/** Comes true in a while in which no time passes. */
const soon = (isTrue: () => boolean) =>
  Effect.gen(function* () {
    for (let tick = 0; tick < 1000 && !isTrue(); tick++) yield* Effect.yieldNow
    assert.isTrue(isTrue())
  })

describe("idle sessions", () => {
  it.effect("Q10: idle for the timeout, the agent is closed silently, and never during a turn", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ answer: (turn) => turn.text })
      const current = yield* boot(place, { agent, session: { idleTimeout: "5 minutes" } })
      yield* current.say("kim", "a")
      yield* meanwhile(current.gateway.settled("chat/kim"), { step: 0 })
      assert.deepStrictEqual([...agent.open], ["chat/kim"])
      yield* TestClock.adjust("299 seconds")
      assert.deepStrictEqual([...agent.open], ["chat/kim"])
      yield* TestClock.adjust("1 seconds")
      yield* soon(() => agent.open.size === 0)
      assert.deepStrictEqual(yield* current.gateway.live, [])
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["a"])
      const slow = TestAgent.make()
      const second = yield* boot(yield* world(), { agent: slow, session: { idleTimeout: "1 minutes" } })
      yield* second.say("kim", "long")
      const run = yield* slow.run(1)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([...slow.open], ["chat/kim"])
      yield* run.finish("done")
      yield* rest(second, "chat/kim")
    })
  )

  it.effect("Q10: a command that only reads does not keep an idle agent any longer", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ answer: (turn) => turn.text })
      const current = yield* boot(place, { agent, session: { idleTimeout: "5 minutes" } })
      yield* current.say("kim", "a")
      for (let minute = 0; minute < 5; minute++) {
        yield* meanwhile(current.gateway.settled("chat/kim"), { step: 0 })
        assert.deepStrictEqual([...agent.open], ["chat/kim"])
        yield* current.say("kim", minute % 2 === 0 ? "/status" : "/sessions")
        yield* TestClock.adjust("1 minutes")
      }
      yield* soon(() => agent.open.size === 0)
    })
  )

  it.effect(
    "Q11: a message that races the idle timer is answered once and never meets two agents, 1,000 times",
    () =>
      Effect.gen(function* () {
        const place = yield* world({ web: "pull" })
        const agent = TestAgent.make({ answer: (turn) => turn.text, onClose: ticks(7) })
        const current = yield* boot(place, { agent, session: { idleTimeout: "1 minutes" } })
        for (let n = 0; n < 1000; n++) {
          const peer = `p${n % 100}`
          yield* current.say(peer, "a", undefined, "web")
          yield* current.gateway.settled(`web/${peer}`)
          const clock = yield* Effect.forkChild(TestClock.adjust("1 minutes"), { startImmediately: n % 2 === 0 })
          yield* ticks(n % 50)
          yield* current.say(peer, "b", undefined, "web")
          yield* Fiber.join(clock)
          yield* current.gateway.settled(`web/${peer}`)
          assert.strictEqual(agent.runs.length, 2 * n + 2)
          assert.strictEqual(agent.runs.at(-1)?.turn.text, "b")
        }
        assert.deepStrictEqual(agent.overlaps, [])
        assert.strictEqual((yield* current.gateway.audit).ends.replied, 2000)
        yield* TestClock.adjust("1 minutes")
        assert.deepStrictEqual([...agent.open], [])
      }),
    240_000
  )

  it.effect("at most so many are live: the one that was idle for longest makes room", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ answer: (turn) => turn.text })
      const current = yield* boot(place, { agent, session: { maxLive: 2 } })
      for (const peer of ["a", "b", "a", "c"]) {
        yield* current.say(peer, peer)
        yield* meanwhile(current.gateway.settled(`chat/${peer}`), { step: 0 })
      }
      assert.deepStrictEqual([...agent.open].sort(), ["chat/a", "chat/c"])
      assert.strictEqual(agent.opened(), 3)
    })
  )

  it.effect("with none idle the next one waits, and starts as soon as one comes to rest", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, session: { maxLive: 1 } })
      yield* current.say("a", "a")
      const first = yield* agent.run(1)
      yield* current.say("b", "b")
      yield* current.say("c", "c")
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(agent.runs.length, 1)
      yield* first.finish("a")
      yield* (yield* agent.run(2)).finish("b")
      yield* (yield* agent.run(3)).finish("c")
      yield* meanwhile(Effect.forEach(["chat/a", "chat/b", "chat/c"], current.gateway.settled), { step: 0 })
      assert.deepStrictEqual(given(agent), ["a", "b", "c"])
      assert.deepStrictEqual([...agent.open], ["chat/c"])
    })
  )

  it.effect("one that comes to rest in the very tick in which another one needs its place gives it up, 100 times", () =>
    Effect.gen(function* () {
      const place = yield* world({ web: "pull" })
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, session: { maxLive: 1 } })
      for (let n = 0; n < 100; n++) {
        yield* current.say("a", "a", undefined, "web")
        yield* (yield* agent.run(2 * n + 1)).finish("a")
        yield* ticks(n % 50)
        yield* current.say("b", "b", undefined, "web")
        // No time passes: it must not wait for the idle timeout.
        yield* (yield* agent.run(2 * n + 2)).finish("b")
        yield* current.gateway.settled("web/b")
      }
      assert.deepStrictEqual(agent.overlaps, [])
    })
  )

  it.effect("Q12: an agent that is opened again after more than a minute says so first", () =>
    Effect.gen(function* () {
      const place = yield* world({ chat: "edit" })
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, session: { idleTimeout: "1 minutes" } })
      const lines: Array<string> = []
      yield* current.gateway.progress("chat/kim").pipe(
        Stream.runForEach((event) => Effect.sync(() => event._tag === "Line" && lines.push(event.text))),
        Effect.forkChild({ startImmediately: true })
      )
      yield* current.say("kim", "a")
      yield* (yield* agent.run(1)).finish("A")
      yield* rest(current, "chat/kim")
      yield* TestClock.adjust("15 minutes")
      yield* current.say("kim", "b")
      const second = yield* agent.run(2)
      yield* soon(() => lines.length > 0)
      assert.deepStrictEqual(lines, ["Resuming session (idle for 15 min)..."])
      yield* meanwhile(place.far.chat?.requested(1, "progress") ?? Effect.void)
      assert.strictEqual(place.far.chat?.seen("kim").at(-1), "Resuming session (idle for 15 min)...")
      yield* second.fail()
      yield* (yield* meanwhile(agent.run(3))).finish("B")
      yield* rest(current, "chat/kim")
      yield* current.say("kim", "c")
      yield* (yield* agent.run(4)).finish("C")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["A", "B", "C"])
      // A further try is no coming back.
      assert.deepStrictEqual(lines, [
        "Resuming session (idle for 15 min)...",
        "That didn't work. Trying again in 2 s ..."
      ])
    })
  )
})

describe("Q22: many conversations", () => {
  it.effect(
    "20,000 conversations that came to rest leave no session, no agent and no timer",
    () =>
      Effect.gen(function* () {
        const sleeping = { now: 0, most: 0 }
        const clock = yield* Clock.Clock
        const counting: Clock.Clock = {
          currentTimeMillis: clock.currentTimeMillis,
          currentTimeNanos: clock.currentTimeNanos,
          monotonicTimeNanos: clock.monotonicTimeNanos,
          currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
          currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
          monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
          sleep: (duration) =>
            Effect.acquireUseRelease(
              Effect.sync(() => (sleeping.most = Math.max(sleeping.most, ++sleeping.now))),
              () => clock.sleep(duration),
              () => Effect.sync(() => void sleeping.now--)
            )
        }
        const place = yield* world({ web: "pull" })
        const agent = TestAgent.make({ answer: () => "ok" })
        const current = yield* boot(place, { agent, session: { maxLive: 100 } }).pipe(
          Effect.provideService(Clock.Clock, counting)
        )
        const before = sleeping.now
        for (let n = 0; n < 20_000; n += 500) {
          yield* Effect.forEach(
            Array.from({ length: 500 }, (_, i) => `p${n + i}`),
            (peer) => current.say(peer, "hello", undefined, "web"),
            { concurrency: "unbounded", discard: true }
          )
          yield* agent.run(n + 500)
        }
        yield* Effect.forEach(
          Array.from({ length: 100 }, (_, i) => `web/p${19_900 + i}`),
          current.gateway.settled
        )
        assert.isAtMost((yield* current.gateway.live).length, 100)
        assert.isAtMost(agent.open.size, 100)
        assert.isAtMost(sleeping.most - before, 140)
        yield* TestClock.adjust("10 minutes")
        assert.deepStrictEqual(yield* current.gateway.live, [])
        assert.strictEqual(agent.open.size, 0)
        assert.isAtMost(sleeping.now, before)
        assert.strictEqual((yield* current.gateway.audit).ends.replied, 20_000)
      }),
    120_000
  )
})
