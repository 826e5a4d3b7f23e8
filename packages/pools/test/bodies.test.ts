// Bodies that don't come, or come slowly, and answers that break something here: what their clients hear, and that the room
// that was kept for them is another's again. Time is TestClock's. Scenarios: P5, P6, S13.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as References from "effect/References"
import * as TestClock from "effect/testing/TestClock"
import * as Capabilities from "../src/Capabilities.ts"
import * as Pool from "../src/Pool.ts"
import * as Routes from "../src/Routes.ts"
import { memory } from "./workers.ts"

/** A message that can't be written. */
const bottomless = Array.from({ length: 20_000 }).reduce<Record<string, unknown>>((inner) => ({ inner }), {})

const talker = Pool.make({
  name: "text",
  capability: Capabilities.textGeneration,
  load: () =>
    Effect.succeed({
      answer: ({ messages }: Capabilities.TextRequest) =>
        Effect.succeed<Capabilities.ChatAnswer>({
          text: "",
          finish: "stop",
          message: messages[0]?.content === "break" ? (bottomless as never) : { role: "assistant", content: "hi" }
        })
    })
})

const house = Effect.gen(function* () {
  const pool = yield* talker
  const { chat } = Routes.answers({
    models: { text: { capability: "text-generation", pool } },
    bodyLimit: 1000,
    bodiesLimit: 1500,
    bodyStallTimeout: "10 seconds"
  })
  return Effect.fnUntraced(function* (body: string | ReadableStream, length?: number) {
    const headers = length === undefined ? {} : { "content-length": `${length}` }
    const request = HttpServerRequest.fromWeb(
      new Request("http://host/v1/chat/completions", { method: "POST", headers, body, duplex: "half" })
    )
    const response = yield* chat.pipe(
      Effect.provideService(HttpServerRequest.HttpServerRequest, request),
      Effect.provideService(HttpRouter.RouteContext, { params: {}, route: undefined as never }),
      Effect.scoped
    )
    const web = HttpServerResponse.toWeb(response)
    const found = (yield* Effect.promise(() => web.json())) as {
      readonly error?: { readonly code: string; readonly message: string }
    }
    return { status: web.status, connection: web.headers.get("connection"), ...found.error }
  })
})

const ask = (content: string) => JSON.stringify({ model: "text", messages: [{ role: "user", content }] })

/** A body that is sent piece by piece, as the test says. */
const pieces = () => {
  let sender: ReadableStreamDefaultController | undefined
  const body = new ReadableStream({ start: (controller) => void (sender = controller) })
  const send = (bytes: Uint8Array) => Effect.sync(() => sender?.enqueue(bytes))
  return { body, send, end: Effect.sync(() => sender?.close()) }
}

describe("a body", () => {
  it.effect("C9, P5: of which nothing comes is given up after its time, and its room is another's", () =>
    Effect.gen(function* () {
      const post = yield* house
      const silent = pieces()
      const held = yield* Effect.forkChild(post(silent.body, 1000), { startImmediately: true })
      yield* silent.send(new TextEncoder().encode('{"model": '))
      yield* TestClock.adjust("5 seconds")
      assert.deepInclude(yield* post(ask("hello"), 600), { status: 429, code: "too_many_bytes" })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* Fiber.join(held), {
        status: 408,
        connection: "close",
        code: "body_timeout",
        message: "nothing of the body came for 10 s, and not all of it is here; nothing was done, send it again",
        param: null,
        type: "invalid_request_error"
      } as never)
      assert.strictEqual((yield* post(ask("hello"), 600)).status, 200)
    }).pipe(Effect.provide(memory()))
  )

  it.effect("C9: that comes slowly is read to its end", () =>
    Effect.gen(function* () {
      const post = yield* house
      const slow = pieces()
      const asked = yield* Effect.forkChild(post(slow.body), { startImmediately: true })
      const bytes = new TextEncoder().encode(ask("hellö"))
      // The second piece begins in the middle of a letter.
      for (const [from, to] of [
        [0, 5],
        [5, bytes.indexOf(0xc3) + 1],
        [bytes.indexOf(0xc3) + 1, bytes.length]
      ]) {
        yield* TestClock.adjust("9 seconds")
        yield* slow.send(bytes.subarray(from, to))
      }
      yield* slow.end
      assert.strictEqual((yield* Fiber.join(asked)).status, 200)
    }).pipe(Effect.provide(memory()))
  )

  it.effect("C9: that is longer than it may be without having said so is refused", () =>
    Effect.gen(function* () {
      const post = yield* house
      assert.deepInclude(yield* post(ask("x".repeat(2000))), { status: 413, code: "too_large" })
    }).pipe(Effect.provide(memory()))
  )
})

describe("an answer", () => {
  it.effect("P6: that can't be written is an error in the form that OpenAI's clients read", () =>
    Effect.gen(function* () {
      const post = yield* house
      assert.deepInclude(yield* post(ask("break")), { status: 500, code: "internal_error" })
      assert.strictEqual((yield* post(ask("hello"))).status, 200)
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None"), Effect.provide(memory()))
  )
})
