/**
 * What is shown beside messages: that one was received, that somebody is writing,
 * that an answer was edited in long after it was asked for. All of it is courtesy:
 * bounded, in the background, dropped when there is too much of it, never tried
 * again, and gone with a crash. No message waits for it.
 */
import type { Handle, Peer } from "@sluice/runtime/Channel"
import type { Conversation, Progress, Reply } from "@sluice/runtime/Message"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import type * as HttpClient from "effect/http/HttpClient"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { lateBy } from "./late.ts"

/** A request whose failure is nobody's trouble. */
export type Act = Effect.Effect<void, never, HttpClient.HttpClient>

/** A message: the chat and what names it there. */
export interface Spot {
  readonly chat: number | string
  readonly message: number | string
}

/** How a platform shows signs. */
export interface Acts {
  /** Shows that a message is on disk, or takes that away; none: it is not shown. */
  readonly received?: (spot: Spot, on: boolean) => Act
  /** Shows for so many milliseconds that somebody is writing; none: a placeholder shows it. */
  readonly typing?: { readonly every: number; readonly act: (peer: Peer) => Act }
  /** A short message behind an answer, which rings. */
  readonly nudge: (conversation: Conversation, message: Spot["message"]) => Act
  /** The message that an external id names, if it is one. */
  readonly messageOf: (id: string) => Spot["message"] | undefined
}

/** Requests that wait at most, and at one time; what is watched; messages of one answer whose marks are taken away. */
const bounds = { waiting: 256, atOnce: 4, watched: 1000, answered: 16 }
/** The parts behind the first one ring themselves: a nudge waits for them. */
const nudgeDelay = 2000

const isWorking = ({ name }: Extract<Progress, { readonly _tag: "State" }>["state"]): boolean =>
  name === "processing" || name === "tool" || name === "responding"

/** A question that is shown when it is over already: after so many milliseconds it is known that nobody waits. */
const askedBy = 1000

/** Completes when no session of the conversation waits for somebody's answer. */
const nobodyIsAsked = (handle: Handle, peer: Peer): Effect.Effect<void> =>
  Effect.suspend(() => {
    const asking = new Set<string>()
    const over = handle.progress(peer).pipe(
      Stream.takeUntil((event) => {
        if (event._tag !== "State") return false
        if (event.state.name !== "waiting") return asking.delete(event.session) && asking.size === 0
        asking.add(event.session)
        return false
      }),
      Stream.runDrain
    )
    const never = Effect.andThen(
      Effect.sleep(askedBy),
      Effect.suspend(() => (asking.size === 0 ? Effect.void : Effect.never))
    )
    return Effect.raceFirst(over, never)
  })

/** The signs of one bot. Without `run` (before and after receiving) nothing is shown. */
export class Signs {
  readonly #acts: Acts
  readonly #nudgeAfter: number
  #handle: Handle | undefined
  #queue: Queue.Queue<Act> | undefined
  #watching: FiberMap.FiberMap<string, void> | undefined
  /** Epoch milliseconds of its beginning. */
  #since = 0
  /** How often something new was put into a chat: a nudge that comes after it is too late. */
  readonly #news = new Map<string, number>()

  /** An answer that was edited in `nudgeAfter` milliseconds after its placeholder gets a message that rings; never: Infinity. */
  constructor(acts: Acts, nudgeAfter: number) {
    this.#acts = acts
    this.#nudgeAfter = nudgeAfter
  }

  /** Shows signs as long as the scope is open. */
  run(handle: Handle): Effect.Effect<void, never, HttpClient.HttpClient | Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const queue = yield* Queue.dropping<Act>(bounds.waiting)
      const watching = yield* FiberMap.make<string, void>()
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          this.#handle = undefined
          this.#queue = undefined
          this.#watching = undefined
        })
      )
      this.#since = yield* Clock.currentTimeMillis
      this.#handle = handle
      this.#queue = queue
      this.#watching = watching
      const worker = Effect.forever(Effect.flatten(Queue.take(queue)))
      for (let one = 0; one < bounds.atOnce; one++) yield* Effect.forkScoped(worker)
    })
  }

  /** Puts something behind what is being shown. */
  soon(act: Act): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#queue === undefined ? Effect.void : Effect.asVoid(Queue.offer(this.#queue, act))
    )
  }

  #watch(key: string, effect: Act): Effect.Effect<void, never, HttpClient.HttpClient> {
    return Effect.gen({ self: this }, function* () {
      const map = this.#watching
      if (map === undefined || (yield* FiberMap.size(map)) >= bounds.watched) return
      yield* FiberMap.run(map, key, effect, { onlyIfMissing: true, startImmediately: true })
    })
  }

  /** Somebody is about to be heard: their conversation is watched before its turn can begin. */
  hearing(handle: Handle, peer: Peer): Effect.Effect<void, never, HttpClient.HttpClient> {
    const { typing } = this.#acts
    if (typing === undefined) return Effect.void
    return this.#watch(`typing ${peer.conversation}/${peer.thread ?? ""}`, this.#typing(handle, peer, typing))
  }

  /** A message is on disk. */
  received(handle: Handle, spot: Spot, seq: number): Effect.Effect<void, never, HttpClient.HttpClient> {
    const { received } = this.#acts
    if (received === undefined) return Effect.void
    const gone = Effect.andThen(Effect.ignore(handle.ended(seq)), this.soon(received(spot, false)))
    return Effect.andThen(this.soon(received(spot, true)), this.#watch(`end ${spot.chat}/${spot.message}`, gone))
  }

  /** Messages are answered that an earlier boot has marked as received: nobody here waits for their ends. */
  answered({ conversation, inReplyTo, kind }: Reply): Effect.Effect<void> {
    const map = this.#watching
    const { messageOf, received } = this.#acts
    if (received === undefined || kind !== "answer" || map === undefined) return Effect.void
    const chat = conversation.peer
    const unwatched = inReplyTo
      .map(messageOf)
      .filter((message) => message !== undefined)
      .filter((message) => !FiberMap.hasUnsafe(map, `end ${chat}/${message}`))
    return Effect.forEach(
      unwatched.slice(0, bounds.answered),
      (message) => this.soon(received({ chat, message }, false)),
      { discard: true }
    )
  }

  /** Something new is in the chat, and has rung. */
  rang({ peer }: Conversation): void {
    const before = this.#news.get(peer) ?? 0
    this.#news.delete(peer)
    this.#news.set(peer, before + 1)
    const [oldest] = this.#news.keys()
    if (this.#news.size > bounds.watched && oldest !== undefined) this.#news.delete(oldest)
  }

  /** An answer was edited into a message that was placed a while ago: nobody's telephone has rung for it. */
  edited(
    { conversation, kind }: Reply,
    message: Spot["message"],
    placedAt: number
  ): Effect.Effect<void, never, HttpClient.HttpClient> {
    return Effect.gen({ self: this }, function* () {
      const age = (yield* Clock.currentTimeMillis) - placedAt
      if (kind !== "answer" || !(age >= this.#nudgeAfter)) return
      const before = this.#news.get(conversation.peer)
      const send = this.#acts.nudge(conversation, message)
      const unlessRung = Effect.suspend(() =>
        this.#news.get(conversation.peer) === before ? this.soon(send) : Effect.void
      )
      const key = `nudge ${conversation.peer}/${message}`
      yield* this.#watch(key, Effect.andThen(Effect.sleep(nudgeDelay), unlessRung))
    })
  }

  /** Makes an edit of a message once more, when what an earlier process has begun to do with it, or was `late`, is through. */
  again(
    { conversation }: Reply,
    message: Spot["message"],
    { edit, late, placedAt }: { readonly edit: Act; readonly late: boolean; readonly placedAt: number }
  ): Effect.Effect<void, never, HttpClient.HttpClient> {
    return Effect.suspend(() =>
      late || placedAt < this.#since
        ? this.#watch(`again ${conversation.peer}/${message}`, Effect.andThen(Effect.sleep(lateBy), this.soon(edit)))
        : Effect.void
    )
  }

  /** A question is shown: its buttons go, as `remove` does it, when nobody is asked any more, whatever ended it. */
  asked(
    { conversation }: Reply,
    message: Spot["message"],
    remove: Act
  ): Effect.Effect<void, never, HttpClient.HttpClient> {
    const handle = this.#handle
    if (handle === undefined) return Effect.void
    const { peer, thread } = conversation
    const over = nobodyIsAsked(handle, { conversation: peer, ...(thread === "" ? {} : { thread }) })
    return this.#watch(`buttons ${peer}/${message}`, Effect.andThen(over, this.soon(remove)))
  }

  #typing(handle: Handle, peer: Peer, { act, every }: NonNullable<Acts["typing"]>): Act {
    return Effect.gen({ self: this }, function* () {
      const working = Latch.makeUnsafe(false)
      const follow = handle.progress(peer).pipe(
        Stream.tap((event) =>
          event._tag === "State" ? (isWorking(event.state) ? working.open : working.close) : Effect.void
        ),
        Stream.takeUntil((event) => event._tag === "State" && event.state.name === "idle"),
        Stream.runDrain
      )
      const show = Effect.forever(
        Effect.andThen(working.await, Effect.andThen(this.soon(act(peer)), Effect.sleep(every)))
      )
      yield* Effect.raceFirst(follow, show)
    })
  }
}
