// The answers of Ollama, llama.cpp, vLLM, OpenAI, Anthropic and some between them, byte for byte as their makers show
// them, cut anywhere: each is understood, and so is each refusal.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { standIn } from "../standIn/openai.ts"
import { causeOf, client, heard, opened, turnOf } from "./answers.ts"
import { shapes as anthropic } from "./shapes/anthropic.ts"
import { shapes as llamaCpp } from "./shapes/llamaCpp.ts"
import { shapes as ollama } from "./shapes/ollama.ts"
import { shapes as openai } from "./shapes/openai.ts"
import { shapes as others } from "./shapes/others.ts"
import type { Shape } from "./shapes/shape.ts"
import { shapes as vllm } from "./shapes/vllm.ts"

/** A body in pieces of some bytes, so that events, lines and characters are cut in their middle. */
const cut = (body: string, size: number): ReadonlyArray<Uint8Array> => {
  const bytes = new TextEncoder().encode(body)
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.slice(index * size, (index + 1) * size)
  )
}

const answered = (shape: Shape, size: number) =>
  Effect.gen(function* () {
    const { body, status, type = "text/event-stream" } = shape
    const server = yield* standIn({
      answer: () =>
        status === undefined
          ? { _tag: "Raw", type, chunks: cut(body, size) }
          : { _tag: "Refuse", status, body: JSON.parse(body) as unknown, headers: { "content-type": type } }
    })
    const agent = yield* opened({ api: shape.api, url: server.url, retries: 0 })
    return yield* heard(agent.answer(turnOf(["hello"])))
  }).pipe(Effect.scoped)

for (const shape of [...openai, ...ollama, ...llamaCpp, ...vllm, ...anthropic, ...others]) {
  describe(`the answer of ${shape.name}`, () => {
    // Refusals come as one document, whatever its packets.
    for (const size of shape.status === undefined ? [7, 100_000] : [100_000]) {
      it.live(`is understood in pieces of ${size} bytes`, () =>
        Effect.gen(function* () {
          const { error, text, usage } = yield* answered(shape, size)
          if (shape.fails === undefined) {
            assert.isUndefined(error)
            assert.strictEqual(text, shape.answer)
            assert.deepStrictEqual(
              usage,
              shape.usage === undefined ? [] : [{ _tag: "Usage", usage: shape.usage, model: "stand-in" }]
            )
            return
          }
          assert.strictEqual(error?.reason, shape.reason)
          assert.match(causeOf(error), shape.fails)
        }).pipe(Effect.provide(client))
      )
    }
  })
}

describe("shapes", () => {
  it("say where their server's maker shows them", () => {
    for (const { name, source } of [...openai, ...ollama, ...llamaCpp, ...vllm, ...anthropic, ...others]) {
      assert.match(source, /^https:\/\//, name)
    }
  })
})
