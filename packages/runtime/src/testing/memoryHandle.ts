/**
 * A channel's handle over plain memory: commits, deduplicates, numbers replies
 * and ends messages as the journal promises to, without a store. Channels are
 * tested against it, with latches before and after the commit and with refusals
 * on demand, so that a test can stand in the very moment that it is about.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type * as Scope from "effect/Scope"
import type { Handle, Peer, Standing } from "../Channel.ts"
import {
  Accepted,
  type AcceptError,
  type Attachment,
  Conflict,
  conversationKey,
  type Ended,
  type Inbound,
  type Progress,
  type Reply,
  type ReplyKind
} from "../Message.ts"
import { check, find, known, reply, room, Store, type StoredMessage, type StoredPost, tally } from "./memoryStore.ts"

export type { StoredMessage, StoredPost } from "./memoryStore.ts"

/** What a test does behind the handle. */
export interface MemoryHandle {
  /** What the channel is started with. */
  readonly handle: Handle
  /** All messages, in commit order. */
  readonly messages: Effect.Effect<ReadonlyArray<StoredMessage>>
  /** The message with this place in commit order, as soon as it is committed. */
  readonly message: (seq: number) => Effect.Effect<StoredMessage>
  /** All posts, in commit order. */
  readonly posts: Effect.Effect<ReadonlyArray<StoredPost>>
  /** Commits a reply; it gets the conversation's next number. */
  readonly reply: (
    conversation: string,
    reply: {
      readonly text: string
      readonly turn?: string
      readonly inReplyTo?: ReadonlyArray<string>
      readonly kind?: ReplyKind
      readonly attachments?: ReadonlyArray<Attachment>
    }
  ) => Effect.Effect<Reply>
  /** Ends a message; whoever waits for it hears of it. */
  readonly end: (seq: number, ended: Ended) => Effect.Effect<void>
  /** Replies to a message and ends it as replied. */
  readonly answer: (seq: number, text: string, turn?: string) => Effect.Effect<Reply>
  /** Tells those who are watching the conversation now. */
  readonly emit: (conversation: string, progress: Progress) => Effect.Effect<void>
  /** The next accept or post, whoever makes it, fails with this and stores nothing. */
  readonly refuseNext: (error: AcceptError) => Effect.Effect<void>
  /** Completes when so many messages and posts, repeats not counted, have come to their commit in this run. */
  readonly arrived: (count: number) => Effect.Effect<void>
  /** Open. Closed it holds every accept before its commit. */
  readonly commit: Latch.Latch
  /** Open. Closed it holds every accept between its commit and its acknowledgement. */
  readonly acknowledge: Latch.Latch
  /** The gateway takes no new work from here on; what is accepted now is held. */
  readonly stop: Effect.Effect<void>
  /** Completes when the channel said that it is ready. */
  readonly ready: Effect.Effect<void>
  /** What the channel says is wrong now. */
  readonly trouble: Effect.Effect<string | undefined>
  /** Completes when so many readers of replies are open. Zero proves that nothing was left behind. */
  readonly readers: (count: number) => Effect.Effect<void>
  /** Completes when so many watchers of progress are open. */
  readonly watchers: (count: number) => Effect.Effect<void>
  /** The same store in the next run of the gateway: not stopping, not ready, the same rows. */
  readonly restarted: Effect.Effect<MemoryHandle, never, Scope.Scope>
}

/** The state of one run of the gateway over a store. */
const makeRun = Effect.fnUntraced(function* (store: Store, name: string) {
  const scope = yield* Effect.scope
  const run = {
    store,
    name,
    scope,
    commit: yield* Latch.make(true),
    acknowledge: yield* Latch.make(true),
    stopping: yield* Deferred.make<void>(),
    ready: yield* Deferred.make<void>(),
    readers: yield* tally,
    watchers: yield* tally,
    arrivals: yield* SubscriptionRef.make(0),
    refusals: new Array<AcceptError>()
  }
  return run
})
type Run = Effect.Success<ReturnType<typeof makeRun>>

const receipt = ({ seq, id, held }: Accepted) => ({ seq, id, ...(held === undefined ? {} : { held }) })

/** Commits under `key`; a repeat shares the fate of the first, also while that is in flight. */
const commit = (run: Run, key: string | undefined, body: string, store: () => Accepted) =>
  Effect.suspend((): Effect.Effect<Accepted, AcceptError> => {
    const first = key === undefined ? undefined : run.store.taken.get(key)
    if (first !== undefined) {
      return Effect.flatMap(Deferred.await(first.outcome), (accepted) =>
        first.body === body
          ? Effect.succeed(new Accepted({ ...receipt(accepted), duplicate: true }))
          : Effect.fail(new Conflict({ id: accepted.id, seq: accepted.seq }))
      )
    }
    const outcome = Deferred.makeUnsafe<Accepted, AcceptError>()
    if (key !== undefined) run.store.taken.set(key, { body, outcome })
    const write = Effect.gen(function* () {
      yield* SubscriptionRef.update(run.arrivals, (count) => count + 1)
      yield* run.commit.await
      const refusal = run.refusals.shift()
      if (refusal !== undefined) {
        // nothing was stored: the id is free again
        if (key !== undefined) run.store.taken.delete(key)
        return yield* refusal
      }
      const accepted = store()
      yield* SubscriptionRef.set(run.store.committed, accepted.seq)
      yield* run.acknowledge.await
      return accepted
    })
    // In the run's scope, not in the caller's fiber: a caller that leaves changes nothing.
    return Deferred.into(write, outcome).pipe(
      Effect.forkIn(run.scope, { startImmediately: true }),
      Effect.andThen(Deferred.await(outcome))
    )
  })

const accept = (run: Run) =>
  Effect.fnUntraced(function* (inbound: Inbound) {
    const wrong = check(inbound)
    if (wrong !== undefined) return yield* wrong
    const opened = yield* room(run.store, run.name, inbound)
    const body = JSON.stringify([inbound.sender, inbound.text, (inbound.attachments ?? []).map(({ hash }) => hash)])
    const key = inbound.id === undefined ? undefined : `${conversationKey(opened.conversation)} ${inbound.id}`
    return yield* commit(run, key, body, () => {
      const seq = ++run.store.seq
      const held = Deferred.isDoneUnsafe(run.stopping)
      const id = inbound.id ?? `generated-${++run.store.generated}`
      run.store.rows.push({
        seq,
        id,
        held,
        conversation: inbound.conversation,
        sender: inbound.sender,
        text: inbound.text,
        attachments: inbound.attachments ?? [],
        room: opened,
        end: Deferred.makeUnsafe(),
        ended: undefined
      })
      return new Accepted({ seq, id, duplicate: false, ...(held ? { held } : {}) })
    })
  })

const post = (run: Run) =>
  Effect.fnUntraced(function* (peer: Peer, input: { readonly id?: string; readonly text: string }) {
    const opened = yield* room(run.store, run.name, peer)
    const key = input.id === undefined ? undefined : `${conversationKey(opened.conversation)} post ${input.id}`
    const accepted = yield* commit(run, key, input.text, () => {
      const seq = ++run.store.seq
      const id = input.id ?? `generated-${++run.store.generated}`
      run.store.posts.push({ seq, id, conversation: peer.conversation, text: input.text })
      return new Accepted({ seq, id, duplicate: false })
    })
    if (!accepted.duplicate) yield* reply(run.store, opened, { text: input.text, kind: "post" })
    return accepted
  })

const makeHandle = (run: Run): Handle => ({
  name: run.name,
  trouble: (reason) => Effect.sync(() => void (run.store.trouble = reason)),
  accept: accept(run),
  post: post(run),
  page: (peer, { after, limit }) =>
    Effect.map(room(run.store, run.name, peer), (opened) => ({
      replies: opened.replies.filter(({ number }) => number > after).slice(0, limit),
      latest: opened.replies.length
    })),
  replies: (peer, after) =>
    run.readers.within(
      Effect.map(room(run.store, run.name, peer), (opened) => {
        let cursor = after
        return SubscriptionRef.changes(opened.latest).pipe(
          Stream.map((latest) => {
            const next = opened.replies.filter(({ number }) => number > cursor && number <= latest)
            cursor = Math.max(cursor, latest)
            return next
          }),
          Stream.flattenIterable
        )
      })
    ),
  ended: (seq) =>
    Effect.suspend((): Effect.Effect<Standing | undefined> => {
      const row = find(run.store, seq)
      if (row === undefined) return Effect.as(Effect.void, undefined)
      return Effect.map(Deferred.await(row.end), (ended) => ({
        seq,
        id: row.id,
        ended,
        replies: row.room.replies.filter(({ inReplyTo }) => inReplyTo.includes(row.id))
      }))
    }),
  versions: (peer, id) =>
    Effect.map(room(run.store, run.name, peer), (opened) =>
      run.store.rows
        .filter((row) => row.room === opened && (row.id === id || row.id.startsWith(`${id}/`)))
        .map((row) => row.id)
        .reverse()
    ),
  progress: (peer) =>
    run.watchers.within(
      room(run.store, run.name, peer).pipe(
        Effect.flatMap((opened) => PubSub.subscribe(opened.progress)),
        Effect.map(Stream.fromSubscription)
      )
    ),
  receiving: () => Effect.void,
  ready: Effect.asVoid(Deferred.succeed(run.ready, undefined)),
  stopping: Deferred.await(run.stopping)
})

const control = (run: Run): MemoryHandle => {
  const { store } = run
  const end = (seq: number, ended: Ended) =>
    Effect.flatMap(known(store, seq), (row) => {
      row.ended ??= ended
      return Effect.asVoid(Deferred.succeed(row.end, row.ended))
    })
  return {
    handle: makeHandle(run),
    messages: Effect.sync(() => store.rows.slice()),
    message: (seq) =>
      SubscriptionRef.changes(store.committed).pipe(
        Stream.map(() => find(store, seq)),
        Stream.takeUntil((row) => row !== undefined),
        Stream.runDrain,
        Effect.andThen(known(store, seq))
      ),
    posts: Effect.sync(() => store.posts.slice()),
    reply: (conversation, input) =>
      Effect.flatMap(room(store, run.name, { conversation }), (opened) => reply(store, opened, input)),
    end,
    answer: (seq, text, turn) =>
      Effect.flatMap(known(store, seq), (row) =>
        reply(store, row.room, { text, inReplyTo: [row.id], turn: turn ?? `turn-${seq}` }).pipe(
          Effect.tap(end(seq, { ending: "replied", why: "" }))
        )
      ),
    emit: (conversation, progress) =>
      Effect.flatMap(room(store, run.name, { conversation }), (opened) => PubSub.publish(opened.progress, progress)),
    refuseNext: (error) => Effect.sync(() => void run.refusals.push(error)),
    arrived: (count) =>
      SubscriptionRef.changes(run.arrivals).pipe(
        Stream.takeUntil((arrivals) => arrivals >= count),
        Stream.runDrain
      ),
    commit: run.commit,
    acknowledge: run.acknowledge,
    stop: Effect.asVoid(Deferred.succeed(run.stopping, undefined)),
    ready: Deferred.await(run.ready),
    trouble: Effect.sync(() => store.trouble),
    readers: run.readers.reaches,
    watchers: run.watchers.reaches,
    restarted: Effect.map(makeRun(store, run.name), control)
  }
}

/** A handle over an empty store, for as long as the scope is open. */
export const make = (options?: { readonly name?: string }): Effect.Effect<MemoryHandle, never, Scope.Scope> =>
  Effect.map(makeRun(new Store(), options?.name ?? "test"), control)
