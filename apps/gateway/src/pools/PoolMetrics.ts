/**
 * The figures of the pools as Prometheus reads them. A pool that a reload has let go of is counted with the one that has
 * its name now: two series of one name would be none.
 */
import { family, histogram, type Sample } from "../Metrics.ts"
import { bounds, outcomes } from "./Figures.ts"
import type { PoolState, PoolStates } from "./OpenPools.ts"

const workerStates = ["asking", "loading", "idle", "busy", "leaving"] as const
const breakers = ["closed", "open", "half-open"] as const
const healths = ["healthy", "degraded", "unhealthy"] as const

/** The pools of one name; what is configured now comes first. */
type Namesakes = readonly [PoolState, ...ReadonlyArray<PoolState>]

const byName = (pools: ReadonlyArray<PoolState>): ReadonlyArray<Namesakes> => {
  const found = new Map<string, Namesakes>()
  for (const pool of pools) {
    const others = found.get(pool.name)
    found.set(pool.name, others === undefined ? [pool] : [...others, pool])
  }
  return [...found.values()]
}

const sum = (pools: Namesakes, of: (pool: PoolState) => number): number =>
  pools.reduce((total, pool) => total + of(pool), 0)

/** The text of a scrape. */
export const scrapeOf = ({ memory, pools }: PoolStates): string => {
  const groups = byName(pools)
  const each = (of: (pool: PoolState) => number): ReadonlyArray<Sample> =>
    groups.map((group) => [{ pool: group[0].name }, sum(group, of)])
  const by = <S extends string>(
    label: string,
    all: ReadonlyArray<S>,
    of: (group: Namesakes, state: S) => number
  ): ReadonlyArray<Sample> =>
    groups.flatMap((group) => all.map((state): Sample => [{ pool: group[0].name, [label]: state }, of(group, state)]))
  const models = groups.flatMap(([pool]) => pool.models.map((model) => ({ pool: pool.name, ...model })))
  return [
    family(
      "sluice_pool_requests_total",
      "counter",
      "Requests to pools that have ended, by the model that was asked for and by how they ended.",
      models.flatMap(({ name, outcomes: counts, pool }) =>
        outcomes.map((outcome): Sample => [{ pool, model: name, outcome }, counts[outcome]])
      )
    ),
    histogram(
      "sluice_pool_request_seconds",
      "How long requests took that were served, from the request to the end of the answer.",
      models.map(({ name, pool, served }) => [
        { pool, model: name },
        { bounds, ...served }
      ])
    ),
    family(
      "sluice_pool_waiting",
      "gauge",
      "Requests that wait for a worker.",
      each((pool) => pool.waiting)
    ),
    family(
      "sluice_pool_running",
      "gauge",
      "Requests that a worker has.",
      each((pool) => pool.running)
    ),
    family(
      "sluice_pool_workers",
      "gauge",
      "Workers by state; asking is in line for memory.",
      by("state", workerStates, (group, state) => sum(group, ({ workers }) => workers[state]))
    ),
    family(
      "sluice_pool_memory_bytes",
      "gauge",
      "Memory booked for workers.",
      each((pool) => pool.memory)
    ),
    family("sluice_pool_memory_limit_bytes", "gauge", "Memory that all workers may take.", [[{}, memory.limit]]),
    family(
      "sluice_pool_breaker",
      "gauge",
      "1 for the state that the circuit is in.",
      by("state", breakers, ([pool], state) => (pool.breaker === state ? 1 : 0))
    ),
    family(
      "sluice_pool_health",
      "gauge",
      "1 for how the pool is.",
      by("state", healths, ([pool], state) => (pool.health === state ? 1 : 0))
    ),
    family(
      "sluice_pool_retried_total",
      "counter",
      "Requests that were given to a second worker.",
      each((pool) => pool.retried)
    )
  ].join("")
}
