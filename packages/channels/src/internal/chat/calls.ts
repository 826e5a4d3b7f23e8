/**
 * Calls to a platform's server. A token may be part of an address or of a header,
 * so no error of the HTTP client leaves this file: only its words do, without the
 * token. What a failure says is whether the request can have arrived, which decides
 * between a retry and nobody can tell.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { visible } from "../visible.ts"

/** Why there is no answer. */
export type Unanswered =
  /** It never reached the other side. */
  | { readonly _tag: "NotSent"; readonly reason: string }
  /** No answer, or none that can be read: nobody knows what became of it. */
  | { readonly _tag: "Silent"; readonly reason: string }

/** An answer that was read to its end. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly text: string
}

/** The most of an answer that is read, in bytes: a page of a hundred long messages has less than two million. */
const answerLimit = 16 * 1024 * 1024
const callTimeout = 30_000

/** Codes of connections that never came about: nobody there, no way through a proxy, or not whom its certificate has to name. */
const unreached = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
  "UND_ERR_CONNECT_TIMEOUT",
  "ERR_PROXY_TUNNEL",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
])

/** Nobody knows what became of it. */
export const silent = (reason: string): Unanswered => ({ _tag: "Silent", reason })

/** Codes and messages of an error's causes, outermost first. */
const causesOf = (error: HttpClientError.HttpClientError) => {
  const found: Array<{ readonly code: string; readonly words: string }> = []
  let at: unknown = error.reason.cause
  for (let depth = 0; depth < 5 && at instanceof Error; depth++) {
    const { code } = at as { readonly code?: unknown }
    found.push({ code: typeof code === "string" ? code : "", words: at.message })
    at = at.cause
  }
  return found
}

/** The token in no text, also where a server quotes an address. */
export const without = (token: Redacted.Redacted, text: string): string => {
  const secret = Redacted.value(token)
  return secret === "" ? text : text.replaceAll(secret, "<token>")
}

const failed = (token: Redacted.Redacted, host: string) => (error: HttpClientError.HttpClientError) => {
  const causes = causesOf(error)
  const words = causes.map(({ code, words }) => (words.includes(code) ? words : `${code} ${words}`)).join(": ")
  const reason = `no connection to ${host}: ${visible(without(token, words === "" ? error.reason._tag : words), 300)}`
  return causes.some(({ code }) => unreached.has(code)) ? ({ _tag: "NotSent", reason } as const) : silent(reason)
}

/** Reads a text of at most so many bytes; `undefined` when there are more. */
const textUpTo = (bytes: Stream.Stream<Uint8Array, Unanswered>, limit: number) =>
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

/** A client on fetch would follow a redirection and take the token along. */
const execute = (request: HttpClientRequest.HttpClientRequest) =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const init = yield* Effect.serviceOption(FetchHttpClient.RequestInit)
    return yield* Effect.provideService(client.execute(request), FetchHttpClient.RequestInit, {
      ...Option.getOrUndefined(init),
      redirect: "manual"
    })
  })

/** Something large that begins to come, or the status of what came instead. */
export type Fetched =
  | { readonly _tag: "Bytes"; readonly type: string; readonly content: Stream.Stream<Uint8Array, Unanswered> }
  | { readonly _tag: "Not"; readonly status: number }

/** A platform's server, as somebody with a token sees it. */
export interface Server {
  /** Asks and reads the answer, whatever it says. Waits at most `timeout` milliseconds, 30 s unless said otherwise. */
  readonly ask: (
    request: HttpClientRequest.HttpClientRequest,
    timeout?: number
  ) => Effect.Effect<Answer, Unanswered, HttpClient.HttpClient>
  /** Begins to fetch something large; anything but 200 is told by its status. */
  readonly fetch: (
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<Fetched, Unanswered, HttpClient.HttpClient>
}

/** A server by its address and what must not be told of it. */
export const server = (root: string, token: Redacted.Redacted): Server => {
  const { host } = new URL(root)
  const unreachable = failed(token, host)
  const bytesOf = (response: HttpClientResponse.HttpClientResponse) => Stream.mapError(response.stream, unreachable)
  const within = (timeout: number) => ({
    duration: timeout,
    orElse: () => Effect.fail(silent(`${host} did not answer within ${Duration.format(Duration.millis(timeout))}`))
  })
  const read = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Answer, Unanswered> =>
    Effect.flatMap(textUpTo(bytesOf(response), answerLimit), (text) =>
      text === undefined
        ? Effect.fail(silent(`${host} answered with more than ${answerLimit} bytes`))
        : Effect.succeed({ status: response.status, headers: response.headers, text })
    )
  const began = (request: HttpClientRequest.HttpClientRequest) => Effect.mapError(execute(request), unreachable)
  return {
    ask: (request, timeout = callTimeout) =>
      Effect.timeoutOrElse(Effect.flatMap(began(request), read), within(timeout)),
    fetch: (request) =>
      Effect.flatMap(
        Effect.timeoutOrElse(began(request), within(callTimeout)),
        (response): Effect.Effect<Fetched, Unanswered> =>
          response.status === 200
            ? Effect.succeed({
                _tag: "Bytes",
                type: response.headers["content-type"] ?? "",
                content: bytesOf(response)
              })
            : // Read to its end: an answer that nobody touches keeps its connection.
              Effect.as(Effect.ignore(read(response)), { _tag: "Not", status: response.status })
      )
  }
}
