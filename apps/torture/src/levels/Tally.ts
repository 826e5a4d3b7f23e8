/**
 * What a level has seen so far: each world's history is judged by the checker in its own
 * process, its figures and times are added up, and what is broken is kept with the seed
 * that repeats it. Something that no history says (a gateway that ended by itself, a
 * world that never came to rest) is told beside it.
 */
import * as Effect from "effect/Effect"
import { check, violationsOf } from "../checker/check.ts"
import { added } from "../checker/agents.ts"
import type { Agents, Times, Verdict, Violation } from "./Level.ts"

/** Figures of a level that is not over. */
export interface Tally {
  readonly level: Verdict["level"]
  readonly began: number
  runs: number
  kills: number
  sent: number
  acknowledged: number
  lost: number
  orderFaults: number
  readonly duplicated: Record<string, number>
  readonly violations: Array<Violation>
  agents: Agents
  readonly times: Times
  readonly notes: Array<string>
}

/** Nothing yet. */
export const make = (level: Verdict["level"]): Tally => ({
  level,
  began: performance.now(),
  runs: 0,
  kills: 0,
  sent: 0,
  acknowledged: 0,
  lost: 0,
  orderFaults: 0,
  duplicated: {},
  violations: [],
  agents: {},
  times: {},
  notes: []
})

/** Adds times to those of their kind. */
export const addTimes = (times: Times, more: Readonly<Record<string, ReadonlyArray<number>>>): void => {
  for (const [kind, list] of Object.entries(more)) {
    const known = times[kind] ?? []
    times[kind] = known
    for (const millis of list) known.push(millis)
  }
}

/** What a world was that is judged. */
export interface Judged {
  readonly history: string
  readonly seed: number
  /** What broke a promise though no line of the history says so. */
  readonly strange: ReadonlyArray<string>
}

/** Has a world's history judged; returns how many promises were broken. */
export const judge = (tally: Tally, { history, seed, strange }: Judged): Effect.Effect<number> =>
  Effect.gen(function* () {
    const found = yield* Effect.promise(() => check(history))
    tally.runs++
    tally.kills += found.kills
    tally.sent += found.sent
    tally.acknowledged += found.acknowledged
    tally.lost += found.lost
    tally.orderFaults += found.orderFaults
    for (const [promised, extra] of Object.entries(found.duplicated)) {
      tally.duplicated[promised] = (tally.duplicated[promised] ?? 0) + extra
    }
    tally.agents = added(tally.agents, found.agents)
    addTimes(tally.times, found.times)
    const broken: ReadonlyArray<Violation> = [
      ...violationsOf(found, seed, history),
      // A world that does not come to rest or a gateway that ends by itself leaves somebody without an end.
      ...strange.map((what) => ({ invariant: "I1", what, seed, history }))
    ]
    tally.violations.push(...broken)
    for (const why of found.unjudged) tally.notes.push(`world ${seed}: ${why}`)
    return broken.length
  })

/** Where the level is, for a terminal. */
export const line = ({ acknowledged, began, kills, runs, violations }: Tally): string => {
  const seconds = (performance.now() - began) / 1000
  const rate = (kills / seconds).toFixed(1)
  return `${runs} done, ${kills} kills (${rate}/s), ${acknowledged} acknowledged, ${violations.length} broken`
}

/** The end of a level. */
export const verdict = ({ began: _, ...figures }: Tally): Verdict => figures
