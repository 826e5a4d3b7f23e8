/**
 * Typed values over the journal's texts. Reading and writing of a change are one
 * round of the writer; what the change came to is told after the commit, and of a
 * round that had to run again only the last time counts.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Journal, JournalError, ValuePlace } from "../../Journal.ts"
import { maxValue, type SessionData, SessionDataError, type SessionValues } from "../../SessionData.ts"
import { utf8Bytes } from "../journal/store/digest.ts"
import { dataKey } from "../journal/writes/values.ts"

type Reason = SessionDataError["reason"]

/** The values of a session; `name` is how errors call it. */
export const sessionValues = (
  journal: Pick<Journal["Service"], "keep" | "value">,
  place: ValuePlace,
  name: string
): SessionValues => {
  const failure = (key: string, reason: Reason, cause?: unknown) =>
    new SessionDataError({ reason, key, session: name, ...(cause === undefined ? {} : { cause }) })

  const encoded = <A>(data: SessionData<A>, value: A): Result.Result<string, SessionDataError> =>
    Result.flatMap(
      Result.mapError(data.encode(value), (cause) => failure(data.key, "Invalid", cause)),
      (text) => (utf8Bytes(text) > maxValue ? Result.fail(failure(data.key, "TooLarge")) : Result.succeed(text))
    )

  const decoded = <A>(data: SessionData<A>, stored: string | undefined): Result.Result<A, SessionDataError> =>
    stored === undefined
      ? Result.succeed(data.initial)
      : Result.mapError(data.decode(stored), (cause) => failure(data.key, "Undecodable", cause))

  const storage = (key: string) => (cause: JournalError) => failure(key, "Storage", cause)

  /** Stores what `next` makes of the stored text; a failure of it leaves that as it is. */
  const change = <A, B extends A>(
    data: SessionData<A>,
    next: (stored: string | undefined) => Result.Result<B, SessionDataError>
  ): Effect.Effect<B, SessionDataError> =>
    Effect.suspend(() => {
      let outcome: Result.Result<B, SessionDataError> | undefined
      const apply = (stored: string | undefined) => {
        const value = next(stored)
        const text = Result.flatMap(value, (value) => encoded(data, value))
        outcome = Result.flatMap(text, () => value)
        return Result.isSuccess(text) ? text.success : stored
      }
      return journal.keep(place, dataKey(data.key), apply).pipe(
        Effect.mapError(storage(data.key)),
        Effect.flatMap((found) =>
          !found || outcome === undefined ? Effect.fail(failure(data.key, "NoSession")) : Effect.fromResult(outcome)
        )
      )
    })

  return {
    get: (data) =>
      journal.value(place, dataKey(data.key)).pipe(
        Effect.mapError(storage(data.key)),
        Effect.flatMap((stored) => Effect.fromResult(decoded(data, stored)))
      ),
    set: (data, value) => Effect.asVoid(change(data, () => Result.succeed(value))),
    update: (data, next) => change(data, (stored) => Result.map(decoded(data, stored), next))
  }
}
