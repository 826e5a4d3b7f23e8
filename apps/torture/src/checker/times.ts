/**
 * The times that a history holds: of stops by what the agents did meanwhile, from a
 * kill to the first sign that open work goes on, and from a start to ready by how much
 * was open. They judge nothing.
 */
import { deathOf, type Gathered, isEnd, type Mark, plannedExitOf, type Shown } from "./Gathered.ts"

const sizes: ReadonlyArray<readonly [number, string]> = [
  [0, "0"],
  [99, "1 to 99"],
  [999, "100 to 999"],
  [9_999, "1k to 10k"],
  [99_999, "10k to 100k"],
  [Infinity, "100k and more"]
]

/** How many open messages a boot found, in words. */
const sizeOf = (open: number): string => sizes.find(([most]) => open <= most)?.[1] ?? ""

interface Sign {
  readonly at: number
  readonly ids: ReadonlyArray<string>
  readonly end: boolean
}

/** Runs and ends, in time. */
const signs = (gathered: Gathered): ReadonlyArray<Sign> => {
  const found: Array<Sign> = []
  for (const { begin, ids } of gathered.runs.values()) found.push({ at: begin.at, ids, end: false })
  for (const { shown } of gathered.conversations.values()) {
    for (const one of shown) if (isEnd(one)) found.push({ at: one.at, ids: one.ids, end: true })
  }
  return found.sort((a, b) => a.at - b.at)
}

/** From each death to the first run or end, in a later boot, of a message that was open when it came. */
const resumed = (gathered: Gathered, ends: ReadonlyMap<string, ReadonlyArray<Shown>>): ReadonlyArray<number> => {
  const boots = [...gathered.boots.values()]
  const deaths = boots
    .map(deathOf)
    .filter((mark): mark is Mark => mark !== undefined)
    .toSorted((a, b) => a.at - b.at)
  const begins = boots.flatMap(({ invoked }) => (invoked === undefined ? [] : [invoked.at])).toSorted((a, b) => a - b)
  const all = signs(gathered)
  const found: Array<number> = []
  let [next, begin] = [0, 0]
  for (const [index, { at }] of deaths.entries()) {
    const until = deaths[index + 1]?.at ?? Infinity
    while (begin < begins.length && (begins[begin] ?? 0) < at) begin++
    const from = Math.max(at, begins[begin] ?? Infinity)
    while (next < all.length && (all[next]?.at ?? 0) < from) next++
    for (; next < all.length && (all[next]?.at ?? Infinity) < until; next++) {
      const sign = all[next]
      const open = sign?.ids.some((id) => {
        const acknowledged = gathered.messages.get(id)?.acknowledged?.at ?? Infinity
        return acknowledged < at && (ends.get(id)?.[0]?.at ?? Infinity) > at
      })
      if (sign === undefined || open !== true) continue
      found.push(sign.at - at)
      break
    }
  }
  return found
}

/** All of them, by name. */
export const timesOf = (
  gathered: Gathered,
  ends: ReadonlyMap<string, ReadonlyArray<Shown>>
): Record<string, ReadonlyArray<number>> => {
  const times: Record<string, Array<number>> = {}
  const add = (name: string, millis: number) => (times[name] ??= []).push(millis)
  for (const seen of gathered.boots.values()) {
    const { invoked, ready, stop } = seen
    const exited = plannedExitOf(seen)
    if (stop !== undefined && exited !== undefined) add(`stop: ${stop.behaviour ?? "any"}`, exited.at - stop.at)
    if (invoked !== undefined && ready !== undefined) {
      const open = invoked.open === undefined ? "" : `, ${sizeOf(invoked.open)} open`
      add(`boot to ready${open}`, ready.at - invoked.at)
    }
  }
  for (const millis of resumed(gathered, ends)) add("crash to resumed", millis)
  return times
}
