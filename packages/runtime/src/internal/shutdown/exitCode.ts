/**
 * Exit codes of a stop and which of several wins. A number is all that a supervisor sees, so the worst news comes
 * first: a store that is somebody else's, then a failed disk, then a defect, and only then whether it was in a hurry.
 */
import * as Predicate from "effect/Predicate"

/** Something that speaks for an exit code, in words for operators. */
export interface ExitReason {
  readonly code: number
  readonly why: string
}

/** Another process owns the store. */
export const fenced = 69
/** A defect, or a ledger that does not balance. */
export const defect = 70
/** The disk or the store's file failed. */
export const storage = 74
/** Everything is done and the caller wants a new process. */
export const restart = 75
/** The deadline came first; everything is durable. */
export const overdue = 80
/** Somebody asked again and did not want to wait. */
export const forced = 81

const precedence: ReadonlyArray<number> = [fenced, storage, defect, forced, restart, overdue]

const rank = (code: number): number => {
  const index = precedence.indexOf(code)
  return index === -1 ? precedence.length : index
}

/** The reasons by weight, the one that decides first; never empty. */
export const weigh = (reasons: ReadonlyArray<ExitReason>): readonly [ExitReason, ...ReadonlyArray<ExitReason>] => {
  const [first = { code: 0, why: "clean" }, ...rest] = reasons.toSorted((a, b) => rank(a.code) - rank(b.code))
  return [first, ...rest]
}

/** What an exit code says, in the words of the report, of the next boot and of `status`. */
export const verdict = (code: number): string => {
  switch (code) {
    case 0:
      return "clean"
    case restart:
      return "clean, for a restart"
    case fenced:
      return "another gateway owns the store"
    case storage:
      return "the storage failed"
    case overdue:
      return "at its deadline"
    case forced:
      return "forced"
    default:
      return "a defect"
  }
}

/** The code that an error of a phase speaks for: the journal's by its reason, everything else is a defect. */
export const codeOf = (error: unknown): number => {
  if (!Predicate.isTagged(error, "JournalError") || !Predicate.hasProperty(error, "reason")) return defect
  if (error.reason === "Fenced" || error.reason === "Locked") return fenced
  return error.reason === "Storage" ? storage : defect
}
