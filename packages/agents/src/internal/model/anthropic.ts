/**
 * Messages as Anthropic speaks them, and as servers do that took them over. What
 * an event holds is known by the `type` in its data; types that are not known are
 * left alone, as the API's own policy asks for.
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

const Usage = Schema.Struct({
  input_tokens: count,
  output_tokens: count,
  cache_read_input_tokens: count,
  cache_creation_input_tokens: count
})

const Block = Schema.Struct({ type: maybe(Schema.String), text: maybe(Schema.String) })

const Message = Schema.Struct({
  content: maybe(Schema.Union([Schema.String, Schema.Array(Block)])),
  stop_reason: maybe(Schema.String),
  usage: maybe(Schema.Unknown)
})

const Event = Schema.Struct({
  ...Message.fields,
  type: maybe(Schema.String),
  message: maybe(Message),
  content_block: maybe(Block),
  delta: maybe(Schema.Struct({ ...Block.fields, stop_reason: maybe(Schema.String) })),
  error: maybe(Schema.Unknown)
})

const decode = Schema.decodeUnknownOption(Event)
// By itself: a strange usage is no reason to lose an answer.
const decodeUsage = Schema.decodeUnknownOption(Usage)

const finishes: Readonly<Record<string, Finish>> = {
  max_tokens: "length",
  model_context_window_exceeded: "length",
  refusal: "filter",
  tool_use: "tools"
}

const finish = (reason: string | null | undefined): ReadonlyArray<Piece> =>
  given(reason) ? [{ _tag: "Finish", finish: finishes[reason] ?? "stop" }] : []

const said = (text: string | null | undefined): ReadonlyArray<Piece> =>
  given(text) && text !== "" ? [{ _tag: "Text", text }] : []

const used = (usage: unknown): ReadonlyArray<Piece> => {
  const found = decodeUsage(usage)
  if (Option.isNone(found)) return []
  const tokens = known<Tokens>({
    inputTokens: counted(found.value.input_tokens),
    outputTokens: counted(found.value.output_tokens),
    cacheReadTokens: counted(found.value.cache_read_input_tokens),
    cacheWriteTokens: counted(found.value.cache_creation_input_tokens)
  })
  return [{ _tag: "Usage", tokens }]
}

const message = (one: typeof Message.Type): ReadonlyArray<Piece> => {
  const text =
    typeof one.content === "string"
      ? one.content
      : (one.content ?? []).map((block) => (block.type === "text" ? (block.text ?? "") : "")).join("")
  return [...said(text), ...used(one.usage), ...finish(one.stop_reason)]
}

const pieces = (event: typeof Event.Type, name: string): ReadonlyArray<Piece> => {
  switch (event.type ?? name) {
    case "message_start":
      return given(event.message) ? message(event.message) : []
    case "content_block_start":
      return event.content_block?.type === "text" ? said(event.content_block.text) : []
    case "content_block_delta":
      return event.delta?.type === "text_delta" ? said(event.delta.text) : [{ _tag: "Alive" }]
    case "message_delta":
      return [...used(event.usage), ...finish(event.delta?.stop_reason)]
    case "message_stop":
      return [{ _tag: "Done" }]
    case "message":
      return message(event)
    default:
      return [{ _tag: "Alive" }]
  }
}

const read = (text: string, name: string): ReadonlyArray<Piece> => {
  const json = parsed(text)
  const found = decode(json)
  if (json === undefined || Option.isNone(found)) return unreadable(text)
  const event = found.value
  return event.type === "error" || given(event.error)
    ? [{ _tag: "Error", failure: fromEvent(json) }]
    : pieces(event, name)
}

const partOf = (part: Part) =>
  part._tag === "Text"
    ? { type: "text", text: part.text }
    : { type: "image", source: { type: "base64", media_type: part.type, data: part.base64 } }

const messageOf = ({ parts, role }: ChatMessage) => ({ role, content: parts.map(partOf) })

const body = (request: ChatRequest, manners: Manners) => ({
  model: request.model,
  max_tokens: request.maxTokens,
  ...(request.system === undefined ? {} : { system: request.system }),
  messages: request.messages.map(messageOf),
  stream: true,
  ...(request.temperature === undefined || !manners.temperature ? {} : { temperature: request.temperature })
})

/** `https://api.anthropic.com`, the same with `/v1` and the whole address of the endpoint all mean the same. */
const under = (url: string, path: string): string => {
  const address = new URL(url)
  const prefix = address.pathname.replace(/\/+$/, "").replace(/(\/v1)?(\/messages)?$/, "")
  address.pathname = `${prefix}/v1${path}`
  return address.href
}

/** Anthropic's dialect. */
export const anthropic: Dialect = {
  endpoint: (url) => under(url, "/messages"),
  models: (url) => under(url, "/models"),
  headers: (key) => ({ "anthropic-version": "2023-06-01", ...(key === undefined ? {} : { "x-api-key": key }) }),
  body,
  event: read,
  whole: (text) => [...read(text, "message"), { _tag: "Done" }]
}
