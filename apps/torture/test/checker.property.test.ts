// The checker against histories that a seed makes: one without a fault is passed, and one that is spoiled in one place is
// reported under the invariant that it breaks, wherever that place is. `SLUICE_CHECKER_SEED=<seed>` begins elsewhere.
import { describe, expect, it } from "vitest"
import { randomOf } from "../src/world/random.ts"
import { chronicle } from "./chronicle.ts"
import { spoilings } from "./spoilings.ts"
import { invariantsIn, judged } from "./tale.ts"

const first = Number(process.env["SLUICE_CHECKER_SEED"] ?? 1)
const seeds = Array.from({ length: 40 }, (_, index) => first + index)

describe("the checker over whole histories", () => {
  it("passes histories with kills, stops, failing agents and lost answers in which every promise was kept", () => {
    for (const seed of seeds) {
      const verdict = judged(chronicle(randomOf(seed)))
      expect({ seed, broken: verdict.broken, unjudged: verdict.unjudged }).toEqual({ seed, broken: [], unjudged: [] })
      expect(verdict).toMatchObject({ acknowledged: 120, answered: 120, lost: 0, orderFaults: 0 })
      expect(verdict.kills + verdict.stops).toBe(verdict.boots)
    }
  })

  it("is shown enough: kills, further runs, copies and stops are all in there", () => {
    const verdicts = seeds.map((seed) => judged(chronicle(randomOf(seed))))
    const sum = (of: (verdict: (typeof verdicts)[number]) => number) => verdicts.reduce((all, one) => all + of(one), 0)
    expect(sum(({ kills }) => kills)).toBeGreaterThan(seeds.length)
    expect(sum(({ duplicated }) => duplicated["resend-once"] ?? 0)).toBeGreaterThan(seeds.length)
    expect(sum(({ times }) => times["crash to resumed"]?.length ?? 0)).toBeGreaterThan(seeds.length / 2)
  })

  it.each(spoilings)("reports $breaks when $name", ({ breaks, spoil }) => {
    for (const seed of seeds) {
      const random = randomOf(seed)
      const spoiled = spoil(chronicle(random), random)
      const found = invariantsIn(judged(spoiled))
      expect({ seed, found }).toEqual({ seed, found: expect.arrayContaining([breaks]) })
    }
  })
})
