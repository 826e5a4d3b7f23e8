/**
 * The line over HTTP: a message is a keyed POST, what comes back is a stream of
 * server-sent events from the last number on. Everything that may be temporary
 * (no connection, 429, 5xx) is `Away` and is tried again with the same id; the
 * rest is told to the person.
 */
import { Accepted, type Progress } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Away, Declined, type Line, type LineEvent, type Outgoing } from "./line.ts"

/** How a running gateway is reached. */
export interface Reach {
  /** Asked for with every connection: a gateway may come back on another port. `undefined`: nobody there now. */
  readonly url: Effect.Effect<string | undefined>
  /** Those that may be valid now: one more while one is exchanged. */
  readonly tokens: Effect.Effect<ReadonlyArray<Redacted.Redacted>>
  readonly conversation: string
  readonly sender: string
}

/** A stream that was silent for so long, heartbeats included, is taken for dead. */
const silence = "45 seconds"
const waitSeconds = 30

const Problem = Schema.Struct({ detail: Schema.optionalKey(Schema.String) })
const Receipt = Schema.Struct({
  seq: Schema.Int,
  id: Schema.String,
  duplicate: Schema.Boolean,
  held: Schema.optionalKey(Schema.Boolean),
  replies: Schema.optionalKey(Schema.Array(Schema.Struct({ number: Schema.Int })))
})
const Ready = Schema.Struct({ after: Schema.Int, stopping: Schema.optionalKey(Schema.Boolean) })
const Reply = Schema.Struct({
  number: Schema.Int,
  kind: Schema.Literals(["answer", "notice", "command", "post"]),
  text: Schema.String,
  turn: Schema.optionalKey(Schema.String),
  session: Schema.optionalKey(Schema.String),
  inReplyTo: Schema.Array(Schema.String),
  attachments: Schema.optionalKey(
    Schema.Array(Schema.Struct({ hash: Schema.String, name: Schema.optionalKey(Schema.String), size: Schema.Finite }))
  )
})

const session = { session: Schema.String }
const turn = { ...session, turn: Schema.String, elsewhere: Schema.optionalKey(Schema.Boolean) }
const happened: Readonly<Record<string, Schema.ConstraintCodec<Progress, unknown, never, never>>> = {
  state: Schema.Struct({
    _tag: Schema.tagDefaultOmit("State"),
    ...session,
    state: Schema.Union([
      Schema.Struct({ name: Schema.Literal("tool"), tool: Schema.String }),
      Schema.Struct({
        name: Schema.Literals(["idle", "receiving", "processing", "waiting", "responding", "draining", "suspended"])
      })
    ])
  }),
  text: Schema.Struct({ _tag: Schema.tagDefaultOmit("Text"), ...turn, delta: Schema.String }),
  "tool-started": Schema.Struct({
    _tag: Schema.tagDefaultOmit("ToolStarted"),
    ...turn,
    id: Schema.String,
    name: Schema.String
  }),
  "tool-finished": Schema.Struct({ _tag: Schema.tagDefaultOmit("ToolFinished"), ...turn, id: Schema.String }),
  permission: Schema.Struct({
    _tag: Schema.tagDefaultOmit("Permission"),
    ...turn,
    number: Schema.Int,
    question: Schema.String,
    options: Schema.Array(Schema.String)
  }),
  line: Schema.Struct({ _tag: Schema.tagDefaultOmit("Line"), ...turn, text: Schema.String }),
  "turn-ended": Schema.Struct({ _tag: Schema.tagDefaultOmit("TurnEnded"), ...turn, outcome: Schema.String })
}

const decoders = new Map(
  Object.entries(happened).map(([name, schema]) => [name, Schema.decodeUnknownOption(Schema.fromJsonString(schema))])
)
const decodeReady = Schema.decodeUnknownOption(Schema.fromJsonString(Ready))
const decodeReply = Schema.decodeUnknownOption(Schema.fromJsonString(Reply))
const decodeReceipt = Schema.decodeUnknownEffect(Schema.fromJsonString(Receipt))
const decodeProblem = Schema.decodeUnknownOption(Schema.fromJsonString(Problem))

/** An event that this version does not know is left out: a newer gateway may send more. */
const lineEvent = (event: Sse.Event): Option.Option<LineEvent> => {
  switch (event.event) {
    case "ready":
      return Option.map(decodeReady(event.data), ({ after, stopping = false }) => ({ _tag: "Ready", after, stopping }))
    case "reply":
      return Option.map(decodeReply(event.data), (reply) => ({ _tag: "Reply", reply }))
    case "stopping":
      return Option.some({ _tag: "Stopping" })
    default:
      return Option.map(decoders.get(event.event)?.(event.data) ?? Option.none(), (progress) => ({
        _tag: "Happened",
        progress
      }))
  }
}

const lost = (cause: { readonly message: string }) => new Away({ reason: cause.message })

const retryAfter = (response: HttpClientResponse.HttpClientResponse): number | undefined => {
  const seconds = Number(response.headers["retry-after"])
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined
}

/** Any answer that is not the one that was hoped for. */
const fault = Effect.fnUntraced(function* (response: HttpClientResponse.HttpClientResponse) {
  const text = yield* Effect.mapError(response.text, lost)
  const detail = Option.getOrUndefined(decodeProblem(text))?.detail ?? `status ${response.status}`
  if (response.status === 429 || response.status >= 500) {
    const after = retryAfter(response)
    return yield* new Away({ reason: detail, ...(after === undefined ? {} : { retryAfter: after }) })
  }
  const denied = response.status === 401 || response.status === 403 || response.status === 421
  return yield* new Declined({ reason: detail, denied })
})

/** A line to a conversation of the gateway at this address. */
export const httpLine = Effect.fnUntraced(function* (reach: Reach) {
  const client = yield* HttpClient.HttpClient
  const path = `/v1/conversations/${encodeURIComponent(reach.conversation)}`

  const execute = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest) {
    const url = yield* reach.url
    if (url === undefined) return yield* new Away({ reason: "no gateway is running" })
    const here = HttpClientRequest.prependUrl(request, url.replace(/\/$/, ""))
    const [token = Redacted.make(""), ...others] = yield* reach.tokens
    const send = (token: Redacted.Redacted) =>
      Effect.mapError(client.execute(HttpClientRequest.bearerToken(here, Redacted.value(token))), lost)
    let response = yield* send(token)
    for (const other of others) {
      if (response.status !== 401) break
      // Read, so that its connection is free; a 401 has done nothing.
      yield* Effect.mapError(response.text, lost)
      response = yield* send(other)
    }
    return response
  })

  const post = Effect.fnUntraced(function* (message: Outgoing, query: string) {
    const request = HttpClientRequest.post(`${path}/messages${query}`).pipe(
      HttpClientRequest.setHeader("idempotency-key", message.id),
      HttpClientRequest.bodyJsonUnsafe({ text: message.text, sender: reach.sender })
    )
    const response = yield* execute(request)
    if (response.status !== 200 && response.status !== 202) return yield* fault(response)
    const text = yield* Effect.mapError(response.text, lost)
    const receipt = yield* Effect.mapError(decodeReceipt(text), lost)
    return { status: response.status, receipt }
  })

  const listen = Effect.fnUntraced(function* (after: number | "latest") {
    const request = HttpClientRequest.get(`${path}/events${after === "latest" ? "?after=latest" : ""}`).pipe(
      HttpClientRequest.accept("text/event-stream"),
      (request) => (after === "latest" ? request : HttpClientRequest.setHeader(request, "last-event-id", String(after)))
    )
    const response = yield* execute(request)
    if (response.status !== 200) return yield* fault(response)
    return response.stream.pipe(
      Stream.timeout(silence),
      Stream.decodeText(),
      Stream.pipeThroughChannel(Sse.decode()),
      Stream.mapError((error) => (error._tag === "Retry" ? new Away({ reason: "told to come back" }) : lost(error))),
      Stream.map(lineEvent),
      Stream.flatMap((event) => Stream.fromIterable(Option.toArray(event)))
    )
  })

  const line: Line = {
    send: (message) =>
      Effect.map(
        post(message, ""),
        ({ receipt: { duplicate, held, id, seq } }) =>
          new Accepted({ seq, id, duplicate, ...(held === undefined ? {} : { held }) })
      ),
    listen: (after) => Stream.unwrap(listen(after)),
    // the same message again: it attaches to the first one and is answered at its end
    ended: Effect.fnUntraced(function* (message) {
      while (true) {
        const { receipt, status } = yield* post(message, `?wait=${waitSeconds}s`)
        if (status === 200) return Math.max(0, ...(receipt.replies ?? []).map(({ number }) => number))
        if (receipt.held === true) yield* Effect.sleep("1 second")
      }
    })
  }
  return line
})
