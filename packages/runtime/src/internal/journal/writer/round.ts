/**
 * One transaction of the writer, as the modules that fill it see it: when it is,
 * which ids and totals it works with, whom it will ring, and how to take back
 * what it changed in memory if it does not commit.
 */
import type * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Counters } from "./counters.ts"
import type { Query } from "../store/database.ts"
import type { Entry, Kind } from "./entries.ts"
import type { Memory } from "./memory.ts"
import type { ReplyRow, Row } from "../records.ts"
import { type RetentionMillis, tickMillis } from "../writes/retention.ts"
import type { ReplyRecord } from "../store/rows.ts"

/** See the header. */
export interface Round {
  readonly query: Query
  readonly epoch: number
  readonly instance: string
  /** Wall clock, epoch milliseconds. */
  readonly now: number
  /** Monotonic milliseconds of uptime of the store, all boots together. */
  readonly uptime: number
  /** Ticks of 24 h of it. */
  readonly tick: number
  readonly counters: Counters
  readonly memory: Memory
  readonly retention: RetentionMillis
  /** Rung after the commit. */
  readonly rows: Array<Row>
  readonly replies: Array<ReplyRow>
  readonly ended: Array<number>
  /** New replies, written together at the end of the round. */
  readonly drafts: Array<ReplyRecord>
  /** Last number of each conversation that got a reply in this round. */
  readonly numbers: Map<number, { readonly first: number; last: number }>
  /** Suspects that were dispatched: their trials begin with the commit. */
  readonly trials: Array<{ readonly turn: number; readonly attempt: number }>
  /** Run, last first, when the round does not commit. */
  readonly undo: Array<() => void>
}

/** Writes all entries of one kind with a few statements, and says each one's outcome. */
export type Writes<K extends Kind> = (round: Round, entries: ReadonlyArray<Entry<K>>) => Effect.Effect<void, SqlError>

/** A round with nothing in it. */
export const makeRound = (
  given: Pick<Round, "query" | "epoch" | "instance" | "now" | "uptime" | "counters" | "memory" | "retention">
): Round => ({
  ...given,
  tick: Math.floor(given.uptime / tickMillis),
  rows: [],
  replies: [],
  ended: [],
  drafts: [],
  numbers: new Map(),
  trials: [],
  undo: []
})
