// Q19: a question that nobody answers expires and says so; one that a stop or a crash cuts off can be answered over the
// restart, and is asked again only where an answer might have been acted upon already.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { TestAgent } from "../src/testing/index.ts"
import { type Boot, boot, meanwhile, rest, until, type World, world } from "./guarantees/boots.ts"

const seen = (place: World) => place.far.chat?.seen("kim") ?? []
const question = "Delete it?\n1. Yes\n2. No\n(/allow 1 and your choice)"

/** The n-th run asks, and waits for a person. */
const asking = Effect.fnUntraced(function* (current: Boot, agent: TestAgent.TestAgent, n: number) {
  const told: Array<string | undefined> = []
  const run = yield* agent.run(n)
  yield* run.emit({
    _tag: "Permission",
    question: "Delete it?",
    options: ["Yes", "No"],
    respond: (option) => Effect.sync(() => void told.push(option))
  })
  return { run, told, answered: until(() => told.length > 0) }
})

const waiting = (current: Boot) =>
  Effect.whileLoop({
    while: () => current.life.crossed.get("after:permission") === undefined,
    body: () => Effect.yieldNow,
    step: () => {}
  })

describe("Q19: questions that nobody answers", () => {
  it.effect("Q19: a question expires, the person hears of it once, and the turn goes on without an answer", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, questions: { expireAfter: "10 minutes" } })
      yield* current.say("kim", "delete it")
      const { answered, run, told } = yield* asking(current, agent, 1)
      yield* meanwhile(place.far.chat?.requested(1) ?? Effect.void, { step: 0 })
      yield* TestClock.adjust("9 minutes")
      assert.deepStrictEqual(told, [])
      yield* TestClock.adjust("1 minute")
      yield* answered
      assert.deepStrictEqual(told, [undefined])
      assert.strictEqual((yield* current.gateway.live)[0]?.state.name, "processing")
      yield* current.say("kim", "/allow 1 Yes")
      yield* run.finish("kept")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(
        seen(place).toSorted(),
        [
          question,
          `Nobody answered "Delete it?" in time, so I went on without it.`,
          "There is no open question with that number.",
          "kept"
        ].toSorted()
      )
      assert.deepStrictEqual(told, [undefined])
    })
  )

  it.effect("Q19: a question that was answered in time does not expire", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, questions: { expireAfter: "10 minutes" } })
      yield* current.say("kim", "delete it")
      const { answered, run, told } = yield* asking(current, agent, 1)
      yield* waiting(current)
      yield* current.say("kim", "yes")
      yield* answered
      yield* TestClock.adjust("1 hour")
      yield* run.finish("deleted")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(told, ["Yes"])
      assert.notInclude(seen(place).join("\n"), "Nobody answered")
    })
  )
})

describe("Q19: questions and restarts", () => {
  for (const how of ["stop", "crash"] as const) {
    it.effect(
      `Q19: a question outlives a ${how}: it is said again under its number, and its answer reaches the resumed turn`,
      () =>
        Effect.gen(function* () {
          const place = yield* world()
          const agent = TestAgent.make()
          const first = yield* boot(place, { agent })
          yield* first.say("kim", "delete it")
          yield* asking(first, agent, 1)
          yield* meanwhile(place.far.chat?.requested(1) ?? Effect.void, { step: 0 })
          yield* meanwhile(first[how])

          const later = TestAgent.make()
          const second = yield* boot(place, { agent: later })
          const { answered, run, told } = yield* asking(second, later, 1)
          yield* waiting(second)
          yield* second.say("kim", "/allow 1 No")
          yield* answered
          yield* run.finish("kept")
          yield* rest(second, "chat/kim")
          assert.deepStrictEqual(told, ["No"])
          assert.deepStrictEqual(
            seen(place).filter((text) => text === question),
            [question, question]
          )
          assert.isTrue((yield* second.gateway.audit).balanced)
        })
    )
  }

  it.effect(
    "Q19: what a person decides before the resumed turn asks again is the answer, without another question",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const first = yield* boot(place, { agent })
        yield* first.say("kim", "delete it")
        yield* asking(first, agent, 1)
        yield* meanwhile(place.far.chat?.requested(1) ?? Effect.void, { step: 0 })
        yield* first.crash

        const later = TestAgent.make()
        const second = yield* boot(place, { agent: later })
        yield* later.run(1)
        yield* second.say("kim", "/allow 1 Yes")
        yield* meanwhile(place.far.chat?.requested(2) ?? Effect.void, { step: 0 })
        const { answered, run, told } = yield* asking(second, later, 1)
        yield* answered
        assert.deepStrictEqual(told, ["Yes"])
        // The same words again are a question of their own.
        const again = yield* asking(second, later, 1)
        yield* meanwhile(place.far.chat?.requested(3) ?? Effect.void, { step: 0 })
        yield* second.say("kim", "no")
        yield* again.answered
        assert.deepStrictEqual(again.told, ["No"])
        yield* run.finish("done")
        yield* rest(second, "chat/kim")
        assert.strictEqual(seen(place).filter((text) => text.startsWith("Delete it?")).length, 2)
      })
  )

  it.effect("Q19: an answer that the cut-off attempt had heard is not taken for a second permission", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent })
      yield* first.say("kim", "delete it")
      const { answered, told } = yield* asking(first, agent, 1)
      yield* waiting(first)
      yield* first.say("kim", "yes")
      yield* answered
      assert.deepStrictEqual(told, ["Yes"])
      yield* first.crash

      const later = TestAgent.make()
      const second = yield* boot(place, { agent: later })
      const asked = yield* asking(second, later, 1)
      yield* waiting(second)
      assert.deepStrictEqual(asked.told, [])
      yield* second.say("kim", "no")
      yield* asked.answered
      assert.deepStrictEqual(asked.told, ["No"])
      yield* asked.run.finish("kept")
      yield* rest(second, "chat/kim")
    })
  )

  it.effect("Q19: with the policy `cancel` the resumed turn asks again, under a question of its own", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent, questions: { onStop: "cancel" } })
      yield* first.say("kim", "delete it")
      yield* asking(first, agent, 1)
      yield* meanwhile(place.far.chat?.requested(1) ?? Effect.void, { step: 0 })
      yield* meanwhile(first.stop)

      const later = TestAgent.make()
      const second = yield* boot(place, { agent: later, questions: { onStop: "cancel" } })
      const { answered, run, told } = yield* asking(second, later, 1)
      yield* meanwhile(place.far.chat?.requested(2) ?? Effect.void, { step: 0 })
      yield* second.say("kim", "yes")
      yield* answered
      yield* run.finish("done")
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(told, ["Yes"])
      assert.strictEqual(seen(place).filter((text) => text.startsWith("Delete it?")).length, 2)
    })
  )
})
