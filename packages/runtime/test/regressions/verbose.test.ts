// An answer that is too long says so also where people read what is done in between.
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { boot, rest, world } from "../guarantees/boots.ts"

it.effect("C9: with /verbose an answer beyond the bound is cut off with the same sentence as without", () =>
  Effect.gen(function* () {
    const place = yield* world()
    const current = yield* boot(place)
    for (const [index, text] of ["plain", "/verbose", "verbose"].entries()) {
      yield* current.say("kim", text)
      if (index !== 1) {
        const run = yield* current.agent.run(index === 0 ? 1 : 2)
        for (let part = 0; part < 4; part++) yield* run.emit({ _tag: "Text", delta: "x".repeat(700_000) })
        yield* run.finish()
      }
      yield* rest(current, "chat/kim")
    }
    const [plain = "", , verbose = ""] = place.far.chat?.seen("kim") ?? []
    assert.include(plain.slice(-100), "(The answer was longer; the rest is cut off.)")
    assert.strictEqual(verbose.length, plain.length)
    assert.strictEqual(verbose.slice(-60), plain.slice(-60))
  })
)
