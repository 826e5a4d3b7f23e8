// The stop of a whole gateway in one process: what runs may finish, what waits may start for a while, the rest is the
// next boot's, whoever asks for it and whatever agents, channels and hosts do meanwhile.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Agent from "../src/Agent.ts"
import type { Gateway } from "../src/Gateway.ts"
import type { Report, StopNews } from "../src/Shutdown.ts"
import { TestAgent } from "../src/testing/index.ts"
import { boot, given, meanwhile, rest, world } from "./guarantees/boots.ts"

const outcomes = (report: Report) => Object.fromEntries(report.sessions.map(({ key, outcome }) => [key, outcome]))

/** Watches a stop: completes when it has come to its fourth phase. */
const draining = () => {
  const reached = Deferred.makeUnsafe<void>()
  return {
    reached: Deferred.await(reached),
    watch: (news: StopNews) => {
      if (news._tag === "Phase" && news.name === "drain") Deferred.doneUnsafe(reached, Exit.void)
    }
  }
}

const stopping = (stop: Effect.Effect<Report>) => Effect.forkChild(stop, { startImmediately: true })

describe("the stop", () => {
  it.effect("S1: an idle gateway, with an agent that is kept warm, stops at once and says so", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.echo()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "a")
      yield* rest(current, "chat/kim")
      const report = yield* current.stop
      assert.deepStrictEqual([report.exitCode, report.millis, report.sessions], [0, 0, []])
      assert.strictEqual(agent.open.size, 0)
      assert.isTrue(report.phases.every(({ outcome }) => outcome === "done"))
    })
  )

  it.effect("S2: turns finish beside each other, and the stop ends in the tick of the last one", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const { reached, watch } = draining()
      const current = yield* boot(place, { agent, drain: { watch } })
      for (let n = 0; n < 10; n++) yield* current.say(`p${n}`, String(n))
      yield* agent.run(10)
      const stop = yield* stopping(current.stop)
      yield* reached
      for (const run of [...agent.runs].reverse()) {
        yield* TestClock.adjust("1 seconds")
        assert.isUndefined(stop.pollUnsafe())
        yield* run.finish("done")
      }
      const report = yield* Fiber.join(stop)
      assert.deepStrictEqual([report.exitCode, report.millis], [0, 10_000])
      assert.deepStrictEqual(new Set(Object.values(outcomes(report))), new Set(["finished"]))
      for (let n = 0; n < 10; n++) assert.deepStrictEqual(place.far.chat?.seen(`p${n}`), ["done"])
    })
  )

  it.effect("S3: a turn longer than the deadline is cut in time, named, and goes on after the boot", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, drain: { timeout: "10 seconds" } })
      yield* current.say("kim", "long")
      const run = yield* agent.run(1)
      yield* TestClock.adjust("5 seconds")
      const report = yield* meanwhile(current.stop, { step: 10, steps: 1500 })
      // D is 10 s, its tail 2 s.
      assert.isAtLeast(report.millis, 8000)
      assert.isAtMost(report.millis, 10_250)
      assert.strictEqual(report.exitCode, 80)
      assert.strictEqual(yield* run.over, "interrupted")
      const [row] = report.sessions
      assert.deepInclude(row ?? {}, { key: "chat/kim", attempt: 1, outcome: "interrupted", state: "processing" })
      assert.isAtLeast(row?.age ?? 0, 13_000)
      const later = TestAgent.make()
      const second = yield* boot(place, { agent: later })
      const again = yield* later.run(1)
      assert.deepStrictEqual([again.turn.attempt, again.turn.interrupted], [2, { by: "stop" }])
      yield* again.finish("done")
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["done"])
    })
  )

  it.effect(
    "S4: bursts are closed and may start for startWithin; what has not started by then waits for the boot",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const { reached, watch } = draining()
        const agent = TestAgent.make()
        const current = yield* boot(place, {
          agent,
          debounce: { quiet: "2 seconds" },
          queue: { mode: "followup" },
          turns: { limit: 1 },
          drain: { timeout: "60 seconds", startWithin: "5 seconds", watch }
        })
        yield* current.say("kim", "typing")
        yield* current.say("bo", "typing too")
        const stop = yield* stopping(current.gateway.stop({ reason: "stop" }))
        const first = yield* agent.run(1)
        yield* reached
        yield* TestClock.adjust("4 seconds")
        yield* first.finish("1")
        // Within the five seconds: the next one starts. What comes in now is only stored.
        const second = yield* agent.run(2)
        assert.isTrue((yield* current.say("kim", "late")).held)
        yield* TestClock.adjust("2 seconds")
        yield* second.finish("2")
        const report = yield* Fiber.join(stop)
        assert.deepStrictEqual([report.exitCode, report.millis], [0, 6000])
        assert.deepStrictEqual(given(agent), ["typing", "typing too"])
        assert.deepStrictEqual(
          report.queued.map(({ conversation, waiting }) => [conversation, waiting]),
          [["chat/kim", 1]]
        )
        const later = TestAgent.echo()
        const next = yield* boot(place, { agent: later })
        yield* rest(next, "chat/kim")
        assert.deepStrictEqual(given(later), ["late"])
      })
  )

  it.effect("S4: with startWithin 0 nothing new starts, and nothing is waited for when nothing runs", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, {
        agent,
        debounce: { quiet: "2 seconds" },
        drain: { startWithin: 0 }
      })
      yield* current.say("kim", "typing")
      const report = yield* current.stop
      assert.deepStrictEqual([report.exitCode, report.millis, given(agent)], [0, 0, []])
      assert.deepStrictEqual(report.queued, [{ conversation: "chat/kim", waiting: 1 }])
    })
  )

  it.effect("S5: a conversation with nothing waiting but a turn that runs is busy until that is settled", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const { reached, watch } = draining()
      const current = yield* boot(place, { agent, drain: { watch } })
      yield* current.say("kim", "a")
      const run = yield* agent.run(1)
      const stop = yield* stopping(current.stop)
      yield* reached
      yield* TestClock.adjust("3 seconds")
      assert.isUndefined(stop.pollUnsafe())
      yield* run.finish("A")
      const report = yield* Fiber.join(stop)
      assert.deepStrictEqual([report.exitCode, report.millis, report.queued], [0, 3000, []])
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["A"])
    })
  )

  it.effect(
    "S6: what comes in during the drain is stored and says so; commands still run; after the end it is refused",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const { reached, watch } = draining()
        const current = yield* boot(place, { agent, drain: { watch } })
        yield* current.say("kim", "a")
        const run = yield* agent.run(1)
        const stop = yield* stopping(current.gateway.stop({ reason: "restart" }))
        yield* reached
        yield* TestClock.adjust("1 seconds")
        assert.deepInclude(yield* current.say("bo", "hello", "m1"), { held: true, duplicate: false })
        assert.deepInclude(yield* current.say("bo", "hello", "m1"), { held: true, duplicate: true })
        assert.isFalse((yield* current.gateway.readiness).ready)
        const { seq } = yield* current.say("kim", "/status")
        const status = yield* current.handle().ended(seq)
        assert.match(status?.replies[0]?.text ?? "", /^main: processing/)
        yield* run.finish("A")
        const report = yield* Fiber.join(stop)
        assert.deepStrictEqual([report.exitCode, report.reason], [75, "restart"])
        const refused = yield* Effect.flip(current.say("bo", "again", "m2"))
        assert.strictEqual(refused._tag, "ShuttingDown")
        const later = TestAgent.echo()
        const next = yield* boot(place, { agent: later })
        assert.deepInclude(yield* next.say("bo", "hello", "m1"), { duplicate: true })
        yield* rest(next, "chat/bo")
        assert.deepStrictEqual(given(later), ["hello"])
      })
  )

  it.effect("S9: two wishes to restart are one restart, and a stop meanwhile wins over it", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "a")
      const run = yield* agent.run(1)
      const first = yield* stopping(current.gateway.stop({ reason: "restart", by: "SIGUSR1" }))
      yield* TestClock.adjust("1 millis")
      const second = yield* stopping(current.gateway.stop({ reason: "restart", by: "the admin route" }))
      yield* TestClock.adjust("1 seconds")
      const third = yield* stopping(current.gateway.stop({ reason: "stop", by: "SIGTERM" }))
      yield* run.finish("A")
      const reports = yield* Effect.forEach([first, second, third], (fiber) => Fiber.join(fiber))
      assert.strictEqual(new Set(reports).size, 1)
      assert.deepStrictEqual([reports[0]?.exitCode, reports[0]?.reason], [0, "stop"])
      assert.strictEqual(reports[0]?.by.length, 3)
    })
  )

  it.effect("S10: a turn that restarts its gateway is not waited for, and asks in vain when it goes on", () =>
    Effect.gen(function* () {
      const place = yield* world()
      let gateway: Gateway["Service"] | undefined
      const heard: Array<Report> = []
      const restarting = Agent.make({
        open: () =>
          Effect.succeed({
            answer: (turn) =>
              Stream.fromEffect(
                Effect.suspend(
                  () => gateway?.stop({ reason: "restart", by: `attempt ${turn.attempt}` }) ?? Effect.never
                ).pipe(
                  Effect.map((report) => {
                    heard.push(report)
                    return Agent.text(`restarted: ${report.exitCode}`)
                  })
                )
              )
          })
      })
      const agent = { ...TestAgent.make(), agent: restarting }
      const first = yield* boot(place, { agent })
      gateway = first.gateway
      yield* first.say("kim", "restart yourself")
      const report = yield* meanwhile(first.gateway.stopped, { step: 10, steps: 100 })
      assert.deepStrictEqual([report.exitCode, outcomes(report)], [75, { "chat/kim": "asked" }])
      assert.deepStrictEqual(heard, [])
      const second = yield* boot(place, { agent })
      gateway = second.gateway
      yield* rest(second, "chat/kim")
      // It was given the report of the stop that it had asked for, and the new gateway still runs.
      assert.deepStrictEqual(
        heard.map(({ exitCode }) => exitCode),
        [75]
      )
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["restarted: 75"])
      assert.isTrue((yield* second.gateway.readiness).ready)
    })
  )

  it.effect("S15: a session in error delays no stop: neither one that waits for its next try nor one set aside", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, turns: { backoff: ["10 minutes"] } })
      for (const peer of ["waiting", "aside"]) {
        yield* current.say(peer, peer)
      }
      yield* (yield* agent.run(1)).fail("Failed")
      yield* (yield* agent.run(2)).fail("Rejected")
      yield* rest(current, "chat/aside")
      assert.strictEqual((yield* current.stop).millis, 0)
    })
  )
})
