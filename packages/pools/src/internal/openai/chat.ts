/**
 * Chat completions, whole and in parts. Servers that call themselves compatible leave out, add and rename; what is needed
 * is read, what is not known passes through. An answer that breaks off is a failure, never an answer that is short.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ChatAnswer, ChatPart, TextRequest, Tokens } from "../../Capabilities.ts"
import type { WorkerError } from "../../PoolError.ts"
import { nestsTooDeep } from "../nesting.ts"
import { brokenOff, read, tooDeep } from "./events.ts"
import { ask, type Body, bytes, failure, isRecord, json, type Line, post } from "./line.ts"

interface Choice {
  readonly index?: number | null
  readonly message?: Schema.JsonObject | null
  readonly delta?: Schema.JsonObject | null
  readonly logprobs?: Schema.Json
  readonly finish_reason?: string | null
}

interface Answer {
  readonly choices: ReadonlyArray<Choice>
  readonly usage: unknown
}

const isMaybe = (value: unknown, is: (value: unknown) => boolean): boolean =>
  value === undefined || value === null || is(value)

const isText = (value: unknown): value is string => typeof value === "string"

// By hand, as what was read from JSON is JSON: a schema looks at all that is in it, and each part of an answer is one.
const isChoice = (value: unknown): value is Choice =>
  isRecord(value) &&
  isMaybe(value["index"], Number.isFinite) &&
  isMaybe(value["message"], isRecord) &&
  isMaybe(value["delta"], isRecord) &&
  isMaybe(value["finish_reason"], isText)

/** What is known of an answer or of an event of one; `undefined` when it is neither. */
const answerOf = (value: unknown): Answer | undefined => {
  if (!isRecord(value)) return undefined
  const { usage } = value
  const choices = value["choices"] ?? []
  return Array.isArray(choices) && choices.every(isChoice) ? { choices, usage } : undefined
}

const tokensOf = (usage: unknown): { readonly tokens?: Tokens } => {
  const { completion_tokens: output, prompt_tokens: input, total_tokens: _, ...rest } = isRecord(usage) ? usage : {}
  if (!isMaybe(input, Number.isFinite) || !isMaybe(output, Number.isFinite)) return {}
  const tokens: Tokens = {
    ...(typeof input === "number" ? { input } : {}),
    ...(typeof output === "number" ? { output } : {}),
    ...(Object.keys(rest).length === 0 ? {} : { details: rest as Readonly<Record<string, Schema.Json>> })
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

const first = ({ choices }: Answer) => choices.find(({ index }) => (index ?? 0) === 0)

/** One whole answer. */
export const answer = Effect.fnUntraced(function* (line: Line, model: string, request: TextRequest) {
  const sent = yield* ask(line, "/chat/completions", bodyOf(model, request, false))
  if (nestsTooDeep(sent)) return yield* tooDeep
  const found = answerOf(sent)
  const choice = found === undefined ? undefined : first(found)
  if (found === undefined || choice?.message === undefined || choice.message === null) {
    return yield* failure("Transport", "the server sent an answer without a message")
  }
  return {
    text: textOf(choice.message["content"]),
    finish: choice.finish_reason ?? "stop",
    message: choice.message,
    ...logprobsOf(choice),
    ...tokensOf(found.usage)
  } satisfies ChatAnswer
})

const partsOf = (event: unknown): ReadonlyArray<ChatPart> | undefined => {
  const found = answerOf(event)
  if (found === undefined) return undefined
  const choice = first(found)
  const words = choice?.delta ?? choice?.message
  const text = textOf(words?.["content"])
  const part: ChatPart = {
    ...(words === undefined || words === null ? {} : { delta: words }),
    ...(text === "" ? {} : { text }),
    ...(typeof choice?.finish_reason === "string" ? { finish: choice.finish_reason } : {}),
    ...logprobsOf(choice),
    ...tokensOf(found.usage)
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
