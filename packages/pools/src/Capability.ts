/**
 * What a pool is generic over: a capability (what is asked and answered, and how long that may take) and a worker (who
 * answers). A pool knows neither models nor protocols; whoever makes workers does.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { WorkerError } from "./PoolError.ts"

/** A kind of request, by name; the types say what goes in and what comes out, whole or in parts. */
export interface Capability<in out Request, in out Response, in out Part> {
  readonly name: string
  /** From the submission to the end of the answer, the waiting included. */
  readonly requestTimeout: Duration.Input
  /** The longest silence of a stream, its first part included. */
  readonly stallTimeout: Duration.Input
  readonly Types?: (request: Request, part: Part) => readonly [Request, Response, Part]
}

export const make = <Request, Response, Part = never>(options: {
  readonly name: string
  readonly requestTimeout: Duration.Input
  readonly stallTimeout?: Duration.Input
}): Capability<Request, Response, Part> => ({
  name: options.name,
  requestTimeout: options.requestTimeout,
  stallTimeout: options.stallTimeout ?? options.requestTimeout
})

/** A loaded worker: it lives as long as the scope that it was loaded in. */
export interface Worker<in Request, out Response, out Part> {
  /** How many requests it takes at once; 1 by default. */
  readonly concurrency?: number
  /** One request, one answer. Interrupting it ends the work. */
  readonly answer: (request: Request) => Effect.Effect<Response, WorkerError>
  /** One request, an answer in parts. Its end, its failure or an interruption ends the work. */
  readonly stream?: (request: Request) => Stream.Stream<Part, WorkerError>
  /** Bytes that it really takes now, where that can be measured; asked after the loading and after requests. */
  readonly memory?: Effect.Effect<number>
  /** Fails when the worker is gone by itself, for example because its process ended. */
  readonly gone?: Effect.Effect<never, WorkerError>
}
