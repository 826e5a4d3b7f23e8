/**
 * One thread's share of the histories: every n-th seed until the time is over. It
 * says now and then how far it is, and each broken promise at once, with the
 * history and its plan in a file.
 */
import * as Effect from "effect/Effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Violation } from "../Level.ts"
import { openStore } from "./open.ts"
import { shrink, type Trial, trySeed } from "./trial.ts"

/** What a thread is told. */
export interface Share {
  readonly seed: number
  /** Distance between its seeds: how many threads there are. */
  readonly stride: number
  readonly millis: number
  /** At most so many histories. */
  readonly most: number
  readonly stopAtFirst: boolean
}

/** What a thread has seen since it last said so. */
export interface Sum {
  runs: number
  kills: number
  lives: number
  operations: number
  sent: number
  acknowledged: number
  lost: number
  orderFaults: number
  duplicated: Record<string, number>
  /** Milliseconds that passed in the histories. */
  simulated: number
  violations: Array<Violation>
}

const nothing = (): Sum => ({
  ...{ runs: 0, kills: 0, lives: 0, operations: 0, sent: 0, acknowledged: 0, lost: 0, orderFaults: 0, simulated: 0 },
  duplicated: {},
  violations: []
})

const add = (sum: Sum, { played, verdict }: Trial): void => {
  sum.runs++
  sum.kills += played.kills
  sum.lives += played.lives
  sum.operations += played.history.operations.length
  sum.sent += verdict.sent
  sum.acknowledged += verdict.acknowledged
  sum.lost += verdict.lost
  sum.orderFaults += verdict.orderFaults
  sum.simulated += played.millis
  for (const [promised, extra] of Object.entries(verdict.duplicated)) {
    sum.duplicated[promised] = (sum.duplicated[promised] ?? 0) + extra
  }
}

let folder: string | undefined

/** Keeps a history that breaks a promise. In a folder of this run's own: one that all share belongs to whoever was first. */
const keep = ({ plan, played }: Trial): string => {
  folder ??= mkdtempSync(join(tmpdir(), "sluice-L0-"))
  const file = join(folder, `${plan.seed}.jsonl`)
  writeFileSync(file, played.history.text())
  writeFileSync(join(folder, `${plan.seed}.plan.json`), `${JSON.stringify(plan, null, 2)}\n`)
  return file
}

const violationsOf = (trial: Trial): ReadonlyArray<Violation> => {
  const history = keep(trial)
  const steps = `${trial.plan.steps.length} steps`
  return trial.verdict.broken.map(({ conversation = "the gateway", invariant, lines, what }) => ({
    invariant,
    what: `${conversation}: ${what} (${steps}, lines ${lines.join(", ")})`,
    seed: trial.plan.seed,
    history
  }))
}

/** Violations of which each is shrunk; what is broken everywhere needs no more examples. */
const mostShrunk = 3
/** How long that may take, in milliseconds of the machine. */
const shrinkFor = 5000

const sayEvery = 250

/** Runs a share. */
export const runShare = async (share: Share, say: (sum: Sum) => void): Promise<void> => {
  const store = await Effect.runPromise(openStore)
  const until = performance.now() + share.millis
  let sum = nothing()
  let said = performance.now()
  let broken = 0
  for (let n = 0; n < share.most && performance.now() < until; n++) {
    const seed = share.seed + n * share.stride
    try {
      const trial = trySeed(seed, store)
      add(sum, trial)
      if (trial.verdict.broken.length > 0) {
        const late = performance.now() + shrinkFor
        const isLate = () => performance.now() > late
        sum.violations.push(...violationsOf(broken++ < mostShrunk ? shrink(trial, store, isLate) : trial))
      }
    } catch (error) {
      broken++
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
      sum.violations.push({ invariant: "harness", what, seed })
    }
    const over = broken > 0 && share.stopAtFirst
    if (over || sum.violations.length > 0 || performance.now() - said > sayEvery) {
      say(sum)
      sum = nothing()
      said = performance.now()
      // Timers of the thread, if there are any, and its messages get their turn.
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (over) break
  }
  say(sum)
}
