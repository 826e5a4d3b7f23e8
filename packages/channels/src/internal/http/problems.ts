/**
 * What a client hears when a request fails: application/problem+json with a
 * stable `type`, a sentence that names field, value and remedy, and Retry-After
 * where trying again helps. A refusal of the journal has its status here and
 * nowhere else, so that a client can rely on what each of them means.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as ProblemDetails from "effect/http/ProblemDetails"
import * as Predicate from "effect/Predicate"
import type { AcceptError } from "@sluice/runtime/Message"
import { visible } from "../visible.ts"

/** What each problem is called. The names are the last part of its `type` and stable. */
export const titles = {
  invalid: "The request can't be accepted as it is",
  unauthorized: "The token is missing or not valid",
  "foreign-origin": "Requests from this origin are not allowed",
  "not-found": "There is nothing here",
  "unknown-command": "There is no such command",
  "not-now": "It can't be done now",
  conflict: "The key was used before with another body",
  "too-large": "The request is too large",
  "unsupported-content": "The body has a form that is not read here",
  "unknown-host": "This server does not answer for that host",
  "rate-limited": "Too many requests",
  "too-many-readers": "Too many clients are waiting",
  "too-many-sockets": "Too many WebSockets are open",
  "upgrade-required": "This address speaks WebSocket",
  stopping: "The gateway is stopping",
  busy: "The store is busy",
  storage: "The store could not commit",
  internal: "Something broke"
} as const

/** One of {@link titles}. */
export type ProblemType = keyof typeof titles

/** What is wrong. `retryAfter` in milliseconds. */
export interface Problem {
  readonly status: number
  readonly type: ProblemType
  readonly detail: string
  readonly retryAfter?: number
  readonly extra?: Readonly<Record<string, string | number>>
  readonly headers?: Readonly<Record<string, string>>
}

/** A request that is answered with a problem. */
export class Rejection extends Data.TaggedError("Rejection")<Problem> {
  override get message() {
    return this.detail
  }
}

/** Retry-After counts whole seconds, at least one. */
export const seconds = (millis: number): string => String(Math.max(1, Math.ceil(millis / 1000)))

const headersOf = ({ headers, retryAfter }: Problem) => ({
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  ...(retryAfter === undefined ? {} : { "retry-after": seconds(retryAfter) }),
  ...headers
})

/** The response of a problem. */
export const problem = (rejection: Problem) => {
  const response = ProblemDetails.toResponse({
    type: `urn:sluice:problem:${rejection.type}`,
    title: titles[rejection.type],
    status: rejection.status,
    detail: rejection.detail,
    ...(rejection.retryAfter === undefined ? {} : { retryAfter: rejection.retryAfter }),
    ...rejection.extra
  })
  return HttpServerResponse.setHeaders(response, headersOf(rejection))
}

/** The response of a problem as another document. */
export const worded = (rejection: Problem, body: object) =>
  HttpServerResponse.jsonUnsafe(body, { status: rejection.status, headers: headersOf(rejection) })

/** A refused message or post, as a client hears of it. 5xx always means: nothing was stored, send it again. */
export const problemOf = (error: AcceptError): Problem => {
  switch (error._tag) {
    case "Conflict":
      return {
        status: 409,
        type: "conflict",
        // The header's word; the field keeps its name.
        detail: `key "${visible(error.id)}" was used before with another body (seq ${error.seq}); send the same body again or use a new key`,
        extra: { id: error.id, seq: error.seq }
      }
    case "Invalid":
      return {
        status: 400,
        type: "invalid",
        detail: `${error.field} ${visible(error.value)}: ${error.remedy}`,
        extra: { field: error.field, value: visible(error.value), remedy: error.remedy }
      }
    case "TooLarge":
      return {
        status: 413,
        type: "too-large",
        detail: error.message,
        extra: { field: error.field, size: error.size, limit: error.limit, unit: error.unit }
      }
    case "RateLimited":
      return {
        status: 429,
        type: "rate-limited",
        detail: error.message,
        retryAfter: error.retryAfter,
        extra: { scope: error.scope }
      }
    case "Full":
    case "Busy":
      return { status: 503, type: "busy", detail: error.message, retryAfter: error.retryAfter }
    case "ShuttingDown":
      return { status: 503, type: "stopping", detail: error.message, retryAfter: error.retryAfter }
    case "Storage":
      return { status: 503, type: "storage", detail: error.message, retryAfter: error.retryAfter }
  }
}

/** The response of a refused message or post. */
export const fromAcceptError = (error: AcceptError) => problem(problemOf(error))

const acceptErrors: ReadonlySet<unknown> = new Set<AcceptError["_tag"]>([
  "Conflict",
  "Invalid",
  "TooLarge",
  "RateLimited",
  "Full",
  "Busy",
  "ShuttingDown",
  "Storage"
])
const isAcceptError = (error: unknown): error is AcceptError =>
  Predicate.hasProperty(error, "_tag") && acceptErrors.has(error._tag)

/** What is said when the reason is ours. The cause goes to the log, never to the client. */
export const internalProblem: Problem = {
  status: 500,
  type: "internal",
  detail: "the request could not be handled; the log has the reason. Sending it again with the same id is safe"
}
const internal = problem(internalProblem)

const notFound = problem({
  status: 404,
  type: "not-found",
  detail: "no such path or method; paths are listed in docs/http.md"
})

/** A path that can't be decoded is found by no route, and yet it is not one that is missing. */
const malformed = (url: string): HttpServerResponse.HttpServerResponse | undefined => {
  const [path = ""] = url.split(/[?#]/, 1)
  try {
    decodeURIComponent(path)
    return undefined
  } catch {
    const remedy = "percent-encode names as UTF-8, and a percent sign as %25"
    return problem({
      status: 400,
      type: "invalid",
      detail: `path ${visible(path)}: ${remedy}`,
      extra: { field: "path", value: visible(path), remedy }
    })
  }
}

const fromError = (error: unknown): HttpServerResponse.HttpServerResponse | undefined => {
  if (error instanceof Rejection) return problem(error)
  if (isAcceptError(error)) return fromAcceptError(error)
  if (!HttpServerError.isHttpServerError(error) || error.reason._tag !== "RouteNotFound") return undefined
  return malformed(error.reason.request.url) ?? notFound
}

/** Turns whatever a route fails with into its problem. A client that left interrupts; that stays an interrupt. */
export const answered = <R>(
  routed: Effect.Effect<HttpServerResponse.HttpServerResponse, unknown, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
  Effect.catchCause(routed, (cause) => {
    const reason = cause.reasons.find((reason) => reason._tag !== "Interrupt")
    if (reason === undefined) return Effect.interrupt
    const response = reason._tag === "Fail" ? fromError(reason.error) : undefined
    if (response !== undefined) return Effect.succeed(response)
    return Effect.as(Effect.logError("A request could not be handled", cause), internal)
  })
