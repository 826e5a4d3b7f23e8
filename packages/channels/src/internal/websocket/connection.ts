/**
 * One WebSocket from its handshake to its end: frames are read one by one, each
 * with its answer, and everything that is written waits until the client takes
 * it. What was accepted is in the journal before the client hears of it, so a
 * socket that breaks at any moment loses nothing: the client sends again what was
 * not accepted, under the same ids, and resumes from its last numbers.
 */
import type { AcceptError, Transient } from "@sluice/runtime/Message"
import { Invalid } from "@sluice/runtime/Message"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { type Limits, limits } from "../http/buckets.ts"
import { presentedToken } from "../http/guard.ts"
import { store } from "../http/messages.ts"
import { internalProblem } from "../http/problems.ts"
import { wrongKey, wrongPlainName } from "../http/requests.ts"
import { crowded, peer, type Serving } from "../http/serving.ts"
import { visible } from "../visible.ts"
import {
  type AckFrame,
  type ClientFrame,
  errorFrame,
  type MessageFrame,
  readFrame,
  refusalFrame,
  type ResumeFrame,
  type ServerFrame,
  type Subject,
  subjectOf
} from "./frames.ts"
import { Lanes } from "./lanes.ts"
import { Shown } from "./shown.ts"
import { type Closing, closings, type Connection as Watched, type Sockets } from "./sockets.ts"
import { type Transport, transportOf } from "./transport.ts"

type Message = typeof MessageFrame.Type
type Frame<S extends { readonly Type: unknown }> = S["Type"]

/** So many frames in a row that can't be read are not a mistake any more. */
const mostGarbled = 32
/** Frames beside messages: those have limits of their own. Beyond it the socket is read more slowly. */
const frameRate = { perSecond: 500, burst: 2000 }
/** So many refusals that had to be slowed down, without a pause of a second in between (nanoseconds), are nobody's mistake. */
const mostSlowed = 100
const pause = 1_000_000_000n
/** What a client can only blame itself for. */
const own: ReadonlySet<AcceptError["_tag"]> = new Set<AcceptError["_tag"]>(["Invalid", "TooLarge", "Conflict"])

/** How long the last things may take at an end, in milliseconds. */
const waits = { accepted: 1000, said: 200, closed: 300 }

const stopping: ServerFrame = { type: "stopping", note: "messages are safe; the socket closes with 1012" }

/** A socket that is open. */
class Connection implements Watched {
  readonly transport: Transport
  readonly token: Redacted.Redacted | undefined
  readonly closing = Deferred.makeUnsafe<Closing>()
  readonly #sockets: Sockets
  readonly #serving: Serving
  readonly #writer: Socket.Writer
  readonly #asking: string | undefined
  readonly #scope: Scope.Scope
  readonly #lanes: Lanes<Message>
  readonly #shown = new Map<string, Shown>()
  readonly #frames = limits({ all: frameRate, sender: false, senders: 0 })
  readonly #refusals: Limits
  #garbled = 0
  #slowed = 0
  #refusedAt = 0n

  constructor(
    sockets: Sockets,
    request: HttpServerRequest.HttpServerRequest,
    writer: Socket.Writer,
    scope: Scope.Scope
  ) {
    this.transport = transportOf(request.source)
    this.token = presentedToken(request)
    this.#sockets = sockets
    this.#refusals = limits({ all: sockets.refusals, sender: false, senders: 0 })
    this.#serving = sockets.serving
    this.#writer = writer
    this.#asking = request.headers["sluice-asking"]
    this.#scope = scope
    this.#lanes = new Lanes(sockets.underWay, scope, (message) => this.#accept(message))
  }

  /** Writes a frame as soon as there is room for it. Whether the socket is still there, its reading side tells. */
  readonly say = (frame: ServerFrame): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (this.transport.isFull()) return Effect.andThen(this.transport.room, this.say(frame))
      this.transport.gather()
      return Effect.map(Effect.ignore(this.#writer.write(JSON.stringify(frame))), () => {
        if (this.transport.isFull()) this.#sockets.pressed()
      })
    })

  readonly warn = Effect.suspend(() => this.say(stopping))

  /** What came over the wire, in order. */
  hear(data: string | Uint8Array): Effect.Effect<void> {
    if (typeof data !== "string") return this.end(closings.binary)
    const limit = this.#serving.settings.bodyLimit
    // where the platform does not bound it before it is here
    if (data.length > limit) return this.end(closings.tooLarge)
    return Effect.matchEffect(readFrame(data), {
      onSuccess: (frame) => {
        this.#garbled = 0
        return frame.type === "message" ? this.#message(frame) : Effect.andThen(this.#slowly(), this.#other(frame))
      },
      onFailure: (error) =>
        ++this.#garbled < mostGarbled
          ? Effect.andThen(this.#slowly(), this.#refuse(error, subjectOf(data)))
          : this.end(closings.garbled)
    })
  }

  /** Says no; whoever asks for it too often is read more slowly, and sent away in the end if it is their own doing. */
  #refuse(error: AcceptError, subject: Subject): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = this.#sockets.now()
      if (now - this.#refusedAt > pause) this.#slowed = 0
      this.#refusedAt = now
      const said = this.say(refusalFrame(error, subject))
      const tooMuch = this.#refusals.all(now)
      if (tooMuch === undefined) return said
      if (own.has(error._tag) && ++this.#slowed > mostSlowed) return this.end(closings.refused)
      return Effect.andThen(said, Effect.sleep(tooMuch.retryAfter))
    })
  }

  /** Ends it; the first reason counts. */
  end(closing: Closing): Effect.Effect<void> {
    return Effect.asVoid(Deferred.succeed(this.closing, closing))
  }

  /** The last things: who is owed an answer gets it, a stop names the numbers to come back with, then the close. */
  finish(closing: Closing): Effect.Effect<void> {
    const last = closing === closings.restart ? Effect.andThen(this.#answered(), this.#handOver()) : Effect.void
    const write = this.#writer.write(new Socket.CloseEvent(closing.code, closing.reason))
    return Effect.andThen(last, Effect.ignore(write))
  }

  /** It is gone: its conversations are not shown any more. */
  leave(): void {
    for (const _ of this.#shown.keys()) this.#serving.leave()
    this.#shown.clear()
  }

  /** Pauses a client that sends more frames than anybody needs. */
  #slowly(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const tooMuch = this.#frames.all(this.#sockets.now())
      return tooMuch === undefined ? Effect.void : Effect.sleep(tooMuch.retryAfter)
    })
  }

  #message(frame: Message): Effect.Effect<void> {
    const { conversation, id } = frame
    const wrong =
      wrongPlainName("conversation", conversation) ??
      wrongKey(id, "id") ??
      this.#serving.limits.all(this.#sockets.now())
    if (wrong !== undefined) return this.#refuse(wrong, subjectOf(JSON.stringify({ conversation, id })))
    return this.#lanes.take(conversation, frame)
  }

  #accept(frame: Message): Effect.Effect<void> {
    const { conversation, id } = frame
    const subject = { conversation, id }
    const to = { conversation, id, asking: this.#asking, now: this.#sockets.now() }
    return Effect.suspend(() => store(this.#serving, to, frame)).pipe(
      Effect.matchCauseEffect({
        // committed: from here on the client hears of nothing else
        onSuccess: ({ duplicate, held, seq }) =>
          this.say({
            type: "accepted",
            conversation,
            id,
            seq,
            duplicate,
            ...(held === true ? { held } : {})
          }),
        onFailure: (cause) => {
          const failure = cause.reasons.find((reason) => reason._tag === "Fail")
          if (failure !== undefined) return this.#refuse(failure.error, subject)
          if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
          return Effect.andThen(
            Effect.logError("A message could not be handled", cause),
            this.say(errorFrame(internalProblem, subject))
          )
        }
      })
    )
  }

  #other(frame: Exclude<ClientFrame, Message>): Effect.Effect<void> {
    switch (frame.type) {
      case "ping":
        return this.say({ type: "pong" })
      case "leave":
        return this.#leave(frame.conversation)
      case "ack":
        return this.#acknowledge(frame)
      case "resume":
        return this.#resume(frame).pipe(Effect.catch((error) => this.#refuse(error, subjectOf(JSON.stringify(frame)))))
    }
  }

  #leave(conversation: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const shown = this.#shown.get(conversation)
      if (shown === undefined) return Effect.void
      this.#shown.delete(conversation)
      this.#serving.leave()
      return shown.end()
    })
  }

  #acknowledge({ conversation, number }: Frame<typeof AckFrame>): Effect.Effect<void> {
    const shown = this.#shown.get(conversation)
    if (shown?.acknowledge(number) === true) return Effect.void
    const [field, value, remedy] =
      shown === undefined
        ? ["conversation", conversation, "is not shown on this socket; resume it first"]
        : ["number", String(number), "was not sent yet; acknowledge what has come"]
    return this.#refuse(
      new Invalid({ field, value: visible(value), remedy }),
      subjectOf(JSON.stringify({ conversation }))
    )
  }

  #resume({
    after,
    conversation,
    events,
    window
  }: Frame<typeof ResumeFrame>): Effect.Effect<void, Invalid | Transient> {
    return Effect.gen({ self: this }, function* () {
      const wrong = wrongPlainName("conversation", conversation)
      if (wrong !== undefined) return yield* wrong
      yield* this.#leave(conversation)
      if (this.#shown.size >= this.#sockets.conversations || !this.#serving.enter()) {
        return yield* this.say(errorFrame(crowded, { conversation }))
      }
      const found = this.#serving.handle.page(peer(conversation), { after: 0, limit: 1 })
      const { latest } = yield* Effect.onError(found, () => Effect.sync(() => this.#serving.leave()))
      const from = after === "latest" ? latest : after
      const shown = new Shown(this.#serving, {
        conversation,
        after: from,
        window,
        events: events ?? true,
        say: this.say
      })
      this.#shown.set(conversation, shown)
      const opening = { type: "resumed", conversation, after: from, latest } as const
      yield* Effect.provideService(shown.begin(opening), Scope.Scope, this.#scope)
    })
  }

  /** What was read gets its answer. */
  #answered(): Effect.Effect<void> {
    return Effect.asVoid(Effect.timeoutOption(this.#lanes.idle.await, waits.accepted))
  }

  /** The last replies, and the numbers to come back with. */
  #handOver(): Effect.Effect<void> {
    const over = Effect.forEach(
      this.#shown,
      ([conversation, shown]) =>
        Effect.andThen(shown.end(), Effect.ignore(shown.rest())).pipe(
          Effect.andThen(Effect.suspend(() => this.say({ type: "resume", conversation, after: shown.sent })))
        ),
      { discard: true }
    )
    return Effect.asVoid(Effect.timeoutOption(over, waits.said))
  }
}

/** Serves a request that becomes a WebSocket, until it ends. */
export const converse = Effect.fnUntraced(function* (
  sockets: Sockets,
  request: HttpServerRequest.HttpServerRequest
): Effect.fn.Return<void, Socket.SocketError, Scope.Scope> {
  const socket = yield* Effect.orDie(request.upgrade)
  const { pull } = yield* socket.reader
  const writer = yield* socket.writer
  const connection = new Connection(sockets, request, writer, yield* Effect.scope)
  sockets.enter(connection)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      sockets.leave(connection)
      connection.leave()
      // also where this is interrupted: a client that never answers a close would hold the server's release
      connection.transport.destroy()
    })
  )
  if (sockets.serving.isStopping) yield* connection.warn
  // the others were ended while this one still shook hands
  if (sockets.serving.isClosing) yield* connection.end(closings.restart)
  const hear = (frames: ReadonlyArray<string | Uint8Array>) =>
    Effect.forEach(frames, (data) => connection.hear(data), { discard: true })
  const heard = Effect.forever(Effect.flatMap(pull, hear))
  const closing = yield* Effect.raceFirst(heard, Deferred.await(connection.closing))
  yield* connection.finish(closing)
  // until the other side has closed as well; nothing of what it still says is stored
  yield* Effect.timeoutOption(Effect.ignore(Effect.forever(pull)), waits.closed)
})
