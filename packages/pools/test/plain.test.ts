// Requests that are taken by a look, without their schema: whatever passes the look passes the schema too, and comes out
// of it as it went in.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Capabilities from "../src/Capabilities.ts"
import { areSettings, isMessages, isTexts } from "../src/internal/serve/plain.ts"

const texts = Schema.decodeUnknownOption(Capabilities.TextEmbeddingRequest)
const chats = [
  Schema.decodeUnknownOption(Capabilities.TextRequest),
  Schema.decodeUnknownOption(Capabilities.VisionRequest)
]

const Odd = Schema.Union([Schema.String, Schema.Null, Schema.Finite, Schema.Array(Schema.String)])
const Message = Schema.Struct({
  role: Schema.optionalKey(Odd),
  content: Schema.optionalKey(Odd),
  name: Schema.optionalKey(Odd),
  tool_calls: Schema.optionalKey(Schema.Json)
})
const Settings = Schema.Record(Schema.String, Schema.Union([Odd, Schema.Boolean]))
const Messages = Schema.Union([Schema.Array(Schema.Union([Message, Odd])), Odd])

describe("a request that is taken by a look", () => {
  it.effect.prop(
    "is right by its schema: messages and settings",
    { messages: Messages, settings: Settings },
    ({ messages, settings }) =>
      Effect.sync(() => {
        if (!isMessages(messages) || !areSettings(settings)) return
        const chat = { messages, settings }
        for (const decode of chats) assert.deepStrictEqual(decode(chat), Option.some(chat))
      })
  )

  it.effect.prop("is right by its schema: texts", { items: Schema.Array(Odd) }, ({ items }) =>
    Effect.sync(() => {
      if (isTexts(items)) assert.deepStrictEqual(texts({ texts: items }), Option.some({ texts: items }))
    })
  )

  it("is what most are, and nothing that has to be looked at more closely", () => {
    const said = { role: "user", content: "hello" }
    assert.isTrue(isMessages([said, { role: "assistant", content: "", tool_calls: [] }]))
    const image = { type: "image_url", image_url: { url: "https://host/a.png" } }
    const others = [
      [],
      [{ role: "user", content: [image] }],
      [said, { role: "user", content: null }],
      [said, "hi"],
      "hi"
    ]
    for (const other of others) assert.isFalse(isMessages(other))
    assert.isTrue(areSettings({ temperature: 0.5, max_tokens: 100, stop: "end", seed: 0, logprobs: true }))
    for (const other of [{ tools: [] }, { seed: Infinity }, { top_p: null }]) assert.isFalse(areSettings(other))
    assert.isTrue(isTexts(["a", ""]))
    for (const other of [[], ["a", 1]]) assert.isFalse(isTexts(other))
  })
})
