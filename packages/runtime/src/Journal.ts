/**
 * The only memory. Every promise of the gateway is a row here before anybody
 * hears of it: the message before its receipt, the claim before the agent, the
 * replies in the transaction that ends their turn. All writes go through one
 * bounded writer that commits in rounds; the writer rings doorbells for what it
 * committed, in order, and never waits for anybody. A crash between any two
 * rounds loses nothing that was acknowledged.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as SqlClient from "effect/sql/SqlClient"
import type { ForgetEntry } from "./internal/journal/writes/forget.ts"
import type { Answered } from "./internal/journal/reads/history.ts"
import { makeJournal } from "./internal/journal/make.ts"
import { makeReader } from "./internal/journal/reads/reader.ts"
import type { Outline, Said } from "./internal/journal/reads/transcript.ts"
import type {
  Admit,
  Claim,
  Claimed,
  CommandAction,
  CommandOutcome,
  Doorbells,
  Forgotten,
  JournalError,
  Notice,
  PendingForget,
  PermissionRow,
  Post,
  ReplyRow,
  ReplyStep,
  Route,
  Row,
  RowKey,
  SessionRow,
  Settle,
  Spent,
  ValuePlace
} from "./internal/journal/records.ts"
import type { Farewell, Return, Told } from "./internal/journal/writes/restarts.ts"
import type { JournalOptions, JournalReads, Opening, Page } from "./internal/journal/reads/reports.ts"
import type { Accepted, AcceptError, Ended, Reply } from "./Message.ts"

export type { Answered } from "./internal/journal/reads/history.ts"
export type { Outline, Said } from "./internal/journal/reads/transcript.ts"
export * from "./internal/journal/records.ts"
export type { Farewell, Return, Spoken, Told } from "./internal/journal/writes/restarts.ts"
export * from "./internal/journal/reads/reports.ts"
export { networkFileSystemOf } from "./internal/node/storeFiles.ts"

/** The journal of one gateway: one owner, one writer. */
export class Journal extends Context.Service<
  Journal,
  {
    /** What the opening found: epoch, cut-off turns, how the last boot ended. */
    readonly opening: Opening
    /** Sets who is rung; once, before the first admission. */
    readonly listen: (doorbells: Doorbells) => void
    /** Completes when the journal can't go on: the program stops with the reason's exit code. */
    readonly failed: Effect.Effect<JournalError>
    /** The deadline of a stop, monotonic milliseconds: until then urgent writes are retried. */
    readonly stopBy: (monotonicMillis: number) => void

    /** Stores a message; see {@link Accepted}. Uncommitted = failed, committed = never fails. */
    readonly admit: (entry: Admit) => Effect.Effect<Accepted, AcceptError>
    /** Stores an outbound message without a turn. */
    readonly post: (entry: Post) => Effect.Effect<Accepted, AcceptError>
    /** The current session of a conversation, if memory has it: a hint, never waits. */
    readonly currentUnsafe: (conversationKey: string) => number | undefined

    /**
     * Fixes a batch as a turn with its first attempt. `undefined` when no row of it waits any more; with `supersedes`
     * also when that turn was dispatched meanwhile or an older message waits between (the rows wait on then). A
     * claim beside an open turn of the session dies. At most 64 messages and 256 KiB: the rest of the batch waits.
     */
    readonly claim: (entry: Claim) => Effect.Effect<Claimed | undefined, JournalError>
    /**
     * Starts the next attempt of an open turn, with what the one before was handed and still waits; `undefined` when it is
     * not open any more.
     */
    readonly resume: (turn: number) => Effect.Effect<Claimed | undefined, JournalError>
    /** Ends an attempt with its replies in one transaction; `false` when another end won. */
    readonly settle: (entry: Settle) => Effect.Effect<boolean, JournalError>
    /** Counts what an attempt used that some other end has taken its turn from. */
    readonly spend: (turn: number, spent: Spent) => Effect.Effect<void, JournalError>
    /** Billionths of a dollar that the days from the first to the last cost, of the last 40; never waits. */
    readonly spentUnsafe: (from: string, to: string) => number
    /** Ends waiting rows as dropped by a policy. Memory forgets them only afterwards. */
    readonly drop: (session: number, seqs: ReadonlyArray<number>, policy: string) => Effect.Effect<void, JournalError>
    /** Stores that a tool with side effects runs (or, with `undefined`, no longer). */
    readonly tool: (turn: number, attempt: number, name: string | undefined) => Effect.Effect<void, JournalError>
    /**
     * Adds waiting messages to a running turn that took them over, and returns them: those that still wait, as many as a
     * turn takes beside its own; none when the attempt does not run any more.
     */
    readonly steer: (
      turn: number,
      attempt: number,
      seqs: ReadonlyArray<number>
    ) => Effect.Effect<ReadonlyArray<Row>, JournalError>
    /**
     * Stores which waiting messages a running attempt is handed, all of them each time, before its agent hears of them. If
     * the attempt does not come to an answer, the next one of its turn takes those that still wait along (`resume`): the
     * agent may have them. `false` when the attempt does not run any more.
     */
    readonly hand: (turn: number, attempt: number, seqs: ReadonlyArray<number>) => Effect.Effect<boolean, JournalError>
    /**
     * Replaces a value of a session by what `change` makes of it, in one transaction: nobody else changes it in between.
     * `undefined` = no value. `change` may run more than once, of which the last time counts; what it throws is a defect
     * of the caller and changes nothing. A conversation that has not begun begins with this. `false` when there is no
     * such session, or when it was forgotten.
     */
    readonly keep: (
      place: ValuePlace,
      key: string,
      change: (stored: string | undefined) => string | undefined
    ) => Effect.Effect<boolean, JournalError>
    /** A value of a session. */
    readonly value: (place: ValuePlace, key: string) => Effect.Effect<string | undefined, JournalError>
    /**
     * Ended turns of a session that have an answer, newest first, of those before the turn `before`; at most 100. Empty
     * only where the history ends: at the session's beginning, or where retention has let the texts go.
     */
    readonly history: (
      session: number,
      page: { readonly before?: number; readonly limit: number }
    ) => Effect.Effect<ReadonlyArray<Answered>, JournalError>
    /** The messages of a session by number, to be read with `said`; `undefined` when there is no such session. */
    readonly outline: (session: number) => Effect.Effect<Outline | undefined, JournalError>
    /** The number of a session by its name in a conversation; without a name that of the current one. */
    readonly sessionNamed: (conversationKey: string, name?: string) => Effect.Effect<number | undefined, JournalError>
    /** These messages with the answers that followed them, in order. */
    readonly said: (seqs: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<Said>, JournalError>
    /** Ends a command row together with its effect and its reply. */
    readonly command: (
      seq: number,
      action: CommandAction,
      route: Route,
      render: (outcome: CommandOutcome) => ReadonlyArray<string>,
      /** Edited into the placeholder of a turn that the command cancels; without it the placeholder stays as it stands. */
      placeholder?: string,
      /** Why it did not do what it was asked for; empty when it did. */
      why?: (outcome: CommandOutcome) => string
    ) => Effect.Effect<CommandOutcome | undefined, JournalError>
    /**
     * Forgets a conversation: cancels its work and takes what anybody wrote out of its rows, in one transaction; or, once
     * an agent has forgotten a session, what it kept. The files are clean after `scrub`. `undefined` when there is nothing.
     */
    readonly forget: (entry: ForgetEntry) => Effect.Effect<Forgotten | undefined, JournalError>
    /** What agents have still to forget; `undefined` when nothing is left to be cleaned up. */
    readonly pendingForgets: Effect.Effect<ReadonlyArray<PendingForget> | undefined, JournalError>
    /** Takes what was forgotten out of the write-ahead log as well; `false` when a reader stands in the way. */
    readonly scrub: Effect.Effect<boolean, JournalError>
    /**
     * Stores a question of a running turn; `undefined` when it does not run any more. One that an earlier boot asked in
     * the same words for the same turn is the same: it comes back with what was decided meanwhile.
     */
    readonly ask: (
      turn: number,
      question: string,
      options: ReadonlyArray<string>
    ) => Effect.Effect<PermissionRow | undefined, JournalError>
    /** Ends a question without a decision of a person (`expired`, `cancelled`); `false` when it had its end before. */
    readonly unask: (permission: number, decision: string) => Effect.Effect<boolean, JournalError>
    /** Open questions of a session. */
    readonly permissions: (session: number) => Effect.Effect<ReadonlyArray<PermissionRow>, JournalError>

    /** The placeholder row of a turn (edit channels), made now or by an earlier attempt; `undefined` when the turn has ended. */
    readonly reserve: (turn: number) => Effect.Effect<ReplyRow | undefined, JournalError>
    /** Moves a reply; `undefined` when it is not in a state that the step leaves. */
    readonly step: (step: ReplyStep) => Effect.Effect<ReplyRow | undefined, JournalError>
    /** Stores a wait for a conversation or a whole channel, in milliseconds from now. */
    readonly throttle: (
      scope: { readonly channel: string; readonly conversation?: number },
      wait: number
    ) => Effect.Effect<void, JournalError>
    readonly notice: (entry: Notice) => Effect.Effect<ReplyRow | undefined, JournalError>
    /** Stores the word of a stop for each conversation that may hear it now; returns how many do. */
    readonly farewell: (entry: Farewell) => Effect.Effect<number, JournalError>
    /** Those whom a stop of an earlier boot told, and whom nobody has told of the return. */
    readonly told: Effect.Effect<ReadonlyArray<Told>, JournalError>
    /**
     * Ends the wait of {@link Told}, all in one transaction: a word of the stop that was not sent is dropped, for it is
     * wrong now, and the word of the return is stored for those who may have seen the other. Returns how many hear it.
     */
    readonly return: (entries: ReadonlyArray<Return>) => Effect.Effect<number, JournalError>
    /** A new reply row with the payload of a dead one, or its removal. */
    readonly replay: (reply: number) => Effect.Effect<ReplyRow | undefined, JournalError>
    readonly discard: (reply: number) => Effect.Effect<boolean, JournalError>

    /** Marks all open work with the reason of a stop, in one commit of its own. Idempotent. */
    readonly preMark: (
      reason: string
    ) => Effect.Effect<{ readonly turns: number; readonly sessions: number }, JournalError>
    /** Stores the report of a stop. */
    readonly storeReport: (report: {
      readonly reason: string
      readonly exitCode: number
      readonly millis: number
      readonly clean: boolean
      readonly json: unknown
    }) => Effect.Effect<void, JournalError>
    /** The boot is healthy: ends the chain of unclean boots. */
    readonly healthy: Effect.Effect<void, JournalError>
    /** Lets go what retention lets go: one pass over the store in bounded rounds, others write in between; returns the number of rows. */
    readonly compact: Effect.Effect<number, JournalError>
    /** Checkpoints and truncates the write-ahead log, ends the writer; the lock is released with the layer. */
    readonly close: Effect.Effect<void, JournalError>

    /** Sessions with waiting messages of older epochs: counts only, so that a large backlog costs neither time nor memory at boot. */
    readonly backlog: Effect.Effect<
      ReadonlyArray<{ readonly session: number; readonly waiting: number; readonly firstSeq: number }>,
      JournalError
    >
    /** The next waiting messages (no commands) of older epochs of one session, by seq: how a session with a backlog takes its next batch. */
    readonly waiting: (session: number, limit: number) => Effect.Effect<ReadonlyArray<RowKey>, JournalError>
    /** Messages without an end that wait (any epoch), by conversation key; at most `limit` rows, the longest first, `more` counts the rest. */
    readonly queued: (limit: number) => Effect.Effect<
      {
        readonly rows: ReadonlyArray<{ readonly conversation: string; readonly waiting: number }>
        readonly more: number
      },
      JournalError
    >
    /**
     * Stores on a turn that it asked for a stop. `undefined` when this is its first request, or one of this epoch; otherwise
     * what came of the earlier one (epoch, reason, that epoch's stored report), and nothing is changed.
     */
    readonly asked: (
      turn: number,
      reason: string
    ) => Effect.Effect<
      { readonly reason: string; readonly epoch: number; readonly report: unknown } | undefined,
      JournalError
    >
    /** Commands of older epochs that were admitted and not run, by seq. */
    readonly commands: Effect.Effect<ReadonlyArray<Row>, JournalError>
    readonly rows: (seqs: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<Row>, JournalError>
    readonly session: (id: number) => Effect.Effect<SessionRow | undefined, JournalError>
    readonly conversation: (
      key: string
    ) => Effect.Effect<{ readonly id: number; readonly session: number } | undefined, JournalError>
    /** Names of the channels that have conversations. */
    readonly channels: Effect.Effect<ReadonlySet<string>, JournalError>
    /** The message that a conversation knows by this id; `undefined` when it has none. */
    readonly seqOf: (conversationKey: string, id: string) => Effect.Effect<number | undefined, JournalError>
    /** Ids of this message and of its versions (which begin with it and a slash), newest first; at most a hundred. */
    readonly versions: (conversationKey: string, id: string) => Effect.Effect<ReadonlyArray<string>, JournalError>
    /** Replies that the outbox owes, above the row `after`, by row: of everybody, or of one conversation (a lane that reads on). */
    readonly owed: (
      after: number,
      limit: number,
      conversation?: number
    ) => Effect.Effect<ReadonlyArray<ReplyRow>, JournalError>
    /** Stored waits that still last: milliseconds left. */
    readonly throttles: Effect.Effect<
      ReadonlyArray<{ readonly channel: string; readonly conversation: number | undefined; readonly left: number }>,
      JournalError
    >
    /** With at most so many bytes of text together (1 MiB), but for a first reply that alone has more. */
    readonly page: (
      conversationKey: string,
      after: number,
      limit: number,
      bytes?: number
    ) => Effect.Effect<Page, JournalError>
    readonly standing: (
      seq: number
    ) => Effect.Effect<
      { readonly row: Row; readonly ended: Ended | undefined; readonly replies: ReadonlyArray<Reply> } | undefined,
      JournalError
    >
    /** Hashes of stored files that a message or a reply refers to, for the sweep. */
    readonly attachments: Effect.Effect<ReadonlySet<string>, JournalError>
    readonly reads: JournalReads
  }
>()("@sluice/runtime/Journal") {
  /**
   * A journal with a connection of its own, built fresh from `client` and never
   * taken from the host's context: a writer that waited for a connection inside
   * the host's own transaction would wait for ever.
   */
  static readonly layer = <E, R>(
    client: Layer.Layer<SqlClient.SqlClient, E, R>,
    options: JournalOptions = {}
  ): Layer.Layer<Journal, E | JournalError, R> => makeJournal(Journal, client, options)

  /** The questions of {@link JournalReads} over a store that nobody has to run; read-only. */
  static readonly reader = <E, R>(
    client: Layer.Layer<SqlClient.SqlClient, E, R>
  ): Layer.Layer<JournalReader, E | JournalError, R> => makeReader(JournalReader, client)
}

/** Read-only view of a store, for tools. */
export class JournalReader extends Context.Service<JournalReader, JournalReads>()("@sluice/runtime/JournalReader") {}

/** The interface of {@link Journal}, for its implementation. */
export type JournalShape = Journal["Service"]
