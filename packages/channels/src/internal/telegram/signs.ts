/**
 * What is shown beside messages: that one was received, that somebody is writing,
 * that an answer was edited in long after it was asked for. All of it is courtesy:
 * bounded, in the background, dropped when there is too much of it, never tried
 * again, and gone with a crash. No message waits for it.
 */
import type { Handle, Peer } from "@sluice/runtime/Channel"
import type { Progress, Reply } from "@sluice/runtime/Message"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import type * as HttpClient from "effect/http/HttpClient"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { BotApi } from "./botApi.ts"
import type { Remote } from "./delivery.ts"
import type { Place } from "./updates.ts"

/** How signs are made. */
export interface SignOptions {
  /** Whether a message that was received gets 👀 until it has its end. */
  readonly reactions: boolean
  /** Whether "typing" is shown while a turn runs; a placeholder shows it otherwise. */
  readonly typing: boolean
  /** An answer that was edited in so many milliseconds after its placeholder gets a message that rings; never: Infinity. */
  readonly nudgeAfter: number
  readonly nudge: string
}

type Act = Effect.Effect<void, never, HttpClient.HttpClient>

/** Requests that wait at most, and at one time; what is watched; messages of one answer whose marks are taken away. */
const bounds = { waiting: 256, atOnce: 4, watched: 1000, answered: 16 }
/** Telegram shows "typing" for five seconds. */
const typingEvery = 4500
/** The parts behind the first one ring themselves: a nudge waits for them. */
const nudgeDelay = 2000

const isWorking = ({ name }: Extract<Progress, { readonly _tag: "State" }>["state"]): boolean =>
  name === "processing" || name === "tool" || name === "responding"

/** The signs of one bot. Without `run` (before and after receiving) nothing is shown. */
export class Signs {
  readonly #api: BotApi
  readonly #options: SignOptions
  #queue: Queue.Queue<Act> | undefined
  #watching: FiberMap.FiberMap<string, void> | undefined
  /** How often something new was put into a chat: a nudge that comes after it is too late. */
  readonly #news = new Map<number, number>()

  constructor(api: BotApi, options: SignOptions) {
    this.#api = api
    this.#options = options
  }

  /** Shows signs as long as the scope is open. */
  readonly run: Effect.Effect<void, never, HttpClient.HttpClient | Scope.Scope> = Effect.gen(
    { self: this },
    function* () {
      const queue = yield* Queue.dropping<Act>(bounds.waiting)
      const watching = yield* FiberMap.make<string, void>()
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          this.#queue = undefined
          this.#watching = undefined
        })
      )
      this.#queue = queue
      this.#watching = watching
      const worker = Effect.forever(Effect.flatten(Queue.take(queue)))
      for (let one = 0; one < bounds.atOnce; one++) yield* Effect.forkScoped(worker)
    }
  )

  /** A call whose failure is nobody's trouble. */
  call(method: string, params: { readonly [name: string]: unknown }): Act {
    return Effect.ignore(this.#api.call(method, params, Schema.Unknown))
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
  hearing(handle: Handle, place: Place): Effect.Effect<void, never, HttpClient.HttpClient> {
    if (!this.#options.typing) return Effect.void
    return this.#watch(`typing ${place.chat}/${place.thread ?? ""}`, this.#typing(handle, place))
  }

  /** A message is on disk. */
  received(handle: Handle, place: Place, seq: number): Effect.Effect<void, never, HttpClient.HttpClient> {
    if (!this.#options.reactions) return Effect.void
    const { chat, message } = place
    const gone = Effect.andThen(Effect.ignore(handle.ended(seq)), this.soon(this.#react(chat, message, [])))
    return Effect.andThen(
      this.soon(this.#react(chat, message, [{ type: "emoji", emoji: "👀" }])),
      this.#watch(`end ${chat}/${message}`, gone)
    )
  }

  #react(chat: number, message: number, reaction: ReadonlyArray<object>): Act {
    return this.call("setMessageReaction", { chat_id: chat, message_id: message, reaction })
  }

  /** Messages are answered that an earlier boot has marked as received: nobody here waits for their ends. */
  answered({ conversation, inReplyTo, kind }: Reply): Effect.Effect<void> {
    const map = this.#watching
    if (!this.#options.reactions || kind !== "answer" || map === undefined) return Effect.void
    const chat = Number(conversation.peer)
    const unwatched = inReplyTo
      .map((id) => Number(/^(\d{1,15})(?:\/|$)/.exec(id)?.[1] ?? Number.NaN))
      .filter((message) => !Number.isNaN(message) && !FiberMap.hasUnsafe(map, `end ${chat}/${message}`))
    return Effect.forEach(unwatched.slice(0, bounds.answered), (message) => this.soon(this.#react(chat, message, [])), {
      discard: true
    })
  }

  /** Something new is in the chat, and has rung. */
  rang(chat: number): void {
    this.#news.delete(chat)
    this.#news.set(chat, (this.#news.get(chat) ?? 0) + 1)
    const [oldest] = this.#news.keys()
    if (this.#news.size > bounds.watched && oldest !== undefined) this.#news.delete(oldest)
  }

  /** An answer was edited into a message that was placed a while ago: nobody's telephone has rung for it. */
  edited(reply: Reply, remote: Remote): Effect.Effect<void, never, HttpClient.HttpClient> {
    return Effect.gen({ self: this }, function* () {
      const chat = Number(reply.conversation.peer)
      const age = (yield* Clock.currentTimeMillis) - remote.placedAt
      if (reply.kind !== "answer" || !(age >= this.#options.nudgeAfter)) return
      const before = this.#news.get(chat)
      const send = this.call("sendMessage", {
        chat_id: chat,
        ...(reply.conversation.thread === "" ? {} : { message_thread_id: Number(reply.conversation.thread) }),
        text: this.#options.nudge,
        reply_parameters: { message_id: remote.message, allow_sending_without_reply: true }
      })
      const unlessRung = Effect.suspend(() => (this.#news.get(chat) === before ? this.soon(send) : Effect.void))
      yield* this.#watch(`nudge ${chat}/${remote.message}`, Effect.andThen(Effect.sleep(nudgeDelay), unlessRung))
    })
  }

  #typing(handle: Handle, place: Place): Act {
    return Effect.gen({ self: this }, function* () {
      const working = Latch.makeUnsafe(false)
      const peer: Peer = place
      const action = this.call("sendChatAction", {
        chat_id: place.chat,
        ...(place.thread === undefined ? {} : { message_thread_id: Number(place.thread) }),
        action: "typing"
      })
      const follow = handle.progress(peer).pipe(
        Stream.tap((event) =>
          event._tag === "State" ? (isWorking(event.state) ? working.open : working.close) : Effect.void
        ),
        Stream.takeUntil((event) => event._tag === "State" && event.state.name === "idle"),
        Stream.runDrain
      )
      const show = Effect.forever(
        Effect.andThen(working.await, Effect.andThen(this.soon(action), Effect.sleep(typingEvery)))
      )
      yield* Effect.raceFirst(follow, show)
    })
  }
}
