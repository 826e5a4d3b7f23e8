/**
 * The port to where people are. A channel receives messages through a handle
 * whose `accept` returns only after the commit, and delivers stored replies in
 * the way its delivery class declares. The class decides what a crash in the
 * send window means, so a channel states it as a value and the types hold it to it.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Accepted, AcceptError, Conversation, Ended, Inbound, Progress, Reply, Transient } from "./Message.ts"

export { type CommandInfo, commands, commandText } from "./internal/commands/parse.ts"

/** The request never reached the other side: tried again with backoff until the reply is too old. */
export class NotSent extends Schema.TaggedError<NotSent>()("NotSent", { cause: Schema.Defect() }) {}
/** Nobody can tell whether it arrived: classed by the delivery class, never retried blindly. */
export class Unknown extends Schema.TaggedError<Unknown>()("Unknown", { cause: Schema.Defect() }) {}
/** The other side will never take it: the reply becomes a dead letter with its payload. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", { reason: Schema.String }) {}
/** Come back later, in milliseconds: a stored wait for this conversation or for the whole channel. */
export class Throttled extends Schema.TaggedError<Throttled>()("Throttled", {
  retryAfter: Schema.Int,
  scope: Schema.Literals(["conversation", "channel"])
}) {}
/** The channel's credentials are not valid: the channel is held and readiness says so; nothing dies. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", { reason: Schema.String }) {}

/** Why a reply did not arrive, or not for certain. */
export type DeliveryError = NotSent | Unknown | Refused | Throttled | Unauthorized

/** A channel that can't start or can't go on receiving. */
export class ChannelError extends Schema.TaggedError<ChannelError>()("ChannelError", {
  channel: Schema.String,
  reason: Schema.String,
  /** The other side refuses: it is tried again after longer waits, for somebody has to correct something. */
  refused: Schema.optionalKey(Schema.Boolean),
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message() {
    return `channel "${this.channel}": ${this.reason}`
  }
}

/** What the other side called the reply, when it says so. */
export interface Receipt {
  readonly remoteId?: string
}

/** The other side fetches replies by number: stored with its number = sent. */
export interface Pull {
  readonly _tag: "Pull"
}
/** The other side deduplicates on `reply.id`: a reply is sent again until it is acknowledged. */
export interface Keyed<R = never> {
  readonly _tag: "Keyed"
  readonly deliver: (reply: Reply) => Effect.Effect<Receipt, DeliveryError, R>
}
/**
 * A message can be edited by its id: each reply is placed first (its id is
 * committed), then edited in. `edit` succeeds on "not modified".
 */
export interface Edit<R = never> {
  readonly _tag: "Edit"
  readonly place: (
    conversation: Conversation,
    text: string
  ) => Effect.Effect<{ readonly remoteId: string }, DeliveryError, R>
  readonly edit: (remoteId: string, reply: Reply) => Effect.Effect<Receipt, DeliveryError, R>
  /** Shows the text of a running turn in its placeholder; a failure is ignored, the final edit follows. */
  readonly progress?: (
    remoteId: string,
    conversation: Conversation,
    text: string
  ) => Effect.Effect<void, DeliveryError, R>
}
/**
 * Neither: after a crash in the send window nobody can tell. `resend-once` sends
 * one marked copy, `hold` shows the reply as unknown and sends nothing.
 */
export interface Ambiguous<R = never> {
  readonly _tag: "Ambiguous"
  readonly policy: "resend-once" | "hold"
  readonly deliver: (reply: Reply) => Effect.Effect<Receipt, DeliveryError, R>
}
/** How a channel delivers, and what is true of a reply after a crash in its send window. */
export type Delivery<R = never> = Pull | Keyed<R> | Edit<R> | Ambiguous<R>

/** The class in words, as it is printed at start. */
export const deliveryName = (delivery: Delivery<unknown>): string =>
  delivery._tag === "Pull"
    ? "keyed (pull by number)"
    : delivery._tag === "Ambiguous"
      ? `ambiguous (${delivery.policy})`
      : delivery._tag.toLowerCase()

/** Replies are pulled by number: exactly once for a reader that keeps its cursor. */
export const pull: Pull = { _tag: "Pull" }
/** Declares that the other side deduplicates on `reply.id`. */
export const keyed = <R>(deliver: Keyed<R>["deliver"]): Keyed<R> => ({ _tag: "Keyed", deliver })
/** Declares that messages can be edited by id. */
export const edit = <R>(options: Omit<Edit<R>, "_tag">): Edit<R> => ({ _tag: "Edit", ...options })
/** Declares that nobody can tell after a crash, and what is done about it. */
export const ambiguous = <R>(policy: Ambiguous["policy"], deliver: Ambiguous<R>["deliver"]): Ambiguous<R> => ({
  _tag: "Ambiguous",
  policy,
  deliver
})

/** How one message stands: how it ended, and the replies to it so far. */
export interface Standing {
  readonly seq: number
  readonly id: string
  readonly ended: Ended | undefined
  readonly replies: ReadonlyArray<Reply>
}

/**
 * What a channel is started with. Conversations are the channel's own: a peer
 * with an optional account and thread; the handle adds the channel's name.
 */
export interface Handle {
  /** Name of this channel in the registry. */
  readonly name: string
  /** Stores a message. Success = it is on disk; a caller that leaves meanwhile changes nothing. */
  readonly accept: (inbound: Inbound) => Effect.Effect<Accepted, AcceptError>
  /** Stores an outbound message without a turn, idempotent by `id` in an id space of its own. */
  readonly post: (
    conversation: Peer,
    post: { readonly id?: string; readonly text: string }
  ) => Effect.Effect<Accepted, AcceptError>
  /** One page of the conversation's replies with a number above `after`, in order. `latest` = the highest number so far. */
  readonly page: (
    conversation: Peer,
    options: { readonly after: number; readonly limit: number }
  ) => Effect.Effect<{ readonly replies: ReadonlyArray<Reply>; readonly latest: number }, Transient>
  /** The replies above `after`, first the stored ones, then each as it is committed. Never ends by itself. */
  readonly replies: (conversation: Peer, after: number) => Stream.Stream<Reply, Transient>
  /** Completes when the message has its end (at once for an old one); `undefined` when it is not known. */
  readonly ended: (seq: number) => Effect.Effect<Standing | undefined, Transient>
  /**
   * Ids under which this message and its versions are stored, newest first: the id itself, and those that begin with it and
   * a slash. For what a platform delivers out of order, and for an edit that says no more for whom it is.
   */
  readonly versions: (conversation: Peer, id: string) => Effect.Effect<ReadonlyArray<string>, Transient>
  /**
   * What its sessions are doing, where one is doing something, then what happens in its running turns from now on; slow
   * readers lose the oldest.
   */
  readonly progress: (conversation: Peer) => Stream.Stream<Progress>
  /** Holds the conversation's burst open while the scope is, up to the cap (a download that is under way). */
  readonly receiving: (conversation: Peer) => Effect.Effect<void, never, Scope.Scope>
  /** The channel can receive now. Until it says so the gateway is not ready. */
  readonly ready: Effect.Effect<void>
  /** What is wrong although it receives, as its platform says, in a sentence; `undefined` when it is right again. Shown to operators. */
  readonly trouble: (reason: string | undefined) => Effect.Effect<void>
  /** Completes once the gateway takes no new work; a channel that answers waiting clients races against it. */
  readonly stopping: Effect.Effect<void>
}

/** A conversation as its own channel names it. */
export interface Peer {
  readonly conversation: string
  readonly account?: string
  readonly thread?: string
}

/**
 * A channel. `receive` runs until it is interrupted: a `poller` in phase 2 of a
 * stop, before anything drains (so its offset never passes what is committed), a
 * `server` in phase 7, because it answers clients until then.
 */
export interface Channel<out R = never> {
  readonly kind: "poller" | "server"
  readonly delivery: Delivery<R>
  readonly receive: (handle: Handle) => Effect.Effect<never, ChannelError, R | Scope.Scope>
  /** Cuts a long answer into the texts of its parts, in order, without losing a character that matters. Pure. */
  readonly split: (text: string) => ReadonlyArray<string>
  /** Replies older than this many milliseconds are delivered with a mark; dead after 24 h. Not for pull channels. */
  readonly replyMaxAge: number
  /** Quiet period of a burst on this channel, milliseconds; absent: the configured one. 0 where each message stands for itself. */
  readonly quiet?: number
  /** It sends or shows the files of replies (`Reply.attachments`); without it their names are written into the text. */
  readonly files?: boolean
  /** Whether people hear of a stop that makes their answer late, and of the return; they do. Never on a pull channel. */
  readonly restartNotices?: boolean
  /** What `receive` and `deliver` say of themselves in the start lines, for example an address. */
  readonly describe?: Effect.Effect<string>
}

/** A channel whose needs are met. */
export type AnyChannel = Channel<unknown>

/** What a channel still needs. */
export type Needs<C> = C extends Channel<infer R> ? R : never

/** Makes a channel; `kind` is `poller` and `split` leaves texts whole unless said otherwise. */
export const make = <R1 = never, R2 = never>(options: {
  readonly kind?: Channel["kind"]
  readonly delivery: Delivery<R1>
  readonly receive: (handle: Handle) => Effect.Effect<never, ChannelError, R2>
  readonly split?: (text: string) => ReadonlyArray<string>
  readonly replyMaxAge?: number
  readonly quiet?: number
  readonly files?: boolean
  readonly restartNotices?: boolean
  readonly describe?: Effect.Effect<string>
}): Channel<R1 | Exclude<R2, Scope.Scope>> => {
  type Made = Channel<R1 | Exclude<R2, Scope.Scope>>
  return {
    kind: options.kind ?? "poller",
    delivery: options.delivery,
    receive: options.receive as Made["receive"],
    split: options.split ?? ((text) => [text]),
    replyMaxAge: options.replyMaxAge ?? 3_600_000,
    ...(options.quiet === undefined ? {} : { quiet: options.quiet }),
    ...(options.files === undefined ? {} : { files: options.files }),
    ...(options.restartNotices === undefined ? {} : { restartNotices: options.restartNotices }),
    ...(options.describe === undefined ? {} : { describe: options.describe })
  }
}

/**
 * For pollers: a permanent refusal is logged and skipped (a repeat with another
 * body counts as the repeat it most likely is), a transient one ends the page.
 */
export const skipPermanent = <A, R>(accept: Effect.Effect<A, AcceptError, R>): Effect.Effect<A | void, Transient, R> =>
  Effect.catchTags(accept, {
    Conflict: (error) =>
      Effect.logInfo("Repeat with another body: the first version stands").pipe(
        Effect.annotateLogs({ id: error.id, seq: error.seq })
      ),
    Invalid: (error) =>
      Effect.logWarning("Message skipped: it can't be accepted").pipe(Effect.annotateLogs({ reason: error.message })),
    TooLarge: (error) =>
      Effect.logWarning("Message skipped: it is too large").pipe(Effect.annotateLogs({ reason: error.message }))
  })
