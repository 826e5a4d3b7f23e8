/**
 * The rows behind a handle in memory: messages, posts, replies by number, and
 * the ids that are taken, with nothing of a single run in it, so that the same
 * store can be opened by a next one.
 */
import * as Clock from "effect/Clock"
import type * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Peer } from "../Channel.ts"
import {
  type Accepted,
  type AcceptError,
  type Attachment,
  conversationKey,
  type Conversation,
  type Ended,
  type Inbound,
  Invalid,
  maxNameLength,
  maxTextLength,
  type Progress,
  type Reply,
  type ReplyKind,
  TooLarge
} from "../Message.ts"

/** A message as it was committed. */
export interface StoredMessage {
  readonly seq: number
  readonly id: string
  readonly conversation: string
  readonly sender: string
  readonly text: string
  readonly attachments: ReadonlyArray<Attachment>
  readonly held: boolean
}

/** A post as it was committed. */
export interface StoredPost {
  readonly seq: number
  readonly id: string
  readonly conversation: string
  readonly text: string
}

/** A conversation. */
export interface Room {
  readonly conversation: Conversation
  readonly replies: Array<Reply>
  readonly latest: SubscriptionRef.SubscriptionRef<number>
  readonly progress: PubSub.PubSub<Progress>
}

/** A message, and who waits for its end. */
export interface Row extends StoredMessage {
  readonly room: Room
  readonly end: Deferred.Deferred<Ended>
  ended: Ended | undefined
}

/** An id that is taken, from before its commit on. */
export interface Entry {
  readonly body: string
  readonly outcome: Deferred.Deferred<Accepted, AcceptError>
}

/** What outlives a run: rows, posts, rooms, and the ids that are taken. */
export class Store {
  readonly rows: Array<Row> = []
  readonly posts: Array<StoredPost> = []
  readonly rooms = new Map<string, Room>()
  readonly taken = new Map<string, Entry>()
  readonly committed = Effect.runSync(SubscriptionRef.make(0))
  seq = 0
  generated = 0
  trouble: string | undefined = undefined
}

/** The row with this place in commit order. */
export const find = (store: Store, seq: number): Row | undefined => store.rows.find((row) => row.seq === seq)

/** The row that a test speaks of; without it the test is wrong. */
export const known = (store: Store, seq: number): Effect.Effect<Row> =>
  Effect.suspend(() => {
    const row = find(store, seq)
    return row === undefined ? Effect.die(new Error(`no message with seq ${seq}`)) : Effect.succeed(row)
  })

/** The conversation, opened at its first mention. */
export const room = (store: Store, channel: string, peer: Peer) =>
  Effect.suspend(() => {
    const conversation: Conversation = {
      channel,
      account: peer.account ?? "",
      peer: peer.conversation,
      thread: peer.thread ?? ""
    }
    const key = conversationKey(conversation)
    const known = store.rooms.get(key)
    if (known !== undefined) return Effect.succeed(known)
    return Effect.map(
      Effect.all([SubscriptionRef.make(0), PubSub.sliding<Progress>(256)]),
      ([latest, progress]): Room => {
        // somebody else may have opened it while this one was being made
        const opened = store.rooms.get(key) ?? { conversation, replies: [], latest, progress }
        store.rooms.set(key, opened)
        return opened
      }
    )
  })

/** What the journal would refuse at the door. */
export const check = (inbound: Inbound): AcceptError | undefined => {
  if (inbound.text.length > maxTextLength) {
    return new TooLarge({ field: "text", size: inbound.text.length, limit: maxTextLength, unit: "characters" })
  }
  for (const field of ["conversation", "id", "sender"] as const) {
    const value = inbound[field]
    if (value !== undefined && (value === "" || value.length > maxNameLength)) {
      return new Invalid({ field, value: value.slice(0, 40), remedy: `use 1 to ${maxNameLength} characters` })
    }
  }
  return undefined
}

/** A counter of open streams that can be waited for. A stream counts once it has subscribed. */
export const tally = Effect.map(SubscriptionRef.make(0), (ref) => ({
  within: <A, E, R, R2>(subscribe: Effect.Effect<Stream.Stream<A, E, R>, never, R2>) =>
    Stream.unwrap(
      Effect.tap(subscribe, () =>
        Effect.acquireRelease(
          SubscriptionRef.update(ref, (n) => n + 1),
          () => SubscriptionRef.update(ref, (n) => n - 1)
        )
      )
    ),
  reaches: (count: number) =>
    SubscriptionRef.changes(ref).pipe(
      Stream.takeUntil((n) => n === count),
      Stream.runDrain
    )
}))

/** Commits a reply with the next number. */
export const reply = Effect.fnUntraced(function* (
  store: Store,
  opened: Room,
  input: {
    readonly text: string
    readonly turn?: string
    readonly inReplyTo?: ReadonlyArray<string>
    readonly kind?: ReplyKind
    readonly attachments?: ReadonlyArray<Attachment>
  }
) {
  const createdAt = yield* Clock.currentTimeMillis
  const number = opened.replies.length + 1
  const stored: Reply = {
    id: `reply-${conversationKey(opened.conversation)}-${number}`,
    conversation: opened.conversation,
    number,
    kind: input.kind ?? "answer",
    text: input.text,
    inReplyTo: input.inReplyTo ?? [],
    createdAt,
    ...(input.attachments === undefined ? {} : { attachments: input.attachments }),
    ...(input.turn === undefined ? {} : { turn: input.turn })
  }
  opened.replies.push(stored)
  yield* SubscriptionRef.set(opened.latest, number)
  return stored
})
