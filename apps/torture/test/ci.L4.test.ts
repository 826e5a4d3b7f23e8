// Level 4 in its short form: boots of two seconds under load, which show that it measures and that the history holds.
// Whether anything grows over hours only `npm run torture -- --levels L4 --minutes 60` can tell.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { run } from "../src/levels/L4.ts"

const seed = Number(process.env["TORTURE_SEED"] ?? Math.floor(Math.random() * 2 ** 32))

describe("level 4", () => {
  it.live(
    "C9: over restarts under load no promise is broken, and each figure of a gateway is measured at the same age",
    () =>
      Effect.gen(function* () {
        const budget = { seed, millis: 12_000, stopAtFirst: false, progress: () => undefined }
        const verdict = yield* run(budget, { age: 1000 })
        const broken = verdict.violations.filter(({ invariant }) => invariant !== "C9")
        assert.deepStrictEqual(broken, [], `TORTURE_SEED=${seed}`)
        assert.isAbove(verdict.runs, 0)
        assert.isAbove(verdict.acknowledged, 0)
        for (const figure of ["memory", "descriptors", "threads", "write-ahead log", "open messages"]) {
          assert.isTrue(
            verdict.notes.some((note) => note.startsWith(figure)),
            figure
          )
        }
      }),
    300_000
  )
})
