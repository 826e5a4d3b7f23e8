/**
 * The HTTP channel over real sockets: accepting, waiting, polling, streaming,
 * posting and stopping. Waits are for receipts (a commit, an open reader, an
 * event), never for time.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Message from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import { createServer } from "node:http"
import * as Http from "../src/Http.ts"
import { connect, head, serve, temporaryAttachments, texts } from "./serve.ts"

const problemType = (name: string) => `urn:sluice:problem:${name}`

/** For what is logged as it should be, and would only alarm whoever reads the output of the tests. */
const silently = Effect.provide(Logger.layer([]))

describe("accepting", () => {
  it.live("W1: answers 202 with seq, id and duplicate once the message is committed, not before", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      server.memory.commit.closeUnsafe()
      const answer = yield* Effect.forkChild(server.post("kim", { text: "hello", sender: "u17" }, { key: "a" }))
      assert.deepStrictEqual(yield* server.memory.messages, [])
      assert.strictEqual(answer.pollUnsafe(), undefined)
      yield* server.memory.commit.open
      const { status, body } = yield* Fiber.join(answer)
      assert.strictEqual(status, 202)
      assert.deepStrictEqual(body, { seq: 1, id: "a", duplicate: false })
      const [stored] = yield* server.memory.messages
      assert.deepInclude(stored, { conversation: "kim", sender: "u17", text: "hello" })
    })
  )

  it.live("D10: the same key with another body is a conflict that names the first message", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      yield* server.post("kim", { text: "one" }, { key: "k" })
      const repeat = yield* server.post("kim", { text: "one" }, { key: "k" })
      assert.deepStrictEqual(repeat.body, { seq: 1, id: "k", duplicate: true })
      const { status, body } = yield* server.post("kim", { text: "two" }, { key: "k" })
      assert.strictEqual(status, 409)
      assert.deepInclude(body, { type: problemType("conflict"), id: "k", seq: 1 })
      assert.match(body.detail ?? "", /^key "k" was used before .* or use a new key$/)
      assert.strictEqual((yield* server.memory.messages).length, 1)
    })
  )

  it.live("D23: one key in two conversations is two messages", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const first = yield* server.post("kim", { text: "hi" }, { key: "1" })
      const second = yield* server.post("lee", { text: "hi" }, { key: "1" })
      assert.deepStrictEqual([first.body.duplicate, second.body.duplicate], [false, false])
      assert.strictEqual((yield* server.memory.messages).length, 2)
    })
  )

  it.live("D23: two retries in flight together are one message with the same answer", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      server.memory.commit.closeUnsafe()
      const both = yield* Effect.forkChild(
        Effect.all(
          [server.post("kim", { text: "hi" }, { key: "1" }), server.post("kim", { text: "hi" }, { key: "1" })],
          {
            concurrency: 2
          }
        )
      )
      yield* server.memory.commit.open
      const answers = yield* Fiber.join(both)
      assert.deepStrictEqual(
        answers.map(({ status }) => status),
        [202, 202]
      )
      assert.deepStrictEqual(
        answers.map(({ body }) => body.seq),
        [1, 1]
      )
      assert.sameMembers(
        answers.map(({ body }) => body.duplicate),
        [false, true]
      )
      assert.strictEqual((yield* server.memory.messages).length, 1)
    })
  )

  it.live("without a key each post is a message of its own, with an id that it can be known by", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const first = yield* server.post("kim", { text: "hi" })
      const second = yield* server.post("kim", { text: "hi" })
      assert.notStrictEqual(first.body.id, second.body.id)
      assert.strictEqual((yield* server.memory.messages).length, 2)
    })
  )

  it.live("D22: a client that leaves between commit and answer leaves its message accepted", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      server.memory.acknowledge.closeUnsafe()
      const wire = yield* connect(server)
      const body = JSON.stringify({ text: "hello" })
      yield* wire.write(
        head("POST", "/v1/conversations/kim/messages", {
          "content-type": "application/json",
          "content-length": String(body.length),
          "idempotency-key": "gone"
        }) + body
      )
      yield* server.memory.message(1)
      yield* wire.destroy
      yield* server.memory.acknowledge.open
      // the retry of that client attaches to what it left behind
      const retry = yield* server.post("kim", { text: "hello" }, { key: "gone" })
      assert.deepStrictEqual(retry.body, { seq: 1, id: "gone", duplicate: true })
    })
  )

  const refusals: ReadonlyArray<readonly [Message.AcceptError, number, string, string | null]> = [
    [new Message.Invalid({ field: "text", value: '"x"', remedy: "say it otherwise" }), 400, "invalid", null],
    [new Message.TooLarge({ field: "text", size: 9, limit: 8, unit: "characters" }), 413, "too-large", null],
    [new Message.RateLimited({ retryAfter: 2500, scope: "queue" }), 429, "rate-limited", "3"],
    [new Message.Full({ retryAfter: 1000 }), 503, "busy", "1"],
    [new Message.Busy({ retryAfter: 1000 }), 503, "busy", "1"],
    [new Message.ShuttingDown({ retryAfter: 4000 }), 503, "stopping", "4"],
    [new Message.Storage({ retryAfter: 1000, cause: new Error("disk is full") }), 503, "storage", "1"]
  ]
  for (const [error, status, type, retryAfter] of refusals) {
    it.live(`a refusal with ${error._tag} is ${status} ${type}, and the same key is accepted afterwards`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        yield* server.memory.refuseNext(error)
        const refused = yield* server.post("kim", { text: "hi" }, { key: "k" })
        assert.strictEqual(refused.status, status)
        assert.strictEqual(refused.headers.get("content-type"), "application/problem+json")
        assert.strictEqual(refused.body.type, problemType(type))
        assert.strictEqual(refused.headers.get("retry-after"), retryAfter)
        assert.notInclude(JSON.stringify(refused.body), "disk is full")
        const again = yield* server.post("kim", { text: "hi" }, { key: "k" })
        assert.deepStrictEqual(again.body, { seq: 1, id: "k", duplicate: false })
      })
    )
  }
})

describe("waiting", () => {
  it.live("W1: ?wait answers 200 with the replies when the message has its end", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const answer = yield* Effect.forkChild(server.post("kim", { text: "hi" }, { key: "k", query: "?wait=30s" }))
      yield* server.memory.message(1)
      yield* server.memory.answer(1, "hello Kim")
      const { status, body } = yield* Fiber.join(answer)
      assert.strictEqual(status, 200)
      assert.deepInclude(body, { seq: 1, id: "k", duplicate: false, ended: "replied" })
      assert.deepInclude(body.replies?.[0], { number: 1, turn: "turn-1", inReplyTo: ["k"], text: "hello Kim" })
    })
  )

  it.live("any end is a 200: a cancelled message says so and why", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const answer = yield* Effect.forkChild(server.post("kim", { text: "hi" }, { key: "k", query: "?wait=30s" }))
      yield* server.memory.message(1)
      yield* server.memory.end(1, { ending: "cancelled", why: "stop" })
      const { status, body } = yield* Fiber.join(answer)
      assert.strictEqual(status, 200)
      assert.deepInclude(body, { ended: "cancelled", why: "stop", replies: [] })
    })
  )

  it.live("the wait that is over before the end is a 202, and a retry attaches to the first", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const early = yield* server.post("kim", { text: "hi" }, { key: "k", query: "?wait=1ms" })
      assert.strictEqual(early.status, 202)
      assert.deepStrictEqual(early.body, { seq: 1, id: "k", duplicate: false })
      yield* server.memory.answer(1, "done")
      const retry = yield* server.post("kim", { text: "hi" }, { key: "k", query: "?wait=30s" })
      assert.strictEqual(retry.status, 200)
      assert.deepInclude(retry.body, { seq: 1, duplicate: true, ended: "replied" })
      assert.strictEqual((yield* server.memory.messages).length, 1)
    })
  )

  it.live("S6: an error while waiting for an accepted message is a 202, never a 5xx", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const broken = {
        ...server.memory,
        handle: {
          ...server.memory.handle,
          ended: () => Effect.fail(new Message.Storage({ retryAfter: 1, cause: new Error("gone") }))
        }
      }
      const second = yield* serve({ memory: broken })
      const { status, body } = yield* second.post("kim", { text: "hi" }, { key: "k", query: "?wait=30s" })
      assert.strictEqual(status, 202)
      assert.deepStrictEqual(body, { seq: 1, id: "k", duplicate: false })
    }).pipe(silently)
  )

  it.live("beyond the places to wait a message is accepted without the wait, and a poll is told to come later", () =>
    Effect.gen(function* () {
      const server = yield* serve({ maxReaders: 1 })
      const first = yield* Effect.forkChild(server.fetch("/v1/conversations/kim/replies?wait=30s"))
      yield* server.memory.readers(1)
      const accepted = yield* server.post("kim", { text: "hi" }, { query: "?wait=30s" })
      assert.strictEqual(accepted.status, 202)
      const poll = yield* server.fetch("/v1/conversations/kim/replies?wait=30s")
      assert.strictEqual(poll.status, 429)
      assert.strictEqual(poll.body.type, problemType("too-many-readers"))
      assert.strictEqual(poll.headers.get("retry-after"), "1")
      yield* server.memory.reply("kim", { text: "one" })
      assert.strictEqual((yield* Fiber.join(first)).body.replies?.length, 1)
    })
  )
})

describe("replies", () => {
  it.live("W1: a page has the replies above `after`, in order, and the number to go on with", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (const text of ["one", "two", "three"]) yield* server.memory.reply("kim", { text })
      const all = yield* server.fetch("/v1/conversations/kim/replies")
      assert.deepStrictEqual(texts(all), ["one", "two", "three"])
      assert.strictEqual(all.body.next, 3)
      const rest = yield* server.fetch("/v1/conversations/kim/replies?after=1&limit=1")
      assert.deepStrictEqual(texts(rest), ["two"])
      assert.deepInclude(rest.body, { next: 2, latest: 3 })
      const none = yield* server.fetch("/v1/conversations/kim/replies?after=3")
      assert.deepStrictEqual(none.body, { replies: [], next: 3, latest: 3 })
    })
  )

  it.live("W1: a long poll is answered by the reply that comes", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const poll = yield* Effect.forkChild(server.fetch("/v1/conversations/kim/replies?after=0&wait=30s"))
      yield* server.memory.readers(1)
      yield* server.memory.reply("kim", { text: "late" })
      const { status, body } = yield* Fiber.join(poll)
      assert.strictEqual(status, 200)
      assert.strictEqual(body.replies?.[0]?.text, "late")
      yield* server.memory.readers(0)
    })
  )

  it.live("W1: the client leaves its long poll: nothing stays open, and the reply is there when it comes back", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const poll = yield* Effect.forkChild(server.fetch("/v1/conversations/kim/replies?wait=30s"))
      yield* server.memory.readers(1)
      yield* Fiber.interrupt(poll)
      yield* server.memory.readers(0)
      yield* server.memory.reply("kim", { text: "kept" })
      const back = yield* server.fetch("/v1/conversations/kim/replies?after=0")
      assert.deepStrictEqual(texts(back), ["kept"])
    })
  )

  it.live("a page is bounded by its size too, and the next one goes on where it ended", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const text = "x".repeat(700_000)
      for (let index = 0; index < 3; index++) yield* server.memory.reply("kim", { text })
      const first = yield* server.fetch("/v1/conversations/kim/replies")
      assert.strictEqual(first.body.replies?.length, 1)
      assert.strictEqual(first.body.next, 1)
      const second = yield* server.fetch("/v1/conversations/kim/replies?after=1")
      assert.strictEqual(second.body.next, 2)
    })
  )
})

describe("posts", () => {
  it.live("a post is an outbound message without a turn, idempotent in an id space of its own", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const send = (text: string) =>
        server.fetch("/v1/conversations/kim/posts", {
          method: "POST",
          body: JSON.stringify({ text }),
          headers: { "content-type": "application/json", "idempotency-key": "k" }
        })
      yield* server.post("kim", { text: "hi" }, { key: "k" })
      const first = yield* send("disk is nearly full")
      assert.strictEqual(first.status, 202)
      assert.deepInclude(first.body, { id: "k", duplicate: false })
      assert.strictEqual((yield* send("disk is nearly full")).body.duplicate, true)
      assert.strictEqual((yield* send("something else")).status, 409)
      const { body } = yield* server.fetch("/v1/conversations/kim/replies")
      assert.strictEqual(body.replies?.length, 1)
      assert.deepInclude(body.replies?.[0], { text: "disk is nearly full", kind: "post" })
    })
  )
})

describe("listening", () => {
  it.live("a port in use is named with its address and what to do", () =>
    Effect.gen(function* () {
      const first = yield* serve()
      const second = Http.make({
        tokens: [],
        server: Http.listener({
          create: createServer,
          layer: NodeHttpServer.layerServer,
          host: "127.0.0.1",
          port: first.port
        })
      })
      const error = yield* Effect.flip(
        second.receive(first.memory.handle).pipe(Effect.scoped, Effect.provide(temporaryAttachments))
      )
      assert.match(
        error.message,
        new RegExp(`can't listen on 127\\.0\\.0\\.1:${first.port}: another program uses it; .*SLUICE_PORT`)
      )
    })
  )
})
