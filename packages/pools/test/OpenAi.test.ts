// Workers at servers that speak as OpenAI does, against servers that really answer over the loopback interface: the five
// capabilities, and everything that such a server does wrong: it hangs, dies in the middle, sends garbage, lies about size.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { readdirSync, readFileSync } from "node:fs"
import * as Capabilities from "../src/Capabilities.ts"
import * as OpenAi from "../src/OpenAi.ts"
import * as Pool from "../src/Pool.ts"
import type { PoolError } from "../src/PoolError.ts"
import { event, sendJson, server } from "./server.ts"
import { at, memory } from "./workers.ts"

const reason = <A>(effect: Effect.Effect<A, PoolError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)
const layer = Layer.mergeAll(memory(), FetchHttpClient.layer)
const dot = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
const one = { start: 1, max: 1 } as const

const options = (url: string): OpenAi.Options => ({
  urls: [url],
  model: "m",
  key: Redacted.make("secret-key")
})

const embeddings = (url: string, more: Partial<OpenAi.Options> = {}) =>
  Pool.make({
    name: "words",
    capability: Capabilities.textEmbedding,
    load: OpenAi.textEmbedding({ ...options(url), ...more }),
    workers: one
  })

const chat = (url: string, stallTimeout = 5000) =>
  Pool.make({
    name: "chat",
    capability: Capabilities.textGeneration,
    load: OpenAi.textGeneration(options(url)),
    workers: one,
    stallTimeout
  })

const hello = { messages: [{ role: "user", content: "hello" }], settings: { temperature: 0 } }
const piece = (content: string, finish_reason: string | null = null) => ({
  choices: [{ index: 0, delta: { content }, finish_reason }]
})

describe("capabilities", () => {
  it.live("P1: five of them are served by one generic pool", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* server({
        "/v1/embeddings": ({ body }, response) => {
          const { input } = body
          const count = Array.isArray(input) ? input.length : 1
          const data = Array.from({ length: count }, (_, index) => ({ index, embedding: [index, 0.5] })).reverse()
          sendJson(response, { data, usage: { prompt_tokens: 7 } })
        },
        "/v1/chat/completions": ({ body }, response) =>
          sendJson(response, {
            choices: [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "length" }],
            usage: { prompt_tokens: 1, completion_tokens: 2 },
            asked: body
          }),
        "/v1/images/generations": (_, response) =>
          sendJson(response, { data: [{ b64_json: "AAAA" }, { url: "http://x/y" }] })
      })
      const words = yield* embeddings(url)
      assert.deepStrictEqual(yield* words.submit({ texts: ["a", "b"] }), {
        vectors: [
          [0, 0.5],
          [1, 0.5]
        ],
        tokens: 7
      })
      const text = yield* chat(url)
      assert.deepStrictEqual(yield* text.submit(hello), {
        text: "hi",
        finish: "length",
        message: { role: "assistant", content: "hi" },
        tokens: { input: 1, output: 2 }
      })
      const eyes = yield* Pool.make({
        name: "eyes",
        capability: Capabilities.vision,
        load: OpenAi.vision(options(url)),
        workers: one
      })
      const content = [{ type: "image_url", image_url: { url: dot } }]
      assert.strictEqual((yield* eyes.submit({ messages: [{ role: "user", content }] })).text, "hi")
      const brush = yield* Pool.make({
        name: "brush",
        capability: Capabilities.imageGeneration,
        load: OpenAi.imageGeneration(options(url)),
        workers: one
      })
      assert.deepStrictEqual(yield* brush.submit({ prompt: "a dot", count: 2 }), {
        images: [{ base64: "AAAA" }, { url: "http://x/y" }]
      })
      for (const shape of ["objects", "modality", "messages"] as const) {
        const pictures = yield* Pool.make({
          name: "pictures",
          capability: Capabilities.imageEmbedding,
          load: OpenAi.imageEmbedding({ ...options(url), shape }),
          workers: one
        })
        assert.strictEqual((yield* pictures.submit({ images: [dot, dot] })).vectors.length, 2)
      }
      const bodies = asked.filter(({ path }) => path !== "/v1/models").map(({ body }) => body)
      assert.deepStrictEqual(at(bodies, 1), { ...hello.settings, model: "m", messages: hello.messages, stream: false })
      assert.deepStrictEqual(at(bodies, 3), { model: "m", prompt: "a dot", n: 2 })
      assert.deepStrictEqual(at(bodies, 4)["input"], [{ image: dot }, { image: dot }])
      assert.deepStrictEqual(at(bodies, 5)["modality"], "image")
      assert.deepStrictEqual(at(bodies, 6)["messages"], [{ role: "user", content }])
      assert.isTrue(asked.every(({ authorization }) => authorization === "Bearer secret-key"))
    }).pipe(Effect.provide(layer))
  )

  it("P1: the pool's own code names no model and no maker of one", () => {
    const folder = `${import.meta.dirname}/../src`
    const sources = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
      /^(Pool|PoolError|Capability|Governor|internal\/[A-Z]\w+)\.ts$/.test(path)
    )
    assert.isAtLeast(sources.length, 10)
    const named = /gpt|llama|mistral|qwen|gemma|claude|clip|siglip|bge|jina|stable.?diffusion|flux|openai|ollama|onnx/i
    assert.deepStrictEqual(
      sources.filter((path) => named.test(readFileSync(`${folder}/${path}`, "utf8"))),
      []
    )
  })

  it.effect("P10: what is no image is no request", () =>
    Effect.gen(function* () {
      const decode = (url: string) =>
        Schema.decodeUnknownEffect(Capabilities.VisionRequest)({
          messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }]
        })
      assert.strictEqual((yield* decode(dot)).messages.length, 1)
      const page = `data:image/png;base64,${btoa("<html>not found</html>")}`
      assert.include(String(yield* Effect.flip(decode(page))), "what is given as image/png is no image")
      assert.include(String(yield* Effect.flip(decode("file:///etc/passwd"))), "is no address of an image")
      const text = Schema.decodeUnknownEffect(Capabilities.TextRequest)({
        messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: dot } }] }]
      })
      assert.include(String(yield* Effect.flip(text)), "this model reads text only")
      const none = Schema.decodeUnknownEffect(Capabilities.TextEmbeddingRequest)({ texts: [] })
      assert.isDefined(yield* Effect.flip(none))
    })
  )
})

describe("a stream", () => {
  it.live("brings the answer as it is written, with its end and what it cost", () =>
    Effect.gen(function* () {
      const { url } = yield* server({
        "/v1/chat/completions": (_, response) => {
          event(response, { choices: [{ index: 0, delta: { role: "assistant", content: "" } }] })
          event(response, piece("he"))
          event(response, piece("llo", "stop"))
          const details = { completion_tokens_details: { reasoning_tokens: 1 } }
          event(response, {
            choices: [],
            usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5, ...details }
          })
          event(response, "[DONE]")
          response.end()
        }
      })
      const parts = yield* Stream.runCollect((yield* chat(url)).stream(hello))
      assert.strictEqual(parts.map(({ text }) => text ?? "").join(""), "hello")
      assert.deepStrictEqual(
        parts.map(({ finish }) => finish).filter((finish) => finish !== undefined),
        ["stop"]
      )
      const details = { completion_tokens_details: { reasoning_tokens: 1 } }
      assert.deepStrictEqual(at(parts, -1).tokens, { input: 3, output: 2, details })
    }).pipe(Effect.provide(layer))
  )

  it.live("whose reader leaves ends the connection, and the server hears of it", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* server({ "/v1/chat/completions": (_, response) => event(response, piece("he")) })
      const first = yield* Stream.runHead((yield* chat(url)).stream(hello))
      assert.strictEqual(first._tag, "Some")
      while (!at(asked, -1).closed) yield* Effect.sleep("2 millis")
    }).pipe(Effect.provide(layer))
  )
})

describe("a server that", () => {
  it.live("P8: is not there fails the load at once, and says where nobody answered", () =>
    Effect.gen(function* () {
      const dead = yield* Effect.scoped(Effect.map(server({}), ({ url }) => url))
      const failed = yield* reason((yield* embeddings(dead)).submit({ texts: ["a"] }))
      assert.strictEqual(failed._tag, "LoadFailed")
      assert.include(JSON.stringify(failed), `no answer from ${new URL(dead).host}`)
    }).pipe(Effect.provide(layer))
  )

  it.live("does not take the key fails the load, and the key is in no error", () =>
    Effect.gen(function* () {
      const { url } = yield* server({
        "/v1/models": (_, response) => sendJson(response, { error: { message: "bad key secret-key" } }, 401)
      })
      const failed = yield* reason((yield* embeddings(url)).submit({ texts: ["a"] }))
      assert.deepStrictEqual(failed, {
        _tag: "LoadFailed",
        detail: "the server answered with 401: it does not accept the key"
      })
    }).pipe(Effect.provide(layer))
  )

  it.live.each([
    { quotes: "in what is no answer", send: "bad secret-key" },
    { quotes: "where the words are cut", send: { error: { message: `${"x".repeat(295)}secret-key` } } },
    { quotes: "in a stream's error", send: { error: { message: "bad secret-key" } }, stream: true },
    { quotes: "in an event that is none", send: "bad secret-key", stream: true }
  ])("quotes the key $quotes is told without it", ({ send, stream = false }) =>
    Effect.gen(function* () {
      const { url } = yield* server({
        "/v1/chat/completions": (_, response) => {
          if (stream) event(response, send)
          response.end(stream ? "" : typeof send === "string" ? send : JSON.stringify(send))
        }
      })
      const text = yield* chat(url)
      const failed = yield* reason(stream ? Stream.runDrain(text.stream(hello)) : text.submit(hello))
      assert.strictEqual(failed._tag, "Transport")
      assert.notInclude(JSON.stringify(failed), "secr")
    }).pipe(Effect.provide(layer))
  )

  it.live("still loads its model is waited for", () =>
    Effect.gen(function* () {
      let looks = 0
      const { url } = yield* server({
        "/v1/models": (_, response) => sendJson(response, {}, ++looks < 2 ? 503 : 200),
        "/v1/embeddings": (_, response) => sendJson(response, { data: [{ embedding: [1] }] })
      })
      const words = yield* embeddings(url)
      assert.deepStrictEqual(yield* words.submit({ texts: ["a"] }), { vectors: [[1]] })
      assert.strictEqual(looks, 2)
    }).pipe(Effect.provide(layer))
  )

  it.live("P6: hangs in a stream is left after the stall timeout", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* server({ "/v1/chat/completions": (_, response) => event(response, piece("he")) })
      const failed = yield* reason(Stream.runDrain((yield* chat(url, 60)).stream(hello)))
      assert.deepStrictEqual(failed, { _tag: "Stalled", after: 60 })
      while (!at(asked, -1).closed) yield* Effect.sleep("2 millis")
    }).pipe(Effect.provide(layer))
  )

  it.live("P6: dies in the middle of a stream, or ends it without an end, has not answered", () =>
    Effect.gen(function* () {
      let calls = 0
      const { url } = yield* server({
        "/v1/chat/completions": (_, response) => {
          event(response, piece("he"))
          if (++calls === 1) response.end()
          else setImmediate(() => response.destroy())
        }
      })
      const text = yield* chat(url)
      const ended = yield* reason(Stream.runDrain(text.stream(hello)))
      assert.deepStrictEqual(ended, {
        _tag: "Transport",
        detail: "the server ended the connection before the answer was whole"
      })
      assert.strictEqual((yield* reason(Stream.runDrain(text.stream(hello))))._tag, "Transport")
    }).pipe(Effect.provide(layer))
  )

  it.live.each([
    { sends: "no JSON", body: "<html>", detail: "the server sent what is no answer: <html>" },
    {
      sends: "fewer vectors than texts",
      body: { data: [{ embedding: [1] }] },
      detail: "the server sent 1 vectors for 2 items"
    },
    {
      sends: "vectors of two lengths",
      body: { data: [{ embedding: [1] }, { embedding: [1, 2] }] },
      detail: "the server sent vectors that are empty or not all of one length"
    },
    { sends: "what is longer than allowed", body: "x".repeat(2000), detail: "the answer is larger than 1000 bytes" },
    {
      sends: "an error with status 200",
      body: { error: "out of memory" },
      detail: "the server answered with an error: out of memory"
    }
  ])("P6: $sends has broken, and is asked a second time before that is said", ({ body, detail }) =>
    Effect.gen(function* () {
      const { asked, url } = yield* server({
        "/v1/embeddings": (_, response) => {
          response.writeHead(200, { "content-type": "application/json" })
          response.end(typeof body === "string" ? body : JSON.stringify(body))
        }
      })
      const words = yield* embeddings(url, { maxAnswer: 1000 })
      assert.deepStrictEqual(yield* reason(words.submit({ texts: ["a", "b"] })), { _tag: "Transport", detail })
      assert.strictEqual(asked.filter(({ path }) => path === "/v1/embeddings").length, 2)
    }).pipe(Effect.provide(layer))
  )

  it.live("P7, P10: refuses a request is not asked again, one that is full says when it is not", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* server({
        "/v1/embeddings": ({ body }, response) =>
          JSON.stringify(body["input"]).includes("full")
            ? sendJson(response, { error: { message: "slow down" } }, 429, { "retry-after": "7" })
            : sendJson(response, { error: { message: "too long" } }, 400)
      })
      const words = yield* embeddings(url, { maxBatch: 2 })
      assert.deepStrictEqual(yield* reason(words.submit({ texts: ["a"] })), {
        _tag: "ModelError",
        detail: "the server answered with 400: too long",
        status: 400
      })
      assert.deepStrictEqual(yield* reason(words.submit({ texts: ["full"] })), {
        _tag: "Overloaded",
        position: 0,
        retryAfter: 7000
      })
      assert.deepStrictEqual(yield* reason(words.submit({ texts: ["a", "b", "c"] })), {
        _tag: "ModelError",
        detail: "3 items are too many for one request; send at most 2",
        status: 400
      })
      assert.strictEqual(asked.filter(({ path }) => path === "/v1/embeddings").length, 2)
    }).pipe(Effect.provide(layer))
  )

  it.live("P6: is one of two: what the first one broke is answered by the second", () =>
    Effect.gen(function* () {
      const broken = yield* server({ "/v1/embeddings": (_, response) => sendJson(response, {}, 500) })
      const whole = yield* server({
        "/v1/embeddings": (_, response) => sendJson(response, { data: [{ embedding: [1] }] })
      })
      const words = yield* Pool.make({
        name: "words",
        capability: Capabilities.textEmbedding,
        load: OpenAi.textEmbedding({ ...options(broken.url), urls: [broken.url, whole.url] }),
        workers: { start: 2, max: 2 }
      })
      const asked = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 8 }), () => words.submit({ texts: ["a"] }), { concurrency: 8 })
      )
      assert.isTrue((yield* Fiber.join(asked)).every(({ vectors }) => vectors.length === 1))
    }).pipe(Effect.provide(layer))
  )
})
