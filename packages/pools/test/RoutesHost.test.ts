// The routes in a host that has its own ideas: models that change, a limit of its own, a stop that waits for nobody, and
// what they make of the words in which callers say who they are and how urgent it is.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Capabilities from "../src/Capabilities.ts"
import * as Pool from "../src/Pool.ts"
import * as Routes from "../src/Routes.ts"
import { memory } from "./workers.ts"

const vectors: Capabilities.Vectors = { vectors: [[1]] }

const host = Effect.gen(function* () {
  const gate = Deferred.makeUnsafe<void>()
  const asked: Array<Pool.Request | undefined> = []
  const made = yield* Pool.make({
    name: "words",
    capability: Capabilities.textEmbedding,
    load: () =>
      Effect.succeed({
        concurrency: 10,
        answer: ({ texts }: Capabilities.TextEmbeddingRequest) =>
          texts[0] === "wait" ? Effect.as(Deferred.await(gate), vectors) : Effect.succeed(vectors)
      }),
    workers: { start: 1, max: 1 }
  })
  const pool: typeof made = {
    ...made,
    submit: (request, terms) => {
      asked.push(terms)
      return made.submit(request, terms)
    }
  }
  const closing = Deferred.makeUnsafe<void>()
  let models: Routes.Models = { words: { capability: "text-embedding", pool } }
  const routes = Routes.layer({ models: () => models, bodyLimit: 200, bodiesLimit: 300, closing })
  const web = HttpRouter.toWebHandler(Layer.provideMerge(routes, HttpServer.layerServices), { disableLogger: true })
  yield* Effect.addFinalizer(() => Effect.promise(() => web.dispose()))
  const send = (path: string, init?: RequestInit) =>
    Effect.promise(async () => {
      const response = await web.handler(new Request(`http://host${path}`, init))
      const body = (await response.json()) as { readonly id?: string; readonly error?: { readonly code: string } }
      return { status: response.status, code: body.error?.code, id: body.id, headers: response.headers }
    })
  const embed = (fields: object, headers: Readonly<Record<string, string>> = {}) =>
    send("/v1/embeddings", {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ model: "words", input: "a", ...fields })
    })
  const exchange = (next: Routes.Models) => Effect.sync(() => (models = next))
  return { asked, closing, embed, exchange, gate, made, models: () => models, send }
})

describe("routes of a host", () => {
  it.live("P5: who asks, and how urgently, is said by headers, else by fields; without words all are one caller", () =>
    Effect.gen(function* () {
      const { asked, embed } = yield* host
      yield* embed({})
      yield* embed({ user: "kim", safety_identifier: "other" })
      yield* embed({ safety_identifier: "lee", service_tier: "flex" })
      yield* embed({ user: "kim", service_tier: "flex" }, { "x-caller": "job-7", "x-priority": "interactive" })
      yield* embed({ user: null }, { "x-priority": "batch" })
      assert.deepStrictEqual(asked, [
        { key: "", priority: "interactive" },
        { key: "kim", priority: "interactive" },
        { key: "lee", priority: "batch" },
        { key: "job-7", priority: "interactive" },
        { key: "", priority: "batch" }
      ])
      yield* embed({}, { "x-caller": "x".repeat(1000) })
      assert.strictEqual(asked.at(-1)?.key?.length, 256)
    }).pipe(Effect.provide(memory()))
  )

  it.live("models may change: each request finds those that there are", () =>
    Effect.gen(function* () {
      const { embed, exchange, models, send } = yield* host
      assert.deepInclude(yield* send("/v1/models/words"), { status: 200, id: "words" })
      assert.strictEqual((yield* embed({})).status, 200)
      const [words] = Object.values(models())
      if (words === undefined) return assert.fail("there is none")
      yield* exchange({ "BAAI/bge-m3": words })
      for (const path of ["BAAI/bge-m3", "BAAI%2Fbge-m3"]) {
        assert.deepInclude(yield* send(`/v1/models/${path}`), { status: 200, id: "BAAI/bge-m3" })
      }
      yield* exchange({})
      assert.deepInclude(yield* send("/v1/models/BAAI/bge-m3"), { status: 404, code: "model_not_found" })
      assert.deepInclude(yield* send("/v1/models/words"), { status: 404, code: "model_not_found" })
      assert.deepInclude(yield* embed({}), { status: 404, code: "model_not_found" })
    }).pipe(Effect.provide(memory()))
  )

  it.live("a body over the limit is refused as that, and one that is no JSON as that", () =>
    Effect.gen(function* () {
      const { embed, send } = yield* host
      assert.deepInclude(yield* embed({ input: "a".repeat(300) }), { status: 413, code: "too_large" })
      const headers = { "content-type": "application/json", "content-length": "999" }
      const announced = { method: "POST", headers, body: "{}" }
      assert.deepInclude(yield* send("/v1/embeddings", announced), { status: 413, code: "too_large" })
      const garbage = { method: "POST", body: "not json" }
      assert.deepInclude(yield* send("/v1/embeddings", garbage), { status: 400, code: "invalid_request" })
    }).pipe(Effect.provide(memory()))
  )

  it.live("C9, P5: what all requests take in memory is bounded, and free again with the answer", () =>
    Effect.gen(function* () {
      const { embed, gate, made } = yield* host
      const first = yield* Effect.forkChild(embed({ input: "wait", user: "x".repeat(130) }))
      while ((yield* made.status).running === 0) yield* Effect.yieldNow
      const second = yield* embed({ input: "a", user: "x".repeat(100) })
      assert.deepInclude(second, { status: 429, code: "too_many_bytes" })
      assert.strictEqual(second.headers.get("retry-after"), "1")
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(first)).status, 200)
      assert.strictEqual((yield* embed({ input: "a", user: "x".repeat(100) })).status, 200)
    }).pipe(Effect.provide(memory()))
  )

  it.live("S6, S13: a stop does not wait for a body that does not come, and who comes later is told so", () =>
    Effect.gen(function* () {
      const { asked, closing, embed, send } = yield* host
      const began = Deferred.makeUnsafe<void>()
      const body = new ReadableStream({
        start: (controller) => {
          controller.enqueue(new TextEncoder().encode('{"model": '))
          Deferred.doneUnsafe(began, Effect.void)
        },
        pull: () => new Promise<void>(() => undefined)
      })
      const sending = yield* Effect.forkChild(send("/v1/embeddings", { method: "POST", body, duplex: "half" }))
      yield* Deferred.await(began)
      yield* Deferred.succeed(closing, undefined)
      assert.deepInclude(yield* Fiber.join(sending), {
        status: 503,
        code: "shutting_down"
      })
      const late = yield* embed({})
      assert.deepInclude(late, { status: 503, code: "shutting_down" })
      assert.strictEqual(late.headers.get("retry-after"), "5")
      assert.lengthOf(asked, 0)
    }).pipe(Effect.provide(memory()))
  )
})
