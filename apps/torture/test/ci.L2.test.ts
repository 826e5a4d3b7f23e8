// Level 2 as it runs with every change: a few worlds, each killed at random moments. The long runs are `npm run torture`.
// `TORTURE_SEED=<seed>` makes the choices of a run that failed again.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { run } from "../src/levels/L2.ts"
import { kinds } from "../src/world/clients.ts"

const seed = Number(process.env["TORTURE_SEED"] ?? Math.floor(Math.random() * 2 ** 32))

describe("level 2", () => {
  it.live(
    "D3 D4: at random moments of load, boots, stops and reloads, kill -9 breaks no promise on channels of any class, with agents of each kind",
    () =>
      Effect.gen(function* () {
        const lines: Array<string> = []
        const budget = { seed, millis: 60_000, stopAtFirst: false, progress: (line: string) => void lines.push(line) }
        const verdict = yield* run(budget, { kills: 10, beside: 2, worlds: 4 })
        console.log(lines.join("\n"))
        assert.deepStrictEqual(verdict.violations, [], `TORTURE_SEED=${seed}`)
        assert.isAbove(verdict.kills, 0)
        assert.isAbove(verdict.acknowledged, 0)
        assert.strictEqual(verdict.lost, 0)
        for (const kind of kinds) assert.isAbove(verdict.agents?.[kind]?.answered ?? 0, 0, kind)
        assert.isFalse(
          verdict.notes.some((note) => note.startsWith("world")),
          `not proved: ${verdict.notes.join("; ")}`
        )
      }),
    300_000
  )
})
