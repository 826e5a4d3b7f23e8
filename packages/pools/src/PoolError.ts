/**
 * Why a pool did not answer: one error, whose reason says what a caller can do about it. What a worker tells the pool is
 * the smaller `WorkerError`; the pool turns it into a reason, after it has tried elsewhere where that is allowed.
 */
import * as Schema from "effect/Schema"

/**
 * What went wrong at a worker. `Rejected`: the model itself says no to this request, and would say it again. `Busy`: the
 * backend has no room now. `Transport`: the backend can't be reached, broke off or sent what is no answer. `Stalled`: it
 * went silent. `Memory`: it found no memory to load.
 */
export class WorkerError extends Schema.TaggedError<WorkerError>()("WorkerError", {
  reason: Schema.Literals(["Rejected", "Busy", "Transport", "Stalled", "Memory"]),
  /** A sentence for the operator, without secrets. */
  message: Schema.String,
  /** The backend's own status, where it has one. */
  status: Schema.optionalKey(Schema.Int),
  /** With `Busy`: milliseconds after which the backend wants to be asked again. */
  retryAfter: Schema.optionalKey(Schema.Finite),
  /** With `Transport`: only this request broke, the worker is as good as before and goes on. */
  stays: Schema.optionalKey(Schema.Boolean)
}) {}

/** Nothing could ever serve this: the pool is configured without workers. */
export const NoWorker = Schema.TaggedStruct("NoWorker", {})

/** The line is full, or the backend says so. `position` is the place that the request would have had, 0 at a backend. */
export const Overloaded = Schema.TaggedStruct("Overloaded", {
  position: Schema.Int,
  /** Milliseconds after which it is worth trying again: an estimate. */
  retryAfter: Schema.Finite
})

/** The request's own time is over; `started` says whether a worker had it. */
export const Timeout = Schema.TaggedStruct("Timeout", { after: Schema.Finite, started: Schema.Boolean })

/** A stream was silent for so long (milliseconds). */
export const Stalled = Schema.TaggedStruct("Stalled", { after: Schema.Finite })

/** The worker that the request waited for did not load. */
export const LoadFailed = Schema.TaggedStruct("LoadFailed", { detail: Schema.String })

/** The model refuses the request; the same request will be refused again. */
export const ModelError = Schema.TaggedStruct("ModelError", {
  detail: Schema.String,
  status: Schema.optionalKey(Schema.Int)
})

/** The worker broke, here and, if nothing had been emitted, at a second one too. */
export const Transport = Schema.TaggedStruct("Transport", { detail: Schema.String })

/** The backend failed so often that it is left alone for a while; milliseconds until it is tried again. */
export const CircuitOpen = Schema.TaggedStruct("CircuitOpen", { retryAfter: Schema.Finite })

/** No worker fits: it needs more than the governor has at all, or others held the memory until the request's time was over. */
export const MemoryExhausted = Schema.TaggedStruct("MemoryExhausted", { needed: Schema.Finite, limit: Schema.Finite })

/** The pool is being stopped. */
export const ShuttingDown = Schema.TaggedStruct("ShuttingDown", {})

/** What a caller branches on. */
export const Reason = Schema.Union([
  NoWorker,
  Overloaded,
  Timeout,
  Stalled,
  LoadFailed,
  ModelError,
  Transport,
  CircuitOpen,
  MemoryExhausted,
  ShuttingDown
])

export type Reason = typeof Reason.Type

const seconds = (millis: number): string => `${Math.round(millis / 100) / 10} s`

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 1_048_576)} MiB`

const describe = (reason: Reason): string => {
  switch (reason._tag) {
    case "NoWorker":
      return "has no workers; set its `max` to 1 or more"
    case "Overloaded":
      return reason.position > 0
        ? `is full: the request would be number ${reason.position} in line; try again in ${seconds(reason.retryAfter)}`
        : `has a backend without room; try again in ${seconds(reason.retryAfter)}`
    case "Timeout":
      return `gave no answer in ${seconds(reason.after)}${reason.started ? "" : ": the request was still waiting"}`
    case "Stalled":
      return `said nothing for ${seconds(reason.after)}`
    case "LoadFailed":
      return `could not load a worker: ${reason.detail}`
    case "ModelError":
      return `refused the request: ${reason.detail}`
    case "Transport":
      return `lost its worker: ${reason.detail}`
    case "CircuitOpen":
      return `failed too often; it is tried again in ${seconds(reason.retryAfter)}`
    case "MemoryExhausted":
      return `needs ${mebibytes(reason.needed)} for a worker, and ${mebibytes(reason.limit)} is all that pools may take`
    case "ShuttingDown":
      return "is being stopped"
  }
}

/** A request that a pool did not answer. */
export class PoolError extends Schema.TaggedError<PoolError>()("PoolError", {
  /** Name of the pool. */
  pool: Schema.String,
  reason: Reason
}) {
  override get message() {
    return `pool ${this.pool} ${describe(this.reason)}`
  }
}
