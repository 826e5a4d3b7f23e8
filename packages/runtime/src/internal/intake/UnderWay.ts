/**
 * Messages on their way into the store, by session. Where a full queue refuses
 * what is new, those of the same moment count too: otherwise all of them would find
 * the last free place, be accepted, and then fall.
 */
import * as Effect from "effect/Effect"

/** See the header. */
export class UnderWay {
  readonly #counts = new Map<number, number>()

  /** How many of the session are under way. */
  of(session: number): number {
    return this.#counts.get(session) ?? 0
  }

  /** Counts one while it is being stored. */
  counted<A, E, R>(session: number, stored: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    this.#counts.set(session, this.of(session) + 1)
    return Effect.ensuring(
      stored,
      Effect.sync(() => {
        const left = this.of(session) - 1
        if (left > 0) this.#counts.set(session, left)
        else this.#counts.delete(session)
      })
    )
  }
}
