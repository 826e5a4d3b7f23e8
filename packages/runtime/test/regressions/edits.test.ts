// Q25: older versions of a message that is edited while it waits don't wait any more, so they don't count at the cap either:
// whoever corrected a message often enough made other messages fall.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestAgent } from "../../src/testing/index.ts"
import { boot, given, rest, world } from "../guarantees/boots.ts"

describe("older versions", () => {
  it.effect("Q25: of a message that waits don't count at the cap: nothing falls but what is replaced", () =>
    Effect.gen(function* () {
      const agent = TestAgent.make()
      const current = yield* boot(yield* world(), { agent, queue: { cap: 2, drop: "summarize" } })
      yield* current.say("kim", "one", "m1")
      const run = yield* agent.run(1)
      yield* current.say("kim", "two", "m2")
      yield* current.say("kim", "3", "m3")
      const edits = ["thre", "thrre", "three"]
      for (const [n, text] of edits.entries()) {
        const edit = { conversation: "kim", sender: "kim", id: `m3/e${n}`, replaces: "m3", text }
        yield* current.handle().accept(edit)
        yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow, { discard: true })
      }
      yield* run.finish("1")
      yield* (yield* agent.run(2)).finish("2 and 3")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(given(agent), ["one", "two\nthree"])
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { replied: 3, "superseded(edit)": 3 })
    })
  )
})
