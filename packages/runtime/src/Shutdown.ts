/**
 * The shutdown program. It is courtesy, not safety: the journal is right whenever
 * the process dies. The program finishes what is nearly done, says why it stops,
 * and reports. It runs once, on one absolute deadline of the monotonic clock that
 * no phase can move, and a phase that hangs or dies never keeps the next from running.
 */
import type * as Duration from "effect/Duration"
import type { Report } from "./internal/shutdown/Report.ts"

export { AskingTurn } from "./internal/shutdown/AskingTurn.ts"
export type { Drain, DrainCounts, Parts, Stop } from "./internal/shutdown/Parts.ts"
export { Report } from "./internal/shutdown/Report.ts"
export { Roll } from "./internal/shutdown/Roll.ts"

/** A wish to stop, as a value: signals are the program's business, a test or a host just sends one. */
export interface StopRequest {
  /** `restart` only differs in the exit code: what starts the gateway again is the caller's business. */
  readonly reason: "stop" | "restart" | "failure"
  /** Who asks, for the report: a signal's name, a route, a command. */
  readonly by?: string
  /** Marker of the agent's process that asks, so that its turn is not waited for. A fiber inside `answer` is known without it. */
  readonly asking?: string
  /** When it was asked, in milliseconds of the monotonic clock; now by default. The deadline counts from here. */
  readonly at?: number
  /** Hurry: 1 = interrupt what runs at once, a second is left for the rest. */
  readonly force?: 1
  /** `failure`: what the gateway can't go on without. Decides the exit code: 69, 70 or 74. */
  readonly cause?: unknown
}

/** How long somebody else lets the process live after asking it to stop. */
export interface Budget {
  readonly limit: Duration.Input
  /** Where the limit comes from, in words, for example `TimeoutStopSec of sluice.service`. */
  readonly source: string
}

/** News of a running stop, for a watchdog, a service manager or a log. */
export type StopNews =
  /** It began. `deadline` is in milliseconds of the monotonic clock. */
  | {
      readonly _tag: "Began"
      readonly reason: string
      readonly deadline: number
      readonly source: string
      readonly soFar: () => Report
    }
  | { readonly _tag: "Phase"; readonly name: string; readonly open: number }
  | { readonly _tag: "Forced"; readonly by: string; readonly deadline: number }
  /** The report is stored; the journal is still to be closed. */
  | { readonly _tag: "Reported"; readonly report: Report }

/** Choices of a stop; every field has its default. */
export interface DrainOptions {
  /** How long a stop may take in all (30 s). */
  readonly timeout?: Duration.Input
  /** How long after the flush queued messages may still start (5 s; 0 = not at all). */
  readonly startWithin?: Duration.Input
  /** How long everything is still served after readiness turned to 503 (0; 5 s behind a load balancer). */
  readonly announce?: Duration.Input
  /** What a supervisor allows; the deadline stays below it by a reserve. None by default. */
  readonly budget?: Budget
  /** Hears what happens in a stop. Synchronous; what it throws is logged and changes nothing. */
  readonly watch?: (news: StopNews) => void
}
