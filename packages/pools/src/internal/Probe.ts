/**
 * Looks whether what did not load would load by now, so that a pool whose backend is back says so before the next request
 * finds out. Nobody looks while all is well: the fiber begins with a load that failed, looks less and less often, and ends
 * with a load or a look that succeeds, or with the pool.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { WorkerError } from "../PoolError.ts"

/** The waits between two looks, in milliseconds. */
const waits = { first: 5000, factor: 2, longest: 60_000 }

export interface ProbeHost {
  /** Succeeds when a worker would load now. */
  readonly look: Effect.Effect<void, WorkerError>
  /** Milliseconds that one look may take. */
  readonly timeout: number
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  /** A look succeeded. Milliseconds after which to look again, or `undefined` when that was believed. */
  readonly back: () => number | undefined
}

export class Probe {
  readonly #host: ProbeHost
  #fiber: Fiber.Fiber<unknown, unknown> | undefined

  constructor(host: ProbeHost) {
    this.#host = host
  }

  /** A load failed. */
  begin(): void {
    if (this.#fiber !== undefined) return
    const fiber = this.#host.fork(this.#watch(waits.first, waits.first))
    this.#fiber = fiber
    fiber.addObserver(() => {
      if (this.#fiber === fiber) this.#fiber = undefined
    })
  }

  /** A load succeeded, or nothing is to be loaded any more. */
  end(): void {
    const fiber = this.#fiber
    this.#fiber = undefined
    fiber?.interruptUnsafe()
  }

  /** Looks after `wait`, then after twice as long as `last`. */
  #watch(wait: number, last: number): Effect.Effect<void> {
    const { back, look, timeout } = this.#host
    const found = Effect.option(Effect.timeoutOption(look, Duration.millis(timeout)))
    const longer = Math.min(waits.longest, last * waits.factor)
    return Effect.sleep(Duration.millis(wait)).pipe(
      Effect.andThen(found),
      Effect.flatMap((answer) => {
        if (Option.isNone(Option.flatten(answer))) return this.#watch(longer, longer)
        const left = back()
        return left === undefined ? Effect.void : this.#watch(left, last)
      })
    )
  }
}
