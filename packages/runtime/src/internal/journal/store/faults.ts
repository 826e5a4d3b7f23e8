/**
 * What a failed statement means for the round that it was in. The journal knows
 * four answers: wait (somebody else writes), the disk is full, this entry is
 * bad, or the handle can't be trusted any more. A wrong answer here loses
 * messages or goes on with a broken file, so each code is listed.
 */
import * as Predicate from "effect/Predicate"
import type { SqlError } from "effect/sql/SqlError"

/** See the header. */
export type Fault = "busy" | "full" | "poison" | "broken"

// SQLite's primary result codes.
const busy = new Set([5, 6, 15])
const full = new Set([13])
// Generic error (also: too many variables), too big, constraint, type mismatch, misuse of a bind, out of range.
const poison = new Set([1, 18, 19, 20, 25])

/** The driver's numeric result code, if the cause has one. */
export const resultCode = (cause: unknown): number | undefined =>
  Predicate.hasProperty(cause, "errcode") && typeof cause.errcode === "number"
    ? cause.errcode
    : Predicate.hasProperty(cause, "errno") && typeof cause.errno === "number"
      ? cause.errno
      : undefined

/** Classes an error of the driver. */
export const classify = (error: SqlError): Fault => {
  const reason = error.reason
  const code = resultCode(reason.cause)
  if (code !== undefined) {
    const primary = code & 0xff
    return busy.has(primary) ? "busy" : full.has(primary) ? "full" : poison.has(primary) ? "poison" : "broken"
  }
  switch (reason._tag) {
    case "LockTimeoutError":
    case "DeadlockError":
    case "SerializationError":
    case "StatementTimeoutError":
      return "busy"
    case "ConstraintError":
    case "UniqueViolation":
    case "SqlSyntaxError":
      return "poison"
    case "UnknownError":
      // A value that the driver refused to bind has no result code.
      return reason.cause instanceof TypeError || reason.cause instanceof RangeError ? "poison" : "broken"
    default:
      return "broken"
  }
}

// Pages that don't fit together, and a file that is something else.
const corrupt = new Set([11, 26])

/** What to do about a file whose content is wrong. */
export const damaged = "keep a copy of its folder, look at it with sluice doctor and restore the last backup"

/** One line for a person: what the store said, and what helps when the file itself is bad. */
export const faultText = (cause: unknown): string => {
  const inner = Predicate.hasProperty(cause, "reason") ? cause.reason : cause
  const original = Predicate.hasProperty(inner, "cause") && inner.cause instanceof Error ? inner.cause : inner
  const code = resultCode(original)
  const text = original instanceof Error ? original.message : String(original)
  if (code === undefined) return text
  return `${text} (SQLite result ${code})${corrupt.has(code & 0xff) ? `; ${damaged}` : ""}`
}
