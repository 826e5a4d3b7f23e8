/**
 * Requests as Slack makes them to an address of ours: events, and presses of buttons.
 * 200 says that what was in it is on disk, everything else brings it again: at once,
 * after a minute, after five more. Slack waits three seconds and asks again meanwhile,
 * so what takes longer goes on and answers whoever asks last.
 */
import type { Transient } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { isPrivate, placeOf } from "./events.ts"
import { isTimely, verifier } from "./signature.ts"
import { Unsigned } from "./unsigned.ts"
import { Envelope, Pressed } from "./wire.ts"

/** Answers one request of Slack's. */
export type Hook = (
  request: HttpServerRequest.HttpServerRequest
) => Effect.Effect<HttpServerResponse.HttpServerResponse>

/** What a request brings, by an id of its own. Those of one `lane` are handled in the order in which they come. */
export type Delivered = { readonly id: string; readonly lane: string } & (
  | { readonly _tag: "Event"; readonly event: unknown }
  | { readonly _tag: "Pressed"; readonly pressed: Pressed }
  | { readonly _tag: "Other"; readonly type: string }
)

/** Handles what was delivered completely. */
export type Taking = (delivered: Delivered) => Effect.Effect<void, Transient>

const empty = (status: number, headers?: Readonly<Record<string, string>>) =>
  HttpServerResponse.empty({ status, ...(headers === undefined ? {} : { headers }) })

const later = (millis: number) => empty(503, { "retry-after": String(Math.max(1, Math.ceil(millis / 1000))) })

/** What is answered to who does not bring all of a body; the connection is not worth keeping. */
const unread = {
  unreadable: empty(413, { connection: "close" }),
  late: empty(408, { connection: "close" }),
  crowded: empty(503, { connection: "close", "retry-after": "1" })
}

const readEnvelope = Schema.decodeUnknownOption(Schema.fromJsonString(Envelope))
const readPressed = Schema.decodeUnknownOption(Schema.fromJsonString(Pressed))

const other = (type: string): Delivered => ({ _tag: "Other", id: type, lane: type, type })

const at = { ts: Schema.optionalKey(Schema.String), thread_ts: Schema.optionalKey(Schema.String) }
const Where = Schema.Struct({
  channel: Schema.String,
  channel_type: Schema.optionalKey(Schema.String),
  ...at,
  message: Schema.optionalKey(Schema.Struct(at)),
  previous_message: Schema.optionalKey(Schema.Struct(at))
})
const readWhere = Schema.decodeUnknownOption(Where)

/** A conversation: what became of a message stands behind the message, and no thread behind another one. */
const lane = (channel: string, isPrivate: boolean, ts = "", thread_ts?: string): string => {
  const { conversation, thread = "" } = placeOf(channel, isPrivate, ts, thread_ts)
  return `${conversation}/${thread}`
}

const laneOf = (event: unknown): string => {
  const where = Option.getOrUndefined(readWhere(event))
  if (where === undefined) return "/"
  const { thread_ts, ts } = where.message ?? where.previous_message ?? where
  return lane(where.channel, isPrivate(where), ts, thread_ts)
}

/** What the body of a request says; `undefined` when that can't be read. */
const deliveredOf = (text: string, isForm: boolean): Delivered | typeof Envelope.Type | undefined => {
  if (isForm) {
    const payload = new URLSearchParams(text).get("payload")
    if (payload === null) return other("a form")
    const pressed = Option.getOrUndefined(readPressed(payload))
    if (pressed === undefined) return other("an interaction")
    const { channel_id = "", message_ts = "", thread_ts } = pressed.container
    const { action_ts = "", value = "" } = pressed.actions[0] ?? {}
    return {
      _tag: "Pressed",
      id: `${channel_id}/${message_ts}/${action_ts}/${value}`,
      lane: lane(channel_id, isPrivate({ channel: channel_id }), message_ts, thread_ts),
      pressed
    }
  }
  const envelope = Option.getOrUndefined(readEnvelope(text))
  if (envelope === undefined || envelope.type === "url_verification") return envelope
  if (envelope.type !== "event_callback") return other(envelope.type)
  const { event, event_id } = envelope
  return event_id === undefined ? undefined : { _tag: "Event", id: event_id, lane: laneOf(event), event }
}

/** Requests that are being handled, also those whose client has gone; those of one conversation one after the other. */
export class UnderWay {
  readonly #scope: Scope.Scope
  readonly #fibers = new Map<string, Fiber.Fiber<void, Transient>>()
  /** The last one of each conversation. */
  readonly #last = new Map<string, Fiber.Fiber<void, Transient>>()
  /** The most of them at one time. */
  static readonly most = 64

  constructor(scope: Scope.Scope) {
    this.#scope = scope
  }

  get isFull(): boolean {
    return this.#fibers.size >= UnderWay.most
  }

  /** Handles it, or waits for the one that is being handled under this key. */
  run(key: string, lane: string, effect: Effect.Effect<void, Transient>): Effect.Effect<Exit.Exit<void, Transient>> {
    return Effect.suspend(() => {
      const known = this.#fibers.get(key)
      if (known !== undefined) return Fiber.await(known)
      const before = this.#last.get(lane)
      const behind = before === undefined ? effect : Effect.andThen(Fiber.await(before), effect)
      return Effect.flatMap(Effect.forkIn(behind, this.#scope), (fiber) => {
        this.#fibers.set(key, fiber)
        this.#last.set(lane, fiber)
        fiber.addObserver(() => {
          this.#fibers.delete(key)
          if (this.#last.get(lane) === fiber) this.#last.delete(lane)
        })
        return Fiber.await(fiber)
      })
    })
  }
}

/** What a channel that receives does with requests. */
export interface Receiving {
  readonly take: Taking
  readonly underWay: UnderWay
}

/** Tells the operator once what may be wrong on this side; whoever passes for Slack does not fill the log. */
const telling = () => {
  const told = new Set<string>()
  return (words: string) =>
    Effect.suspend(() => {
      if (told.has(words)) return Effect.void
      told.add(words)
      return Effect.logWarning(words)
    })
}

const wrongTime =
  "A request for Slack's address is more than five minutes old, or ahead, and not heard; if it is Slack's, this clock is wrong"
const wrongSecret =
  "A request for Slack's address has a signature that does not fit and is not heard; if it is Slack's, the signing secret is another app's"

/** The hook of an app; `receiving` is there while the channel receives. */
export const hookOf = (secret: Redacted.Redacted, receiving: () => Receiving | undefined): Hook => {
  const verify = verifier(secret)
  const unsigned = new Unsigned()
  const tell = telling()
  return (request) =>
    Effect.gen(function* () {
      const timestamp = request.headers["x-slack-request-timestamp"] ?? ""
      const signature = request.headers["x-slack-signature"] ?? ""
      if (signature === "") return empty(401)
      if (!(yield* isTimely(timestamp))) return yield* Effect.as(tell(wrongTime), empty(401))
      const read = yield* Effect.result(unsigned.read(request))
      if (read._tag === "Failure") return unread[read.failure.why]
      const body = read.success
      if (!(yield* verify(timestamp, body, signature))) return yield* Effect.as(tell(wrongSecret), empty(401))
      const isForm = (request.headers["content-type"] ?? "").startsWith("application/x-www-form-urlencoded")
      const delivered = deliveredOf(new TextDecoder().decode(body), isForm)
      if (delivered === undefined) return empty(400)
      if (!("_tag" in delivered)) {
        return HttpServerResponse.jsonUnsafe({ challenge: delivered.challenge ?? "" })
      }
      const now = receiving()
      // Before its start and in its stop: Slack keeps it and comes back.
      if (now === undefined || now.underWay.isFull) return later(5000)
      const { id, lane } = delivered
      const exit = yield* now.underWay.run(id, lane, now.take(delivered))
      if (Exit.isSuccess(exit)) return empty(200)
      const error = Option.getOrUndefined(Exit.findErrorOption(exit))
      return later(error?.retryAfter ?? 5000)
    })
}
