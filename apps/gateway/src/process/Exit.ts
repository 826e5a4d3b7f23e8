/**
 * The exit codes of the program, each with its meaning, and the failure that
 * carries one to the end of the process. Supervisors and scripts read them, so
 * a change needs a decision; docs/operations.md has the table.
 */
import type { JournalError } from "@sluice/runtime/Journal"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Data from "effect/Data"
import * as Exit from "effect/Exit"
import { escape } from "../LogEncoder.ts"

/** Exit codes. A stop that has several reasons ends with the first of 69, 74, 70, 81, 75, 80, 0. */
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

const journalCodes = {
  Fenced: codes.taken,
  Locked: codes.taken,
  Storage: codes.storage,
  TooNew: codes.configuration,
  Unsupported: codes.configuration,
  Closed: codes.defect
} as const

const tagOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string" ? error._tag : ""

/** The code of a failure that nobody handled. */
const codeOf = (error: unknown): number => {
  if (error instanceof Ending) return error.code
  switch (tagOf(error)) {
    case "JournalError": {
      const { reason } = error as JournalError
      return journalCodes[reason]
    }
    case "ConfigurationError":
    case "GatewayError":
      return codes.configuration
    case "Storage":
      return codes.storage
    case "Silent":
      return codes.notRunning
    case "Refused":
      return codes.failed
    default:
      return CliError.isCliError(error) ? codes.usage : codes.defect
  }
}

/** The command line has told its mistakes itself. */
const isTold = (error: unknown): boolean => CliError.isCliError(error)

const failureOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined

/** The exit code of a program. */
export const exitCodeOf = (exit: Exit.Exit<unknown, unknown>): number =>
  Exit.isSuccess(exit) ? codes.clean : Cause.hasInterruptsOnly(exit.cause) ? codes.clean : codeOf(failureOf(exit))

/** What is left to say on standard error: the failure as sentences; a defect with its trace. */
export const lastWords = (exit: Exit.Exit<unknown, unknown>): ReadonlyArray<string> => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return []
  const error = failureOf(exit)
  if (isTold(error)) return []
  if (error instanceof Ending) return error.lines.map(escape)
  const text = tagOf(error) === "" ? Cause.pretty(exit.cause) : error instanceof Error ? error.message : String(error)
  return text.split("\n").map((line) => `sluice: ${escape(line)}`)
}
