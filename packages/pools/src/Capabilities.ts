/**
 * The five capabilities that Sluice has words for. A chat is said in the form that servers of all kinds have agreed on
 * (roles, and content as text or as parts), so that what is not known here passes through as it came. What a request must
 * be is said by its schema; whoever takes requests from outside decodes them before they are submitted.
 */
import * as Schema from "effect/Schema"
import * as Capability from "./Capability.ts"
import { imageProblem } from "./internal/images.ts"

/** A picture as `data:image/png;base64,...` (PNG, JPEG, GIF or WebP), or the `https:` address of one. */
export const Picture = Schema.String.check(Schema.makeFilter((address: string) => imageProblem(address)))

// Not `Json`: to a compiler that does not tell an absent key from an undefined one, `content` would be none.
const Rest = Schema.Record(Schema.String, Schema.Unknown)

const Settings = Schema.Record(Schema.String, Schema.Json)

const Texts = Schema.Array(Schema.String).check(Schema.isMinLength(1))
const Pictures = Schema.Array(Picture).check(Schema.isMinLength(1))

export const TextEmbeddingRequest = Schema.Struct({ texts: Texts, dimensions: Schema.optionalKey(Schema.Int) })
export type TextEmbeddingRequest = typeof TextEmbeddingRequest.Type

export const ImageEmbeddingRequest = Schema.Struct({ images: Pictures })
export type ImageEmbeddingRequest = typeof ImageEmbeddingRequest.Type

/** Vectors in the order of what was given, all of one length. */
export interface Vectors {
  readonly vectors: ReadonlyArray<ReadonlyArray<number>>
  /** Tokens that were read, when the worker counts them. */
  readonly tokens?: number
}

const Part = Schema.StructWithRest(Schema.Struct({ type: Schema.String }), [Rest])

const Message = Schema.StructWithRest(
  Schema.Struct({
    role: Schema.String,
    content: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.String, Schema.Array(Part)])))
  }),
  [Rest]
)

/** The pictures of a chat, in order; `undefined` stands for an image part without an address. */
const picturesOf = (messages: ReadonlyArray<typeof Message.Type>): ReadonlyArray<string | undefined> =>
  messages.flatMap(({ content }) =>
    typeof content === "string"
      ? []
      : (content ?? []).flatMap((part) => {
          if (part.type !== "image_url") return []
          const image = part["image_url"]
          const url = typeof image === "object" && image !== null && "url" in image ? image.url : image
          return [typeof url === "string" ? url : undefined]
        })
  )

const Chat = (problem: (pictures: ReadonlyArray<string | undefined>) => string | undefined) =>
  Schema.Struct({
    messages: Schema.Array(Message).check(
      Schema.isMinLength(1),
      Schema.makeFilter((messages: ReadonlyArray<typeof Message.Type>) => problem(picturesOf(messages)))
    ),
    /** What is passed on beside the messages: `max_tokens`, `temperature`, `tools`, `response_format` and so on. */
    settings: Schema.optionalKey(Settings)
  })

export const TextRequest = Chat((pictures) =>
  pictures.length > 0 ? "this model reads text only; ask one of the capability `vision`" : undefined
)
export type TextRequest = typeof TextRequest.Type

export const VisionRequest = Chat((pictures) => {
  for (const picture of pictures) {
    const problem = picture === undefined ? "an image part has no `image_url.url`" : imageProblem(picture)
    if (problem !== undefined) return problem
  }
  return undefined
})
export type VisionRequest = typeof VisionRequest.Type

/** Tokens of one answer, as far as the worker counts them. */
export interface Tokens {
  readonly input?: number
  readonly output?: number
  /** What else the server counted, as it gave it: tokens that were cached, or thought. */
  readonly details?: Readonly<Record<string, Schema.Json>>
}

/** An answer of a chat. */
export interface ChatAnswer {
  readonly text: string
  /** `stop`, `length`, `content_filter`, `tool_calls`, or what the server says. */
  readonly finish: string
  /** The whole message as the server gave it, with what is no text: calls of tools, reasoning. */
  readonly message: Schema.JsonObject
  /** How likely its tokens were, as the server gave it to who asked for that. */
  readonly logprobs?: Schema.Json
  readonly tokens?: Tokens
}

/** A piece of an answer of a chat. The last one has `finish`, and at most one has `tokens`. */
export interface ChatPart {
  readonly text?: string
  readonly finish?: string
  /** As the server gave it. */
  readonly delta?: Schema.JsonObject
  readonly logprobs?: Schema.Json
  readonly tokens?: Tokens
}

export const ImageRequest = Schema.Struct({
  prompt: Schema.String.check(Schema.isMinLength(1)),
  /** How many; 1 by default. */
  count: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 16 }))),
  /** For example `1024x1024`. */
  size: Schema.optionalKey(Schema.String),
  settings: Schema.optionalKey(Settings)
})
export type ImageRequest = typeof ImageRequest.Type

/** Pictures in base64, or where they can be fetched for a while. */
export interface Images {
  readonly images: ReadonlyArray<
    { readonly base64: string; readonly prompt?: string } | { readonly url: string; readonly prompt?: string }
  >
}

export const textEmbedding = Capability.make<TextEmbeddingRequest, Vectors>({
  name: "text-embedding",
  requestTimeout: "1 minute"
})

export const imageEmbedding = Capability.make<ImageEmbeddingRequest, Vectors>({
  name: "image-embedding",
  requestTimeout: "2 minutes"
})

export const textGeneration = Capability.make<TextRequest, ChatAnswer, ChatPart>({
  name: "text-generation",
  requestTimeout: "15 minutes",
  stallTimeout: "1 minute"
})

export const vision = Capability.make<VisionRequest, ChatAnswer, ChatPart>({
  name: "vision",
  requestTimeout: "15 minutes",
  stallTimeout: "2 minutes"
})

export const imageGeneration = Capability.make<ImageRequest, Images>({
  name: "image-generation",
  requestTimeout: "10 minutes"
})

/** All five, by name. */
export const all = {
  "text-embedding": textEmbedding,
  "text-generation": textGeneration,
  "image-embedding": imageEmbedding,
  vision,
  "image-generation": imageGeneration
} as const
