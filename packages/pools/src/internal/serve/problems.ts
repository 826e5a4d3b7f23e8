/**
 * What a client of the OpenAI-compatible routes hears when there is no answer: the error document that such clients read,
 * a status that says whose fault it is, and Retry-After where trying again helps.
 */
import * as Data from "effect/Data"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { PoolError, Reason } from "../../PoolError.ts"

export interface Problem {
  readonly status: number
  readonly type: string
  readonly code: string
  readonly message: string
  readonly param?: string
  /** Milliseconds. */
  readonly retryAfter?: number
  /** The connection is closed behind it. */
  readonly closes?: boolean
}

/** A request that is answered with a problem. */
export class Refused extends Data.TaggedError("Refused")<{ readonly problem: Problem }> {}

export const refused = (problem: Problem): Refused => new Refused({ problem })

/** After a stop, and wherever nobody knows better. */
const soon = 5000

interface Told {
  readonly status: number
  readonly type: string
  readonly code: string
  readonly retryAfter?: number
}

const told = (reason: Reason): Told => {
  const server = (status: number, code: string, retryAfter?: number): Told => ({
    status,
    type: "server_error",
    code,
    ...(retryAfter === undefined ? {} : { retryAfter })
  })
  switch (reason._tag) {
    case "Overloaded":
      return { status: 429, type: "rate_limit_error", code: "overloaded", retryAfter: reason.retryAfter }
    case "ModelError":
      return {
        // What the model's own server says of a request is true of ours: but for a key, which is ours and not the client's.
        status: reason.status !== undefined && reason.status !== 401 && reason.status !== 403 ? reason.status : 400,
        type: "invalid_request_error",
        code: "model_error"
      }
    case "Timeout":
      return server(504, "timeout")
    case "Stalled":
      return server(504, "stalled")
    case "Transport":
      return server(502, "worker_lost")
    case "LoadFailed":
      return server(503, "load_failed", soon)
    case "CircuitOpen":
      return server(503, "circuit_open", reason.retryAfter)
    case "MemoryExhausted":
      return server(503, "memory_exhausted", soon)
    case "ShuttingDown":
      return server(503, "shutting_down", soon)
    case "NoWorker":
      return server(503, "no_worker")
  }
}

export const ofPool = (error: PoolError): Problem => ({ ...told(error.reason), message: error.message })

export const invalid = (message: string, param?: string): Problem => ({
  status: 400,
  type: "invalid_request_error",
  code: "invalid_request",
  message,
  ...(param === undefined ? {} : { param })
})

export const tooLarge = (limit: number): Problem => ({
  status: 413,
  type: "invalid_request_error",
  code: "too_large",
  message: `the body is larger than ${limit} bytes`
})

/** The bodies of others fill what there is for all. */
export const crowded: Problem = {
  status: 429,
  type: "rate_limit_error",
  code: "too_many_bytes",
  message: "the requests that are here take all the memory that there is for them; try again in 1 s",
  retryAfter: 1000
}

/** Nothing of the body came for so long (milliseconds). Its room is needed by others. */
export const silent = (stall: number): Problem => ({
  status: 408,
  type: "invalid_request_error",
  code: "body_timeout",
  message: `nothing of the body came for ${stall / 1000} s, and not all of it is here; nothing was done, send it again`,
  // What may still come belongs to no request.
  closes: true
})

/** Something here broke that is nobody's request. */
export const broken: Problem = {
  status: 500,
  type: "server_error",
  code: "internal_error",
  message: "the request could not be handled; the log of this server has the reason"
}

/** A stop began while the request was still being sent. */
export const stopping: Problem = {
  status: 503,
  type: "server_error",
  code: "shutting_down",
  message: "this server is being stopped; nothing was done, try again",
  retryAfter: soon
}

/** A model that is there, and is for something else. */
export const otherModel = (
  model: string,
  capability: string,
  wanted: ReadonlyArray<string>,
  known: ReadonlyArray<string>
): Problem => ({
  ...unknownModel(model, known),
  message: `model ${JSON.stringify(model)} is for ${capability}; for ${wanted.join(" or ")} there ${known.length === 0 ? "is none" : `is ${known.join(", ")}`}`
})

export const unknownModel = (model: string, known: ReadonlyArray<string>): Problem => ({
  status: 404,
  type: "invalid_request_error",
  code: "model_not_found",
  param: "model",
  message: `there is no model ${JSON.stringify(model.slice(0, 100))} for this; there ${known.length === 0 ? "is none" : `is ${known.join(", ")}`}`
})

/** The document, as it also stands in a stream that has begun. */
export const documentOf = ({ code, message, param, type }: Problem) => ({
  error: { message, type, param: param ?? null, code }
})

export const responseOf = (problem: Problem): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(documentOf(problem), {
    status: problem.status,
    headers: {
      ...(problem.retryAfter === undefined
        ? {}
        : { "retry-after": String(Math.max(1, Math.ceil(problem.retryAfter / 1000))) }),
      ...(problem.closes === true ? { connection: "close" } : {})
    }
  })
