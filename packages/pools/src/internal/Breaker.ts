/**
 * Leaves a backend alone that fails. It counts over a rolling window, so that old failures are forgotten piece by piece;
 * what the model itself refuses is an answer, not a failure. After a pause a few requests try whether it is back: those
 * are counted while they are in flight, so that a backend that is just rising is not met by all who waited for it.
 */

export interface BreakerOptions {
  /** Milliseconds that count. */
  readonly window: number
  /** With fewer outcomes in the window it stays closed. */
  readonly minimum: number
  /** The share of failures at which it opens. */
  readonly ratio: number
  /** Milliseconds until it is tried again. */
  readonly pause: number
  /** How many requests try it at once. */
  readonly trials: number
}

/** What an admission has to give back with its outcome: a trial belongs to one opening. */
export type Pass = number

const pieces = 10

export class Breaker {
  readonly #options: BreakerOptions
  readonly #good = Array.from({ length: pieces }, () => 0)
  readonly #bad = Array.from({ length: pieces }, () => 0)
  #piece = 0
  #openedAt: number | undefined
  #opening = 0
  #inFlight = 0

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  /** As an operator sees it. */
  state(now: number): "closed" | "open" | "half-open" {
    if (this.#openedAt === undefined) return "closed"
    return now < this.#openedAt + this.#options.pause ? "open" : "half-open"
  }

  /** Lets a request through, or says how long it is not worth asking (milliseconds). */
  admit(now: number): { readonly pass: Pass } | { readonly retryAfter: number } {
    if (this.#openedAt === undefined) return { pass: 0 }
    const left = Math.ceil(this.#openedAt + this.#options.pause - now)
    if (left > 0) return { retryAfter: left }
    // Somebody is trying already: what comes of it is known soon.
    if (this.#inFlight >= this.#options.trials) return { retryAfter: Math.min(1000, this.#options.pause) }
    this.#inFlight++
    return { pass: this.#opening }
  }

  /** Tells the outcome; `undefined` when there is none, for example because the caller left. True when it opens now. */
  settle(pass: Pass, good: boolean | undefined, now: number): boolean {
    if (this.#openedAt !== undefined) {
      // From before it opened, or the trial of an earlier opening: that is known.
      if (pass !== this.#opening) return false
      this.#inFlight--
      if (good === true) this.#close(now)
      else if (good === false) this.#open(now)
      return good === false
    }
    if (good === undefined) return false
    this.#turn(now)
    const at = this.#piece % pieces
    const counts = good ? this.#good : this.#bad
    counts[at] = (counts[at] ?? 0) + 1
    const bad = sum(this.#bad)
    const all = bad + sum(this.#good)
    if (good || all < this.#options.minimum || bad / all < this.#options.ratio) return false
    this.#open(now)
    return true
  }

  #open(now: number): void {
    this.#openedAt = now
    this.#opening++
    this.#inFlight = 0
  }

  #close(now: number): void {
    this.#openedAt = undefined
    this.#good.fill(0)
    this.#bad.fill(0)
    this.#turn(now)
  }

  /** Forgets what has left the window. */
  #turn(now: number): void {
    const piece = Math.floor(now / (this.#options.window / pieces))
    const passed = Math.min(pieces, piece - this.#piece)
    for (let step = 1; step <= passed; step++) {
      const at = (piece - passed + step) % pieces
      this.#good[at] = 0
      this.#bad[at] = 0
    }
    this.#piece = piece
  }
}

const sum = (counts: ReadonlyArray<number>): number => counts.reduce((total, count) => total + count, 0)
