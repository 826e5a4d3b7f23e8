// What intake has to know of a conversation before it can store a message, when memory does not know the conversation:
// after every boot, and once more conversations write than are kept.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestAgent } from "../src/testing/index.ts"
import { boot, type Boot, meanwhile, rest, world } from "./guarantees/boots.ts"

/** The n-th run asks; completes when its person can see the question. */
const asks = Effect.fnUntraced(function* (current: Boot, n: number, told: Array<string | undefined>) {
  const run = yield* current.agent.run(n)
  yield* run.emit({
    _tag: "Permission",
    question: "Delete it?",
    options: ["yes", "no"],
    respond: (option) => Effect.sync(() => void told.push(option))
  })
  for (let tick = 0; tick < 500; tick++) {
    const [live] = yield* current.gateway.live
    if (live?.state.name === "waiting") return run
    yield* Effect.yieldNow
  }
  return yield* Effect.die(new Error("the question was not asked"))
})

/** Its person says yes, and that is an answer and not the next message. */
const decides = Effect.fnUntraced(function* (current: Boot, n: number, peer: string) {
  const told: Array<string | undefined> = []
  const run = yield* asks(current, n, told)
  yield* current.say(peer, "yes")
  for (let tick = 0; tick < 500 && told.length === 0; tick++) yield* Effect.yieldNow
  assert.deepStrictEqual(told, ["yes"])
  yield* run.finish("deleted")
  yield* rest(current, `chat/${peer}`)
  return (yield* current.gateway.audit).detail
})

describe("a conversation that memory does not know", () => {
  it.effect("Q19: the first thing that is said after a crash answers the question that was asked again", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent })
      yield* first.say("kim", "delete it")
      yield* asks(first, 1, [])
      yield* first.crash
      const second = yield* boot(place, { agent })
      assert.deepStrictEqual(yield* decides(second, 2, "kim"), { command: 1, replied: 1 })
    })
  )

  it.effect("Q19: a question stays a question while more conversations write than memory keeps", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const current = yield* boot(place, { journal: { conversations: 2 } })
      yield* current.say("kim", "delete it")
      yield* current.agent.run(1)
      yield* meanwhile(
        Effect.forEach(["a", "b", "c", "d"], (peer) => current.say(peer, "/status"), { discard: true }),
        { step: 0 }
      )
      assert.deepStrictEqual(yield* decides(current, 1, "kim"), { command: 5, replied: 1 })
    })
  )
})
