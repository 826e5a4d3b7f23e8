/**
 * The scope in which the pools live. The stop has drained and interrupted them when it is closed; what may be left are
 * workers that take their time to end, and a stop that has none: those are killed, and nothing waits beyond the deadline.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { Pools } from "./Pools.ts"

/** Without a stop that says how long: the gateway did not start. */
const otherwise = 5000

/** What is kept of the time of a stop for killing those that have not ended. */
const reserve = 300

/** Whether it has ended by then. In a finalizer only what is interruptible itself is not waited for. */
const ended = (closing: Fiber.Fiber<void>, millis: number) =>
  Effect.map(
    Effect.timeoutOption(Effect.interruptible(Fiber.await(closing)), Duration.millis(Math.max(0, millis))),
    Option.isSome
  )

const close = Effect.fnUntraced(function* (pools: Pools, scope: Scope.Closeable, until: () => number | undefined) {
  const now = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)
  const left = (until() ?? (yield* now) + otherwise) - (yield* now) - reserve
  // On its own: to be interrupted it would have to be waited for.
  const closing = yield* Effect.forkDetach(Scope.close(scope, Exit.void), { startImmediately: true })
  if (yield* ended(closing, left)) return
  yield* pools.opened?.hurry ?? Effect.void
  if (yield* ended(closing, reserve)) return
  yield* Effect.logWarning("Workers of pools have not ended and are left behind")
})

/** The scope, closed with the one around it. `until` says when a stop has to be over, in monotonic milliseconds. */
export const poolScope = (pools: Pools, until: () => number | undefined) =>
  Effect.acquireRelease(Scope.make(), (scope) => close(pools, scope, until))
