/**
 * What became of the requests for each model, counted where clients and agents ask, for as long as the program runs: a
 * reload that makes a pool anew does not set its counters back.
 */
import type * as Pool from "@sluice/pools/Pool"
import type { PoolError } from "@sluice/pools/PoolError"
import type { Model } from "@sluice/pools/Routes"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** How a request can end: served, left by its client, or one of the reasons of an error. */
export const outcomes = [
  "served",
  "cancelled",
  "overloaded",
  "timeout",
  "stalled",
  "model_error",
  "transport",
  "load_failed",
  "circuit_open",
  "memory_exhausted",
  "no_worker",
  "shutting_down",
  "defect"
] as const

/** How a request ended. */
export type Outcome = (typeof outcomes)[number]

/** Upper bounds of the histogram in milliseconds. */
export const bounds = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000] as const

/** What is known of the requests for one model. */
export interface ModelFigures {
  readonly outcomes: { readonly [outcome in Outcome]: number }
  /** Of those that were served, from the request to the end of the answer: counts by bound, the last without one, and their sum in milliseconds. */
  readonly served: { readonly counts: ReadonlyArray<number>; readonly sum: number }
}

/** Counts for one model. */
export class Counter {
  readonly #outcomes: Record<Outcome, number>
  readonly #counts: Array<number> = Array.from({ length: bounds.length + 1 }, () => 0)
  #sum = 0

  constructor() {
    this.#outcomes = Object.fromEntries(outcomes.map((outcome) => [outcome, 0])) as Record<Outcome, number>
  }

  add(outcome: Outcome, millis: number): void {
    this.#outcomes[outcome]++
    if (outcome !== "served") return
    const found = bounds.findIndex((bound) => millis <= bound)
    const at = found === -1 ? bounds.length : found
    this.#counts[at] = (this.#counts[at] ?? 0) + 1
    this.#sum += millis
  }

  get figures(): ModelFigures {
    return { outcomes: { ...this.#outcomes }, served: { counts: [...this.#counts], sum: this.#sum } }
  }
}

/** `LoadFailed` as it is counted: `load_failed`. */
const named = (error: PoolError): Outcome =>
  error.reason._tag.replace(/(?!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase() as Outcome

const outcomeOf = (exit: Exit.Exit<unknown, PoolError>): Outcome => {
  if (Exit.isSuccess(exit)) return "served"
  const error = Cause.findErrorOption(exit.cause)
  return Option.isSome(error) ? named(error.value) : Cause.hasDies(exit.cause) ? "defect" : "cancelled"
}

const millisOf = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

const counted = <Q, A, P>(pool: Pool.Pool<Q, A, P>, counter: Counter): Pool.Pool<Q, A, P> => ({
  ...pool,
  submit: (request, terms) =>
    Effect.clockWith((clock) => {
      const since = millisOf(clock)
      return Effect.onExitPrimitive(pool.submit(request, terms), (exit) => {
        counter.add(outcomeOf(exit), millisOf(clock) - since)
        return undefined
      })
    }),
  stream: (request, terms) =>
    Stream.unwrap(
      Effect.clockWith((clock) => {
        const since = millisOf(clock)
        const count = (exit: Exit.Exit<unknown, PoolError>) =>
          Effect.sync(() => counter.add(outcomeOf(exit), millisOf(clock) - since))
        return Effect.succeed(Stream.onExit(pool.stream(request, terms), count))
      })
    )
})

/** The same model, with its requests counted. */
export const counting = (model: Model, counter: Counter): Model => {
  switch (model.capability) {
    case "text-embedding":
      return { capability: model.capability, pool: counted(model.pool, counter) }
    case "image-embedding":
      return { capability: model.capability, pool: counted(model.pool, counter) }
    case "text-generation":
      return { capability: model.capability, pool: counted(model.pool, counter) }
    case "vision":
      return { capability: model.capability, pool: counted(model.pool, counter) }
    case "image-generation":
      return { capability: model.capability, pool: counted(model.pool, counter) }
  }
}
