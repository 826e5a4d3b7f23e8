/**
 * Chat completions, whole and in parts. Servers that call themselves compatible leave out, add and rename; what is needed
 * is read, what is not known passes through. An answer that breaks off is a failure, never an answer that is short.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ChatAnswer, ChatPart, TextRequest, Tokens } from "../../Capabilities.ts"
import type { WorkerError } from "../../PoolError.ts"
import { nestsTooDeep } from "../nesting.ts"
import { brokenOff, read, tooDeep } from "./events.ts"
import { ask, type Body, bytes, failure, json, type Line, post } from "./line.ts"

const maybe = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Words = Schema.Record(Schema.String, Schema.Json)

const Answer = Schema.Struct({
  choices: maybe(
    Schema.Array(
      Schema.Struct({
        index: maybe(Schema.Finite),
        message: maybe(Words),
        delta: maybe(Words),
        logprobs: maybe(Schema.Json),
        finish_reason: maybe(Schema.String)
      })
    )
  ),
  usage: maybe(Schema.Unknown)
})

const Usage = Schema.Struct({ prompt_tokens: maybe(Schema.Finite), completion_tokens: maybe(Schema.Finite) })

const decode = Schema.decodeUnknownOption(Answer)
const decodeUsage = Schema.decodeUnknownOption(Usage)

const tokensOf = (usage: unknown): { readonly tokens?: Tokens } => {
  const found = Option.getOrUndefined(decodeUsage(usage))
  const { completion_tokens: output, prompt_tokens: input } = found ?? {}
  const tokens: Tokens = {
    ...(typeof input === "number" ? { input } : {}),
    ...(typeof output === "number" ? { output } : {})
  }
  return Object.keys(tokens).length === 0 ? {} : { tokens }
}

/** Content is a text, null, or a list of parts. */
const textOf = (content: Schema.Json | undefined): string => {
  if (typeof content === "string") return content
  if (!Array.isArray(content)) return ""
  return content
    .map((part: Schema.Json) =>
      typeof part === "object" && part !== null && "text" in part && typeof part.text === "string" ? part.text : ""
    )
    .join("")
}

const bodyOf = (model: string, { messages, settings }: TextRequest, stream: boolean): Body => ({
  ...settings,
  model,
  messages,
  stream,
  ...(stream ? { stream_options: { include_usage: true } } : {})
})

const logprobsOf = (choice: { readonly logprobs?: Schema.Json | null } | undefined) =>
  choice?.logprobs === undefined || choice.logprobs === null ? {} : { logprobs: choice.logprobs }

const first = (answer: typeof Answer.Type) => answer.choices?.find(({ index }) => (index ?? 0) === 0)

/** One whole answer. */
export const answer = Effect.fnUntraced(function* (line: Line, model: string, request: TextRequest) {
  const sent = yield* ask(line, "/chat/completions", bodyOf(model, request, false))
  if (nestsTooDeep(sent)) return yield* tooDeep
  const found = decode(sent)
  const choice = Option.isSome(found) ? first(found.value) : undefined
  if (Option.isNone(found) || choice?.message === undefined || choice.message === null) {
    return yield* failure("Transport", "the server sent an answer without a message")
  }
  return {
    text: textOf(choice.message["content"]),
    finish: choice.finish_reason ?? "stop",
    message: choice.message,
    ...logprobsOf(choice),
    ...tokensOf(found.value.usage)
  } satisfies ChatAnswer
})

const partsOf = (event: unknown): ReadonlyArray<ChatPart> | undefined => {
  const found = decode(event)
  if (Option.isNone(found)) return undefined
  const choice = first(found.value)
  const words = choice?.delta ?? choice?.message
  const text = textOf(words?.["content"])
  const part: ChatPart = {
    ...(words === undefined || words === null ? {} : { delta: words }),
    ...(text === "" ? {} : { text }),
    ...(typeof choice?.finish_reason === "string" ? { finish: choice.finish_reason } : {}),
    ...logprobsOf(choice),
    ...tokensOf(found.value.usage)
  }
  return Object.keys(part).length === 0 ? [] : [part]
}

/** An answer as it is written. A server that does not stream and answers whole is passed on as one part. */
export const stream = (line: Line, model: string, request: TextRequest): Stream.Stream<ChatPart, WorkerError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const body = bodyOf(model, request, true)
      const response = yield* post(line, "/chat/completions", body, "text/event-stream, application/json")
      const type = response.headers["content-type"] ?? ""
      if (!type.includes("json")) return read(line, bytes(line, response), partsOf)
      const sent = yield* json(line, response)
      if (nestsTooDeep(sent)) return Stream.fail(tooDeep)
      const whole = partsOf(sent) ?? []
      const isWhole = whole.some(({ finish }) => finish !== undefined)
      return Stream.concat(Stream.fromIterable(whole), isWhole ? Stream.empty : Stream.fail(brokenOff()))
    })
  )
