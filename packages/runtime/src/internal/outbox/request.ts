/**
 * One request to the other side, bounded. It runs in a fiber of its own: a request
 * that ignores its interruption must not hold up the decision about it, so the
 * caller is told "no answer" at the bound and may wait for the fiber afterwards.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { DeliveryError, Receipt } from "../../Channel.ts"
import type { Outcome } from "./verdict.ts"

/** The outcome, and the fiber that may still be letting go. */
export interface Answer {
  readonly outcome: Outcome
  readonly fiber: Fiber.Fiber<unknown, unknown>
}

const text = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause)).slice(0, 1000)

const outcomeOf = (exit: Exit.Exit<Receipt, DeliveryError>): Outcome => {
  if (Exit.isSuccess(exit)) return { _tag: "Answered", remoteId: exit.value.remoteId }
  const failure = Cause.findErrorOption(exit.cause)
  if (Option.isNone(failure)) {
    return {
      _tag: "NoAnswer",
      error: Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : `defect: ${text(Cause.squash(exit.cause))}`
    }
  }
  const error = failure.value
  switch (error._tag) {
    case "NotSent":
      return { _tag: "NotSent", error: text(error.cause) }
    case "Unknown":
      return { _tag: "NoAnswer", error: text(error.cause) }
    case "Refused":
      return { _tag: "Refused", error: error.reason }
    case "Throttled":
      return { _tag: "Throttled", wait: error.retryAfter, scope: error.scope }
    case "Unauthorized":
      return { _tag: "Unauthorized", error: error.reason }
  }
}

/**
 * Runs `effect` for at most `timeout` milliseconds. Meant for an uninterruptible
 * region: `restore` lets the wait be interrupted, which counts as no answer.
 */
export const request = Effect.fnUntraced(function* (
  effect: Effect.Effect<Receipt, DeliveryError>,
  timeout: number,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
  running: Set<Fiber.Fiber<unknown, unknown>>
): Effect.fn.Return<Answer> {
  const fiber = yield* Effect.forkDetach(effect, { uninterruptible: false })
  running.add(fiber)
  fiber.addObserver(() => running.delete(fiber))
  const waited = yield* Effect.exit(restore(Fiber.await(fiber).pipe(Effect.timeoutOption(timeout))))
  if (Exit.isSuccess(waited) && Option.isSome(waited.value)) return { outcome: outcomeOf(waited.value.value), fiber }
  // It may have ended in the very tick in which the wait did.
  const late = fiber.pollUnsafe()
  if (late !== undefined) return { outcome: outcomeOf(late), fiber }
  fiber.interruptUnsafe()
  const error = Exit.isSuccess(waited) ? `no answer within ${timeout} ms` : "interrupted"
  return { outcome: { _tag: "NoAnswer", error }, fiber }
})
