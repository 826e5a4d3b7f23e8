// The simulation as CI runs it: twenty seconds of histories, always from the same seed, so that a change is what makes it
// fail (`npm run torture` takes new ones), and every seed that once broke a promise. A failure names the seed:
// `npm run torture -- --levels L0 --seed N --stop-at-first` plays it first.
import { assert, describe, it } from "vitest"
import * as Effect from "effect/Effect"
import { run } from "../src/levels/L0/index.ts"
import { openStore } from "../src/levels/L0/open.ts"
import { narrow, wide } from "../src/levels/L0/seeds.ts"
import { tryNarrow, trySeed } from "../src/levels/L0/trial.ts"

describe("L0", () => {
  it("every seed that once broke a promise keeps it", async () => {
    const store = await Effect.runPromise(openStore)
    for (const [seed, about] of narrow) {
      assert.deepStrictEqual(tryNarrow(seed, store).verdict.broken, [], `seed ${seed}: ${about}`)
    }
    for (const [seed, about] of wide) {
      assert.deepStrictEqual(trySeed(seed, store).verdict.broken, [], `seed ${seed}: ${about}`)
    }
  })

  it("twenty seconds of histories keep every promise", { timeout: 120_000 }, async () => {
    const seed = Number(process.env["SLUICE_TORTURE_SEED"] ?? 7600)
    const lines: Array<string> = []
    const progress = (line: string) => void lines.push(line)
    const verdict = await Effect.runPromise(run({ seed, millis: 20_000, stopAtFirst: false, progress }))
    globalThis.console.log(
      `L0 from seed ${seed}: ${verdict.runs} histories, ${verdict.kills} kills; ${verdict.notes.join("; ")}`
    )
    assert.deepStrictEqual(verdict.violations, [], lines.join("\n"))
    assert.isAbove(verdict.runs, 0)
    assert.strictEqual(verdict.lost, 0)
  })
})
