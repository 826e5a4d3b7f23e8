/**
 * Replies over HTTP: a page by number, held open until there is one (long poll),
 * or a stream of server-sent events. The number is the cursor: a client that
 * comes back with its last one misses nothing and sees nothing twice. A reader
 * that does not read is bounded: replies wait in the journal, progress loses its
 * oldest, and who has not taken anything for a while is disconnected.
 */
import type { Progress, Reply, Transient } from "@sluice/runtime/Message"
import { Invalid } from "@sluice/runtime/Message"
import type * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { replyJson } from "./messages.ts"
import { seconds } from "./problems.ts"
import { duration, type Param, whole, wrongPlainName } from "./requests.ts"
import type { Reader } from "./unread.ts"
import { crowded, json, peer, type Route, type Serving } from "./serving.ts"

type Needs = HttpRouter.RouteContext | HttpServerRequest.ParsedSearchParams

const numbers = { min: 0, max: Number.MAX_SAFE_INTEGER, otherwise: 0 }
const pages = { min: 1, max: 1000, otherwise: 100 }
/** The texts of one page have at most so many characters, unless its first reply alone has more. */
const pageLength = 1_048_576
/** While the gateway stops, an empty poll is held this long, so that its client does not spin. */
const drainWait = 1000

const conversationOf = Effect.fnUntraced(function* () {
  const { params } = yield* HttpRouter.RouteContext
  const conversation = params["conversation"] ?? ""
  const wrong = wrongPlainName("conversation", conversation)
  return wrong === undefined ? conversation : yield* wrong
})

const bounded = (replies: ReadonlyArray<Reply>): ReadonlyArray<Reply> => {
  let length = 0
  const end = replies.findIndex((reply, index) => (length += reply.text.length) > pageLength && index > 0)
  return end < 0 ? replies : replies.slice(0, end)
}

/** GET /v1/conversations/{conversation}/replies */
export const page = (serving: Serving): Route<Needs> => {
  const { handle, settings } = serving
  return Effect.fnUntraced(function* () {
    const conversation = yield* conversationOf()
    const search = yield* HttpServerRequest.ParsedSearchParams
    const after = whole("after", search["after"], numbers)
    if (typeof after !== "number") return yield* after
    const limit = whole("limit", search["limit"], pages)
    if (typeof limit !== "number") return yield* limit
    const wait = duration("wait", search["wait"], settings.maxWait)
    if (typeof wait !== "number") return yield* wait
    const get = handle.page(peer(conversation), { after, limit })
    let found = yield* get
    const late = serving.isStopping
    if (found.replies.length === 0 && wait > 0) {
      if (!serving.enter()) return yield* crowded
      yield* Effect.raceAllFirst([
        handle.replies(peer(conversation), after).pipe(Stream.take(1), Stream.runDrain),
        Effect.sleep(late ? Math.min(wait, drainWait) : wait),
        Deferred.await(late ? serving.closing : serving.stopping)
      ]).pipe(Effect.ensuring(Effect.sync(() => serving.leave())))
      found = yield* get
    }
    const replies = bounded(found.replies)
    return json(
      200,
      { replies: replies.map(replyJson), next: replies.at(-1)?.number ?? after, latest: found.latest },
      serving.isStopping ? { "retry-after": seconds(drainWait) } : undefined
    )
  })
}

const event = (name: string, data: unknown, id?: number): string =>
  `${id === undefined ? "" : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`

/** How an event is called on the wire. */
export const eventName = (tag: Progress["_tag"]): string =>
  tag.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase()

const progressEvent = ({ _tag, ...data }: Progress): string => event(eventName(_tag), data)

/** Where a stream begins: the browser's memory first, then `after`, then at the first reply. */
const cursor = (request: HttpServerRequest.HttpServerRequest, after: Param): number | "latest" | Invalid => {
  const last = request.headers["last-event-id"]
  if (last !== undefined && last !== "") return whole("Last-Event-ID", last, numbers)
  return after === "latest" ? "latest" : whole("after", after, numbers)
}

/**
 * Interrupts the request when nothing was taken for so long: heartbeats are
 * produced only when somebody takes them, so a reader that is slow but reads is
 * never mistaken for one that does not.
 */
const disconnectStalled = (serving: Serving, taken: () => bigint) =>
  Effect.withFiber((request) => {
    const watch = Effect.gen(function* () {
      yield* Effect.sleep(serving.settings.heartbeat)
      const idle = Number((yield* Clock.monotonicTimeNanos) - taken()) / 1e6
      if (idle > serving.settings.stallAfter) request.interruptUnsafe()
    })
    return Effect.forkScoped(Effect.forever(watch))
  })

/** A piece of a stream; `number` of a reply. */
interface Piece {
  readonly text: string
  readonly number?: number
}

const replyPiece = (reply: Reply): Piece => ({
  text: event("reply", replyJson(reply), reply.number),
  number: reply.number
})

const eventStream = (
  serving: Serving,
  conversation: string,
  after: number,
  latest: number,
  reader: Reader,
  took: () => void
) => {
  const { handle, settings } = serving
  const made = <P extends Piece>(piece: P): P => {
    reader.made(piece.text.length)
    return piece
  }
  const late = serving.isStopping
  let sent = after
  // One by one: a page is encoded as it is taken, not whole for a reader that takes nothing.
  const replies: Stream.Stream<Piece, Transient> = handle.replies(peer(conversation), after).pipe(
    Stream.rechunk(1),
    Stream.map((reply) => made(replyPiece(reply)))
  )
  const progress = Stream.map(handle.progress(peer(conversation)), (happened): Piece =>
    made({ text: progressEvent(happened) })
  )
  const beats = Stream.map(Stream.tick(settings.heartbeat), (): Piece => made({ text: ": \n\n" }))
  // what the drain's last turn said was committed a moment before the listener goes
  const rest = Stream.paginate(undefined, () =>
    Effect.map(handle.page(peer(conversation), { after: sent, limit: pages.max }), ({ latest, replies }) => {
      sent = replies.at(-1)?.number ?? latest
      return [
        replies.map((reply) => made(replyPiece(reply))),
        sent < latest ? Option.some(undefined) : Option.none()
      ] as const
    })
  )
  const live = Stream.mergeAll([replies, progress, beats], { concurrency: "unbounded", bufferSize: 4 }).pipe(
    Stream.interruptWhen(Deferred.await(late ? serving.closing : serving.stopping)),
    Stream.map(({ number, text }) => {
      sent = number ?? sent
      return text
    }),
    Stream.concat(late ? Stream.map(rest, ({ text }) => text) : Stream.empty),
    // the client comes back with its last number; why it was sent away is for the log
    Stream.catchCause((cause) => Stream.drain(Stream.fromEffect(Effect.logInfo("A stream of replies ended", cause))))
  )
  const say = (text: string) => Stream.sync(() => made({ text }).text)
  const stopping = say(event("stopping", { note: "messages are safe; come back with the last number" }))
  const texts = say(event("ready", { after, latest, ...(late ? { stopping: true } : {}) }, after)).pipe(
    Stream.concat(late ? Stream.concat(stopping, live) : live),
    Stream.concat(late ? Stream.empty : Stream.filter(stopping, () => serving.isStopping)),
    Stream.tap(() => Effect.sync(took))
  )
  return Stream.encodeText(Stream.transformPull(texts, (pull) => Effect.succeed(counting(pull, reader))))
}

/** The next texts are asked for when the ones before were written and the socket has taken them. */
const counting = <E, D, R>(pull: Pull.Pull<Arr.NonEmptyReadonlyArray<string>, E, D, R>, reader: Reader) =>
  Effect.suspend(() => {
    reader.asked()
    return Effect.tap(pull, (texts) =>
      Effect.sync(() => reader.given(texts.reduce((sum, text) => sum + text.length, 0)))
    )
  })

const tooSlow = "A reader of events was disconnected: too much waits for readers that take nothing"

/** GET /v1/conversations/{conversation}/events */
export const events = (serving: Serving): Route<Needs | Scope.Scope> =>
  Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
    const conversation = yield* conversationOf()
    const search = yield* HttpServerRequest.ParsedSearchParams
    const from = cursor(request, search["after"])
    if (from instanceof Invalid) return yield* from
    if (!serving.enter()) return yield* crowded
    serving.beginStream()
    const reader = yield* Effect.withFiber((fiber) =>
      Effect.sync(() => serving.unread.enter(() => fiber.interruptUnsafe()))
    )
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        reader.leave()
        serving.leave()
        serving.endStream()
        return reader.isDropped() ? Effect.logWarning(tooSlow) : Effect.void
      })
    )
    const { latest } = yield* serving.handle.page(peer(conversation), { after: 0, limit: 1 })
    const clock = yield* Clock.Clock
    let last = clock.monotonicTimeNanosUnsafe()
    yield* disconnectStalled(serving, () => last)
    const after = from === "latest" ? latest : from
    const took = () => (last = clock.monotonicTimeNanosUnsafe())
    const stream = eventStream(serving, conversation, after, latest, reader, took)
    return HttpServerResponse.stream(stream, {
      contentType: "text/event-stream",
      headers: { "cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff" }
    })
  })
