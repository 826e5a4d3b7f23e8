/**
 * Who waits for a message's end. Rung by the journal's doorbell; somebody who
 * leaves takes nothing along and leaves nothing behind.
 */
import * as Deferred from "effect/Deferred"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/** The waiting ones of one gateway, by seq. */
export class Receipts {
  readonly #waiting = new Map<number, Set<Deferred.Deferred<void>>>()

  /** A place in the line of one message; `leave` gives it back. */
  await(seq: number): { readonly rung: Effect.Effect<void>; readonly leave: () => void } {
    const deferred = Deferred.makeUnsafe<void>()
    const waiting = this.#waiting.get(seq) ?? new Set()
    this.#waiting.set(seq, waiting.add(deferred))
    return {
      rung: Deferred.await(deferred),
      leave: () => {
        waiting.delete(deferred)
        if (waiting.size === 0) this.#waiting.delete(seq)
      }
    }
  }

  /** These messages have their end. Synchronous. */
  ended(seqs: ReadonlyArray<number>) {
    if (this.#waiting.size === 0) return
    for (const seq of seqs) {
      for (const deferred of this.#waiting.get(seq) ?? []) Deferred.doneUnsafe(deferred, Exit.void)
    }
  }
}
