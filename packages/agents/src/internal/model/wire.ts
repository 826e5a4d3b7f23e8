/**
 * What a chat is between the two ways of saying it: a request in neutral words,
 * and the pieces that an answer comes in. A dialect turns the one into a body and
 * what a server sends into the other; it reads what it needs and forgives the rest,
 * because compatible servers leave out, add and rename.
 */
import * as Schema from "effect/Schema"
import { type Failure, failure } from "./failures.ts"

/** A piece of a message: text, or an image in base64. */
export type Part =
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Image"; readonly type: string; readonly base64: string }

/** One side's words. Two neighbours never have the same role: some models' templates refuse that. */
export interface ChatMessage {
  readonly role: "user" | "assistant"
  readonly parts: ReadonlyArray<Part>
}

/** One call of a model. */
export interface ChatRequest {
  readonly model: string
  readonly system?: string
  readonly messages: ReadonlyArray<ChatMessage>
  readonly maxTokens: number
  readonly temperature?: number
}

/** Why an answer ended: by itself, at its greatest length, by a filter, or with a wish for a tool. */
export type Finish = "stop" | "length" | "filter" | "tools"

/** Tokens of a call; `inputTokens` are those that were neither read from a cache nor written to one. */
export interface Tokens {
  readonly inputTokens?: number
  readonly outputTokens?: number
  readonly cacheReadTokens?: number
  readonly cacheWriteTokens?: number
  /** US dollars, only when the server says it. */
  readonly cost?: number
}

/** What a server says, bit by bit. */
export type Piece =
  | { readonly _tag: "Text"; readonly text: string }
  /** A sign of life: reasoning, a ping, a comment. */
  | { readonly _tag: "Alive" }
  /** Later values replace earlier ones. */
  | { readonly _tag: "Usage"; readonly tokens: Tokens }
  | { readonly _tag: "Finish"; readonly finish: Finish }
  /** Nothing more comes. */
  | { readonly _tag: "Done" }
  | { readonly _tag: "Error"; readonly failure: Failure }

/** What a server turned out not to do, learned from its refusals and left out from then on. */
export interface Manners {
  /** It wants the answer's length as `max_completion_tokens`. */
  completionTokens: boolean
  /** It takes `stream_options`. */
  streamOptions: boolean
  /** It takes a `temperature`. */
  temperature: boolean
}

/** One way of speaking with a model. */
export interface Dialect {
  /** Where calls go, from the address as it was configured. */
  readonly endpoint: (url: string) => string
  /** Where the list of models is. */
  readonly models: (url: string) => string
  readonly headers: (key: string | undefined) => Readonly<Record<string, string>>
  readonly body: (request: ChatRequest, manners: Manners) => Schema.Json
  /** One event of the stream. */
  readonly event: (data: string, name: string) => ReadonlyArray<Piece>
  /** A whole answer. */
  readonly whole: (text: string) => ReadonlyArray<Piece>
}

/** A field that may be missing or null. */
export const maybe = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** Whether a field is there and not null. */
export const given = <T>(value: T): value is NonNullable<T> => value !== undefined && value !== null

/** A number that may be missing, null or something else altogether. */
export const count = maybe(Schema.Unknown)

/** The number, when it is one that can be added up. */
export const counted = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined

/** A record without the keys that have no value. */
export const known = <T extends object>(record: { readonly [K in keyof T]: T[K] | undefined }): Partial<T> =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Partial<T>

/** The text as JSON; `undefined` when it is none. */
export const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** What to say of an answer that nobody can read. */
export const unreadable = (text: string): ReadonlyArray<Piece> => [
  { _tag: "Error", failure: failure("Transient", `the server sent what is no answer: ${text}`) }
]
