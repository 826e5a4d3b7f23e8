// Q19: an answer decides the question that it was given to. One that is not open any more has a number that no other gets,
// words go to the question that somebody waits with, and a restart changes nothing in how an answer may be written.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { TestAgent } from "../../src/testing/index.ts"
import { type Boot, boot, meanwhile, until, world } from "../guarantees/boots.ts"

const ask = Effect.fnUntraced(function* (
  run: TestAgent.Run,
  question: string,
  options: ReadonlyArray<string> = ["Yes", "No"]
) {
  const told: Array<string | undefined> = []
  yield* run.emit({
    _tag: "Permission",
    question,
    options,
    respond: (option) => Effect.sync(() => void told.push(option))
  })
  return told
})
const waits = (current: Boot) =>
  meanwhile(Effect.repeat(current.gateway.live, { until: ([live]) => live?.state.name === "waiting" }), { step: 1 })

const answered = (current: Boot, text: string) =>
  Effect.gen(function* () {
    const { seq } = yield* current.say("kim", text)
    const standing = yield* meanwhile(
      Effect.repeat(current.handle().ended(seq), { until: (standing) => standing?.ended !== undefined })
    )
    return standing?.replies.map((reply) => reply.text).join() ?? ""
  })

describe("Q19: answers to questions that are gone", () => {
  it.effect("Q19: a late answer to a question that expired decides no other one", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, questions: { expireAfter: "10 minutes" } })
      yield* current.say("kim", "go")
      const run = yield* agent.run(1)
      const first = yield* ask(run, "Look?")
      yield* waits(current)
      yield* TestClock.adjust("10 minutes")
      yield* until(() => first.length > 0)
      const second = yield* ask(run, "Delete everything?")
      yield* waits(current)
      assert.match(yield* answered(current, "/allow 1 Yes"), /no open question with that number/)
      assert.deepStrictEqual(second, [])
      assert.strictEqual(yield* answered(current, "/allow 2 No"), "All right: No.")
      yield* until(() => second.length > 0)
      assert.deepStrictEqual(second, ["No"])
    })
  )

  it.effect("Q19: words answer the question that the resumed turn asks, not one that it never asked again", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent })
      yield* first.say("kim", "go")
      yield* ask(yield* agent.run(1), "A?")
      yield* waits(first)
      yield* first.crash
      const later = TestAgent.make()
      const second = yield* boot(place, { agent: later })
      const told = yield* ask(yield* meanwhile(later.run(1)), "B?")
      yield* waits(second)
      assert.strictEqual(yield* answered(second, "yes"), "All right: Yes.")
      yield* until(() => told.length > 0)
      assert.deepStrictEqual(told, ["Yes"])
    })
  )

  for (const text of ["/allow 1 no", "/allow 1 2"]) {
    it.effect(`Q19: before the resumed turn asks again, ${text} decides as it did before the restart`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const first = yield* boot(place, { agent })
        yield* first.say("kim", "go")
        yield* ask(yield* agent.run(1), "A?")
        yield* waits(first)
        yield* first.crash
        const later = TestAgent.make()
        const second = yield* boot(place, { agent: later })
        const run = yield* meanwhile(later.run(1))
        assert.strictEqual(yield* answered(second, text), "All right: No.")
        const told = yield* ask(run, "A?")
        yield* until(() => told.length > 0)
        assert.deepStrictEqual(told, ["No"])
      })
    )
  }

  it.effect("Q19: an agent hears the option that was chosen as it had said it, however long, or broken, it was", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "go")
      const options = [`Always ${"and everywhere ".repeat(30)}`, "half a \ud800 character", "No"]
      const run = yield* agent.run(1)
      for (const [index, option] of options.entries()) {
        const told = yield* ask(run, `Which, ${index}?`, options)
        yield* waits(current)
        yield* answered(current, `/allow ${index + 1} ${index + 1}`)
        yield* until(() => told.length > 0)
        assert.deepStrictEqual(told, [option])
      }
    })
  )
})
