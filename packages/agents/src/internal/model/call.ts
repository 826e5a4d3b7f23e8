/**
 * One call of a model over HTTP: the pieces of its answer as they come, or a
 * failure. Whoever stops reading closes the connection, and the server hears of
 * it. Silence is bounded (`stall`), so is the whole call (`request`).
 */
import * as Sse from "effect/encoding/Sse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { type Failure, failure, fromAnswer, retryAfterOf, shortened } from "./failures.ts"
import { type ChatRequest, type Dialect, type Manners, parsed, type Piece } from "./wire.ts"

/** Where calls go, and how long they may take. */
export interface Line {
  readonly client: HttpClient.HttpClient
  readonly dialect: Dialect
  readonly url: string
  readonly key: Redacted.Redacted | undefined
  readonly stall: Duration.Duration
  readonly request: Duration.Duration
}

/** The most of a refusal that is read, in bytes. */
const refusalLimit = 64 * 1024
/** The longest whole answer in one document, in bytes. */
const wholeLimit = 8 * 1024 * 1024

/** Code and message of the innermost cause, without the request that caused it: that one holds the key. */
const reasonOf = (error: HttpClientError.HttpClientError): string => {
  const words: Array<string> = []
  let at: unknown = error.reason.cause
  for (let depth = 0; depth < 5 && at instanceof Error; depth++) {
    const { code } = at as { readonly code?: unknown }
    words.push(typeof code === "string" && !at.message.includes(code) ? `${code} ${at.message}` : at.message)
    at = at.cause
  }
  return words.filter((word) => word !== "").join(": ") || error.reason._tag
}

/** Nobody was reached. */
export const unreachable = (line: Line) => (error: HttpClientError.HttpClientError) =>
  failure("Transient", `no connection to ${new URL(line.url).host}: ${reasonOf(error)}`)

const broke = (error: HttpClientError.HttpClientError) =>
  failure("Transient", `the connection broke before the answer was whole: ${reasonOf(error)}`)

const seconds = (duration: Duration.Duration): string => `${Math.round(Duration.toMillis(duration) / 100) / 10} s`

const stalled = (line: Line) => failure("Later", `the server said nothing for ${seconds(line.stall)}`)

/** Each pull for itself: what the reader does in between is not held against the server. */
const withStall = <A>(line: Line, stream: Stream.Stream<A, Failure>): Stream.Stream<A, Failure> =>
  Stream.transformPull(stream, (pull) =>
    Effect.succeed(Effect.timeoutOrElse(pull, { duration: line.stall, orElse: () => Effect.fail(stalled(line)) }))
  )

/** Reads up to `limit` bytes as text; `undefined` when there is more. */
const textUpTo = (
  bytes: Stream.Stream<Uint8Array, Failure>,
  limit: number
): Effect.Effect<string | undefined, Failure> =>
  Effect.suspend(() => {
    const utf8 = new TextDecoder()
    let room = limit
    let text = ""
    return bytes.pipe(
      Stream.takeUntil((chunk) => (room -= chunk.length) < 0),
      Stream.runForEach((chunk) => Effect.sync(() => void (text += utf8.decode(chunk, { stream: true })))),
      Effect.map(() => (room < 0 ? undefined : text + utf8.decode()))
    )
  })

const alive: Piece = { _tag: "Alive" }

/** Neighbouring texts become one; whatever came, something is told, for it is a sign of life. */
const joined = (pieces: ReadonlyArray<Piece>): ReadonlyArray<Piece> => {
  const out: Array<Piece> = []
  for (const piece of pieces) {
    const last = out.at(-1)
    if (piece._tag === "Text" && last?._tag === "Text")
      out[out.length - 1] = { _tag: "Text", text: last.text + piece.text }
    else if (piece._tag !== "Alive") out.push(piece)
  }
  return out.length === 0 ? [alive] : out
}

/** Server-sent events, whatever their line ends; comments are signs of life, and a last event may lack its blank line. */
const events = (dialect: Dialect, bytes: Stream.Stream<Uint8Array, Failure>): Stream.Stream<Piece, Failure> =>
  Stream.suspend(() => {
    let found: Array<Piece> = []
    const parser = Sse.makeParser((event) => {
      if (event._tag === "Event") found.push(...dialect.event(event.data, event.event))
    })
    const feed = (text: string): ReadonlyArray<Piece> => {
      const error = parser.feed(text)
      if (error !== undefined) found.push({ _tag: "Error", failure: failure("Transient", error.message) })
      const taken = found
      found = []
      return taken
    }
    return Stream.decodeText(bytes).pipe(
      Stream.mapAccumArray(
        () => undefined,
        (state, texts) => [state, joined(feed(texts.join("")))],
        { onHalt: () => feed("\n\n") }
      )
    )
  })

const whole = (dialect: Dialect, bytes: Stream.Stream<Uint8Array, Failure>): Stream.Stream<Piece, Failure> =>
  Stream.unwrap(
    Effect.map(textUpTo(bytes, wholeLimit), (text) =>
      text === undefined
        ? Stream.fail(failure("Input", `the answer is larger than ${wholeLimit} bytes`))
        : Stream.fromIterable(dialect.whole(text))
    )
  )

const refused = Effect.fnUntraced(function* (
  response: HttpClientResponse.HttpClientResponse,
  bytes: Stream.Stream<Uint8Array, Failure>
) {
  const now = yield* Clock.currentTimeMillis
  // What a refusal says is worth little beside its status: one that can't be read is one without words.
  const text = yield* Effect.orElseSucceed(textUpTo(bytes, refusalLimit), () => "")
  return fromAnswer(response.status, parsed(text ?? "") ?? text, retryAfterOf(response.headers, now))
})

const piecesOf = (
  line: Line,
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<Stream.Stream<Piece, Failure>, Failure> => {
  const bytes = withStall(line, Stream.mapError(response.stream, broke))
  if (response.status < 200 || response.status > 299) return Effect.flatMap(refused(response, bytes), Effect.fail)
  const type = response.headers["content-type"] ?? ""
  if (type.includes("html")) {
    const page = failure("Operator", "the server answered with a web page; check the address (`url`)")
    // Read, or at least begun: an answer that nobody touches keeps its connection.
    return Effect.flatMap(Effect.option(textUpTo(bytes, refusalLimit)), () => Effect.fail(page))
  }
  return Effect.succeed((type.includes("json") ? whole : events)(line.dialect, bytes))
}

/** A client that is built on fetch would follow a redirection, and take the key along to wherever it leads. */
export const execute = (line: Line, request: HttpClientRequest.HttpClientRequest) =>
  Effect.flatMap(Effect.serviceOption(FetchHttpClient.RequestInit), (init) =>
    Effect.provideService(line.client.execute(request), FetchHttpClient.RequestInit, {
      ...Option.getOrUndefined(init),
      redirect: "manual"
    })
  )

/** A server may quote the key that it does not like. */
export const withoutKey = (line: Line, text: string): string => {
  const key = line.key === undefined ? "" : Redacted.value(line.key)
  return key === "" ? text : text.replaceAll(key, "<key>")
}

/** Calls the model. An error that the server tells in the middle is a failure in its place. */
export const call = (line: Line, request: ChatRequest, manners: Manners): Stream.Stream<Piece, Failure> => {
  const { dialect, key } = line
  const asked = HttpClientRequest.post(dialect.endpoint(line.url)).pipe(
    HttpClientRequest.setHeaders({
      accept: "text/event-stream, application/json",
      ...dialect.headers(key === undefined ? undefined : Redacted.value(key))
    }),
    HttpClientRequest.bodyJsonUnsafe(dialect.body(request, manners))
  )
  const answered = execute(line, asked).pipe(
    Effect.mapError(unreachable(line)),
    Effect.timeoutOrElse({ duration: line.stall, orElse: () => Effect.fail(stalled(line)) }),
    Effect.flatMap((response) => piecesOf(line, response))
  )
  const late = Effect.andThen(
    Effect.sleep(line.request),
    Effect.fail(failure("Later", `the call took longer than ${seconds(line.request)}`))
  )
  return Stream.unwrap(answered).pipe(
    Stream.mapEffect((piece) => (piece._tag === "Error" ? Effect.fail(piece.failure) : Effect.succeed(piece))),
    Stream.interruptWhen(late),
    Stream.mapError((failure): Failure => ({ ...failure, message: shortened(withoutKey(line, failure.message)) }))
  )
}
