/**
 * L0: seeded simulation of the whole pipeline. The real layers of the gateway run
 * over a clock, a disk, a network, people and agents that are all of one process
 * and of one seed; each seed is a history, and the checker judges each. Threads
 * share the seeds; which thread plays a history changes nothing in it.
 */
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import type { Budget, Verdict } from "../Level.ts"
import type { Share, Sum } from "./share.ts"

const threads = Math.max(1, Math.min(8, availableParallelism()))

/** Runs a share in a thread of its own. */
const runThread = (
  share: Share,
  take: (sum: Sum) => void
): { readonly over: Promise<void>; readonly end: () => void } => {
  const worker = new Worker(new URL("thread.ts", import.meta.url), {
    workerData: share,
    // Most of what a history needs is garbage when it is over.
    resourceLimits: { maxYoungGenerationSizeMb: 64 }
  })
  let ended = false
  const over = new Promise<void>((resolve, reject) => {
    worker.on("message", take)
    worker.on("error", reject)
    worker.on("exit", (code) => {
      if (code === 0 || ended) resolve()
      else reject(new Error(`a thread of L0 ended with ${code}`))
    })
  })
  const end = () => {
    ended = true
    void worker.terminate()
  }
  return { over, end }
}

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
export const run = async (budget: Budget, most = Infinity): Promise<Verdict> => {
  const sum: Sum = {
    ...{ runs: 0, kills: 0, lives: 0, operations: 0, sent: 0, acknowledged: 0, lost: 0, orderFaults: 0, simulated: 0 },
    duplicated: {},
    violations: []
  }
  const totals = { sum, began: performance.now() }
  budget.progress(`seeds from ${budget.seed} on, in ${threads} threads`)
  let said = performance.now()
  const take = (more: Sum): void => {
    gather(totals, more)
    for (const { history, invariant, seed, what } of more.violations) {
      budget.progress(`seed ${seed}: ${invariant} ${what}${history === undefined ? "" : ` ${history}`}`)
    }
    if (more.violations.length > 0 && budget.stopAtFirst) for (const { end } of running) end()
    if (performance.now() - said < 5000) return
    said = performance.now()
    budget.progress(
      `${sum.runs} histories, ${sum.kills} kills, ${sum.violations.length} broken, ${perMinute(totals)}/min`
    )
  }
  const running = Array.from({ length: threads }, (_, n) =>
    runThread(
      {
        seed: budget.seed + n,
        stride: threads,
        millis: budget.millis,
        most: Math.ceil(most / threads),
        stopAtFirst: budget.stopAtFirst
      },
      take
    )
  )
  await Promise.all(running.map(({ over }) => over))
  return verdictOf(totals)
}
