/**
 * What stands for a placeholder that somebody deleted, until its answer is in: a try
 * that fails in between must edit the new message and not send one more. A reply that
 * dies never comes for its entry, so only the newest are kept; for one of which
 * nothing is known any more the answer stands in one message more.
 */

/** Entries that are remembered; the oldest go first. */
export const mostInstead = 1000

/** New messages by what they stand for. */
export class Instead<Id> {
  readonly #placed = new Map<string, Id>()

  get(key: string): Id | undefined {
    return this.#placed.get(key)
  }

  set(key: string, placed: Id): void {
    this.#placed.delete(key)
    this.#placed.set(key, placed)
    const [oldest] = this.#placed.keys()
    if (this.#placed.size > mostInstead && oldest !== undefined) this.#placed.delete(oldest)
  }

  delete(key: string): void {
    this.#placed.delete(key)
  }
}
