// Servers that speak as OpenAI does and lie: about how long their answer is, and with one that can be read and never written.
// What they break is their own request. Scenarios: P6.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Capabilities from "../src/Capabilities.ts"
import * as OpenAi from "../src/OpenAi.ts"
import * as Pool from "../src/Pool.ts"
import type { PoolError } from "../src/PoolError.ts"
import { event, server } from "./server.ts"
import { memory } from "./workers.ts"

const reason = <A>(effect: Effect.Effect<A, PoolError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)
const layer = Layer.mergeAll(memory(), FetchHttpClient.layer)
const one = { start: 1, max: 1 } as const
const hello = { messages: [{ role: "user", content: "hello" }] }

describe("a server that", () => {
  it.live(
    "P6: answers what nests without end has broken, whole, streamed and in a refusal, and nothing else breaks",
    () =>
      Effect.gen(function* () {
        const deep = `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`
        const sends = { whole: `{"choices":[{"message":${deep}}]}`, refusal: `{"error":${deep}}` }
        const { url } = yield* server({
          "/v1/chat/completions": ({ body }, response) => {
            if (body["stream"] === true) {
              event(response, `{"choices":[{"delta":${deep}}]}`)
              return void response.end()
            }
            const refuses = JSON.stringify(body["messages"]).includes("refuse")
            response.writeHead(refuses ? 400 : 200, { "content-type": "application/json" })
            response.end(refuses ? sends.refusal.slice(0, 60_000) : sends.whole)
          }
        })
        const text = yield* Pool.make({
          name: "chat",
          capability: Capabilities.textGeneration,
          load: OpenAi.textGeneration({ urls: [url], model: "m" }),
          workers: one
        })
        const detail = "the server sent an answer that nests deeper than 200 levels"
        assert.deepStrictEqual(yield* reason(text.submit(hello)), { _tag: "Transport", detail })
        assert.deepStrictEqual(yield* reason(Stream.runDrain(text.stream(hello))), { _tag: "Transport", detail })
        const refused = yield* reason(text.submit({ messages: [{ role: "user", content: "refuse" }] }))
        assert.strictEqual(refused._tag, "ModelError")
        assert.include(JSON.stringify(refused), "the server answered with 400: {")
      }).pipe(Effect.provide(layer))
  )

  it.live("P6: lies about the length of its answer has broken", () =>
    Effect.gen(function* () {
      const answer = JSON.stringify({ data: [{ embedding: [1] }] })
      let more = 0
      const { url } = yield* server({
        "/v1/embeddings": (_, response) => {
          response.writeHead(200, { "content-type": "application/json", "content-length": answer.length + more })
          response.write(answer)
          // Less than it says, then more.
          if (more > 0) setImmediate(() => response.destroy())
          else response.end()
        }
      })
      const words = yield* Pool.make({
        name: "words",
        capability: Capabilities.textEmbedding,
        load: OpenAi.textEmbedding({ urls: [url], model: "m" }),
        workers: one
      })
      more = 10
      assert.strictEqual((yield* reason(words.submit({ texts: ["a"] })))._tag, "Transport")
      more = -5
      assert.strictEqual((yield* reason(words.submit({ texts: ["a"] })))._tag, "Transport")
      more = 0
      assert.deepStrictEqual(yield* words.submit({ texts: ["a"] }), { vectors: [[1]] })
    }).pipe(Effect.provide(layer))
  )
})
