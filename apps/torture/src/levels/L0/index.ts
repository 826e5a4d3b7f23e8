/**
 * L0: seeded simulation of the whole pipeline. The real layers of the gateway run
 * over a clock, a disk, a network, people and agents that are all of one process
 * and of one seed; each seed is a history, and the checker judges each. Threads
 * share the seeds; which thread plays a history changes nothing in it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import type { Budget, Verdict } from "../Level.ts"
import type { Share, Sum } from "./share.ts"

const threads = Math.max(1, Math.min(8, availableParallelism()))

/** Runs a share in a thread of its own; who interrupts it ends the thread, in the middle of a history. */
const runThread = (share: Share, take: (sum: Sum) => void): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const worker = new Worker(new URL("thread.ts", import.meta.url), {
      workerData: share,
      // Most of what a history needs is garbage when it is over.
      resourceLimits: { maxYoungGenerationSizeMb: 64 }
    })
    worker.on("message", take)
    worker.on("error", (error) => resume(Effect.die(error)))
    worker.on("exit", (code) =>
      resume(code === 0 ? Effect.void : Effect.die(new Error(`a thread of L0 ended with ${code}`)))
    )
    return Effect.promise(() => worker.terminate())
  })

interface Totals {
  readonly sum: Sum
  readonly began: number
}

const gather = ({ sum }: Totals, more: Sum): void => {
  for (const key of Object.keys(more) as Array<keyof Sum>) {
    const value = more[key]
    if (typeof value === "number") Object.assign(sum, { [key]: (sum[key] as number) + value })
  }
  for (const [promised, extra] of Object.entries(more.duplicated)) {
    sum.duplicated[promised] = (sum.duplicated[promised] ?? 0) + extra
  }
  sum.violations.push(...more.violations)
}

const perMinute = ({ began, sum }: Totals): number => Math.round(sum.runs / ((performance.now() - began) / 60_000))

const notesOf = (totals: Totals): ReadonlyArray<string> => {
  const { sum } = totals
  const days = (sum.simulated / 86_400_000).toFixed(1)
  const each = sum.runs === 0 ? 0 : Math.round(sum.operations / sum.runs)
  return [
    `${perMinute(totals)} histories a minute in ${threads} threads, ${sum.lives} boots, ${each} operations each, ${days} simulated days`
  ]
}

const verdictOf = (totals: Totals): Verdict => {
  const { acknowledged, duplicated, kills, lost, orderFaults, runs, sent, violations } = totals.sum
  return {
    level: "L0",
    ...{ runs, kills, sent, acknowledged, lost, duplicated, orderFaults },
    violations,
    times: {},
    notes: notesOf(totals)
  }
}

/** Plays histories from the seed on, until the time is over; the first of them is that of the seed. */
export const run = Effect.fnUntraced(function* (budget: Budget, most = Infinity): Effect.fn.Return<Verdict> {
  const sum: Sum = {
    ...{ runs: 0, kills: 0, lives: 0, operations: 0, sent: 0, acknowledged: 0, lost: 0, orderFaults: 0, simulated: 0 },
    duplicated: {},
    violations: []
  }
  const totals = { sum, began: performance.now() }
  const broken = Deferred.makeUnsafe<void>()
  budget.progress(`seeds from ${budget.seed} on, in ${threads} threads`)
  let said = performance.now()
  const take = (more: Sum): void => {
    gather(totals, more)
    for (const { history, invariant, seed, what } of more.violations) {
      budget.progress(`seed ${seed}: ${invariant} ${what}${history === undefined ? "" : ` ${history}`}`)
    }
    if (more.violations.length > 0 && budget.stopAtFirst) Deferred.doneUnsafe(broken, Effect.void)
    if (performance.now() - said < 5000) return
    said = performance.now()
    budget.progress(
      `${sum.runs} histories, ${sum.kills} kills, ${sum.violations.length} broken, ${perMinute(totals)}/min`
    )
  }
  const shares = Array.from({ length: threads }, (_, n) => ({
    seed: budget.seed + n,
    stride: threads,
    millis: budget.millis,
    most: Math.ceil(most / threads),
    stopAtFirst: budget.stopAtFirst
  }))
  yield* Effect.raceFirst(
    Effect.forEach(shares, (share) => runThread(share, take), { concurrency: threads, discard: true }),
    Deferred.await(broken)
  )
  return verdictOf(totals)
})
