/**
 * What signals do to a running gateway. They come as values from the recorder, in their order; each order is obeyed
 * beside the others, so that a reload that takes its time does not keep a stop waiting, and a gateway that hangs can
 * still be told to hurry.
 */
import type { StopRequest } from "@sluice/runtime/Shutdown"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Recorder, Signal } from "./SignalRecorder.ts"

/** The signals of this process. */
export interface Signals {
  /** Each signal, those from before the program was loaded included. To be run once. */
  readonly all: Stream.Stream<Signal>
  /** Completes at the first request to stop: nothing should be begun any more. */
  readonly stopping: Effect.Effect<Signal>
}

/** Most signals that wait for a program that does not look. */
const mostWaiting = 64

/** Listens to a recorder. */
export const make = Effect.fnUntraced(function* (recorder: Recorder): Effect.fn.Return<Signals, never, Scope.Scope> {
  const queue = yield* Effect.acquireRelease(Queue.sliding<Signal>(mostWaiting), Queue.shutdown)
  const stopping = yield* Deferred.make<Signal>()
  recorder.listen((signal) => {
    if (signal._tag === "Stop") Deferred.doneUnsafe(stopping, Effect.succeed(signal))
    Queue.offerUnsafe(queue, signal)
  })
  return { all: Stream.fromQueue(queue), stopping: Deferred.await(stopping) }
})

/** What the program does about signals. None of these can fail; what goes wrong is told where it happens. */
export interface Orders {
  readonly stop: (request: StopRequest) => Effect.Effect<unknown>
  readonly reload: Effect.Effect<unknown>
  readonly dump: Effect.Effect<unknown>
  /** Ends the process where it stands, with code 81. */
  readonly exitNow: (by: string) => Effect.Effect<never>
}

const order = (signal: Signal, orders: Orders): Effect.Effect<unknown> => {
  const { at, by } = signal
  switch (signal._tag) {
    case "Stop":
      if (signal.nth >= 3) return orders.exitNow(by)
      return orders.stop({ reason: "stop", by, at, ...(signal.nth === 2 ? { force: 1 } : {}) })
    case "Restart":
      return orders.stop({ reason: "restart", by, at })
    case "Reload":
      return orders.reload
    case "Dump":
      return orders.dump
  }
}

/** Does what signals ask for, for ever. */
export const obey = (signals: Signals, orders: Orders): Effect.Effect<never> =>
  Effect.gen(function* () {
    const fibers = yield* FiberSet.make<unknown, never>()
    yield* Stream.runForEach(signals.all, (signal) => FiberSet.run(fibers, order(signal, orders)))
    return yield* Effect.never
  }).pipe(Effect.scoped)
