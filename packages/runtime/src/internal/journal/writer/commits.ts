/**
 * Counts commits and how long they took, in buckets. Plain numbers, because the
 * writer must not wait for anybody who measures it: metrics are made by readers.
 */

// Upper bounds in milliseconds; one more bucket holds what took longer.
const bounds: ReadonlyArray<number> = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000]

/** Figures of the writer since this boot. */
export class Commits {
  rounds = 0
  entries = 0
  retries = 0
  readonly #counts: Array<number> = Array.from({ length: bounds.length + 1 }, () => 0)
  #sum = 0

  /** Counts a commit of `entries` writes that took `millis`. */
  record(entries: number, millis: number): void {
    this.rounds++
    this.entries += entries
    this.#sum += millis
    const bucket = bounds.findIndex((bound) => millis <= bound)
    const index = bucket === -1 ? bounds.length : bucket
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
  }

  /** Bounds in milliseconds, counts per bucket (one more than bounds), and the sum. */
  snapshot() {
    return { bounds, counts: [...this.#counts], sum: this.#sum }
  }
}
