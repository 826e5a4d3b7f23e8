/**
 * Edits that arrive late. A request that shows how far an answer is may still be on
 * its way when the process that made it has died, or has given up on it; then it
 * overwrites the answer that was edited in meanwhile, and nobody hears of that. So an
 * answer whose message may have such a request behind it is edited in once more.
 */
import * as Effect from "effect/Effect"

/** Messages that are remembered; the oldest go first. */
const most = 1000

/** Milliseconds after which nothing is on its way any more. */
export const lateBy = 10_000

/** Messages that a request may still change behind our back. */
export class Late {
  readonly #messages = new Set<string>()

  /** Makes a request that changes a message: until its answer is here nobody knows when it takes effect. */
  during<A, E extends { readonly _tag: string }, R>(
    message: string,
    request: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      const isLate = this.#messages.has(message)
      this.#messages.add(message)
      const [oldest] = this.#messages
      if (this.#messages.size > most && oldest !== undefined) this.#messages.delete(oldest)
      // An earlier one that got no answer is no less late for this one's.
      const known = isLate ? Effect.void : Effect.sync(() => void this.#messages.delete(message))
      return Effect.tapError(Effect.tap(request, known), ({ _tag }) => (_tag === "Silent" ? Effect.void : known))
    })
  }

  /** Whether something may still be on its way to a message that got its answer now; asked once. */
  take(message: string): boolean {
    return this.#messages.delete(message)
  }
}
