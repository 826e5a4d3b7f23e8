// C7: a turn in whose run the process died three times is set aside and its person is told once; what ran beside it goes
// on. A chain of unclean boots holds automatic resume only: whoever writes is answered, and readiness tells the truth.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { TestAgent } from "../../src/testing/index.ts"
import { outside } from "../journal/harness.ts"
import { type Boot, boot, finishing, given, meanwhile, rest, type World, world } from "./boots.ts"

/** A boot whose agent's runs are ended by hand. */
const manual = (place: World, options: Parameters<typeof boot>[1] = {}) =>
  Effect.suspend(() => {
    const agent = TestAgent.make()
    return Effect.map(boot(place, { ...options, agent }), (made) => ({ ...made, agent }))
  })

const crashesOf = ({ gateway }: Boot) =>
  Effect.map(gateway.sessions, (sessions) =>
    Object.fromEntries(
      sessions.flatMap(({ conversationKey, turn }) =>
        turn === undefined ? [] : [[conversationKey, turn.crashes] as const]
      )
    )
  )

describe("C7: poison", () => {
  for (const first of ["poison", "innocent"] as const) {
    it.effect(
      `D13: the turn that kills the process is set aside, the long one beside it is not (${first} came first)`,
      () =>
        Effect.gen(function* () {
          const place = yield* world()
          const second = first === "poison" ? "innocent" : "poison"
          const one = yield* manual(place)
          yield* one.say(first, first)
          yield* one.say(second, second)
          yield* one.agent.run(2)
          yield* one.crash

          const two = yield* manual(place)
          yield* two.agent.run(2)
          assert.deepStrictEqual(yield* crashesOf(two), { [`chat/${first}`]: 1, [`chat/${second}`]: 1 })
          yield* two.crash

          // Suspects are tried alone: the second one waits for the first, at most 5 minutes.
          const three = yield* manual(place)
          yield* three.agent.run(1)
          assert.deepStrictEqual(given(three.agent), [first])
          if (first === "innocent") {
            yield* TestClock.adjust("5 minutes")
            yield* three.agent.run(2)
          }
          assert.deepStrictEqual(yield* crashesOf(three), { [`chat/${first}`]: 2, [`chat/${second}`]: 2 })
          yield* three.crash

          const four = yield* manual(place)
          const run = yield* four.agent.run(1)
          assert.strictEqual(run.turn.text, "innocent")
          assert.deepStrictEqual(yield* crashesOf(four), { "chat/innocent": 2 })
          assert.deepInclude(yield* four.gateway.readiness, { ready: true, problems: [] })
          yield* run.finish("done")
          yield* rest(four, "chat/innocent", "chat/poison")
          const seen = place.far.chat?.seen("innocent").filter((text) => !text.startsWith("Still on it"))
          assert.deepStrictEqual(seen, ["done"])
          const told = place.far.chat?.seen("poison") ?? []
          assert.strictEqual(told.length, 1)
          assert.include(told[0], 'I broke down 3 times while working on "poison"')
          const { balanced, detail } = yield* four.gateway.audit
          assert.deepStrictEqual([detail, balanced], [{ "suspended(crashed)": 1, replied: 1 }, true])

          // The session goes on, and the person can have it tried again.
          yield* four.say("poison", "something else")
          yield* (yield* four.agent.run(2)).finish("fine")
          yield* four.say("poison", "/retry")
          const again = yield* four.agent.run(3)
          assert.deepStrictEqual([again.turn.text, again.turn.attempt], ["poison", 1])
          assert.deepStrictEqual(yield* crashesOf(four), { "chat/poison": 0 })
        })
    )
  }

  it.effect(
    "D13: an attempt is counted before its agent hears of it, and a planned stop in between counts for nobody",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        for (let round = 0; round < 2; round++) {
          const current = yield* manual(place)
          if (round === 0) yield* current.say("kim", "work")
          yield* current.agent.run(1)
          yield* current.crash
          yield* TestClock.adjust("10 minutes")
          const stopped = yield* manual(place)
          const run = yield* stopped.agent.run(1)
          assert.strictEqual(run.turn.attempt, 2 * round + 2)
          yield* stopped.gateway.stop({ reason: "restart", force: 1 })
          yield* TestClock.adjust("10 minutes")
        }
        const last = yield* manual(place)
        yield* (yield* last.agent.run(1)).finish("done")
        yield* rest(last, "chat/kim")
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["done"])
      })
  )
})

/** Boots that crash, one after the other, with `pause` between them. Each has a turn of its own running. */
const crashes = (place: World, count: number, pause: number) =>
  Effect.gen(function* () {
    for (let n = 1; n <= count; n++) {
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* finishing(agent, 1, "done")
      yield* rest(current, "chat/kim")
      yield* current.crash
      yield* TestClock.adjust(pause)
    }
    const last = yield* manual(place)
    yield* last.say("kim", "cut off")
    yield* last.say("lee", "cut off too")
    yield* last.agent.run(2)
    yield* last.crash
  })

describe("C7: the pause of automatic resume", () => {
  it.effect(
    "D14: three unclean boots within 5 minutes of each other: intake and new turns stay open, resume waits",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        yield* crashes(place, 2, 60_000)
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent })
        const { problems, ready } = yield* current.gateway.readiness
        assert.isFalse(ready)
        assert.match(
          problems.join(),
          /^2 cut-off turns wait: automatic resume is paused after 3 unclean boots in a row/
        )

        // Somebody new is answered at once.
        yield* current.say("new", "hello")
        yield* (yield* agent.run(1)).finish("hi")
        yield* rest(current, "chat/new")
        assert.deepStrictEqual(place.far.chat?.seen("new"), ["hi"])
        assert.deepStrictEqual(given(agent), ["hello"], "nothing that was cut off has been resumed")

        // A message of the session ends the pause there, and only there.
        yield* current.say("kim", "are you there?")
        const run = yield* agent.run(2)
        assert.strictEqual(run.turn.text, "cut off\nare you there?")
        yield* run.finish("yes")
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(agent.runs.length, 2)
        assert.match((yield* current.gateway.readiness).problems.join(), /^1 cut-off turn waits: /)

        // Five healthy minutes end it for everybody.
        yield* TestClock.adjust("4 minutes")
        assert.strictEqual((yield* agent.run(3)).turn.text, "cut off too")
        assert.deepInclude(yield* current.gateway.readiness, { ready: true, problems: [] })
      })
  )

  it.effect("D14: a pause that holds nothing back is no problem: the gateway is ready", () =>
    Effect.gen(function* () {
      const place = yield* world()
      for (let n = 1; n <= 3; n++) {
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent })
        if (n === 1) yield* current.say("kim", "a")
        if (n === 1) yield* finishing(agent, 1, "done")
        yield* rest(current, "chat/kim")
        yield* current.crash
      }
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      assert.deepInclude(yield* current.gateway.readiness, { ready: true, problems: [] })
      yield* current.say("kim", "b")
      yield* finishing(agent, 1, "done")
      yield* rest(current, "chat/kim")
      // What this boot leaves behind is what the next one holds back: the chain has not ended.
      yield* current.say("kim", "c")
      yield* agent.run(2)
      yield* current.crash
      const next = yield* manual(place)
      assert.match((yield* next.gateway.readiness).problems.join(), /^1 cut-off turn waits: .* after 4 unclean boots/)
    })
  )

  it.effect("D14: a pause whose end the store did not take is ended five minutes later", () =>
    Effect.gen(function* () {
      const place = yield* world()
      yield* crashes(place, 2, 60_000)
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      const look = yield* outside(place.file)
      look.exec(`create trigger sick before update of healthy on sluice_boots begin select raise(abort, 'no'); end`)
      yield* TestClock.adjust("6 minutes")
      assert.isFalse((yield* current.gateway.readiness).ready)
      look.exec("drop trigger sick")
      yield* meanwhile(agent.run(1))
      assert.deepInclude(yield* current.gateway.readiness, { ready: true, problems: [] })
    })
  )

  it.effect("D14: a command of the session, or a resume by hand, ends the pause at once", () =>
    Effect.gen(function* () {
      const place = yield* world()
      yield* crashes(place, 2, 60_000)
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "/status")
      assert.strictEqual((yield* agent.run(1)).turn.text, "cut off")
      assert.strictEqual(agent.runs.length, 1)
      yield* current.gateway.resume
      assert.strictEqual((yield* agent.run(2)).turn.text, "cut off too")
      assert.deepInclude(yield* current.gateway.readiness, { ready: true, problems: [] })
      // Whoever resumed by hand has looked: the next crash is the first of a new chain.
      yield* current.crash
      assert.isTrue((yield* (yield* manual(place)).gateway.readiness).ready)
    })
  )

  it.effect("D14: unclean boots more than 5 minutes apart are no chain, and neither is a clean stop in between", () =>
    Effect.gen(function* () {
      const place = yield* world()
      yield* crashes(place, 4, 301_000)
      const apart = yield* manual(place)
      assert.isTrue((yield* apart.gateway.readiness).ready)
      yield* apart.agent.run(2)
      yield* finishing(apart.agent, 1, "done")
      yield* rest(apart, "chat/kim", "chat/lee")
      yield* apart.stop
      yield* crashes(place, 1, 1000)
      const clean = yield* manual(place)
      assert.isTrue((yield* clean.gateway.readiness).ready)
    })
  )

  it.effect("D14: a boot that was healthy for 5 minutes begins a new chain", () =>
    Effect.gen(function* () {
      const place = yield* world()
      yield* crashes(place, 1, 1000)
      const healthy = yield* manual(place)
      yield* TestClock.adjust("6 minutes")
      yield* healthy.crash
      const next = yield* manual(place)
      assert.isTrue((yield* next.gateway.readiness).ready)
      yield* next.agent.run(1)
    })
  )
})
