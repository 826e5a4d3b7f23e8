/**
 * Delivers the replies that the journal stored, in one lane per conversation:
 * `sending` is committed before the request, and whatever ends a request without
 * an answer is classed at once, exactly as the next boot would class it after a
 * crash in the send window (docs/delivery.md has the table). It is the one owner
 * of retries. Readers of pull channels are woken, never polled.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { makeOutbox } from "./internal/outbox/make.ts"
import type { Registered } from "./internal/registry.ts"
import type { Draft, Journal, JournalError, Page, ReplyRow, Route, Told } from "./Journal.ts"
import type { Attachment, Conversation, Reply } from "./Message.ts"
import type { NoticeId, ValuesOf } from "./Notices.ts"

/** Bounds of the outbox; every field has its default. */
export interface OutboxOptions {
  /** Most requests at one time to one channel (16). */
  readonly concurrency?: number
  /** A request without an answer for this long has none (60 s). */
  readonly deliverTimeout?: Duration.Input
  /** Waits between tries: the first, doubled each time, and the longest (1 s, 5 min). */
  readonly backoff?: { readonly base?: Duration.Input; readonly cap?: Duration.Input }
  /** A reply that could not be sent for this long (24 h), and for an hour since the start, is dead after its next try. */
  readonly deadAfter?: Duration.Input
  /** Least time between two edits that show a running turn's text (1 s). */
  readonly progressEvery?: Duration.Input
  /** Whether people hear of a stop that makes their answer late, and of the return (true). */
  readonly restartNotices?: boolean
}

/** A channel to which nothing is delivered, and why. Its replies stay stored. */
export interface HeldChannel {
  readonly channel: string
  /**
   * `unauthorized`: its credentials were refused. `unconfigured`: replies are owed to a name that has no channel.
   * `stopped`: by hand.
   */
  readonly why: "unauthorized" | "unconfigured" | "stopped"
  readonly reason: string
  /** Since when, epoch milliseconds; 0 where nobody noticed. */
  readonly since: number
  /** Until the credentials are tried again with one reply, milliseconds. */
  readonly retryIn?: number
  /** Conversations that wait for it. */
  readonly conversations: number
}

/** What happened to replies since the start, and what is owed now. */
export interface Deliveries {
  /** Acknowledged by the other side, or visible to those who pull. */
  readonly sent: number
  /** Owed: stored and neither sent nor given up. */
  readonly pending: number
  /** Nobody can tell whether they arrived, and the policy is not to send again. */
  readonly unknown: number
  /** Given up, with payload, as dead letters (expired notices included). */
  readonly dead: number
  /** Tries that are repeated later. */
  readonly retried: number
  /** Conversations to which something is owed or shown, or that a wait is remembered for. */
  readonly lanes: number
  readonly held: ReadonlyArray<HeldChannel>
}

/** What a boot found in the outbox. */
export interface Recovered {
  /** Replies that are owed. */
  readonly owed: number
  /** Of them those that were in their send window when the process died. */
  readonly inFlight: number
  /** Of these, shown as unknown now. */
  readonly unknown: number
  readonly held: ReadonlyArray<HeldChannel>
}

/** Whom a sentence is for. */
export interface Recipient {
  /** Number of the conversation in the journal. */
  readonly conversation: number
  readonly address: Conversation
}

/** The outbox of one gateway. */
export class Outbox extends Context.Service<
  Outbox,
  {
    /**
     * Boot: classes what an older epoch left in a send window, takes over stored
     * waits, and opens the lanes. Nothing is delivered before it; call it once,
     * before turns are resumed.
     */
    readonly recover: Effect.Effect<Recovered, JournalError>
    /** The journal's doorbell for replies: synchronous, wakes lanes and readers, never waits. */
    readonly repliesUnsafe: (rows: ReadonlyArray<ReplyRow>) => void

    /**
     * An attempt of a turn begins: on channels that edit, its placeholder is
     * reserved (committed on return) and placed by the conversation's lane. Until
     * the scope closes `progress` shows in it. Does nothing on other channels.
     */
    readonly begin: (turn: number, to: Recipient) => Effect.Effect<void, JournalError, Scope.Scope>
    /** Shows a running turn's text in its placeholder, throttled; dropped when the turn has ended or has none. */
    readonly progress: (turn: number, text: string) => Effect.Effect<void>
    /** Shows a text in the placeholder of a turn between two of its attempts. Does nothing where there is none. */
    readonly leave: (turn: number, to: Recipient, text: string) => Effect.Effect<void, JournalError>

    /** How replies to this address become visible now. */
    readonly route: (address: Conversation) => Route
    /**
     * An answer as a draft, cut into the parts that its channel can carry. An empty text has no parts. Its files go with
     * the last one, with a line for each where the channel does not show them itself.
     */
    readonly answer: (address: Conversation, text: string, attachments?: ReadonlyArray<Attachment>) => Draft
    /** Whether people get the files of replies to this address, and not just their names. */
    readonly carriesFiles: (address: Conversation) => boolean
    /** A sentence of Sluice's own as a draft, for a settlement. */
    readonly sentence: <Id extends NoticeId>(address: Conversation, id: Id, values: ValuesOf<Id>) => Draft
    /** What a placeholder becomes whose turn ends without a reply, for `Settle.placeholder`. */
    readonly noReply: string
    /**
     * Stores a sentence for a conversation, within its rate cap, and not when it was said since `since` (epoch
     * milliseconds); one for operators goes to the log.
     */
    readonly notify: <Id extends NoticeId>(
      to: Recipient,
      id: Id,
      values: ValuesOf<Id>,
      since?: number
    ) => Effect.Effect<void, JournalError>

    /** Whether people on this channel hear of restarts, unless they don't want to. */
    readonly tellsOfRestarts: (channel: string) => boolean
    /**
     * A stop begins its end: tells the people of these sessions, the first ones first, that their answers will be late.
     * Not again within ten minutes, and nobody whom a return could not be told. Returns how many are told.
     */
    readonly farewell: (sessions: ReadonlyArray<number>, reason: string) => Effect.Effect<number, JournalError>
    /** A boot: tells of the return whoever may have heard of the stop; the word of a stop that was not sent is dropped. Before `recover`. */
    readonly comeBack: (
      told: ReadonlyArray<{ readonly who: Told; readonly words: string }>
    ) => Effect.Effect<number, JournalError>

    /** One page of a conversation's replies with numbers above `after`. */
    readonly page: (conversationKey: string, after: number, limit: number) => Effect.Effect<Page, JournalError>
    /**
     * Replies with numbers above `after`: stored ones, then each as it is
     * committed; no gap, no repeat. Holds at most one page. Never ends by itself.
     */
    readonly replies: (conversationKey: string, after: number) => Stream.Stream<Reply, JournalError>

    /**
     * The registry's entry of this channel was exchanged or removed: a hold ends,
     * waiting lanes go on with the new one. Completes once no request runs on the
     * old one any more (at most `deliverTimeout`); leaving early changes nothing.
     */
    readonly reconnect: (channel: string) => Effect.Effect<void>
    /** Ends the hold of a channel whose credentials were refused: its replies are tried again. `false` if it was not held. */
    readonly release: (channel: string) => Effect.Effect<boolean>
    /** Sends nothing more to a channel until `reconnect`: its replies stay stored. What is under way ends. */
    readonly pause: (channel: string) => Effect.Effect<void>
    /** Channels to which nothing is delivered, for readiness. */
    readonly held: Effect.Effect<ReadonlyArray<HeldChannel>>

    readonly deliveries: Effect.Effect<Deliveries, JournalError>
    /** Completes when nothing is owed to the conversation that could be sent now; what waits for a later time or a held channel doesn't count. */
    readonly settled: (conversationKey: string) => Effect.Effect<void>
    /** A new reply with the payload of a dead one; `false` when there is no such dead letter. */
    readonly replay: (reply: number) => Effect.Effect<boolean, JournalError>
    /** Forgets a dead letter; `false` when there is no such one. */
    readonly discard: (reply: number) => Effect.Effect<boolean, JournalError>

    /**
     * Phase 6: delivers what can be delivered now, waits for nothing that is not
     * due, and returns when that is done or at `until` (monotonic milliseconds).
     * Requests that have no answer then are interrupted and classed, here or by
     * the next boot. Nothing is delivered afterwards.
     */
    readonly drain: (until: number) => Effect.Effect<void>
    /** Stops delivering: interrupts requests, classes them and returns when they have let go. */
    readonly interrupt: Effect.Effect<void>
    /** Completes when a lane died of a defect, or the journal failed it: the program stops. */
    readonly failed: Effect.Effect<unknown>
  }
>()("@sluice/runtime/Outbox") {
  /** The outbox over the journal, for the channels in the registry at the time of each delivery. */
  static readonly layer = (options: OutboxOptions = {}): Layer.Layer<Outbox, never, Journal | Registered> =>
    Layer.effect(Outbox, makeOutbox(options))
}

/** The interface of {@link Outbox}, for its implementation. */
export type OutboxShape = Outbox["Service"]

export { draftOf, parts, routeOf, textOf } from "./internal/outbox/compose.ts"
