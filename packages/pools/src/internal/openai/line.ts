/**
 * One connection to a server that speaks as OpenAI does: requests with the key, answers up to a limit, and every way of
 * failing in the pool's own words. The key is in no error, also where the server quotes it.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { WorkerError } from "../../PoolError.ts"
import { isTooDeep } from "../nesting.ts"

/** Where calls go. */
export interface Line {
  readonly client: HttpClient.HttpClient
  /** With its `/v1`, without a slash at the end. */
  readonly base: string
  readonly key: Redacted.Redacted | undefined
  /** Bytes of the longest answer that is read. */
  readonly limit: number
}

/** The most of a refusal that is read, in bytes. */
const refusalLimit = 64 * 1024

const withoutKey = ({ key }: Line, text: string): string => {
  const secret = key === undefined ? "" : Redacted.value(key)
  return secret === "" ? text : text.replaceAll(secret, "<key>")
}

/** The beginning of what the server sent, for an error. The key goes first: a piece of it would not be known any more. */
export const quoted = (line: Line, text: string, most: number): string => withoutKey(line, text).slice(0, most)

export const failure = (
  reason: WorkerError["reason"],
  message: string,
  more: { readonly status?: number; readonly retryAfter?: number; readonly stays?: boolean } = {}
): WorkerError => new WorkerError({ reason, message, ...more })

/** The innermost words of a failed connection, without the request: that one holds the key. */
const broken = (line: Line) => (error: HttpClientError.HttpClientError) => {
  const words: Array<string> = []
  let at: unknown = error.reason.cause
  for (let depth = 0; depth < 5 && at instanceof Error; depth++) {
    words.push(at.message)
    at = at.cause
  }
  const detail = words.filter((word) => word !== "").join(": ") || error.reason._tag
  return failure("Transport", withoutKey(line, `no answer from ${new URL(line.base).host}: ${detail}`))
}

/** Reads up to `limit` bytes as text; `undefined` when there is more, whatever the server said of its length. */
const textUpTo = (line: Line, response: HttpClientResponse.HttpClientResponse, limit: number) =>
  Effect.suspend(() => {
    const { "content-encoding": encoding, "content-length": length } = response.headers
    // No more than that can come: it is read at once, which costs a fraction of the stream.
    if (encoding === undefined && Number(length ?? Number.NaN) <= limit) {
      return Effect.mapError(response.text, broken(line))
    }
    const utf8 = new TextDecoder()
    let room = limit
    let text = ""
    return Stream.mapError(response.stream, broken(line)).pipe(
      Stream.takeUntil((chunk) => (room -= chunk.length) < 0),
      Stream.runForEach((chunk) => Effect.sync(() => void (text += utf8.decode(chunk, { stream: true })))),
      Effect.map(() => (room < 0 ? undefined : text + utf8.decode()))
    )
  })

/** The text as JSON; `undefined` when it is none. */
export const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** `{"error": {"message"}}`, `{"error": "..."}`, `{"message"}`, `{"detail"}`, or no JSON at all. */
export const said = (line: Line, text: string): string => {
  const json = isTooDeep(text) ? undefined : parsed(text)
  if (!isRecord(json)) return quoted(line, text, 300)
  const { error } = json
  const words = isRecord(error) ? error["message"] : (error ?? json["message"] ?? json["detail"])
  return quoted(line, typeof words === "string" ? words : JSON.stringify(words ?? json), 300)
}

const retryAfterOf = (headers: Readonly<Record<string, string | undefined>>, now: number): number | undefined => {
  const text = headers["retry-after"]?.trim() ?? ""
  if (text === "") return undefined
  const seconds = Number(text)
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000)
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

const refused = Effect.fnUntraced(function* (line: Line, response: HttpClientResponse.HttpClientResponse) {
  const { headers, status } = response
  const now = yield* Clock.currentTimeMillis
  // What a refusal says is worth little beside its status: one that can't be read is one without words.
  const text = yield* Effect.orElseSucceed(textUpTo(line, response, refusalLimit), () => undefined)
  const words = status === 401 || status === 403 ? "it does not accept the key" : said(line, text ?? "")
  const message = `the server answered with ${status}${words === "" ? "" : `: ${words}`}`
  const retryAfter = retryAfterOf(headers, now)
  const wait = retryAfter === undefined ? {} : { retryAfter }
  if (status === 429 || (status === 503 && retryAfter !== undefined)) {
    return yield* failure("Busy", message, { status, ...wait })
  }
  const transport = status >= 500 || status === 408 || (status >= 300 && status < 400)
  return yield* failure(transport ? "Transport" : "Rejected", message, { status })
})

const requested = (line: Line, request: HttpClientRequest.HttpClientRequest) => {
  const { client, key } = line
  const asked = key === undefined ? request : HttpClientRequest.bearerToken(request, Redacted.value(key))
  // A client that is built on fetch would follow a redirection, and take the key along to wherever it leads.
  return client.execute(asked).pipe(
    Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
    Effect.mapError(broken(line)),
    Effect.flatMap((response) =>
      response.status >= 200 && response.status < 300 ? Effect.succeed(response) : refused(line, response)
    )
  )
}

/** A document of JSON; a key whose value is undefined is not there. */
export type Body = Readonly<Record<string, unknown>>

/** Posts a document and gives the response, when it is none of the refusals. */
export const post = (line: Line, path: string, body: Body, accept = "application/json") =>
  requested(
    line,
    HttpClientRequest.post(`${line.base}${path}`).pipe(
      HttpClientRequest.setHeader("accept", accept),
      HttpClientRequest.bodyJsonUnsafe(body)
    )
  )

/** The whole answer as JSON. */
export const json = Effect.fnUntraced(function* (line: Line, response: HttpClientResponse.HttpClientResponse) {
  const text = yield* textUpTo(line, response, line.limit)
  if (text === undefined) return yield* failure("Transport", `the answer is larger than ${line.limit} bytes`)
  const found = parsed(text)
  if (!isRecord(found))
    return yield* failure("Transport", `the server sent what is no answer: ${quoted(line, text, 100)}`)
  if (found["error"] !== undefined && found["error"] !== null) {
    return yield* failure("Transport", `the server answered with an error: ${said(line, text)}`)
  }
  return found
})

/** Posts a document and reads the whole answer. */
export const ask = (line: Line, path: string, body: Body) =>
  Effect.flatMap(post(line, path, body), (response) => json(line, response))

export const bytes = (line: Line, response: HttpClientResponse.HttpClientResponse) =>
  Stream.mapError(response.stream, broken(line))

/** The status with which the server answers at a path. What it says there is not read beyond a little. */
export const statusOf = Effect.fnUntraced(function* (line: Line, path: string) {
  const plain = HttpClientRequest.get(`${line.base}${path}`)
  const request = line.key === undefined ? plain : HttpClientRequest.bearerToken(plain, Redacted.value(line.key))
  const response = yield* line.client
    .execute(request)
    .pipe(Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }), Effect.mapError(broken(line)))
  yield* textUpTo(line, response, refusalLimit)
  return response.status
})

const between = Duration.millis(500)

/** Whether the server is there and ready: any answer says so, but for a refused key and what says that it is not well. */
export const look = (line: Line, path: string): Effect.Effect<void, WorkerError> =>
  requested(line, HttpClientRequest.get(`${line.base}${path}`)).pipe(
    Effect.flatMap((response) => textUpTo(line, response, refusalLimit)),
    Effect.catchTag("WorkerError", (error) => {
      const { status } = error
      return status === undefined || status === 401 || status === 403 || status >= 500
        ? Effect.fail(error)
        : Effect.void
    }),
    Effect.asVoid
  )

/** The same of one that may still be loading: it answers 503 then, and is asked again for as long as the load timeout lets it. */
export const reach = (line: Line, path: string): Effect.Effect<void, WorkerError> =>
  Effect.catchTag(look(line, path), "WorkerError", (error) =>
    error.status === 503 ? Effect.andThen(Effect.sleep(between), reach(line, path)) : Effect.fail(error)
  )
