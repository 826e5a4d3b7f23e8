/**
 * What every level of the torture has in common: it is given a seed and a budget,
 * runs worlds until the budget is used up, has each world's history checked by the
 * checker's own process, and says what it saw.
 */

import type { OfKind } from "../checker/agents.ts"

/** What a level is run with. */
export interface Budget {
  /** Repeats the run where the level can; printed with every failure. */
  readonly seed: number
  /** About how long to go on, in milliseconds; a level that is exhaustive takes what it needs, and is given the whole. */
  readonly millis: number
  /** With the real programs where a level can: few of them, each slow and large. Programs of the harness by default. */
  readonly agents?: "real" | "stand-in"
  /** Stop at the first broken promise: for mutants. */
  readonly stopAtFirst: boolean
  /** A line of progress for the terminal. */
  readonly progress: (line: string) => void
}

/** A broken promise, with what repeats it. */
export interface Violation {
  /** I1 to I10. */
  readonly invariant: string
  readonly what: string
  readonly seed: number
  /** The file of the history that shows it, when it was kept. */
  readonly history?: string
}

/** Times of one kind, in milliseconds, unsorted. */
export type Times = Record<string, Array<number>>

/** What agents did, by their kind. */
export type Agents = Readonly<Record<string, OfKind>>

/** What a level saw. */
export interface Verdict {
  readonly level: "L0" | "L1" | "L2" | "L3" | "L4"
  /** Histories (L0), points (L1), worlds (L2), faults (L3), restarts (L4). */
  readonly runs: number
  /** Crashes by SIGKILL or of the simulated store. */
  readonly kills: number
  readonly sent: number
  readonly acknowledged: number
  readonly lost: number
  /** Extra copies by delivery class. */
  readonly duplicated: Readonly<Record<string, number>>
  readonly orderFaults: number
  readonly violations: ReadonlyArray<Violation>
  /** Of levels whose agents are programs of several kinds. */
  readonly agents?: Agents
  /** Of stops by what the agents did, of crash to resumed, of boot to ready by open rows. */
  readonly times: Times
  /** Anything else worth a line in the verdict. */
  readonly notes: ReadonlyArray<string>
}
