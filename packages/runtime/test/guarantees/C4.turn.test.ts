// C4: a turn runs at least once and never twice at a time. Its attempt is committed before its agent hears of it, so that
// a crash is counted and a cut by a planned stop is not; and whoever ends it in the tick of its claim is not missed.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { DatabaseSync } from "node:sqlite"
import { TestAgent } from "../../src/testing/index.ts"
import { type Boot, boot, given, lived, meanwhile, rest, world } from "./boots.ts"

/** A place where somebody waits until the test lets him go on. */
const hold = Effect.map(Effect.all([Deferred.make<void>(), Deferred.make<void>()]), ([reached, released]) => ({
  here: Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(released)),
  reached: Deferred.await(reached),
  release: Deferred.succeed(released, undefined)
}))

const turnsOf = ({ gateway }: Boot) =>
  Effect.map(gateway.sessions, (sessions) => sessions.flatMap((session) => session.turn ?? []))

describe("C4: attempts", () => {
  for (const label of ["before:claim", "inside:claim", "after:claim"] as const) {
    it.effect(`dies at ${label}: the agent has not heard of the turn, and the next boot runs it`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const { died } = yield* lived(place, { agent, grave: { label, nth: 1 } }, ({ say }) =>
          Effect.andThen(say("kim", "hello"), Effect.never)
        )
        assert.isTrue(died)
        assert.deepStrictEqual(given(agent), [])
        const later = TestAgent.make()
        const second = yield* boot(place, { agent: later })
        const run = yield* later.run(1)
        // Dispatched = the attempt is on disk, whether or not the agent ran.
        assert.strictEqual(run.turn.attempt, label === "after:claim" ? 2 : 1)
        assert.deepStrictEqual(
          (yield* turnsOf(second)).map(({ attempt, crashes, cuts }) => ({ attempt, crashes, cuts })),
          [{ attempt: run.turn.attempt, crashes: run.turn.attempt - 1, cuts: 0 }]
        )
        yield* run.finish("hi")
        yield* rest(second, "chat/kim")
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["hi"])
      })
    )
  }

  it.effect("D15: an attempt that a planned stop cuts costs neither a crash nor a cut, however often", () =>
    Effect.gen(function* () {
      const place = yield* world()
      for (let round = 1; round <= 12; round++) {
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent })
        if (round === 1) yield* current.say("kim", "long work")
        const run = yield* agent.run(1)
        assert.strictEqual(run.turn.attempt, round)
        assert.deepStrictEqual(run.turn.interrupted, round === 1 ? undefined : { by: "stop" })
        const report = yield* current.gateway.stop({ reason: "stop", force: 1 })
        assert.deepStrictEqual(
          report.sessions.map(({ key, outcome }) => [key, outcome]),
          [["chat/kim", "interrupted"]]
        )
        assert.strictEqual(yield* run.over, "interrupted")
      }
      const agent = TestAgent.make()
      const last = yield* boot(place, { agent })
      const run = yield* agent.run(1)
      assert.deepInclude((yield* turnsOf(last))[0], { attempt: 13, crashes: 0, cuts: 0, errors: 0 })
      yield* run.finish("done")
      yield* rest(last, "chat/kim")
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["done"])
    })
  )

  it.effect(
    "D15: a message that is refused because the gateway is closed costs nothing and is accepted afterwards",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const first = yield* boot(place, { agent: TestAgent.echo() })
        yield* first.stop
        const refused = yield* Effect.flip(first.say("kim", "hello", "m1"))
        assert.strictEqual(refused._tag, "ShuttingDown")
        const agent = TestAgent.echo()
        const second = yield* boot(place, { agent })
        assert.isFalse((yield* second.say("kim", "hello", "m1")).duplicate)
        yield* rest(second, "chat/kim")
        assert.deepStrictEqual(given(agent), ["hello"])
      })
  )

  it.effect(
    "D16: a message that waits 10 minutes behind a healthy turn is neither stalled nor dead, and is answered",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make({ stallTimeout: 60_000 })
        const current = yield* boot(place, { agent })
        yield* current.say("kim", "long work")
        const run = yield* agent.run(1)
        yield* current.say("kim", "and then this")
        for (let minute = 0; minute < 20; minute++) {
          yield* run.emit({ _tag: "Alive" })
          yield* TestClock.adjust("30 seconds")
        }
        assert.strictEqual(agent.runs.length, 1)
        yield* run.finish("1")
        yield* (yield* agent.run(2)).finish("2")
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual(given(agent), ["long work", "and then this"])
        assert.deepStrictEqual(
          place.far.chat?.seen("kim").filter((text) => /^\d$/.test(text)),
          ["1", "2"]
        )
        const { detail, ends } = yield* current.gateway.audit
        assert.deepStrictEqual([ends.replied, Object.keys(detail)], [2, ["replied"]])
      })
  )
})

describe("C4: the tick of a claim", () => {
  it.effect("a /stop in any tick around the claim leaves nobody running, and says what it found", () =>
    Effect.gen(function* () {
      const place = yield* world()
      for (let ticks = 0; ticks < 40; ticks++) {
        const peer = `kim${ticks}`
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent })
        const command = yield* Effect.forkChild(current.say(peer, "work"), { startImmediately: true })
        for (let tick = 0; tick < ticks; tick++) yield* Effect.yieldNow
        yield* current.say(peer, "/stop")
        yield* Fiber.join(command)
        yield* rest(current, `chat/${peer}`)
        for (const run of agent.runs) assert.strictEqual(yield* run.over, "interrupted")
        assert.deepStrictEqual(
          (yield* current.gateway.live).flatMap(({ turn }) => turn ?? []),
          []
        )
        yield* current.stop
      }
      assert.deepInclude((yield* (yield* boot(place)).gateway.audit).detail, { "cancelled(stop)": 40, command: 40 })
    })
  )

  it.effect(
    "Q7: a /stop that is written together with the claim, and told first, ends the turn before its agent hears of it",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const busy = yield* Deferred.make<void>()
        const somebody = yield* Effect.acquireRelease(
          Effect.sync(() => new DatabaseSync(place.file)),
          (database) => Effect.sync(() => database.close())
        )
        const current = yield* boot(place, {
          agent,
          debounce: { quiet: "300 millis" },
          at: (label) =>
            label === "before:command" && !Deferred.isDoneUnsafe(busy)
              ? Effect.andThen(
                  Effect.sync(() => somebody.exec("begin immediate")),
                  Deferred.succeed(busy, undefined)
                )
              : Effect.void
        })
        yield* current.say("kim", "work")
        yield* current.say("kim", "/stop")
        // The store is locked: the command waits for its next try, and the claim comes to stand behind it.
        yield* Deferred.await(busy)
        yield* TestClock.adjust("300 millis")
        somebody.exec("rollback")
        yield* rest(current, "chat/kim")
        assert.notInclude(given(agent), "work")
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["Stopped."])
      })
  )

  it.effect("a stop in any tick around the claim waits for no turn that nobody told to end", () =>
    Effect.gen(function* () {
      const place = yield* world()
      for (let ticks = 0; ticks < 40; ticks++) {
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent })
        yield* Effect.forkChild(current.say(`kim${ticks}`, "work"), { startImmediately: true })
        for (let tick = 0; tick < ticks; tick++) yield* Effect.yieldNow
        // No time passes: whatever it waited for would be waited for for ever.
        const report = yield* current.gateway.stop({ reason: "stop", force: 1 })
        assert.isTrue(report.ledger?.balanced)
        for (const run of agent.runs) assert.strictEqual(yield* run.over, "interrupted")
      }
    })
  )

  it.effect("a stop that comes while the claim is being written ends its turn before the agent hears of it", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const claiming = yield* hold
      const current = yield* boot(place, {
        agent,
        at: (label) => (label === "after:claim" ? claiming.here : Effect.void)
      })
      yield* current.say("kim", "work")
      yield* claiming.reached
      const stop = yield* Effect.forkChild(current.gateway.stop({ reason: "stop", force: 1 }), {
        startImmediately: true
      })
      yield* TestClock.adjust("300 millis")
      yield* claiming.release
      const report = yield* meanwhile(Fiber.join(stop), { step: 10, steps: 200 })
      assert.deepStrictEqual(given(agent), [])
      assert.isBelow(report.millis, 400)
      const later = TestAgent.make()
      yield* boot(place, { agent: later })
      assert.strictEqual((yield* later.run(1)).turn.attempt, 2)
    })
  )
})
