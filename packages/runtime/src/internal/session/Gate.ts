/**
 * When a turn may start. Closed until boot has its keys, then open, while
 * draining only for what was there when the drain began, then shut. The turn
 * limit stands in it: permits are given strictly in the order of asking, and a
 * session asks for one at a time, so no session can take another's place.
 */
import * as Effect from "effect/Effect"
import * as MutableList from "effect/MutableList"

/** The gate of one gateway. All state is synchronous: between two calls of one fiber nobody comes in. */
export class Gate {
  readonly limit: number
  /** Permits that are out. */
  taken = 0
  #opened = false
  #shut = false
  #lastSeq = Number.MAX_SAFE_INTEGER
  readonly #waiters = MutableList.make<(admitted: boolean) => void>()

  constructor(limit: number) {
    this.limit = limit
  }

  /** Dispatch may begin: boot has its keys. */
  open() {
    this.#opened = true
    this.#grant()
  }

  /** From now on only messages up to `lastSeq` may start. */
  narrow(lastSeq: number) {
    this.#lastSeq = Math.min(this.#lastSeq, lastSeq)
  }

  /** Nothing starts any more; those who wait are told. */
  shut() {
    this.#shut = true
    while (this.#waiters.length > 0) (MutableList.take(this.#waiters) as (admitted: boolean) => void)(false)
  }

  get isOpen() {
    return this.#opened
  }

  get draining() {
    return this.#shut || this.#lastSeq !== Number.MAX_SAFE_INTEGER
  }

  get isShut() {
    return this.#shut
  }

  /** May a turn start whose first message has this seq? */
  admits(seq: number) {
    return !this.#shut && seq <= this.#lastSeq
  }

  /** Waits for a permit; `false` when the gate was shut first. Not for a fiber that may be interrupted while it waits. */
  readonly enter: Effect.Effect<boolean> = Effect.callback<boolean>((resume) => {
    if (this.#shut) return resume(Effect.succeed(false))
    this.#ask((admitted) => resume(Effect.succeed(admitted)))
  })

  /** Takes a permit again after a wait for a person; a shut gate lets it through, because its turn runs already. */
  readonly reenter: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const through = (admitted: boolean) => {
      if (!admitted) this.taken++
      resume(Effect.void)
    }
    if (this.#shut) through(false)
    else this.#ask(through)
  })

  /** Gives a permit back, to the one who has waited longest. */
  leave() {
    this.taken--
    this.#grant()
  }

  #ask(waiter: (admitted: boolean) => void) {
    MutableList.append(this.#waiters, waiter)
    this.#grant()
  }

  #grant() {
    while (this.#opened && this.taken < this.limit && this.#waiters.length > 0) {
      this.taken++
      ;(MutableList.take(this.#waiters) as (admitted: boolean) => void)(true)
    }
  }
}
