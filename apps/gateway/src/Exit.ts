/**
 * The exit codes of the program, each with its meaning, and the failure that
 * carries one to the end of the process. Supervisors and scripts read them, so
 * a change needs a decision; docs/operations.md has the table.
 */
import * as Data from "effect/Data"

/** Exit codes. A stop that has several reasons ends with the first of 74, 70, 81, 75, 80, 0. */
export const codes = {
  /** All went well; for a gateway: a clean stop. */
  clean: 0,
  /** A tool's request was refused, or `doctor` found something that must be put right. */
  failed: 1,
  /** A tool that needs a running gateway found none. */
  notRunning: 3,
  /** The command line can't be understood. */
  usage: 64,
  /** Another gateway holds the store, or took it over. */
  taken: 69,
  /** The ledger does not balance, or a defect. */
  defect: 70,
  /** The disk or the store failed. */
  storage: 74,
  /** A restart is wanted: start the program again. */
  restart: 75,
  /** The configuration, the place, or the version of the store is wrong. */
  configuration: 78,
  /** The deadline was reached: everything is durable, turns were interrupted. */
  deadline: 80,
  /** Ended by a further signal. */
  forced: 81
} as const

/** Ends the program with a code after saying why, on standard error. */
export class Ending extends Data.TaggedError("Ending")<{
  readonly code: number
  readonly lines: ReadonlyArray<string>
}> {
  override get message() {
    return this.lines.join("\n")
  }
}
