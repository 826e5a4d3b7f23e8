/**
 * The Web API as one function: a method, its parameters, the shape of its result.
 * Slack counts requests by method, so one that was asked to wait is not made again
 * before its time, and the others go on. What a failure says is whether the request
 * can have taken effect, which decides between a retry and nobody can tell.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { type Answer, type Fetched, server, silent, type Unanswered } from "../chat/calls.ts"
import { visible } from "../visible.ts"

/** Why a call has no result. */
export type Failure =
  | Unanswered
  /** Refused, by Slack's own word for it. `retryAfter` in milliseconds, for those that pass. */
  | {
      readonly _tag: "Denied"
      readonly error: string
      readonly reason: string
      readonly retryAfter: number | undefined
    }

/** Parameters of a method; what is no text goes as JSON. */
export interface Params {
  readonly [name: string]: unknown
}

/** An app in a workspace. */
export interface WebApi {
  /** Calls a method. Waits at most `timeout` milliseconds, 30 s unless said otherwise. */
  readonly call: <A>(
    method: string,
    params: Params,
    result: Schema.Codec<A, unknown>
  ) => Effect.Effect<A, Failure, HttpClient.HttpClient>
  /** Calls a method and says what the app may do, as the answer has it. */
  readonly scoped: <A>(
    method: string,
    result: Schema.Codec<A, unknown>
  ) => Effect.Effect<{ readonly result: A; readonly scopes: ReadonlyArray<string> }, Failure, HttpClient.HttpClient>
  /** Brings a file to the address that Slack gave for it. */
  readonly bring: (url: string, content: Blob) => Effect.Effect<void, Failure, HttpClient.HttpClient>
  /** Begins to fetch a file; the token goes to Slack's own servers only. */
  readonly file: (url: string) => Effect.Effect<Fetched, Failure, HttpClient.HttpClient>
}

const Refusal = Schema.Struct({
  ok: Schema.Literal(false),
  error: Schema.optionalKey(Schema.String),
  needed: Schema.optionalKey(Schema.String),
  response_metadata: Schema.optionalKey(Schema.Struct({ messages: Schema.optionalKey(Schema.Array(Schema.String)) }))
})
const readRefusal = Schema.decodeUnknownOption(Refusal)
const readJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))
const isOk = (body: unknown): boolean => typeof body === "object" && body !== null && "ok" in body && body.ok === true

/** Slack failed on its side: whether it took effect before that nobody knows. */
const broken = new Set(["internal_error", "fatal_error", "service_unavailable", "request_timeout"])
const throttled = new Set(["ratelimited", "rate_limited"])

/** Time for a file on its way; the outbox waits a minute for a whole reply. */
const uploadTimeout = 40_000
const mostWaits = 1000

const waitOf = ({ headers }: Answer): number => {
  const seconds = Number(headers["retry-after"] ?? Number.NaN)
  return Number.isFinite(seconds) ? Math.max(0, Math.round(seconds * 1000)) : 1000
}

const denied = (error: string, reason: string, retryAfter?: number): Failure => ({
  _tag: "Denied",
  error,
  reason: visible(reason, 300),
  retryAfter
})

/** What an answer that is no success says. */
const failureOf = (answer: Answer, body: unknown): Failure => {
  const { status } = answer
  const refusal = Option.getOrUndefined(readRefusal(body))
  const error = refusal?.error ?? (status === 429 ? "ratelimited" : `http_${status}`)
  if (status === 429 || throttled.has(error)) return denied("ratelimited", "too many requests", waitOf(answer))
  if (refusal === undefined) {
    return status >= 500 || status < 400
      ? silent(`answered with ${status} and nothing that can be read`)
      : denied(error, `answered with ${status}`)
  }
  if (status >= 500 || broken.has(error)) return silent(error)
  const more = [...(refusal.needed === undefined ? [] : [`needs ${refusal.needed}`])].concat(
    refusal.response_metadata?.messages ?? []
  )
  return denied(error, [error, ...more].join(": "))
}

/** Which requests wait together: Slack counts messages by channel, everything else by method. */
const counterOf = (method: string, params: Params): string =>
  method === "chat.postMessage" ? `${method} ${String(params["channel"])}` : method

/**
 * Texts are shown as they are written here: names and channels are looked for in none of them. Updates would be read like
 * something that a person has typed, unless told so.
 */
const asWritten = (method: string): Params =>
  method === "chat.postMessage" || method === "chat.update" ? { parse: "none" } : {}

const formOf = (params: Params) =>
  Object.entries(params).flatMap(([name, value]): ReadonlyArray<readonly [string, string]> =>
    value === undefined ? [] : [[name, typeof value === "string" ? value : JSON.stringify(value)]]
  )

/** Methods that were asked to wait, until when. */
class Waits {
  readonly #until = new Map<string, bigint>()

  left(counter: string, now: bigint): number {
    const until = this.#until.get(counter)
    if (until === undefined) return 0
    if (until > now) return Math.ceil(Number(until - now) / 1e6)
    this.#until.delete(counter)
    return 0
  }

  wait(counter: string, now: bigint, millis: number): void {
    this.#until.delete(counter)
    this.#until.set(counter, now + BigInt(millis) * 1_000_000n)
    const [oldest] = this.#until.keys()
    if (this.#until.size > mostWaits && oldest !== undefined) this.#until.delete(oldest)
  }
}

/** Whether the token may go there: to the API itself, and to where Slack keeps files. */
const isSlack = (url: string, root: string): boolean => {
  if (!URL.canParse(url)) return false
  const { hostname, origin, protocol } = new URL(url)
  return origin === new URL(root).origin || (protocol === "https:" && /(?:^|\.)slack\.com$/.test(hostname))
}

/** An app by its token. `apiRoot` is where the methods are, `https://slack.com/api` or one of one's own. */
export const make = (options: { readonly token: Redacted.Redacted; readonly apiRoot: string }): WebApi => {
  const { token } = options
  const root = options.apiRoot.replace(/\/+$/, "")
  const api = server(root, token)
  const waits = new Waits()

  const answered = Effect.fnUntraced(function* (method: string, params: Params) {
    const counter = counterOf(method, params)
    const left = waits.left(counter, yield* Clock.monotonicTimeNanos)
    if (left > 0) return yield* Effect.fail(denied("ratelimited", "too many requests, not asked again yet", left))
    const request = HttpClientRequest.post(`${root}/${method}`).pipe(
      HttpClientRequest.bodyUrlParams(formOf({ ...params, ...asWritten(method) })),
      HttpClientRequest.bearerToken(token)
    )
    const answer = yield* api.ask(request)
    const body = Option.getOrUndefined(readJson(answer.text))
    if (answer.status === 200 && isOk(body)) return { answer, body }
    const failure = failureOf(answer, body)
    if (failure._tag === "Denied" && failure.retryAfter !== undefined) {
      waits.wait(counter, yield* Clock.monotonicTimeNanos, failure.retryAfter)
    }
    return yield* Effect.fail(failure)
  })

  const decoded = <A>(result: Schema.Codec<A, unknown>, body: unknown) =>
    Effect.mapError(Schema.decodeUnknownEffect(result)(body), (): Failure =>
      silent("answered with something else than what was asked for")
    )

  return {
    call: (method, params, result) => Effect.flatMap(answered(method, params), ({ body }) => decoded(result, body)),
    scoped: (method, result) =>
      Effect.flatMap(answered(method, {}), ({ answer, body }) =>
        Effect.map(decoded(result, body), (found) => ({
          result: found,
          scopes: (answer.headers["x-oauth-scopes"] ?? "").split(",").flatMap((scope) => scope.trim() || [])
        }))
      ),
    bring: (url, content) =>
      Effect.gen(function* () {
        if (!isSlack(url, root)) return yield* Effect.fail(denied("foreign_upload", "an upload to a foreign server"))
        const bytes = new Uint8Array(yield* Effect.promise(() => content.arrayBuffer()))
        const request = HttpClientRequest.bodyUint8Array(HttpClientRequest.post(url), bytes)
        const answer = yield* api.ask(request, uploadTimeout)
        if (answer.status !== 200) return yield* Effect.fail(failureOf(answer, undefined))
      }),
    file: (url) =>
      isSlack(url, root)
        ? api.fetch(HttpClientRequest.bearerToken(HttpClientRequest.get(url), token))
        : Effect.fail(denied("foreign_file", "a file that is not kept by Slack"))
  }
}
