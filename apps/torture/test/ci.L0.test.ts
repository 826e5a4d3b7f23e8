// The simulation as CI runs it: every seed that once broke a promise, ten seconds of histories that are always the same, so
// that a change is what makes them fail, and ten seconds of histories that are new with each commit, and the same for all
// who test it. A failure names the seed: `npm run torture -- --levels L0 --seed N --stop-at-first` plays it first;
// SLUICE_TORTURE_SEED is where the new ones begin.
import { assert, describe, it } from "vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { run } from "../src/levels/L0/index.ts"
import { openStore } from "../src/levels/L0/open.ts"
import { narrow, silent, steered, wide } from "../src/levels/L0/seeds.ts"
import { tryNarrow, trySilent, trySteered, tryWide } from "../src/levels/L0/trial.ts"

/** Of the commit that is tested; of chance where there is none to ask for. */
const fresh = (): number => {
  const { status, stdout } = spawnSync("git", ["rev-parse", "HEAD"], { cwd: import.meta.dirname, encoding: "utf8" })
  return status === 0 ? Number.parseInt(stdout.slice(0, 7), 16) : Math.floor(Math.random() * 1e9)
}

describe("L0", () => {
  it("every seed that once broke a promise keeps it", { timeout: 120_000 }, async () => {
    const store = await Effect.runPromise(openStore)
    for (const [seed, about] of narrow) {
      assert.deepStrictEqual(tryNarrow(seed, store).verdict.broken, [], `seed ${seed}: ${about}`)
    }
    for (const [seed, about] of wide) {
      assert.deepStrictEqual(tryWide(seed, store).verdict.broken, [], `seed ${seed}: ${about}`)
    }
    for (const [seed, about] of steered) {
      assert.deepStrictEqual(trySteered(seed, store).verdict.broken, [], `seed ${seed}: ${about}`)
    }
    for (const [seed, about] of silent) {
      assert.deepStrictEqual(trySilent(seed, store).verdict.broken, [], `seed ${seed}: ${about}`)
    }
  })

  const seeds = {
    known: 7600,
    new: Number(process.env["SLUICE_TORTURE_SEED"] ?? fresh())
  }
  for (const [which, seed] of Object.entries(seeds)) {
    it(`ten seconds of ${which} histories keep every promise`, { timeout: 120_000 }, async () => {
      const lines: Array<string> = []
      const progress = (line: string) => void lines.push(line)
      const verdict = await Effect.runPromise(run({ seed, millis: 10_000, stopAtFirst: false, progress }))
      globalThis.console.log(
        `L0 from seed ${seed}: ${verdict.runs} histories, ${verdict.kills} kills; ${verdict.notes.join("; ")}`
      )
      assert.deepStrictEqual(verdict.violations, [], lines.join("\n"))
      assert.isAbove(verdict.runs, 0)
      assert.strictEqual(verdict.lost, 0)
    })
  }
})
