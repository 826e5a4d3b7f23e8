// Level 3 as it runs with every change: each fault once. The long runs are `npm run torture -- --levels L3`. The seed
// decides the order; `TORTURE_SEED=<seed>` makes a run's choices again.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { groups, run } from "../src/levels/L3/index.ts"

const seed = Number(process.env["TORTURE_SEED"] ?? Math.floor(Math.random() * 2 ** 32))

describe("level 3", () => {
  it.live(
    "D11 D12 D19 S11 S13 S14: faults of disks, clocks, agents, networks and supervisors break no promise, and each strikes",
    () =>
      Effect.gen(function* () {
        const lines: Array<string> = []
        const progress = (line: string) => void lines.push(line)
        const verdict = yield* run({ seed, millis: 60_000, stopAtFirst: false, progress })
        console.log(lines.join("\n"))
        assert.deepStrictEqual(verdict.violations, [], `TORTURE_SEED=${seed}`)
        assert.strictEqual(verdict.lost, 0)
        assert.strictEqual(verdict.orderFaults, 0)
        assert.isAbove(verdict.acknowledged, 0)
        // Where something is missing here a line says what, and its faults are left out.
        const short = groups.flatMap(({ scenarios }) => scenarios).filter(({ long }) => long !== true).length
        if (verdict.notes.length === 0) assert.strictEqual(verdict.runs, short)
        else assert.isAbove(verdict.runs, 0)
      }),
    600_000
  )
})
