/**
 * The words and the bounds of a writer in trouble: how long what is waited for,
 * and which writes a full disk still tries.
 */
import * as Cause from "effect/Cause"
import type { Kind } from "./entries.ts"
import { JournalError } from "../records.ts"

/** An admission is refused as busy a little before the two seconds that are promised. */
export const busyMillis = 1_700
/** Most milliseconds between two attempts. */
export const longestRetry = 200
/** Without a stop's deadline a full disk is given this long. */
export const fullMillis = 30_000
/** A suspect is tried alone for so long. */
export const trialMillis = 300_000

/** A boundary did not let the round pass: as if the process had died there. */
export class Died {
  readonly cause: Cause.Cause<never>
  readonly detail: string
  constructor(cause: Cause.Cause<never>, detail = "the process was stopped") {
    this.cause = cause
    this.detail = detail
  }
}

/** What is written to a file that nobody can open any more dies with the process: it must not be called stored. */
export const moved = new Died(
  Cause.empty,
  "its file was moved or deleted while it was in use; put it back, or restore a backup, and start again"
)

/** Another epoch opened the store. */
export const fencedDetail = "another gateway opened this store; it owns it now"

/** The journal's end. */
export const ended = (reason: JournalError["reason"], detail: string, cause: unknown): JournalError =>
  new JournalError({ reason, detail, cause })

export const closed = new JournalError({ reason: "Closed", detail: "the journal was closed" })
export const diskFull = new JournalError({
  reason: "Storage",
  detail: "the disk is full; make room and start again"
})

/** Writes that a full disk still tries: what keeps an answer or a count from being lost. */
export const survives = (kind: Kind): boolean =>
  kind === "premark" || kind === "settle" || kind === "spend" || kind === "step" || kind === "report" || kind === "tool"
