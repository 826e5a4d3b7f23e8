/**
 * The Bot API as one function: a method, its parameters, the shape of its result.
 * A call is made once: what it ends with says whether it can have arrived, which
 * decides between a retry and nobody can tell.
 */
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import { server, silent, type Unanswered } from "../chat/calls.ts"
import { visible } from "../visible.ts"

/** Why a call has no result. */
export type Failure =
  | Unanswered
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
  const { ask, fetch } = server(root, options.token)
  const address = (before: string, path: string) => `${root}${before}/bot${Redacted.value(options.token)}/${path}`
  return {
    call: (method, params, result, { timeout, upload } = {}) =>
      Effect.flatMap(
        ask(withBody(HttpClientRequest.post(address("", method)), params, upload), timeout),
        ({ status, text }) => resultOf(result, status, text)
      ),
    file: (path) =>
      Effect.flatMap(fetch(HttpClientRequest.get(address("/file", path))), (found) =>
        found._tag === "Bytes" ? Effect.succeed(found.content) : Effect.fail(statusFailure(found.status))
      )
  }
}
