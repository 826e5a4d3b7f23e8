// What an agent says of its usage is not to be trusted: a number beyond any bill must not keep the store from opening.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestAgent } from "../../src/testing/index.ts"
import { boot, rest, world } from "../guarantees/boots.ts"

describe("usage that no provider would bill", () => {
  for (const [what, usage] of [
    ["cost", { cost: 1e8 }],
    ["infinite cost", { cost: 1e300 }],
    ["tokens", { inputTokens: 2 ** 60, outputTokens: 1e300 }],
    ["others", { thoughts: 1e308 }]
  ] as const) {
    it.effect(`C1 D4: ${what}: is stored within bounds, and the store opens again`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const one = yield* boot(place, { agent, timeZone: "UTC", prices: { m: { input: 1e6, output: 1e6 } } })
        for (const n of [1, 2]) {
          yield* one.say("kim", "hello")
          const run = yield* agent.run(n)
          for (let times = 0; times < 12; times++) yield* run.emit({ _tag: "Usage", usage, model: "m" })
          yield* run.finish("hi")
          yield* rest(one, "chat/kim")
        }
        for (const by of ["day", "total"] as const) {
          for (const sum of yield* one.gateway.usage({ by })) assert.isTrue(Number.isFinite(sum.cost + sum.inputTokens))
        }
        yield* one.crash
        const two = yield* boot(place, { agent: TestAgent.echo(), timeZone: "UTC" })
        yield* two.say("kim", "again")
        yield* two.say("kim", "/usage")
        yield* rest(two, "chat/kim")
        assert.strictEqual((yield* two.gateway.audit).detail.replied, 3)
        assert.include(JSON.stringify(place.far.chat?.seen("kim")), "tokens in")
      })
    )
  }
})
