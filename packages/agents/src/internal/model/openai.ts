/**
 * Chat completions as OpenAI speaks them, and as Ollama, llama.cpp, vLLM, LM Studio
 * and a dozen gateways do: chunks without a usage, without an id, with reasoning
 * under either name, with content as null, text or a list, with an error where an
 * answer should be.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { fromEvent } from "./failures.ts"
import {
  type ChatMessage,
  type ChatRequest,
  count,
  counted,
  type Dialect,
  type Finish,
  given,
  known,
  type Manners,
  maybe,
  type Part,
  parsed,
  type Piece,
  type Tokens,
  unreadable
} from "./wire.ts"

const Content = Schema.Union([
  Schema.String,
  Schema.Array(Schema.Struct({ type: maybe(Schema.String), text: maybe(Schema.String) }))
])

const Words = Schema.Struct({
  content: maybe(Content),
  reasoning_content: maybe(Schema.Unknown),
  reasoning: maybe(Schema.Unknown),
  /** A model's own words for "no": they are for the person. */
  refusal: maybe(Schema.String)
})

const Choice = Schema.Struct({
  index: maybe(Schema.Finite),
  delta: maybe(Words),
  message: maybe(Words),
  finish_reason: maybe(Schema.String)
})

const Usage = Schema.Struct({
  prompt_tokens: count,
  completion_tokens: count,
  prompt_tokens_details: maybe(Schema.Struct({ cached_tokens: count })),
  /** Said by gateways that sell the models of others. */
  cost: count
})

const Answer = Schema.Struct({
  choices: maybe(Schema.Array(Choice)),
  usage: maybe(Schema.Unknown),
  error: maybe(Schema.Unknown)
})

const decode = Schema.decodeUnknownOption(Answer)
// By itself: a strange usage is no reason to lose an answer.
const decodeUsage = Schema.decodeUnknownOption(Usage)

const finishes: Readonly<Record<string, Finish>> = {
  length: "length",
  max_tokens: "length",
  model_length: "length",
  content_filter: "filter",
  safety: "filter",
  refusal: "filter",
  tool_calls: "tools",
  function_call: "tools",
  tool_use: "tools"
}

/** Why an answer ended, from the word that a server has for it. */
export const finishOf = (reason: string): Finish => finishes[reason] ?? "stop"

const contentText = (content: typeof Content.Type): string =>
  typeof content === "string"
    ? content
    : content.map(({ text, type }) => (type === "thinking" || type === "reasoning" ? "" : (text ?? ""))).join("")

const words = (said: typeof Words.Type | null | undefined): ReadonlyArray<Piece> => {
  if (!given(said)) return []
  const text = (given(said.content) ? contentText(said.content) : "") + (said.refusal ?? "")
  const thinks = given(said.reasoning_content) || given(said.reasoning)
  return [...(text === "" ? [] : [{ _tag: "Text", text } as const]), ...(thinks ? [{ _tag: "Alive" } as const] : [])]
}

const tokensOf = (usage: typeof Usage.Type): Tokens => {
  const cached = counted(usage.prompt_tokens_details?.cached_tokens)
  const prompt = counted(usage.prompt_tokens)
  return known<Tokens>({
    inputTokens: prompt === undefined ? undefined : Math.max(0, prompt - (cached ?? 0)),
    outputTokens: counted(usage.completion_tokens),
    cacheReadTokens: cached,
    cost: counted(usage.cost)
  })
}

const read = (text: string): ReadonlyArray<Piece> => {
  const json = parsed(text)
  if (json === undefined) return unreadable(text)
  // A list: one gateway wraps its errors in it.
  if (Array.isArray(json)) return [{ _tag: "Error", failure: fromEvent(json) }]
  const found = decode(json)
  if (Option.isNone(found)) return unreadable(text)
  const { choices, error, usage } = found.value
  if (given(error)) return [{ _tag: "Error", failure: fromEvent(json) }]
  const pieces: Array<Piece> = []
  for (const choice of choices ?? []) {
    if ((choice.index ?? 0) !== 0) continue
    pieces.push(...words(choice.delta), ...words(choice.message))
    const reason = choice.finish_reason
    if (reason === "error")
      pieces.push({ _tag: "Error", failure: fromEvent({ message: "the answer ended in an error" }) })
    else if (given(reason) && reason !== "") pieces.push({ _tag: "Finish", finish: finishOf(reason) })
  }
  const used = decodeUsage(usage)
  if (Option.isSome(used)) pieces.push({ _tag: "Usage", tokens: tokensOf(used.value) })
  return pieces
}

const partOf = (part: Part) =>
  part._tag === "Text"
    ? { type: "text", text: part.text }
    : { type: "image_url", image_url: { url: `data:${part.type};base64,${part.base64}` } }

/** Plain text stays a plain text: some servers know no lists. */
const messageOf = ({ parts, role }: ChatMessage) => ({
  role,
  content: parts.every((part) => part._tag === "Text") ? parts.map((part) => part.text).join("\n") : parts.map(partOf)
})

/** A request as a chat in OpenAI's words, without the name of the model. */
export const chat = (request: ChatRequest, manners: Manners) => ({
  messages: [
    ...(request.system === undefined ? [] : [{ role: "system", content: request.system }]),
    ...request.messages.map(messageOf)
  ],
  settings: {
    ...(manners.completionTokens ? { max_completion_tokens: request.maxTokens } : { max_tokens: request.maxTokens }),
    ...(request.temperature === undefined || !manners.temperature ? {} : { temperature: request.temperature })
  }
})

const body = (request: ChatRequest, manners: Manners) => {
  const { messages, settings } = chat(request, manners)
  return {
    model: request.model,
    messages,
    stream: true,
    ...(manners.streamOptions ? { stream_options: { include_usage: true } } : {}),
    ...settings
  }
}

/** `http://localhost:11434`, `https://api.openai.com/v1` and the whole address of the endpoint all mean the same. */
const base = (url: string): string => {
  const address = new URL(url)
  const path = address.pathname.replace(/\/+$/, "").replace(/\/chat\/completions$/, "")
  address.pathname = path === "" ? "/v1" : path
  return address.href
}

const under = (url: string, path: string): string => {
  const address = new URL(base(url))
  address.pathname = `${address.pathname}${path}`
  return address.href
}

/** OpenAI's dialect. */
export const openai: Dialect = {
  endpoint: (url) => under(url, "/chat/completions"),
  models: (url) => under(url, "/models"),
  headers: (key) => (key === undefined ? {} : { authorization: `Bearer ${key}` }),
  body,
  event: (data) => (data.trim() === "[DONE]" ? [{ _tag: "Done" }] : read(data)),
  whole: (text) => [...read(text), { _tag: "Done" }]
}
