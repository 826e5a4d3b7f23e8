// Level 1 as it runs with every change: each boundary once, the chains of crashes, and every sync of the store that can
// fail. `npm run torture -- --levels L1` has the second and third time and every other call. `TORTURE_POINTS=<name>`
// looks at some worlds only.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { boundaries } from "../../../packages/runtime/src/internal/boundary.ts"
import { run } from "../src/levels/L1/index.ts"

const seed = Number(process.env["TORTURE_SEED"] ?? 1)

describe("level 1", () => {
  it.live(
    "D4 D7 D9 D21: whichever durable step the gateway dies at, and whichever sync fails, the checker finds every promise kept",
    () =>
      Effect.gen(function* () {
        const lines: Array<string> = []
        const verdict = yield* run({
          seed,
          millis: 60_000,
          stopAtFirst: false,
          progress: (line) => void lines.push(line)
        })
        console.log([...lines, ...verdict.notes].join("\n"))
        assert.deepStrictEqual(verdict.violations, [], `TORTURE_SEED=${seed}`)
        assert.isAtLeast(verdict.kills, boundaries.length)
        assert.strictEqual(verdict.lost, 0)
      }),
    600_000
  )
})
