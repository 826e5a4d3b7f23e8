/**
 * Bodies of requests: each has a greatest size, and all that are in memory at one time have one together, those that wait
 * for a worker included; a few hundred images at once would be more than a process has. What a sender announces is kept
 * free for him, so one that sends nothing is given up: a handful of them would shut out everybody else. Nor does one hold
 * up a stop.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Scope from "effect/Scope"
import { textOf, type Unread } from "./arriving.ts"
import { deepest, isTooDeep } from "../nesting.ts"
import * as problems from "./problems.ts"

export interface Limits {
  /** Bytes of one body. */
  readonly one: number
  /** Bytes of all that are here. */
  readonly all: number
  /** How long nothing of a body may come. */
  readonly stall: Duration.Duration
  /** Completed when a stop waits for nobody any more. */
  readonly closing: Deferred.Deferred<void> | undefined
}

const refuse = (message: string) => problems.refused(problems.invalid(message))

const parsed = (text: string): Effect.Effect<unknown, problems.Refused> =>
  isTooDeep(text)
    ? Effect.fail(refuse(`the body nests deeper than ${deepest} levels; send a flatter one`))
    : Effect.try({ try: (): unknown => JSON.parse(text), catch: () => refuse("the body is no JSON") })

const unread =
  (limit: number) =>
  ({ why }: Unread): problems.Refused =>
    problems.refused(why === "TooLarge" ? problems.tooLarge(limit) : problems.invalid("the body ended early"))

/** Fails when nothing has come for `stall` milliseconds; one that sleeps for the whole body, not one for each piece. */
const silence = (stall: number, since: () => number, now: () => number): Effect.Effect<never, problems.Refused> =>
  Effect.suspend(() => {
    const left = since() + stall - now()
    return left > 0
      ? Effect.andThen(Effect.sleep(left), silence(stall, since, now))
      : Effect.fail(problems.refused(problems.silent(stall)))
  })

/** What reads bodies under these limits; a body is held until its request's scope ends. */
export const reader = ({ all, closing, one, stall }: Limits) => {
  let held = 0
  const stallMillis = Duration.toMillis(stall)
  const closed =
    closing === undefined
      ? Effect.never
      : Effect.andThen(Deferred.await(closing), Effect.fail(problems.refused(problems.stopping)))
  const textUnder = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
    const clock = yield* Clock.Clock
    const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    let heard = now()
    const text = textOf(request, one, () => void (heard = now()))
    // Most bodies are here with their headers: only the others are worth a clock.
    const guard = Effect.andThen(
      Effect.yieldNow,
      Effect.raceFirst(
        silence(stallMillis, () => heard, now),
        closed
      )
    )
    return yield* Effect.raceFirst(Effect.mapError(text, unread(one)), guard)
  })
  return Effect.gen(function* () {
    if (closing !== undefined && Deferred.isDoneUnsafe(closing)) return yield* problems.refused(problems.stopping)
    const request = yield* HttpServerRequest.HttpServerRequest
    const announced = request.headers["content-length"]
    // Who does not say how much it will be is believed to send all that may be sent.
    const size = announced === undefined ? one : Number(announced)
    if (!(size <= one)) return yield* problems.refused(problems.tooLarge(one))
    // Not `acquireRelease`: that copies all services of the host for each request.
    let mine = 0
    yield* Scope.addFinalizer(
      yield* Effect.scope,
      Effect.sync(() => void (held -= mine))
    )
    if (held + size > all) return yield* problems.refused(problems.crowded)
    held += mine = size
    return yield* parsed(yield* textUnder(request))
  })
}
