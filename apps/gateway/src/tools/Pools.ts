/**
 * `sluice pools`: how the pools of models are, in the running gateway. Nothing of them is stored, so without one the
 * answer is that none runs.
 */
import * as Effect from "effect/Effect"
import type { ConfigurationError } from "../configuration/Problem.ts"
import type { Place } from "../configuration/Sources.ts"
import { sizeText } from "../configuration/Setting.ts"
import { escape } from "../LogEncoder.ts"
import type { PoolState, PoolStates } from "../pools/OpenPools.ts"
import { codes, Ending } from "../process/Exit.ts"
import { ask, type Refused, type Silent } from "./Ask.ts"
import * as Words from "./Words.ts"

/** A size to look at: whole MiB below ten GiB. */
const size = (bytes: number): string =>
  bytes >= 10 * 1024 ** 3 ? sizeText(Math.round(bytes / 1024 ** 3) * 1024 ** 3) : `${Math.ceil(bytes / 1024 ** 2)} MiB`

const workersOf = ({ workers }: PoolState): string =>
  Object.entries(workers)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state === "asking" ? "waiting for memory" : state}`)
    .join(", ") || "none"

/** What was served, and what was not, by its reason. */
const endsOf = ({ models }: PoolState): readonly [served: number, others: string] => {
  const sums = new Map<string, number>()
  for (const { outcomes } of models) {
    for (const [name, count] of Object.entries(outcomes)) sums.set(name, (sums.get(name) ?? 0) + count)
  }
  const served = sums.get("served") ?? 0
  sums.delete("served")
  const others = [...sums].filter(([, count]) => count > 0).map(([name, count]) => `${count} ${name}`)
  return [served, others.join(", ") || "-"]
}

const averageOf = ({ average }: PoolState): string =>
  average === undefined ? "-" : average < 1000 ? `${Math.round(average)} ms` : `${(average / 1000).toFixed(1)} s`

const rowOf = (pool: PoolState): ReadonlyArray<string> => {
  const [served, others] = endsOf(pool)
  return [
    pool.leaving ? `${pool.name} (let go of)` : pool.name,
    pool.capability,
    pool.models.map(({ name }) => name).join(" "),
    pool.health,
    String(pool.waiting),
    String(pool.running),
    workersOf(pool),
    pool.memory === 0 ? "-" : size(pool.memory),
    String(served),
    others,
    averageOf(pool)
  ]
}

const headings = [
  "pool",
  "capability",
  "models",
  "health",
  "waiting",
  "running",
  "workers",
  "memory",
  "served",
  "not served",
  "average"
]

const textOf = ({ memory, pools }: PoolStates): ReadonlyArray<string> =>
  pools.length === 0
    ? ["no pools are configured"]
    : [
        ...Words.table(headings, pools.map(rowOf)),
        ...pools.flatMap(({ name, why }) => (why === undefined ? [] : [`${escape(name)}: ${escape(why)}`])),
        `memory: ${size(memory.used)} of ${size(memory.limit)}`
      ]

/** `sluice pools`: 3 when no gateway runs. */
export const pools = Effect.fnUntraced(function* (
  place: Place,
  json: boolean
): Effect.fn.Return<void, Silent | Refused | ConfigurationError | Ending> {
  const { body, status } = yield* ask(place, { method: "GET", path: "/v1/pools" })
  if (status === 503)
    return yield* new Ending({ code: codes.failed, lines: ["sluice: the gateway is starting; ask again"] })
  const states = body as PoolStates
  if (json) return yield* Words.json(states)
  yield* Words.lines(textOf(states))
})
