/**
 * The records of the journal: what its writes take, what its reads return, and
 * the one error that ends it. Plain data, so that every module can build and
 * compare it without a store.
 */
import * as Schema from "effect/Schema"
import type { Attachment, Conversation, Reply, ReplyKind, ReplyState } from "../../Message.ts"

/** What each reason means to who reads it: no name of a module. */
const situations = {
  Fenced: "the store has another owner",
  Locked: "the store is in use",
  Storage: "the store failed",
  TooNew: "the store is too new",
  Unsupported: "the store can't be used",
  Closed: "the store is closed"
} as const

/**
 * The journal can't go on. `Fenced`: another process owns the store now (exit
 * 69). `Locked`: it did from the beginning (exit 69). `Storage`: the disk or the
 * file failed (exit 74). `TooNew`, `Unsupported`: this program can't use this
 * store (exit 78). `Closed`: it was used after its end.
 */
export class JournalError extends Schema.TaggedError<JournalError>()("JournalError", {
  reason: Schema.Literals(["Fenced", "Locked", "Storage", "TooNew", "Unsupported", "Closed"]),
  detail: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message() {
    return `${situations[this.reason]}: ${this.detail}`
  }
}

// ---------------------------------------------------------------- records

/** What memory keeps of a waiting row: enough to build a batch, not its text. */
export interface RowKey {
  readonly seq: number
  readonly session: number
  /** Boot that admitted it. */
  readonly epoch: number
  /** It begins a burst, by the stored gap, quiet period and cap. */
  readonly opens: boolean
  /** It ends the burst that it is in. */
  readonly closes: boolean
  /** UTF-8 bytes of its text. */
  readonly bytes: number
}

/** An admitted message. */
export interface Row extends RowKey {
  readonly id: string
  /** Number of the conversation. */
  readonly conversation: number
  readonly conversationKey: string
  readonly command: boolean
  readonly sender: string
  readonly text: string
  readonly attachments: ReadonlyArray<Attachment>
  /** Wall clock of the admission, epoch milliseconds. */
  readonly acceptedAt: number
  /** Quiet period and cap that were in force, milliseconds. */
  readonly quiet: number
  readonly atMost: number
  /** `seq` of the message that `/retry` copied. */
  readonly replayOf: number | undefined
  /** Marker of the child that sent it. */
  readonly asking: string | undefined
  /** No turn has it and it has no end, as it was when it was read. */
  readonly waits: boolean
}

/** A session with its conversation's address. */
export interface SessionRow {
  readonly id: number
  readonly conversation: number
  readonly conversationKey: string
  readonly address: Conversation
  readonly name: string
  /** It is the conversation's current one. */
  readonly current: boolean
  readonly archived: boolean
  /** Name of its agent; empty until the first turn: the default then. */
  readonly agent: string
  readonly persona: string
  /** Milliseconds, or undefined for the configured one. */
  readonly idleTimeout: number | undefined
  readonly queueMode: string | undefined
  /** As `/model` and the output modes set it; undefined for the agent's own, and for the default. */
  readonly model: string | undefined
  readonly outputMode: string | undefined
  /** Epoch milliseconds of its last admission or settlement. */
  readonly lastActive: number
}

/** Where a turn stands. */
export type TurnState =
  | "running"
  | "waiting"
  | "interrupted"
  | "done"
  | "superseded"
  | "suspended"
  | "dropped"
  | "cancelled"

/** A turn as it is stored. Counts follow contract C7: crashes, planned cuts, errors. */
export interface TurnRow {
  readonly id: number
  readonly session: number
  readonly state: TurnState
  readonly epoch: number
  readonly attempt: number
  readonly crashes: number
  readonly cuts: number
  readonly errors: number
  readonly agent: string
  /** A tool with side effects that had started and not finished. */
  readonly tool: string | undefined
  /** What cut the last attempt: `crash` or the reason of the stop; undefined when nothing did. */
  readonly cutBy: string | undefined
  /** Epoch milliseconds until which its backoff lasts. */
  readonly waitUntil: number | undefined
  /** Lowest and highest seq of its messages. */
  readonly firstSeq: number
  readonly lastSeq: number
  /** Wall clock of the first claim. */
  readonly startedAt: number
}

/** A stored reply with what the outbox needs to deliver it. */
export interface ReplyRow {
  /** Number of the row: the order of delivery in its conversation. */
  readonly id: number
  readonly reply: Reply
  readonly conversation: number
  readonly state: ReplyState
  readonly tries: number
  readonly remoteId: string | undefined
  /** Epoch milliseconds before which it is not sent. */
  readonly notBefore: number | undefined
  /** Epoch milliseconds after which it is dropped unsent (notices). */
  readonly expiresAt: number | undefined
  /** It may have arrived before: it is sent once more, marked. */
  readonly marked: boolean
  /** It was being placed or sent when an earlier boot ended: its delivery class decides what is true of it. */
  readonly cut: boolean
}

/** Whose value: of a session by its number, or of the one that has this name in a conversation now. */
export type ValuePlace = number | { readonly address: Conversation; readonly name: string }

// ---------------------------------------------------------------- writes

/** A message to be stored. */
export interface Admit {
  readonly address: Conversation
  readonly id: string | undefined
  readonly sender: string
  readonly text: string
  readonly attachments: ReadonlyArray<Attachment>
  readonly closes: boolean
  readonly command: boolean
  /** Debounce in force for it, milliseconds. */
  readonly quiet: number
  readonly atMost: number
  readonly asking: string | undefined
  /** Id of the message of which it is a newer version: what waits of the older ones is superseded. */
  readonly replaces?: string | undefined
  /** Id of the message that was deleted: what waits of its versions is cancelled, and this has its end with that. */
  readonly withdraws?: string | undefined
}

/** A reply to be stored. `parts` are the texts of its rows, already cut by the channel. */
export interface Draft {
  readonly kind: ReplyKind
  readonly parts: ReadonlyArray<string>
  /** Files that belong to its last part. They are stored already. */
  readonly attachments?: ReadonlyArray<Attachment>
  /** All of an answer whose parts are only its beginning: the rest is in a file. What is remembered of it is this. */
  readonly whole?: string
  /** Name of its session: kept when the conversation is in another one as this is committed. */
  readonly session?: string
  /** Notices: id of the sentence and epoch milliseconds after which it is pointless. */
  readonly notice?: string
  readonly expiresAt?: number
}

/** How replies of a conversation become visible: stored = sent for `pull`, else the outbox delivers. */
export interface Route {
  readonly pull: boolean
  /** Every row is placed before it is edited in. */
  readonly places: boolean
}

/** A batch to be claimed as a turn. Rows that were cancelled meanwhile are left out. */
export interface Claim {
  readonly session: number
  readonly seqs: ReadonlyArray<number>
  readonly agent: string
  /** A cut-off turn of an older epoch whose messages this one takes along (C6). */
  readonly supersedes?: number
  /** A turn cut off by queue mode `interrupt`: its messages become context. */
  readonly context?: number
}

/** What a claim or a resume committed: the attempt counts from here on. */
export interface Claimed {
  readonly turn: TurnRow
  readonly session: SessionRow
  readonly rows: ReadonlyArray<Row>
  /** Rows dropped by `summarize` since the last turn; now told by this one. */
  readonly summary: ReadonlyArray<Row>
  readonly context: ReadonlyArray<Row>
}

/** What an attempt used of one model. */
export interface ModelUsage {
  /** Empty where the agent does not say. */
  readonly model: string
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cacheReadTokens: number
  readonly cacheWriteTokens: number
  /** Billionths of a US dollar. */
  readonly cost: number
}

/** What an attempt used. */
export interface Spent {
  /** Day on which it counts, in the configured zone: `2026-11-21`. */
  readonly day: string
  readonly models: ReadonlyArray<ModelUsage>
  /** Everything that the agent named, added up; `cost` in US dollars. */
  readonly totals: Readonly<Record<string, number>>
}

/** How an attempt ended. `Retry` and `Interrupted` leave the turn open. */
export type Settlement =
  | { readonly _tag: "Done"; readonly replies: ReadonlyArray<Draft> }
  | { readonly _tag: "Cancelled"; readonly by: string; readonly replies: ReadonlyArray<Draft> }
  | {
      readonly _tag: "Suspended"
      readonly why: "ask" | "failed" | "crashed" | "cut"
      readonly replies: ReadonlyArray<Draft>
    }
  | { readonly _tag: "Dropped"; readonly policy: string; readonly replies: ReadonlyArray<Draft> }
  /** An error, counted; `wait` in milliseconds is stored with its end. */
  | { readonly _tag: "Retry"; readonly error: string; readonly wait: number }
  /** Cut by a planned stop: counts nothing (an asking turn counts a cut). */
  | { readonly _tag: "Interrupted"; readonly reason: string; readonly asked: boolean }

/** The end of an attempt. It takes effect only if the turn still runs this attempt. */
export interface Settle {
  readonly turn: number
  readonly attempt: number
  readonly settlement: Settlement
  readonly route: Route
  /** Counted whoever ends the turn: it was paid for. */
  readonly spent?: Spent
  /** Edited into the turn's placeholder when the turn ends without a reply; without it the placeholder stays as it stands. */
  readonly placeholder?: string
}

/** What a command does to rows; limited to messages with a smaller seq than its own. */
export type CommandAction =
  | { readonly _tag: "None" }
  | { readonly _tag: "Stop" }
  /** `agent` is the persona's: one that has another agent does not go on with a conversation that is there already. */
  | {
      readonly _tag: "New"
      readonly name: string | undefined
      readonly persona: string | undefined
      readonly agent?: string
    }
  | { readonly _tag: "Switch"; readonly name: string }
  | { readonly _tag: "Timeout"; readonly millis: number }
  | { readonly _tag: "Queue"; readonly mode: string }
  /** Without `model`: the agent's own again. */
  | { readonly _tag: "Model"; readonly model: string | undefined }
  | { readonly _tag: "Output"; readonly mode: string }
  /** Whether the conversation hears of restarts; without `on` it is only asked. */
  | { readonly _tag: "Notices"; readonly on: boolean | undefined }
  | { readonly _tag: "Retry" }
  /**
   * Sets a session aside that has nothing to do, with its export as it was when messages up to the number `upTo` were
   * stored: a later one of the session makes it busy.
   */
  | { readonly _tag: "Archive"; readonly session: number; readonly upTo: number; readonly file: Attachment | undefined }
  | { readonly _tag: "Forget" }
  | { readonly _tag: "Allow"; readonly number: number | undefined; readonly option: string }

/** What a command found and did, for its reply. */
export interface CommandOutcome {
  readonly session: SessionRow
  /** Messages that were waiting and are now cancelled. */
  readonly cancelled: ReadonlyArray<RowKey>
  /** The turn that was running and is now cancelled; its agent has yet to let go. */
  readonly turn: { readonly id: number; readonly session: number; readonly messages: number } | undefined
  /** `New`, `Switch`: the session was made by this command. `Switch`: false with `missing` when there is none. */
  readonly created: boolean
  readonly missing: boolean
  /** `Switch`: it was archived for so long that nothing is left of what was said in it. */
  readonly emptied: boolean
  /** `New` of a name that is taken: the agent that it goes on with, where the persona's is another one. */
  readonly keeps: string | undefined
  /** `Archive`: what it is called now, and its export. Nothing with `busy`, or when it is not there any more. */
  readonly archived: { readonly name: string; readonly file: Attachment | undefined } | undefined
  /** `Archive`: something runs or waits in it. */
  readonly busy: boolean
  /** `Retry`: the copies, handed on as new rows. */
  readonly copies: ReadonlyArray<Row>
  /** `Notices`: whether the conversation hears of restarts; it does unless it was asked for. */
  readonly noticed: boolean
  /** `Allow`: the permission that was decided. */
  readonly permission: PermissionRow | undefined
  /** `Forget`: what went, and what has still to go. */
  readonly forgotten: Forgotten | undefined
}

/** A conversation without its texts. */
export interface Forgotten {
  /** The sessions that it had: archived, without a name. */
  readonly sessions: ReadonlyArray<SessionRow>
  /** Number of the session in which it goes on. */
  readonly fresh: number
  /** Messages that waited and are cancelled, and turns that are: their agents have yet to let go. */
  readonly cancelled: ReadonlyArray<RowKey>
  readonly turns: ReadonlyArray<{ readonly id: number; readonly session: number }>
  /** Hashes of files that no message refers to any more. */
  readonly files: ReadonlyArray<string>
}

/** An agent may have stored something of a session that was forgotten. */
export interface PendingForget {
  readonly session: SessionRow
  readonly agent: string
  readonly kept: string | undefined
}

/** A question of a running turn that waits for a person. */
export interface PermissionRow {
  readonly id: number
  /** Small number by which a person names it. */
  readonly number: number
  readonly turn: number
  readonly session: number
  readonly question: string
  readonly options: ReadonlyArray<string>
  readonly decision: string | undefined
}

/** A step in a reply's life, checked against the state that it leaves. */
export type ReplyStep =
  | { readonly _tag: "Placing"; readonly reply: number }
  | { readonly _tag: "Placed"; readonly reply: number; readonly remoteId: string }
  | { readonly _tag: "Sending"; readonly reply: number }
  | { readonly _tag: "Sent"; readonly reply: number; readonly remoteId: string | undefined }
  /** Back to waiting: not sent (`wait` by backoff), throttled, or to be sent once more with a mark. */
  | { readonly _tag: "Later"; readonly reply: number; readonly wait: number; readonly marked: boolean }
  | { readonly _tag: "Unknown"; readonly reply: number; readonly error: string }
  | { readonly _tag: "Dead"; readonly reply: number; readonly error: string }

/** A sentence of Sluice's own. Not stored again while `cap.count` of the same id went to the conversation within `cap.within` ms. */
export interface Notice {
  readonly conversation: number
  readonly notice: string
  readonly parts: ReadonlyArray<string>
  readonly route: Route
  readonly expiresAt: number | undefined
  readonly cap: { readonly count: number; readonly within: number } | undefined
  /** Not when the conversation has heard it since this moment, epoch milliseconds. */
  readonly since?: number
}

/** An outbound message without a turn. */
export interface Post {
  readonly address: Conversation
  readonly id: string | undefined
  /** As the host gave it: what a repeat is compared with. How a channel cuts it may change between the two. */
  readonly text: string
  /** The texts of its replies, cut by the channel. */
  readonly parts: ReadonlyArray<string>
  readonly route: Route
}

/** The doorbells: synchronous, called in commit order, after the commit and before its callers hear of it. They never throw or wait. */
export interface Doorbells {
  /** Messages, in seq order. */
  readonly rows: (rows: ReadonlyArray<Row>) => void
  /** Replies that became visible or due. */
  readonly replies: (replies: ReadonlyArray<ReplyRow>) => void
  /** Messages that ended. */
  readonly ended: (seqs: ReadonlyArray<number>) => void
}
