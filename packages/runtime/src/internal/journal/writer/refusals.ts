/**
 * How a write is told that it did not happen: in the words of the channel's port
 * for messages, as the journal's own error for everything else. Refused means not
 * stored, always.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as SqlError from "effect/sql/SqlError"
import { type AcceptError, Full, Invalid, maxTextLength, ShuttingDown, Storage, TooLarge } from "../../../Message.ts"
import type { Entry, Kind } from "./entries.ts"
import { faultText, resultCode } from "../store/faults.ts"
import { isIntake } from "./lanes.ts"
import { JournalError } from "../records.ts"

/** The lane holds no more. */
export const full = new Full({ retryAfter: 1000 })

/** What a journal that can't go on says to a write of this kind. */
export const refusal = (kind: Kind, error: JournalError): JournalError | AcceptError => {
  if (!isIntake(kind)) return error
  return error.reason === "Closed" || error.reason === "Fenced"
    ? new ShuttingDown({ retryAfter: 5000 })
    : new Storage({ retryAfter: 5000, cause: error })
}

// SQLite's result code for a value or a row beyond its limits.
const tooBig = 18

/** What one bad write is told; the rest of its round stands. */
const refusalOfOne = (entry: Entry, error: SqlError.SqlError): JournalError | AcceptError => {
  const detail = faultText(error)
  if (!isIntake(entry.kind)) {
    return new JournalError({ reason: "Storage", detail: `this write was refused: ${detail}`, cause: error })
  }
  const code = resultCode(error.reason.cause)
  if (code !== undefined && (code & 0xff) === tooBig) {
    return new TooLarge({ field: "text", size: entry.bytes, limit: maxTextLength, unit: "bytes" })
  }
  return new Invalid({ field: "message", value: detail, remedy: "the store refuses this message; change it" })
}

/** Ends an entry that was not stored. A defect is the caller's to see. */
export const refuse = (entry: Entry, cause: Cause.Cause<unknown>): void => {
  const [failure] = cause.reasons.filter(Cause.isFailReason)
  const told =
    failure !== undefined && SqlError.isSqlError(failure.error) ? Cause.fail(refusalOfOne(entry, failure.error)) : cause
  entry.tell(Exit.failCause(told as Cause.Cause<never>))
}
