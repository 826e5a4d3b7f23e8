/**
 * One worker of a crew: its place, its memory, what it has to do, and how far it has come. The crew alone moves it from
 * state to state; the desk reads them.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import { WorkerError } from "../PoolError.ts"
import type { Lease } from "./Books.ts"

/** What the crew has to know of a worker. */
export interface Loaded {
  readonly concurrency?: number
  readonly memory?: Effect.Effect<number>
  readonly gone?: Effect.Effect<never, WorkerError>
}

export class Member<W> {
  readonly place: number
  readonly lease: Lease
  readonly leave = Deferred.makeUnsafe<void>()
  state: "asking" | "loading" | "ready" | "leaving" = "asking"
  worker: W | undefined
  places = 1
  /** Requests that it has, each until its very end. */
  pending = 0
  lastUsed: number
  /** What it lives in: its scope is closed when this ends. */
  life: Fiber.Fiber<unknown, unknown> | undefined
  /** Sleeps while it loads, to say that it takes too long. */
  late: Fiber.Fiber<unknown> | undefined
  /** Somebody measures it, or did so a moment ago; `stale` when a request has ended since. */
  measuring: Fiber.Fiber<unknown> | undefined
  stale = false

  constructor(place: number, now: number, lease: (evict: () => void) => Lease, evict: (member: Member<W>) => void) {
    this.place = place
    this.lastUsed = now
    this.lease = lease(() => evict(this))
  }

  get free(): boolean {
    return this.state === "ready" && this.pending < this.places
  }
}

/** The failure of a worker behind a cause, also when it died. */
export const workerError = (cause: Cause.Cause<WorkerError>): WorkerError =>
  Option.getOrElse(Cause.findErrorOption(cause), () => {
    const died = cause.reasons.find(Cause.isDieReason)
    const detail = died === undefined ? "was interrupted" : `died: ${Inspectable.toStringUnknown(died.defect)}`
    return new WorkerError({ reason: "Transport", message: `the worker ${detail}` })
  })
