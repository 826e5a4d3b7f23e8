/**
 * What a pool counts: outcomes by name, how long its workers take, and what a stop made of the requests that were there.
 * The duration is an average that follows the last few dozen; it is what the hint to an overloaded caller rests on.
 */

/** Weight of the newest duration. */
const weight = 0.1
/** Milliseconds that are assumed of a request before the first has ended. */
const assumed = 1000
/** Nobody is sent back for less than this: the place that becomes free is taken by then. */
const leastHint = 100

export class Figures {
  readonly outcomes: Record<string, number> = {}
  retried = 0
  /** Since a stop began: ended by themselves, ended by it, never taken. */
  drained = 0
  aborted = 0
  rejected = 0
  #average: number | undefined

  count(outcome: string): void {
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1
  }

  served(millis: number): void {
    this.#average = this.#average === undefined ? millis : this.#average + weight * (millis - this.#average)
  }

  /** Milliseconds that a request takes at its worker, on average. */
  get average(): number | undefined {
    return this.#average
  }

  /** Milliseconds until there should be room for somebody at `position` in the line. */
  hint(position: number, capacity: number): number {
    return Math.max(leastHint, Math.ceil((position * (this.#average ?? assumed)) / capacity))
  }
}
