/**
 * The Bot API as one function: a method, its parameters, the shape of its result.
 * The token is part of every address, so no error of the HTTP client leaves this
 * file: only its words do, without the token. What a failure says is whether the
 * request can have arrived, which decides between a retry and nobody can tell.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { visible } from "../visible.ts"

/** Why a call has no result. */
export type Failure =
  /** It never reached the other side. */
  | { readonly _tag: "NotSent"; readonly reason: string }
  /** No answer, or none that can be read: nobody knows what became of it. */
  | { readonly _tag: "Silent"; readonly reason: string }
  /** Refused. `retryAfter` in milliseconds; `movedTo` is the chat that this one has become. */
  | {
      readonly _tag: "Denied"
      readonly code: number
      readonly reason: string
      readonly retryAfter: number | undefined
      readonly movedTo: number | undefined
    }

/** A file that goes along with a call; its parameters name it `attach://file`, or are it under this name. */
export interface Upload {
  readonly field: string
  readonly name: string
  readonly content: Blob
}

/** A bot at its server. */
export interface BotApi {
  /** Calls a method. Waits at most `timeout` milliseconds, 30 s unless said otherwise. */
  readonly call: <A>(
    method: string,
    params: { readonly [name: string]: unknown },
    result: Schema.Codec<A, unknown>,
    options?: { readonly timeout?: number; readonly upload?: Upload }
  ) => Effect.Effect<A, Failure, HttpClient.HttpClient>
  /** The bytes of a file by the path that `getFile` gave. */
  readonly file: (path: string) => Effect.Effect<Stream.Stream<Uint8Array, Failure>, Failure, HttpClient.HttpClient>
}

/** The most of an answer that is read, in bytes: a page of a hundred long messages has less than two million. */
const answerLimit = 16 * 1024 * 1024
const callTimeout = 30_000

const Answer = Schema.fromJsonString(
  Schema.Union([
    Schema.Struct({ ok: Schema.Literal(true), result: Schema.Unknown }),
    Schema.Struct({
      ok: Schema.Literal(false),
      error_code: Schema.optionalKey(Schema.Int),
      description: Schema.optionalKey(Schema.String),
      parameters: Schema.optionalKey(
        Schema.Struct({
          retry_after: Schema.optionalKey(Schema.Finite),
          migrate_to_chat_id: Schema.optionalKey(Schema.Int)
        })
      )
    })
  ])
)
const readAnswer = Schema.decodeUnknownOption(Answer)

/** Codes of connections that never came about. */
const unreached = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
  "UND_ERR_CONNECT_TIMEOUT"
])

const silent = (reason: string): Failure => ({ _tag: "Silent", reason })

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
const textUpTo = (bytes: Stream.Stream<Uint8Array, Failure>, limit: number) =>
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

/** What a server says in front of the Bot API, or the Bot API itself in another form than its own. */
const statusFailure = (status: number): Failure =>
  status >= 500 || status < 400
    ? silent(`answered with ${status} and nothing that can be read`)
    : {
        _tag: "Denied",
        code: status,
        reason: `answered with ${status}`,
        retryAfter: status === 429 ? 1000 : undefined,
        movedTo: undefined
      }

const denial = (status: number, answer: Extract<typeof Answer.Type, { readonly ok: false }>): Failure => {
  const code = answer.error_code ?? status
  const reason = visible(answer.description ?? `answered with ${code}`, 300)
  // Whether it took effect before it failed nobody knows.
  if (code >= 500) return silent(reason)
  const wait = answer.parameters?.retry_after
  return {
    _tag: "Denied",
    code,
    reason,
    retryAfter: wait === undefined ? (code === 429 ? 1000 : undefined) : Math.max(0, Math.round(wait * 1000)),
    movedTo: answer.parameters?.migrate_to_chat_id
  }
}

const resultOf = <A>(result: Schema.Codec<A, unknown>, status: number, text: string): Effect.Effect<A, Failure> => {
  const answer = Option.getOrUndefined(readAnswer(text))
  if (answer === undefined) return Effect.fail(statusFailure(status))
  if (!answer.ok) return Effect.fail(denial(status, answer))
  return Effect.mapError(Schema.decodeUnknownEffect(result)(answer.result), () =>
    silent("answered with something else than what was asked for")
  )
}

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

/** JSON, or a form where a file goes along. */
const withBody = (
  request: HttpClientRequest.HttpClientRequest,
  params: { readonly [name: string]: unknown },
  upload: Upload | undefined
) => {
  if (upload === undefined) return HttpClientRequest.bodyJsonUnsafe(request, params)
  const form = new FormData()
  for (const [name, value] of Object.entries(params)) {
    form.append(name, typeof value === "string" ? value : JSON.stringify(value))
  }
  form.append(upload.field, upload.content, upload.name)
  return HttpClientRequest.bodyFormData(request, form)
}

/** A bot by its token. `apiRoot` is the address of its server, `https://api.telegram.org` or one of one's own. */
export const make = (options: { readonly token: Redacted.Redacted; readonly apiRoot: string }): BotApi => {
  const root = options.apiRoot.replace(/\/+$/, "")
  const { host } = new URL(root)
  const unreachable = failed(options.token, host)
  const address = (before: string, path: string) => `${root}${before}/bot${Redacted.value(options.token)}/${path}`
  const bytesOf = (response: HttpClientResponse.HttpClientResponse) => Stream.mapError(response.stream, unreachable)
  return {
    call: (method, params, result, { timeout = callTimeout, upload } = {}) =>
      execute(withBody(HttpClientRequest.post(address("", method)), params, upload)).pipe(
        Effect.mapError(unreachable),
        Effect.flatMap((response) =>
          Effect.flatMap(textUpTo(bytesOf(response), answerLimit), (text) =>
            text === undefined
              ? Effect.fail(silent(`${host} answered with more than ${answerLimit} bytes`))
              : resultOf(result, response.status, text)
          )
        ),
        Effect.timeoutOrElse({
          duration: timeout,
          orElse: () =>
            Effect.fail(silent(`${host} did not answer within ${Duration.format(Duration.millis(timeout))}`))
        })
      ),
    file: (path) =>
      execute(HttpClientRequest.get(address("/file", path))).pipe(
        Effect.mapError(unreachable),
        Effect.timeoutOrElse({
          duration: callTimeout,
          orElse: () =>
            Effect.fail(silent(`${host} did not answer within ${Duration.format(Duration.millis(callTimeout))}`))
        }),
        Effect.flatMap((response) =>
          response.status === 200
            ? Effect.succeed(bytesOf(response))
            : // Read to its end: an answer that nobody touches keeps its connection.
              Effect.andThen(
                Effect.ignore(textUpTo(bytesOf(response), answerLimit)),
                Effect.fail(statusFailure(response.status))
              )
        )
      )
  }
}
