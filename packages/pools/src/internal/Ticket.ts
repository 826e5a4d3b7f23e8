/**
 * One request on its way through a pool, and the two forms that an answer has: whole, or in parts. A ticket is settled
 * once; what comes later (a timeout behind an answer, a caller that leaves in the same moment) finds it settled.
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Worker } from "../Capability.ts"
import { type PoolError, WorkerError } from "../PoolError.ts"
import type { Pass } from "./Breaker.ts"
import { Entry, type Priority } from "./Line.ts"
import type { Member } from "./Member.ts"

/** What a caller says of a request, with the defaults filled in. */
export interface Terms {
  readonly key: string
  readonly priority: Priority
  /** Milliseconds. */
  readonly timeout: number
  readonly inside: boolean
  /** The caller's own context: spans and log annotations. */
  readonly context: Context.Context<never>
}

export abstract class Ticket<Q, A, P> extends Entry {
  readonly request: Q
  readonly terms: Terms
  state: "new" | "waiting" | "running" | "settled" = "new"
  pass: Pass = 0
  attempt = 0
  /** Monotonic milliseconds at which the worker had it. */
  startedAt = 0
  member: Member<Worker<Q, A, P>> | undefined
  fiber: Fiber.Fiber<unknown, WorkerError> | undefined
  timer: Fiber.Fiber<unknown> | undefined
  /** Why its run fails, when that is known before the run has ended: its worker is gone, or went silent. */
  lost: WorkerError | undefined
  /** Where the run says so. */
  broke: ((error: WorkerError) => void) | undefined
  /** The caller has seen a part: nobody may begin anew. */
  emitted = false

  constructor(request: Q, terms: Terms) {
    super(terms.key, terms.priority)
    this.request = request
    this.terms = terms
  }

  /** The work at a worker. */
  abstract run(worker: Worker<Q, A, P>): Effect.Effect<unknown, WorkerError>
  /** Hands the end over to the caller. */
  abstract tell(exit: Exit.Exit<unknown, PoolError>): void
}

/** A request with one answer. */
export class Whole<Q, A, P> extends Ticket<Q, A, P> {
  readonly #resume: (answer: Effect.Effect<A, PoolError>) => void

  constructor(request: Q, terms: Terms, resume: (answer: Effect.Effect<A, PoolError>) => void) {
    super(request, terms)
    this.#resume = resume
  }

  run(worker: Worker<Q, A, P>): Effect.Effect<unknown, WorkerError> {
    return worker.answer(this.request)
  }

  tell(exit: Exit.Exit<unknown, PoolError>): void {
    this.#resume(exit as Exit.Exit<A, PoolError>)
  }
}

/** So many parts are held for a caller that reads slowly, then the worker waits for him. */
const held = 16

/** A request whose answer comes in parts. */
export class Parts<Q, A, P> extends Ticket<Q, A, P> {
  readonly queue: Queue.Queue<P, PoolError | Cause.Done>
  /** Milliseconds. */
  readonly #stall: number

  constructor(request: Q, terms: Terms, queue: Queue.Queue<P, PoolError | Cause.Done>, stall: Duration.Duration) {
    super(request, terms)
    this.queue = queue
    this.#stall = Duration.toMillis(stall)
  }

  static readonly queue = <P>(): Effect.Effect<Queue.Queue<P, PoolError | Cause.Done>> => Queue.bounded(held)

  run(worker: Worker<Q, A, P>): Effect.Effect<unknown, WorkerError> {
    if (worker.stream === undefined) {
      return Effect.fail(new WorkerError({ reason: "Rejected", message: "this worker does not answer in parts" }))
    }
    const source = worker.stream(this.request)
    return Effect.clockWith((clock) => {
      const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
      // Since when the worker has been asked for its next part: how slowly the caller reads is not held against it.
      let since: number | undefined = now()
      const parts = Stream.transformPull(source, (pull) =>
        Effect.succeed(
          Effect.suspend(() => {
            since = now()
            return pull
          })
        )
      )
      const told = Stream.runForEachArray(parts, (some) => {
        since = undefined
        this.emitted = true
        return Queue.offerAll(this.queue, some)
      })
      // One that sleeps for the whole stream, not one for each part.
      return Effect.raceFirst(
        told,
        this.#silence(() => (since ?? now()) + this.#stall - now())
      )
    })
  }

  /** Fails when no time is left. Said at once: a worker that hangs may take its time to let go. */
  #silence(left: () => number): Effect.Effect<never, WorkerError> {
    return Effect.suspend(() => {
      const millis = left()
      if (millis > 0) return Effect.andThen(Effect.sleep(millis), this.#silence(left))
      const silence = new WorkerError({ reason: "Stalled", message: "the worker went silent" })
      this.broke?.(silence)
      return Effect.fail(silence)
    })
  }

  tell(exit: Exit.Exit<unknown, PoolError>): void {
    Queue.failCauseUnsafe(this.queue, Exit.isSuccess(exit) ? Cause.fail(Cause.Done()) : exit.cause)
  }
}
