/**
 * Moments that explain something: the deaths and stops of gateways, and the faults
 * around them. Sorted once, so that "was there one between these two lines" costs a
 * binary search in a history of a million lines.
 */
import type { Moment } from "../history/Operation.ts"
import { type BootSeen, deathOf, type Gathered, type Mark } from "./Gathered.ts"

/** Some moments, in order. */
export class Moments {
  readonly #at: ReadonlyArray<Moment>

  constructor(marks: Iterable<Moment>) {
    this.#at = [...marks].sort((a, b) => a - b)
  }

  /** How many are before a moment: the place of the first that is not. */
  before(at: Moment): number {
    let [low, high] = [0, this.#at.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#at[middle] ?? 0) < at) low = middle + 1
      else high = middle
    }
    return low
  }

  /** How many are in [from, until). */
  count(from: Moment, until: Moment): number {
    return Math.max(0, this.before(until) - this.before(from))
  }

  any(from: Moment, until: Moment): boolean {
    return this.count(from, until) > 0
  }
}

const present = (marks: Iterable<Mark | undefined>): ReadonlyArray<Moment> =>
  [...marks].flatMap((mark) => (mark === undefined ? [] : [mark.at]))

/** What can cut a turn or a request short. */
export interface Causes {
  /** A gateway was killed or ended by itself. */
  readonly deaths: Moments
  /** A stop was asked for, or a gateway was gone. */
  readonly stops: Moments
  /** Any of them. */
  readonly ends: Moments
  /** Any of them, or a fault that began or ended. */
  readonly any: Moments
}

const boots = (gathered: Gathered): ReadonlyArray<BootSeen> => [...gathered.boots.values()]

/** The causes that a history has. */
export const causesOf = (gathered: Gathered): Causes => {
  const deaths = present(boots(gathered).map(deathOf))
  const stops = present(boots(gathered).flatMap(({ exited, stop }) => [stop, exited]))
  return {
    deaths: new Moments(deaths),
    stops: new Moments(stops),
    ends: new Moments([...deaths, ...stops]),
    any: new Moments([...deaths, ...stops, ...present(gathered.faults)])
  }
}

/**
 * From when on a gateway's end explains what was seen at `at`. What was on its way when the gateway died is seen after
 * the death: as long as no other gateway is that far, the dead one is the one that began it. A request arrives before
 * the next one is `invoked`; a child takes longer to say its first word, and the next one begins none before `ready`.
 */
export const begunBefore = (gathered: Gathered, next: "invoked" | "ready") => {
  const ends = present(boots(gathered).flatMap((seen) => [deathOf(seen), seen.exited])).toSorted((a, b) => a - b)
  const places = new Moments(ends)
  const nexts = new Moments(present(boots(gathered).map((seen) => seen[next])))
  return (at: Moment): Moment => {
    const last = ends[places.before(at) - 1]
    return last === undefined || nexts.any(last, at) ? at : last
  }
}
