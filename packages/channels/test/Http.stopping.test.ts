/**
 * The HTTP channel around its conversations: the routes of the program that has
 * it, its documentation, and how it ends: everybody answered, nothing delayed.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { readFileSync } from "node:fs"
import { titles } from "../src/internal/http/problems.ts"
import { connect, head, serve, token } from "./serve.ts"

const problemType = (name: string) => `urn:sluice:problem:${name}`

/** For what is logged as it should be, and would only alarm whoever reads the output of the tests. */
const silently = Effect.provide(Logger.layer([]))

class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}

describe("routes of the program", () => {
  const greeting = Effect.map(Greeting, (text) => HttpServerResponse.text(text))
  const broken: Effect.Effect<HttpServerResponse.HttpServerResponse> = Effect.die(new Error("a secret of the program"))
  const routes = Layer.mergeAll(
    HttpRouter.add("GET", "/healthz", HttpServerResponse.text("alive")),
    HttpRouter.add("GET", "/v1/greeting", greeting),
    HttpRouter.add("GET", "/v1/broken", broken)
  ).pipe(HttpRouter.provideRequest(Layer.succeed(Greeting)("hello")))

  it.live("stand behind the same guard, with what they need from the program; only the open ones need no token", () =>
    Effect.gen(function* () {
      const server = yield* serve({ routes })
      const get = (path: string, given: string | null) => server.fetch(path, { token: given })
      assert.strictEqual((yield* get("/healthz", null)).text, "alive")
      assert.strictEqual((yield* get("/v1/greeting", null)).status, 401)
      assert.strictEqual((yield* get("/v1/greeting", token)).text, "hello")
      assert.strictEqual((yield* get("/v1/nothing", token)).status, 404)
    })
  )

  it.live("a defect in one is a 500 that says nothing of it, and the server goes on", () =>
    Effect.gen(function* () {
      const server = yield* serve({ routes })
      const broken = yield* server.fetch("/v1/broken")
      assert.strictEqual(broken.status, 500)
      assert.strictEqual(broken.body.type, problemType("internal"))
      assert.notInclude(broken.text, "secret")
      assert.strictEqual((yield* server.post("kim", { text: "hi" })).status, 202)
    }).pipe(silently)
  )
})

describe("the documentation", () => {
  it("has every problem and every path", () => {
    const page = readFileSync(new URL("../../../docs/http.md", import.meta.url), "utf8")
    for (const name of Object.keys(titles)) assert.include(page, `\`${name}\``)
    for (const path of ["/messages", "/posts", "/replies", "/events", "/v1/attachments"]) assert.include(page, path)
  })
})

describe("stopping", () => {
  it.live("S6: who waits is told 202 with Retry-After, and what is posted is accepted for after the restart", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const waiting = yield* Effect.forkChild(server.post("kim", { text: "a" }, { key: "a", query: "?wait=30s" }))
      const poll = yield* Effect.forkChild(server.fetch("/v1/conversations/kim/replies?wait=30s"))
      yield* server.memory.message(1)
      yield* server.memory.readers(1)
      yield* server.memory.stop
      const waited = yield* Fiber.join(waiting)
      assert.strictEqual(waited.status, 202)
      assert.strictEqual(waited.headers.get("retry-after"), "5")
      assert.deepInclude(waited.body, { seq: 1, id: "a" })
      assert.deepStrictEqual((yield* Fiber.join(poll)).body.replies, [])
      const later = yield* server.post("kim", { text: "b" }, { key: "b", query: "?wait=30s" })
      assert.strictEqual(later.status, 202)
      assert.deepStrictEqual(later.body, {
        seq: 2,
        id: "b",
        duplicate: false,
        held: true,
        note: "accepted, after restart"
      })
      const plain = yield* server.post("kim", { text: "c" }, { key: "c" })
      assert.strictEqual(plain.body.note, "accepted, after restart")
      assert.strictEqual((yield* server.memory.messages).length, 3)
    })
  )

  it.live("S13: idle keep-alives, half-sent heads and half-sent bodies don't delay the close", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const idle = yield* connect(server)
      yield* idle.write(head("GET", "/v1/conversations/kim/replies"))
      yield* idle.until("latest")
      const halfHead = yield* connect(server)
      yield* halfHead.write("POST /v1/conversations/kim/messages HTTP/1.1\r\nhost: 127.0.0.1\r\n")
      const halfBody = yield* connect(server)
      yield* halfBody.write(
        head("POST", "/v1/conversations/kim/messages", {
          "content-type": "application/json",
          "content-length": "100"
        }) + '{"text": "half'
      )
      const exit = yield* server.close
      assert.isTrue(Exit.hasInterrupts(exit))
      yield* Effect.all([idle.closed, halfHead.closed, halfBody.closed])
      assert.deepStrictEqual(yield* server.memory.messages, [])
    })
  )

  it.live("S13: a message whose commit is under way gets its answer before the close", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      server.memory.acknowledge.closeUnsafe()
      const answer = yield* Effect.forkChild(server.post("kim", { text: "hi" }, { key: "k" }))
      yield* server.memory.message(1)
      const closing = yield* Effect.forkChild(server.close)
      yield* server.memory.acknowledge.open
      assert.strictEqual((yield* Fiber.join(answer)).status, 202)
      yield* Fiber.join(closing)
    })
  )

  it.live("S13: clients that never read don't delay the close", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const wire = yield* connect(server)
      yield* wire.write(head("GET", "/v1/conversations/kim/events"))
      yield* wire.until("event: ready")
      yield* wire.stopReading
      for (let index = 0; index < 40; index++) yield* server.memory.reply("kim", { text: "x".repeat(200_000) })
      yield* server.close
      yield* server.memory.readers(0)
    })
  )

  it.live("the port is free again when the channel has closed", () =>
    Effect.gen(function* () {
      const first = yield* serve()
      yield* first.post("kim", { text: "hi" }, { key: "k" })
      yield* first.close
      const second = yield* serve({ port: first.port, memory: yield* first.memory.restarted })
      assert.strictEqual(second.port, first.port)
      assert.strictEqual((yield* second.post("kim", { text: "hi" }, { key: "k" })).body.duplicate, true)
    })
  )

  it.live("a port that is taken is an error that says what to do", () =>
    Effect.gen(function* () {
      const first = yield* serve()
      const exit = yield* Effect.exit(serve({ port: first.port }))
      assert.isTrue(Exit.isFailure(exit))
      assert.include(JSON.stringify(exit), "another program")
      assert.notInclude(JSON.stringify(exit), token)
    })
  )
})
