/**
 * The vocabulary of the pipeline: what comes in (`Inbound`), what the journal
 * says of it (`Accepted`, `Ended`), what an agent is given (`Turn`) and what goes
 * back out (`Reply`). Every other module speaks in these words; this one imports
 * none of them.
 */
import * as Schema from "effect/Schema"

/** The longest text of one message, in UTF-16 code units. Longer ones are refused with `TooLarge`. */
export const maxTextLength = 262_144
/** The longest external id, sender id or name, in UTF-16 code units. */
export const maxNameLength = 256
/** The most attachments one message can carry. */
export const maxAttachments = 16

/**
 * A stored file that belongs to a message. `hash` is the SHA-256 of its bytes in
 * hexadecimal and its name below the attachments folder; `size` is in bytes.
 * `missing` says that the row exists while its file does not.
 */
export class Attachment extends Schema.Class<Attachment>("@sluice/runtime/Attachment")({
  hash: Schema.String,
  size: Schema.Int,
  type: Schema.String,
  name: Schema.optionalKey(Schema.String),
  path: Schema.optionalKey(Schema.String),
  missing: Schema.optionalKey(Schema.Boolean)
}) {}

const units = ["bytes", "KiB", "MiB", "GiB"]

/** A size in words: `12 KiB`. */
export const sizeText = (bytes: number): string => {
  const unit = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** unit
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/**
 * An address where somebody can be reached: a peer (a chat, a room, a person) on
 * one account of one channel, and perhaps a thread in it. Order, numbers of
 * replies and deduplication belong to it.
 */
export interface Conversation {
  /** Name of the channel in the registry, for example `http`. */
  readonly channel: string
  /** The account on that channel that was written to; empty where a channel has just one. */
  readonly account: string
  /** Who is at the other end, in the channel's own terms. */
  readonly peer: string
  /** A topic or thread of that peer; empty where there is none. */
  readonly thread: string
}

const plain = /^[\w.!~*'():-]*$/

// Most parts are plain, and looking is much faster than encoding.
const part = (text: string): string => (plain.test(text) ? text : encodeURIComponent(text).replaceAll("%3A", ":"))

/** The one text form of a conversation: `channel[@account]/peer[/thread]`, each part percent-encoded. */
export const conversationKey = (conversation: Conversation): string =>
  part(conversation.channel) +
  (conversation.account === "" ? "" : `@${part(conversation.account)}`) +
  `/${part(conversation.peer)}` +
  (conversation.thread === "" ? "" : `/${part(conversation.thread)}`)

/** Reads a key that `conversationKey` wrote; `undefined` when the text is not one. */
export const parseConversationKey = (key: string): Conversation | undefined => {
  const [head = "", peer, thread, ...more] = key.split("/")
  if (peer === undefined || more.length > 0) return undefined
  const [channel = "", account = ""] = head.split("@")
  try {
    return {
      channel: decodeURIComponent(channel),
      account: decodeURIComponent(account),
      peer: decodeURIComponent(peer),
      thread: decodeURIComponent(thread ?? "")
    }
  } catch {
    return undefined
  }
}

/** The name of the session that every conversation begins with. */
export const mainSession = "main"

/** The text form of a session: the conversation's key, and `#name` unless it is the main one. */
export const sessionKey = (conversation: string, name: string): string =>
  name === mainSession ? conversation : `${conversation}#${encodeURIComponent(name)}`

/**
 * One message as a channel hands it in. `conversation` is the peer in the
 * channel's own terms; the channel's name is added by the handle. `id` names one
 * version of one event and makes a repeat recognisable for at least 8 days;
 * without it every call is a new message.
 */
export interface Inbound {
  readonly conversation: string
  readonly account?: string
  readonly thread?: string
  readonly id?: string
  readonly sender: string
  readonly text: string
  readonly attachments?: ReadonlyArray<Attachment>
  /** This message ends the burst that it joins (a photo, a voice note). */
  readonly closes?: boolean
  /**
   * Id of the message of which this is a newer version, by the same sender: of the older ones, which have that id or
   * begin with it and a slash, what still waits is not said any more. A newer version is never a command.
   */
  readonly replaces?: string
  /**
   * Id of a message that was deleted where it was written, by the same sender: of its versions what still waits is
   * cancelled. That is all of it: it has no text, begins no turn, and ends as a command with its commit.
   */
  readonly withdraws?: string
  /** Marker of the agent's process that sent this, so that a turn which asks for a restart is known. */
  readonly asking?: string
}

/**
 * The receipt: the message is on disk. `seq` is its place in commit order, `id`
 * the id it is known by, `duplicate` says that it was there before. `held` says
 * that the gateway is stopping and answers after its restart.
 */
export class Accepted extends Schema.Class<Accepted>("@sluice/runtime/Accepted")({
  seq: Schema.Int,
  id: Schema.String,
  duplicate: Schema.Boolean,
  held: Schema.optionalKey(Schema.Boolean)
}) {}

/** The id was used before with another body: the first one stands. */
export class Conflict extends Schema.TaggedError<Conflict>()("Conflict", {
  id: Schema.String,
  seq: Schema.Int
}) {
  override get message() {
    return `id "${this.id}" was accepted before with another body (seq ${this.seq}); send the same body again or use a new id`
  }
}

/** The input can never be accepted as it is: names the field, the value and the remedy. */
export class Invalid extends Schema.TaggedError<Invalid>()("Invalid", {
  field: Schema.String,
  value: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.field} ${this.value}: ${this.remedy}`
  }
}

/** The input is larger than a bound. Sizes are in the unit that `unit` names. */
export class TooLarge extends Schema.TaggedError<TooLarge>()("TooLarge", {
  field: Schema.String,
  size: Schema.Int,
  limit: Schema.Int,
  unit: Schema.String
}) {
  override get message() {
    return `${this.field} has ${this.size} ${this.unit}, at most ${this.limit} are accepted; send it in parts`
  }
}

/** Too many messages; `retryAfter` in milliseconds. */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  retryAfter: Schema.Int,
  scope: Schema.Literals(["sender", "conversation", "queue", "global"])
}) {
  override get message() {
    return `too many messages (limit of the ${this.scope}); try again in ${Math.ceil(this.retryAfter / 1000)} s`
  }
}

/** The writer's queue is full; nothing was stored. `retryAfter` in milliseconds. */
export class Full extends Schema.TaggedError<Full>()("Full", { retryAfter: Schema.Int }) {
  override get message() {
    return "the store has more waiting writes than it holds; nothing was stored, try again"
  }
}

/** The database stayed locked by somebody else; nothing was stored. `retryAfter` in milliseconds. */
export class Busy extends Schema.TaggedError<Busy>()("Busy", { retryAfter: Schema.Int }) {
  override get message() {
    return "the store is locked by another writer; nothing was stored, try again"
  }
}

/** Intake is closed; nothing was stored. `retryAfter` in milliseconds. */
export class ShuttingDown extends Schema.TaggedError<ShuttingDown>()("ShuttingDown", { retryAfter: Schema.Int }) {
  override get message() {
    return "the gateway is stopping; nothing was stored, try again after its restart"
  }
}

/** The commit failed; nothing was stored. `retryAfter` in milliseconds. */
export class Storage extends Schema.TaggedError<Storage>()("Storage", {
  retryAfter: Schema.Int,
  cause: Schema.Defect()
}) {
  override get message() {
    return "the store could not commit; nothing was stored, try again"
  }
}

/** Errors that the same input meets again: a poller skips the message with a log. */
export type Permanent = Conflict | Invalid | TooLarge
/** Errors that pass: a poller ends its page there and asks again after `retryAfter`. */
export type Transient = RateLimited | Full | Busy | ShuttingDown | Storage
/** Why a message was not accepted. Nothing was stored, except that a `Conflict` leaves the first version in place. */
export type AcceptError = Permanent | Transient

/** Whether the same input would fail again. */
export const isPermanent = (error: AcceptError): error is Permanent =>
  error._tag === "Conflict" || error._tag === "Invalid" || error._tag === "TooLarge"

/** The ways an accepted message can end: exactly one of them. */
export const endings = [
  "replied",
  "no-reply",
  "command",
  "cancelled",
  "superseded",
  "dropped",
  "suspended",
  "undeliverable",
  "unknown"
] as const
/** One of {@link endings}. */
export type Ending = (typeof endings)[number]

/** How a message ended; `why` refines it (`cancelled` by `stop`, `dropped` by `old`, `suspended` as `crashed`, ...). */
export interface Ended {
  readonly ending: Ending
  readonly why: string
}

/** What the gateway still owes, or how it ended, as one text: `open`, `replied`, `cancelled(stop)`, ... */
export const endedText = (ended: Ended | undefined): string =>
  ended === undefined ? "open" : ended.why === "" ? ended.ending : `${ended.ending}(${ended.why})`

/** One message of a turn, as an agent sees it. `acceptedAt` is epoch milliseconds. */
export interface TurnMessage {
  readonly seq: number
  readonly id: string
  readonly sender: string
  readonly text: string
  readonly attachments: ReadonlyArray<Attachment>
  readonly acceptedAt: number
}

/** Why the previous attempt of a turn did not end, and the tool that was running then. */
export interface Interrupted {
  /** `crash`, the reason of the stop that cut it (`stop`, `restart`, ...), or `failure` when it failed with a tool running. */
  readonly by: string
  /** Name of a tool that had started and whose outcome is unknown. Don't repeat it blindly. */
  readonly tool?: string
}

/**
 * A unit of work for an agent: the messages of one batch, in order. The same
 * turn comes again with a higher `attempt` when it was cut off.
 */
export interface Turn {
  readonly id: string
  /** Text form of the session, for example `http/kim` or `http/kim#work`. */
  readonly session: string
  readonly conversation: string
  /** 1 at the first run. */
  readonly attempt: number
  readonly messages: ReadonlyArray<TurnMessage>
  /** The messages' texts joined by line feeds. */
  readonly text: string
  readonly interrupted?: Interrupted
  /** Messages that were dropped by `summarize` since the last turn: their number and a line of each. */
  readonly summary?: { readonly count: number; readonly lines: ReadonlyArray<string> }
  /** Messages of the turn that this one cut off in queue mode `interrupt`. */
  readonly context?: ReadonlyArray<TurnMessage>
}

/** Where a stored reply stands. */
export type ReplyState = "reserved" | "placing" | "placed" | "pending" | "sending" | "sent" | "unknown" | "dead"

/** What a reply is: an answer, a sentence of Sluice's own, the outcome of a command, or a post of the host. */
export type ReplyKind = "answer" | "notice" | "command" | "post"

/**
 * A stored reply. `id` is stable over retries and crashes and unique over
 * stores: a keyed channel passes it on for the other side to deduplicate.
 * `number` counts the conversation's replies from 1 without holes.
 */
export interface Reply {
  readonly id: string
  readonly conversation: Conversation
  readonly number: number
  readonly kind: ReplyKind
  readonly text: string
  /** The turn it answers, absent for posts and notices without a turn. */
  readonly turn?: string
  /** Name of its session, where the conversation was in another one when it was stored. */
  readonly session?: string
  /** External ids of the messages that it answers. */
  readonly inReplyTo: ReadonlyArray<string>
  /** Files that belong to it; absent where it has none. */
  readonly attachments?: ReadonlyArray<Attachment>
  /** Epoch milliseconds of its commit. */
  readonly createdAt: number
}

/**
 * What happens in a running turn, for a channel that shows it. Lost on a crash and never stored. `elsewhere`: of a session
 * that is not the conversation's current one.
 */
export type Progress =
  | { readonly _tag: "State"; readonly session: string; readonly state: SessionState }
  | (InTurn & { readonly _tag: "Text"; readonly delta: string })
  | (InTurn & { readonly _tag: "ToolStarted"; readonly id: string; readonly name: string })
  | (InTurn & { readonly _tag: "ToolFinished"; readonly id: string })
  | (InTurn & {
      readonly _tag: "Permission"
      readonly number: number
      readonly question: string
      readonly options: ReadonlyArray<string>
    })
  | (InTurn & { readonly _tag: "Line"; readonly text: string })
  | (InTurn & { readonly _tag: "TurnEnded"; readonly outcome: string })

interface InTurn {
  readonly session: string
  readonly turn: string
  readonly elsewhere?: boolean
}

/** What a session is doing, derived from facts and from its agent's events. */
export type SessionState =
  | { readonly name: "idle" }
  | { readonly name: "receiving" }
  | { readonly name: "processing" }
  | { readonly name: "tool"; readonly tool: string }
  | { readonly name: "waiting" }
  | { readonly name: "responding" }
  | { readonly name: "draining" }
  | { readonly name: "suspended" }
