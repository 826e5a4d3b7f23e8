/**
 * What a stop leaves behind: one value that is stored in the journal, written to a file, printed and served. It names
 * every turn that the stop cut and every phase that did not end by itself, so that nobody has to guess from logs why a
 * process took so long or exited with that code.
 */
import * as Schema from "effect/Schema"
import { reportText } from "./reportText.ts"

/** Milliseconds as a report has them: a tenth is enough, and 17 digits are noise. */
export const tenths = (millis: number): number => Math.round(millis * 10) / 10

/** What asked for the stop: to end, to be started again, or because the gateway can't go on. */
export const Reason = Schema.Literals(["stop", "restart", "failure"])
export type Reason = typeof Reason.Type

/** The phases of the program in their order. */
export const phaseNames = ["pre-mark", "intake", "flush", "drain", "interrupt", "outbox", "channels", "close"] as const
export type PhaseName = (typeof phaseNames)[number]

/** How a phase ended: by itself, at its limit, by a further request, with an error, or with a defect; or that it has not. */
export const PhaseOutcome = Schema.Literals(["done", "timed out", "cut short", "failed", "died", "running"])
export type PhaseOutcome = typeof PhaseOutcome.Type

export const PhaseRow = Schema.Struct({
  name: Schema.Literals(phaseNames),
  millis: Schema.Finite,
  outcome: PhaseOutcome,
  /** What went wrong, for operators. */
  detail: Schema.optionalKey(Schema.String)
})
export type PhaseRow = typeof PhaseRow.Type

/**
 * How a turn that ran in the stop ended. `failed` waits for its next try, `interrupted` and `killed` go on after the
 * next boot, `asked` is the turn that wanted this stop and was not waited for.
 */
export const TurnOutcome = Schema.Literals(["finished", "failed", "interrupted", "killed", "asked"])
export type TurnOutcome = typeof TurnOutcome.Type

/** One turn of one session; without `turn` it is a session whose idle agent had to be killed. Ages in milliseconds. */
export const SessionRow = Schema.Struct({
  session: Schema.Int,
  key: Schema.String,
  turn: Schema.optionalKey(Schema.Int),
  attempt: Schema.optionalKey(Schema.Int),
  age: Schema.optionalKey(Schema.Finite),
  /** What it was doing when it ended or was cut. */
  state: Schema.String,
  outcome: TurnOutcome,
  /** The process that had to be killed, and the last signal it took. */
  pid: Schema.optionalKey(Schema.Int),
  signal: Schema.optionalKey(Schema.String)
})
export type SessionRow = typeof SessionRow.Type

/** What a drain of the host counted; the names are its own (`drained`, `aborted`, `rejected`, ...). */
export const DrainRow = Schema.Struct({
  name: Schema.String,
  millis: Schema.Finite,
  outcome: PhaseOutcome,
  counts: Schema.Record(Schema.String, Schema.Finite),
  detail: Schema.optionalKey(Schema.String)
})
export type DrainRow = typeof DrainRow.Type

/** The report of a stop. Times of day are epoch milliseconds, everything else milliseconds of the monotonic clock. */
export class Report extends Schema.Class<Report>("@sluice/runtime/Report")({
  reason: Reason,
  /** Who asked, in the order in which they came: signals (`SIGTERM`), or names (`POST /v1/admin/stop`). */
  by: Schema.Array(Schema.String),
  epoch: Schema.Int,
  startedAt: Schema.Finite,
  millis: Schema.Finite,
  /** How long the stop may take, and what decided that. */
  deadline: Schema.Struct({ millis: Schema.Finite, source: Schema.String }),
  /** How often it was told to hurry: 1 = interrupted at once, 2 = the process exits where it stands. */
  forced: Schema.Int,
  phases: Schema.Array(PhaseRow),
  sessions: Schema.Array(SessionRow),
  /** Turns beyond the bound of `sessions`, counted only. */
  moreSessions: Schema.Int,
  /** Messages that are stored and wait for the next boot, by conversation. */
  queued: Schema.Array(Schema.Struct({ conversation: Schema.String, waiting: Schema.Int })),
  /** Messages of conversations beyond the bound of `queued`. */
  moreQueued: Schema.Int,
  /** Replies: sent since the stop began, still to be sent, and those of which nobody can tell. */
  replies: Schema.optionalKey(Schema.Struct({ sent: Schema.Int, pending: Schema.Int, unknown: Schema.Int })),
  drains: Schema.Array(DrainRow),
  /** The ledger at the end; absent when it could not be read. */
  ledger: Schema.optionalKey(
    Schema.Struct({
      accepted: Schema.Int,
      open: Schema.Int,
      ends: Schema.Record(Schema.String, Schema.Int),
      balanced: Schema.Boolean
    })
  ),
  exitCode: Schema.Int,
  /** Everything that speaks for an exit code, the one that decided first. */
  reasons: Schema.Array(Schema.Struct({ code: Schema.Int, why: Schema.String }))
}) {
  /** The report for people, in at most 25 lines. */
  static text(report: Report): string {
    return reportText(report)
  }
}
