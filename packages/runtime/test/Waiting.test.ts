// What people hear while they wait behind a running turn: once in a busy period that they do, and that a long turn is
// still at it; who pulls is not written to.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { TestAgent } from "../src/testing/index.ts"
import { boot, meanwhile, rest, world } from "./guarantees/boots.ts"

describe("what a person hears meanwhile", () => {
  const waiting = "Got it. I'll get to this right after what I'm doing now."

  it.effect("Q16: who waits behind a turn is told so once in a busy period, and again in the next one", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      const told = () => (place.far.chat?.seen("kim") ?? []).filter((text) => text === waiting).length
      for (const period of [0, 1]) {
        yield* current.say("kim", "a")
        const run = yield* agent.run(3 * period + 1)
        yield* current.say("kim", "b")
        yield* current.say("kim", "c")
        yield* run.finish("A")
        const second = yield* agent.run(3 * period + 2)
        yield* current.say("kim", "d")
        yield* second.finish("B")
        yield* (yield* agent.run(3 * period + 3)).finish("D")
        yield* rest(current, "chat/kim")
        assert.strictEqual(told(), period + 1)
      }
    })
  )

  it.effect("who pulls is not written to: it sees the state", () =>
    Effect.gen(function* () {
      const place = yield* world({ web: "pull" })
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "a", undefined, "web")
      const run = yield* agent.run(1)
      yield* current.say("kim", "b", undefined, "web")
      yield* TestClock.adjust("10 minutes")
      yield* run.finish("A")
      yield* (yield* agent.run(2)).finish("B")
      yield* rest(current, "web/kim")
      const { replies } = yield* current.handle("web").page({ conversation: "kim" }, { after: 0, limit: 10 })
      assert.deepStrictEqual(
        replies.map(({ text }) => text),
        ["A", "B"]
      )
    })
  )

  it.effect("a turn that shows nothing for a minute says that it is still at it, then after two more, then four", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      const seen = () => place.far.chat?.seen("kim") ?? []
      yield* current.say("kim", "a")
      const run = yield* agent.run(1)
      yield* TestClock.adjust("30 seconds")
      yield* run.emit({ _tag: "ToolStarted", id: "1", name: "running tests", sideEffects: false })
      yield* TestClock.adjust("59 seconds")
      // A sign of life is nothing that a person could see.
      yield* run.emit({ _tag: "Alive" })
      assert.deepStrictEqual(seen(), [])
      yield* TestClock.adjust("1 seconds")
      yield* meanwhile(place.far.chat?.requested(1) ?? Effect.void, { step: 0 })
      assert.deepStrictEqual(seen(), ["Still on it: running tests, 1 min so far. /stop cancels."])
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(seen().length, 1)
      yield* TestClock.adjust("1 seconds")
      yield* meanwhile(place.far.chat?.requested(2) ?? Effect.void, { step: 0 })
      yield* run.emit({ _tag: "ToolFinished", id: "1" })
      yield* TestClock.adjust("239 seconds")
      assert.strictEqual(seen().length, 2)
      yield* run.finish("A")
      yield* rest(current, "chat/kim")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(seen().slice(2), ["A"])
    })
  )
})
