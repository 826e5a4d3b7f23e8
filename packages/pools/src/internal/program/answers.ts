/**
 * What programs answer for the five capabilities, as far as it adds up: one vector for each thing, all of one length. A
 * program says little where little is to be said: a text is a whole answer of a chat.
 */
import * as Schema from "effect/Schema"
import type { ChatAnswer, Vectors } from "../../Capabilities.ts"

export const Embedded = Schema.Struct({
  vectors: Schema.Array(Schema.Array(Schema.Finite)),
  tokens: Schema.optionalKey(Schema.Int)
})

const Tokens = Schema.Struct({ input: Schema.optionalKey(Schema.Int), output: Schema.optionalKey(Schema.Int) })
const Words = Schema.Record(Schema.String, Schema.Json)

export const Said = Schema.Struct({
  text: Schema.String,
  finish: Schema.optionalKey(Schema.String),
  message: Schema.optionalKey(Words),
  tokens: Schema.optionalKey(Tokens)
})

export const Piece = Schema.Struct({
  text: Schema.optionalKey(Schema.String),
  finish: Schema.optionalKey(Schema.String),
  delta: Schema.optionalKey(Words),
  tokens: Schema.optionalKey(Tokens)
})

const prompt = { prompt: Schema.optionalKey(Schema.String) }

export const Drawn = Schema.Struct({
  images: Schema.Array(
    Schema.Union([
      Schema.Struct({ base64: Schema.String, ...prompt }),
      Schema.Struct({ url: Schema.String, ...prompt })
    ])
  ).check(Schema.isMinLength(1))
})

/** An answer of a chat with all that belongs to one. */
export const whole = ({ finish = "stop", message, text, tokens }: typeof Said.Type): ChatAnswer => ({
  text,
  finish,
  message: message ?? { role: "assistant", content: text },
  ...(tokens === undefined ? {} : { tokens })
})

/** What is wrong with vectors for so many things; `undefined` when nothing is. */
export const mismatch = ({ vectors }: Vectors, count: number): string | undefined => {
  if (vectors.length !== count) return `the program sent ${vectors.length} vectors for ${count} items`
  const length = vectors[0]?.length ?? 0
  return length === 0 || vectors.some((vector) => vector.length !== length)
    ? "the program sent vectors that are empty or not all of one length"
    : undefined
}
