/**
 * Bodies of requests: each has a greatest size, and all that are in memory at one time have one together, those that wait
 * for a worker included; a few hundred images at once would be more than a process has. One that does not come does not
 * hold up a stop.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import { deepest, isTooDeep } from "./nesting.ts"
import * as problems from "./problems.ts"

export interface Limits {
  /** Bytes of one body. */
  readonly one: number
  /** Bytes of all that are here. */
  readonly all: number
  /** Completed when a stop waits for nobody any more. */
  readonly closing: Deferred.Deferred<void> | undefined
}

const refuse = (message: string) => problems.refused(problems.invalid(message))

const parsed = (text: string): Effect.Effect<unknown, problems.Refused> =>
  isTooDeep(text)
    ? Effect.fail(refuse(`the body nests deeper than ${deepest} levels; send a flatter one`))
    : Effect.try({ try: (): unknown => JSON.parse(text), catch: () => refuse("the body is no JSON") })

/** Of the body's reader: it was larger than is read here, or its sender left. */
const unread = (limit: number) => (error: HttpServerError.HttpServerError) => {
  const { reason } = error
  const over = reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
  return problems.refused(over ? problems.tooLarge(limit) : problems.invalid("the body ended early"))
}

/** What reads bodies under these limits; a body is held until its request's scope ends. */
export const reader = ({ all, closing, one }: Limits) => {
  let held = 0
  const closed =
    closing === undefined
      ? Effect.never
      : Effect.andThen(Deferred.await(closing), Effect.fail(problems.refused(problems.stopping)))
  return Effect.gen(function* () {
    if (closing !== undefined && Deferred.isDoneUnsafe(closing)) return yield* problems.refused(problems.stopping)
    const request = yield* HttpServerRequest.HttpServerRequest
    const announced = request.headers["content-length"]
    // Who does not say how much it will be is believed to send all that may be sent.
    const size = announced === undefined ? one : Number(announced)
    if (!(size <= one)) return yield* problems.refused(problems.tooLarge(one))
    if (held + size > all) return yield* problems.refused(problems.crowded)
    yield* Effect.acquireRelease(
      Effect.sync(() => void (held += size)),
      () => Effect.sync(() => void (held -= size))
    )
    return yield* parsed(yield* Effect.raceFirst(Effect.mapError(request.text, unread(one)), closed))
  })
}
