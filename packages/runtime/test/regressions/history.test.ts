// An agent that asks for its past with nonsense gets a page, or nothing; its turn goes on.
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Agent from "../../src/Agent.ts"
import { TestAgent } from "../../src/testing/index.ts"
import { boot, rest, world } from "../guarantees/boots.ts"

it.effect("C4: a page of history without a proper limit or beginning is no failure of the store", () =>
  Effect.gen(function* () {
    const place = yield* world()
    const pages: Array<number> = []
    const asked = [{ limit: Number.NaN }, { limit: Infinity }, { limit: -5 }, { before: "nonsense", limit: 5 }]
    const agent = Agent.make({
      open: (session) =>
        Effect.succeed({
          answer: (turn) =>
            Stream.fromEffect(
              Effect.gen(function* () {
                for (const page of asked) pages.push((yield* session.history(page)).length)
                return Agent.text(turn.text)
              })
            )
        })
    })
    const current = yield* boot(place, { agent: { ...TestAgent.make(), agent } })
    for (const text of ["one", "two"]) {
      yield* current.say("kim", text)
      yield* rest(current, "chat/kim")
    }
    assert.deepStrictEqual(pages, [0, 0, 0, 0, 1, 1, 1, 0])
    assert.deepStrictEqual(place.far.chat?.seen("kim"), ["one", "two"])
  })
)
