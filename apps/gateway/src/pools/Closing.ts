/**
 * The scope in which the pools live. The stop has drained and interrupted them when it is closed; what may be left are
 * workers that take their time to end, and a stop that has none: those are killed, and nothing waits beyond the deadline.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Pools } from "./Pools.ts"

/** How much time a stop has. */
export interface Haste {
  /** When it has to be over, in monotonic milliseconds; `undefined` without a stop. */
  readonly until: () => number | undefined
  /** Completed when somebody does not want to wait. */
  readonly hurried: Deferred.Deferred<void>
}

/** Without a stop that says how long: the gateway did not start. */
const otherwise = 5000

/** What is kept of the time of a stop for killing those that have not ended. */
const reserve = 300

/** Waits for the end; false when there is no more time. In a finalizer only what is interruptible itself is not waited for. */
const ended = (closing: Fiber.Fiber<void>, millis: number, hurried: Effect.Effect<void>) =>
  Effect.raceAllFirst([
    Effect.interruptible(Effect.as(Fiber.await(closing), true)),
    Effect.interruptible(Effect.as(Effect.sleep(Duration.millis(Math.max(0, millis))), false)),
    Effect.interruptible(Effect.as(hurried, false))
  ])

const close = Effect.fnUntraced(function* (pools: Pools, scope: Scope.Closeable, { hurried, until }: Haste) {
  const now = Number(yield* Clock.monotonicTimeNanos) / 1e6
  const left = (until() ?? now + otherwise) - now - reserve
  // On its own: to be interrupted it would have to be waited for.
  const closing = yield* Effect.forkDetach(Scope.close(scope, Exit.void), { startImmediately: true })
  if (yield* ended(closing, left, Deferred.await(hurried))) return
  yield* pools.opened?.hurry ?? Effect.void
  if (yield* ended(closing, reserve, Effect.never)) return
  yield* Effect.logWarning("Workers of pools have not ended and are left behind")
})

/** A scope for the pools, and its end, which comes with the end of the scope around it at the latest. */
export const poolScope = Effect.fnUntraced(function* (pools: Pools, haste: Haste) {
  const scope = yield* Scope.make()
  let isClosed = false
  const end = Effect.suspend(() => {
    if (isClosed) return Effect.void
    isClosed = true
    return close(pools, scope, haste)
  })
  yield* Effect.addFinalizer(() => end)
  return { scope, end }
})
