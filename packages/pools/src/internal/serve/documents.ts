/**
 * The documents of the OpenAI-compatible routes, in both directions. What is known here is read and checked, the rest of a
 * chat's or an image's settings goes to the model as it came.
 */
import * as Base64 from "effect/encoding/Base64"
import * as Schema from "effect/Schema"
import type { ChatAnswer, ChatPart, Images, Tokens, Vectors } from "../../Capabilities.ts"

const maybe = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Rest = Schema.Record(Schema.String, Schema.Json)

/** Every request names its model, and may say for whom it is and how urgent. */
const common = {
  model: Schema.String,
  user: maybe(Schema.String),
  safety_identifier: maybe(Schema.String),
  service_tier: maybe(Schema.String)
}

export const Embeddings = Schema.Struct({
  ...common,
  input: Schema.Union([
    Schema.String,
    Schema.Array(Schema.Union([Schema.String, Schema.Struct({ image: Schema.String })]))
  ]),
  encoding_format: maybe(Schema.Literals(["float", "base64"])),
  dimensions: maybe(Schema.Int)
})

export const Chat = Schema.StructWithRest(
  Schema.Struct({
    ...common,
    messages: Schema.Unknown,
    stream: maybe(Schema.Boolean),
    stream_options: maybe(Schema.Struct({ include_usage: maybe(Schema.Boolean) }))
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)

/** What clients may ask for, and would miss without a word; `undefined` when it is nothing of that. */
export const unserved = (path: "chat" | "embeddings" | "images", sent: unknown): Unserved | undefined => {
  if (typeof sent !== "object" || sent === null) return undefined
  const { input, n, stream } = sent as Readonly<Record<string, unknown>>
  if (path === "chat" && typeof n === "number" && n > 1) {
    return { param: "n", message: `n ${n}: a request has one answer here; send it ${n} times, or leave n out` }
  }
  if (path === "images" && stream === true) {
    return { param: "stream", message: "stream true: images come whole here; leave stream out" }
  }
  const first: unknown = Array.isArray(input) ? input[0] : undefined
  return path === "embeddings" && (typeof first === "number" || Array.isArray(first))
    ? { param: "input", message: "input: numbers of tokens are not read here; send the texts themselves" }
    : undefined
}

interface Unserved {
  readonly param: string
  readonly message: string
}

export const Drawing = Schema.StructWithRest(
  Schema.Struct({ ...common, prompt: Schema.String, n: maybe(Schema.Int), size: maybe(Schema.String) }),
  [Rest]
)

/** A document without the fields that are read here, and without those that are null: they mean nothing. */
export const settingsOf = (
  body: Readonly<Record<string, unknown>>,
  known: ReadonlyArray<string>
): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(body).filter(([name, value]) => !known.includes(name) && value !== null))

const usageOf = ({ details, input = 0, output = 0 }: Tokens) => ({
  ...details,
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output
})

/** Floats of four bytes, the lowest first: what clients ask for to save half of the bytes. */
const base64 = (vector: ReadonlyArray<number>): string => {
  const view = new DataView(new ArrayBuffer(vector.length * 4))
  for (const [at, value] of vector.entries()) view.setFloat32(at * 4, value, true)
  return Base64.encode(new Uint8Array(view.buffer))
}

export const embeddings = (model: string, { tokens = 0, vectors }: Vectors, format: "float" | "base64") => ({
  object: "list",
  model,
  data: vectors.map((vector, index) => ({
    object: "embedding",
    index,
    embedding: format === "base64" ? base64(vector) : vector
  })),
  usage: { prompt_tokens: tokens, total_tokens: tokens }
})

/** What names an answer. */
export interface Frame {
  readonly id: string
  readonly model: string
  /** Seconds. */
  readonly created: number
}

export const chat = (frame: Frame, { finish, logprobs = null, message, tokens }: ChatAnswer) => ({
  ...frame,
  object: "chat.completion",
  choices: [{ index: 0, message, finish_reason: finish, logprobs }],
  usage: usageOf(tokens ?? {})
})

const chunk = (frame: Frame) => ({ ...frame, object: "chat.completion.chunk" })

/** The events of a part: words and end are one, what it cost is another one without words, for who asked for it. */
export const chunks = (frame: Frame, part: ChatPart, usage: boolean): ReadonlyArray<object> => {
  const { delta, finish, logprobs = null, text, tokens } = part
  const words = delta ?? (text === undefined ? {} : { content: text })
  return [
    ...(delta === undefined && text === undefined && finish === undefined
      ? []
      : [{ ...chunk(frame), choices: [{ index: 0, delta: words, finish_reason: finish ?? null, logprobs }] }]),
    ...(usage && tokens !== undefined ? [{ ...chunk(frame), choices: [], usage: usageOf(tokens) }] : [])
  ]
}

export const images = (created: number, { images }: Images) => ({
  created,
  data: images.map(({ prompt, ...image }) => ({
    ...("base64" in image ? { b64_json: image.base64 } : { url: image.url }),
    ...(prompt === undefined ? {} : { revised_prompt: prompt })
  }))
})

export const model = (id: string, created: number) => ({ id, object: "model", created, owned_by: "sluice" })

export const models = (names: ReadonlyArray<string>, created: number) => ({
  object: "list",
  data: names.map((id) => model(id, created))
})
