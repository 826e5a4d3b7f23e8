/**
 * What the shutdown program needs of everybody else, in the order of its phases. Each member is asked once. Nothing
 * here has to be quick or sure to end: every call is made under a limit of the one deadline, and what hangs, fails or
 * dies is reported while the next phase runs.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { JournalError, JournalShape, Ledger } from "../../Journal.ts"
import type { Roll } from "./Roll.ts"

/** Counts of a host's drain by their names, for example `drained`, `aborted`, `rejected`. */
export type DrainCounts = Readonly<Record<string, number>>

/** Something of the host that has work of its own to finish: a model pool, a job queue. */
export interface Drain {
  readonly name: string
  /** Its own budget from the begin of phase 4 on, always under the deadline (5 s). */
  readonly timeout?: Duration.Input
  /** From phase 2 on: refuse requests from outside; those of running turns still pass, until `interrupt`. */
  readonly refuse: Effect.Effect<void, unknown>
  /** Finishes what it has and returns its counts by `until` (monotonic milliseconds), whatever is left. */
  readonly drain: (until: number) => Effect.Effect<DrainCounts, unknown>
  /** Phase 5: stops what is left, running turns' requests too. Its counts go over those of `drain`. */
  readonly interrupt?: Effect.Effect<DrainCounts | void, unknown>
}

/** A stop as its parts are told of it. Times are monotonic milliseconds. */
export interface Stop {
  /** What marks and interrupted turns carry: `stop`, `restart` or `failure`. */
  readonly reason: string
  /** The end of everything. */
  readonly deadline: number
  /** Where sessions enter what runs when they hear of the stop, and tell of each start and end from then on. */
  readonly roll: Roll
}

/** An earlier request of the same turn, in an earlier epoch, and what that epoch's stop reported (JSON). */
export interface AskedBefore {
  readonly reason: string
  readonly epoch: number
  readonly report: unknown
}

/** The parts that the program stops, in the order in which it turns to them. */
export interface Parts {
  /** Number of this boot. */
  readonly epoch: number
  readonly journal: Pick<JournalShape, "preMark" | "stopBy" | "storeReport" | "close"> & {
    /**
     * Stores on a turn that it asked for a stop. `undefined` when this is its first request, or one of this epoch;
     * otherwise what came of the earlier one, and nothing is changed.
     */
    readonly asked: (turn: number, reason: string) => Effect.Effect<AskedBefore | undefined, JournalError>
    readonly ledger: Effect.Effect<Ledger, JournalError>
    /** Stored messages without an end that wait, by the conversation's key; at most `limit`, the longest first. */
    readonly waiting: (limit: number) => Effect.Effect<
      {
        readonly rows: ReadonlyArray<{ readonly conversation: string; readonly waiting: number }>
        readonly more: number
      },
      JournalError
    >
  }
  readonly intake: {
    /** Phase 2: from now on receipts say `held`. What is in flight commits. */
    readonly hold: Effect.Effect<void>
    /** Phase 7: from now on nothing is committed any more, callers get `ShuttingDown`. */
    readonly refuse: Effect.Effect<void>
  }
  readonly debouncer: {
    /** Phase 3: closes every burst now. Returns the last seq that may still start; later rows are only stored. */
    readonly flush: Effect.Effect<{ readonly lastSeq: number }>
  }
  readonly sessions: {
    /** Before phase 1: enters the running turns into the roll; claims carry the mark from here on. */
    readonly begin: (stop: Stop) => Effect.Effect<void>
    /** Phase 4: rows up to `seq` may start until `at` (none when it is not in the future); backoff ends where it is; questions are cancelled or kept. */
    readonly lastCall: (limit: { readonly seq: number; readonly at: number }) => Effect.Effect<void>
    /** A turn waits for this very stop: `drained` does not wait for it. Called after `begin`, at any time. */
    readonly excuse: (turn: number) => Effect.Effect<void>
    /** Completes when no turn runs and none can start any more, not counting the excused ones. */
    readonly drained: Effect.Effect<void>
    /** Phase 5, also without a phase 4 before it: nothing starts any more; cancels the agents of what is left and commits their turns as interrupted; returns when they are gone. */
    readonly interrupt: (cut: { readonly reason: string; readonly until: number }) => Effect.Effect<void>
    /** The running turn that a child's marker belongs to. */
    readonly turnOf: (marker: string) => Effect.Effect<number | undefined>
  }
  readonly outbox: {
    /** Phase 6, first: tells people whose answers the stop makes late. What of it has not gone out by the end is dropped. */
    readonly farewell: (reason: string) => Effect.Effect<unknown, unknown>
    /** Phase 6: delivers what can go now; what has no answer by `until` is classed at the next boot. */
    readonly drain: (until: number) => Effect.Effect<void, unknown>
    /** Replies of all channels: sent since this boot, still to be sent, and those of which nobody can tell. */
    readonly figures: Effect.Effect<
      { readonly sent: number; readonly pending: number; readonly unknown: number },
      JournalError
    >
  }
  readonly channels: {
    /** Phase 2: ends `receive` of the pollers; returns when they have let go. */
    readonly stopPollers: Effect.Effect<void, unknown>
    /** Phase 7: refuses new clients and closes the ones that are there by `until`; pollers too when phase 2 was left out. */
    readonly close: (until: number) => Effect.Effect<void, unknown>
  }
  /** What the host wants drained, read when a stop begins; see {@link Drain}. */
  readonly drains: ReadonlyArray<Drain>
}
