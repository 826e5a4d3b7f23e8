/**
 * Looks at the backend of a pool that is in doubt, so that the pool says how it is without a request that finds out: after
 * a request that was lost, and after a load that failed. Nobody looks while all is well: the fiber begins with the doubt,
 * looks less and less often, and ends with a look that succeeds, with a load that does, or with the pool.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { WorkerError } from "../PoolError.ts"
import { workerError } from "./Member.ts"

/** The waits between two looks, in milliseconds. */
const waits = { first: 5000, factor: 2, longest: 60_000 }

export interface ProbeHost {
  /** Succeeds when a worker would load now. */
  readonly look: Effect.Effect<void, WorkerError>
  /** Milliseconds that one look may take. */
  readonly timeout: number
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  readonly now: () => number
  /** A look succeeded. Milliseconds after which to look again, or `undefined` when that was believed. */
  readonly back: () => number | undefined
  /** A look failed. */
  readonly down: (error: WorkerError) => void
}

export class Probe {
  readonly #host: ProbeHost
  readonly #look: Effect.Effect<void, WorkerError>
  #fiber: Fiber.Fiber<unknown, unknown> | undefined
  #lookedAt = -Infinity

  constructor(host: ProbeHost) {
    this.#host = host
    const message = `no answer within ${host.timeout / 1000} s`
    this.#look = Effect.timeoutOrElse(host.look, {
      duration: Duration.millis(host.timeout),
      orElse: () => Effect.fail(new WorkerError({ reason: "Transport", message }))
    })
  }

  /** A load failed: it is known how the backend is, and whether that changes. */
  failed(): void {
    this.#begin(waits.first, waits.first * waits.factor)
  }

  /** A request was lost: that may be its own fault. */
  doubt(): void {
    this.#begin(Math.max(0, this.#lookedAt + waits.first - this.#host.now()), waits.first)
  }

  /** A load succeeded, or nothing is to be loaded any more. */
  end(): void {
    const fiber = this.#fiber
    this.#fiber = undefined
    fiber?.interruptUnsafe()
  }

  #begin(wait: number, next: number): void {
    if (this.#fiber !== undefined) return
    const fiber = this.#host.fork(this.#watch(wait, next))
    this.#fiber = fiber
    fiber.addObserver(() => {
      if (this.#fiber === fiber) this.#fiber = undefined
    })
  }

  /** Looks after `wait`; when that fails, after `next`, and then after twice as long each time. */
  #watch(wait: number, next: number): Effect.Effect<void> {
    const { back, down, now } = this.#host
    const found = Effect.suspend(() => {
      this.#lookedAt = now()
      return Effect.exit(this.#look)
    })
    return Effect.sleep(Duration.millis(wait)).pipe(
      Effect.andThen(found),
      Effect.flatMap((exit) => {
        if (Exit.isFailure(exit)) {
          down(workerError(exit.cause))
          return this.#watch(next, Math.min(waits.longest, next * waits.factor))
        }
        const left = back()
        return left === undefined ? Effect.void : this.#watch(left, next)
      })
    )
  }
}
