/**
 * What the journal says when it is asked: how the last boot ended, the ledger,
 * the lists that tools print, figures for metrics; and the bounds and choices
 * that a journal is made with.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Ending, Reply, ReplyState } from "../../../Message.ts"
import type { JournalError, ReplyRow, SessionRow, TurnRow, TurnState } from "../records.ts"
import type { UsageQuestion } from "../writes/usage.ts"
import type { Uncounted, UncountedQuestion } from "./uncounted.ts"

export type { UsageBy, UsageQuestion } from "../writes/usage.ts"
export type { Uncounted, UncountedQuestion } from "./uncounted.ts"

/** What the last boot left, as one line of a post-mortem needs it. */
export interface PostMortem {
  readonly epoch: number
  /** `first` boot ever, a `clean` stop, or `unclean`. */
  readonly end: "first" | "clean" | "unclean"
  readonly reason: string | undefined
  /** Pre-marked before it ended: the stop had begun. */
  readonly marked: boolean
  readonly exitCode: number | undefined
  /** Epoch milliseconds of its opening, and of its end as far as it is known. */
  readonly startedAt: number
  readonly endedAt: number | undefined
  readonly millis: number | undefined
  /** A restart that reached its deadline and cut turns; its exit code does not say so. */
  readonly cut: boolean
  readonly openTurns: number
  readonly waiting: number
  readonly openReplies: number
}

/** What the opening transaction found and did. */
export interface Opening {
  readonly epoch: number
  /** Stable name of this store; keeps reply ids and child markers unique. */
  readonly instance: string
  readonly postMortem: PostMortem
  /** Unclean boots in a row, each within 5 minutes of the one before, this one included. */
  readonly uncleanChain: number
  readonly turns: ReadonlyArray<TurnRow>
  /** Highest seq that was given before this boot; 0 in a new store. */
  readonly lastSeq: number
}

/** The ledger: accepted = sum of ends + open, or something is wrong. */
export interface Ledger {
  readonly accepted: number
  readonly open: number
  readonly ends: Readonly<Record<Ending, number>>
  /** The same by ending with its reason, for example `dropped(old)`. */
  readonly detail: Readonly<Record<string, number>>
  readonly posts: {
    readonly accepted: number
    readonly open: number
    readonly sent: number
    readonly undeliverable: number
    readonly unknown: number
  }
  readonly balanced: boolean
}

/** A session as lists show it. */
export interface SessionSummary extends SessionRow {
  readonly waiting: number
  readonly turn: TurnRow | undefined
}

/** A reply that could not be delivered. */
export interface DeadLetter {
  /** As it is stored, but for its text, of which the first 1,000 characters are here; a replay sends all of it. */
  readonly row: ReplyRow
  /** Characters of the whole text. */
  readonly length: number
  readonly conversationKey: string
  readonly error: string
  readonly diedAt: number
}

/** Figures for metrics and status; cheap enough for every scrape. */
export interface Figures {
  /** Epoch milliseconds of the oldest message without an end. */
  readonly oldestOpen: number | undefined
  readonly waiting: number
  /** Messages since the store was made: accepted, and ended by ending. The rest is open. */
  readonly accepted: number
  readonly ends: Readonly<Record<Ending, number>>
  readonly openTurns: Readonly<Partial<Record<TurnState, number>>>
  readonly turns: Readonly<Record<string, number>>
  /** Replies that are still to be delivered, by state, and dead ones; delivered ones are not counted. */
  readonly replies: Readonly<Partial<Record<ReplyState, number>>>
  readonly boots: Readonly<Record<string, number>>
  readonly walBytes: number
  /** The writer since this boot: rounds, entries, what waits now, and how long commits took (upper bounds in ms, counts per bucket). */
  readonly writer: {
    readonly rounds: number
    readonly entries: number
    readonly waiting: number
    readonly retries: number
    readonly commitMillis: {
      readonly bounds: ReadonlyArray<number>
      readonly counts: ReadonlyArray<number>
      readonly sum: number
    }
  }
}

/** What was used, added up. */
export interface UsageSum {
  /** What it is the sum of: a day, a session's key, an agent, a model (empty where the agent names none), `total`. */
  readonly name: string
  /** Turns that used anything. */
  readonly turns: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cacheReadTokens: number
  readonly cacheWriteTokens: number
  /** US dollars. */
  readonly cost: number
}

/** The questions that tools ask; also answered without a running gateway, read-only and briefly. */
export interface JournalReads {
  readonly sessions: (options: {
    readonly conversation?: number
    /** Of the conversation with this key. */
    readonly key?: string
    readonly limit?: number
  }) => Effect.Effect<ReadonlyArray<SessionSummary>, JournalError>
  readonly ledger: Effect.Effect<Ledger, JournalError>
  readonly figures: Effect.Effect<Figures, JournalError>
  readonly report: Effect.Effect<unknown, JournalError>
  readonly deadLetters: (options: { readonly limit: number }) => Effect.Effect<ReadonlyArray<DeadLetter>, JournalError>
  /** Sums of usage: by day the newest first, otherwise the most expensive. Nothing used = no sums. */
  readonly usage: (question: UsageQuestion) => Effect.Effect<ReadonlyArray<UsageSum>, JournalError>
  /** Answered turns that are in none of these sums, because their agent did not say what they used. */
  readonly uncounted: (question: UncountedQuestion) => Effect.Effect<Uncounted, JournalError>
  /** The last boot: what it found, and how it ended itself, for a store that nobody runs on. */
  readonly opening: Effect.Effect<
    {
      readonly epoch: number
      readonly instance: string
      readonly version: string
      readonly postMortem: PostMortem
      readonly ended: PostMortem
    },
    JournalError
  >
}

/** Retention, in milliseconds; see docs/configuration.md. */
export interface Retention {
  readonly ledger: Duration.Input
  readonly transcript: Duration.Input
  readonly attachments: Duration.Input
  readonly deadLetters: Duration.Input
}

/** Bounds and choices of a journal; every field has its default. */
export interface JournalOptions {
  /** Most entries and bytes of messages that wait for the writer (4096, 64 MiB). */
  readonly laneEntries?: number
  readonly laneBytes?: number
  /** Most conversations whose ids are kept in memory (20,000). */
  readonly conversations?: number
  readonly retention?: Partial<Retention>
  /** Store files on a network file system all the same (false). */
  readonly networkFileSystem?: boolean
  /** Version that is written into the store; the program's. */
  readonly version?: string
  /** Holds the exclusive lock for the life of its scope; the default locks a second file beside the store. */
  readonly lock?: Layer.Layer<never, JournalError>
}

/** One page of a conversation's replies: as many as were asked for, or fewer when they have more than 1 MiB together. */
export interface Page {
  readonly replies: ReadonlyArray<Reply>
  readonly latest: number
}
