/**
 * What SQLite finds when a store is opened, in words that name the remedy, and
 * under the reason that decides the program's exit code.
 */
import * as Effect from "effect/Effect"
import * as SqlError from "effect/sql/SqlError"
import { damaged, faultText, resultCode } from "./faults.ts"
import { JournalError } from "../records.ts"

/** What a failed opening says: the remedy depends on what SQLite found. */
export const openingError = (cause: unknown): JournalError => {
  if (cause instanceof JournalError) return cause
  const inner = SqlError.isSqlError(cause) ? cause.reason.cause : cause
  const code = resultCode(inner)
  const detail = faultText(cause)
  switch (code === undefined ? undefined : code & 0xff) {
    case 26:
      return new JournalError({
        reason: "Unsupported",
        detail: `the store's file is not a SQLite database; move it away or name another one. If it was a store, ${damaged}`,
        cause
      })
    case 5:
    case 6:
      return new JournalError({ reason: "Locked", detail: `another program holds the store: ${detail}`, cause })
    case 3:
    case 8:
    case 14:
      return new JournalError({
        reason: "Unsupported",
        detail: `the store can't be opened for writing (${detail}); check that its folder exists and is writable`,
        cause
      })
    default:
      return new JournalError({ reason: "Storage", detail, cause })
  }
}

const isFault = (cause: unknown): boolean =>
  SqlError.isSqlError(cause) || (cause instanceof Error && resultCode(cause) !== undefined)

/** The client's own failures pass; what SQLite says becomes a journal's error. */
export const explained = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(
    Effect.catchDefect((defect) => (isFault(defect) ? Effect.fail(openingError(defect)) : Effect.die(defect))),
    Effect.mapError((error) => (isFault(error) ? openingError(error) : (error as Exclude<E, SqlError.SqlError>)))
  )
