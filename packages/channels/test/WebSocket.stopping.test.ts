/**
 * How WebSockets end at a stop: with what is owed, the numbers to come back with,
 * and 1012; and what a client that was cut at any moment finds after the restart.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Redacted from "effect/Redacted"
import { connect, head, serve, token } from "./serve.ts"
import { dial } from "./sockets.ts"

const message = (id: string) => ({ type: "message", conversation: "kim", id, text: id })
const resume = (after: number, conversation = "kim") => ({ type: "resume", conversation, after })
const key = { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13" }
const upgrade = { connection: "Upgrade", upgrade: "websocket", ...key }

describe("stopping", () => {
  it.live(
    "S6 S13 W2: each socket gets the drain's last replies, its numbers and 1012, and resumes after the restart",
    () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const client = yield* dial(server)
        yield* client.send(resume(0))
        yield* client.send(resume(0, "lee"))
        yield* client.send(message("a"))
        yield* client.next("accepted")
        yield* server.memory.stop
        yield* client.next("stopping")
        // committed in the very moment in which the listener goes
        yield* server.memory.answer(1, "just in time")
        const closing = yield* Effect.forkChild(server.close, { startImmediately: true })
        assert.deepInclude(yield* client.next("reply"), { number: 1, text: "just in time" })
        assert.deepStrictEqual(yield* client.next("resume"), { type: "resume", conversation: "kim", after: 1 })
        const last = yield* client.next("resume")
        assert.deepStrictEqual(last, { type: "resume", conversation: "lee", after: 0 })
        assert.deepInclude(yield* client.ended, { code: 1012 })
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.join(closing)))

        const memory = yield* server.memory.restarted
        yield* memory.reply("kim", { text: "after the restart" })
        const again = yield* serve({ memory, port: server.port })
        const back = yield* dial(again)
        yield* back.send(resume(1))
        yield* back.send(last)
        assert.deepInclude(yield* back.next("reply"), { number: 2, text: "after the restart" })
      })
  )

  it.live("S13: silent, half-open, half-shaken and unread sockets don't delay the close", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const silent = yield* dial(server)
      const unread = yield* dial(server)
      yield* unread.send(resume(0))
      yield* unread.next("resumed")
      yield* unread.stopReading
      for (let n = 0; n < 60; n++) yield* server.memory.reply("kim", { text: "x".repeat(250_000) })
      // never closes from its side
      const deaf = yield* connect(server)
      yield* deaf.write(head("GET", "/v1/ws", upgrade))
      yield* deaf.until("101")
      const half = yield* connect(server)
      yield* half.write("GET /v1/ws HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\n")
      const began = process.hrtime.bigint()
      yield* server.close
      // the deadlines of the close, and something for a slow machine; without them it would be Node's 30 s
      assert.isBelow(Number(process.hrtime.bigint() - began) / 1e6, 20_000)
      assert.deepInclude(yield* silent.ended, { code: 1012 })
      yield* Effect.all([deaf.closed, half.closed])
      yield* server.memory.readers(0)
    })
  )

  it.live("S13: a message whose commit is under way is accepted before the close; what comes after is not stored", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      yield* server.memory.acknowledge.close
      yield* client.send(message("a"))
      yield* server.memory.message(1)
      const closing = yield* Effect.forkChild(server.close, { startImmediately: true })
      yield* client.send(message("b"))
      yield* server.memory.acknowledge.open
      assert.deepInclude(yield* client.any, { type: "accepted", id: "a" })
      assert.deepInclude(yield* client.ended, { code: 1012 })
      yield* Fiber.join(closing)
      assert.deepStrictEqual(
        (yield* server.memory.messages).map(({ id }) => id),
        ["a"]
      )
    })
  )

  it.live(
    "S13: one that still shakes hands when the listener closes is ended with 1012 as well, and delays nothing",
    () =>
      Effect.gen(function* () {
        const asked = yield* Latch.make(false)
        const told = yield* Latch.make(false)
        // the guard waits for the tokens: the socket is neither refused nor open yet
        const tokens = Effect.as(Effect.andThen(asked.open, told.await), [Redacted.make(token)])
        const server = yield* serve({ tokens })
        const wire = yield* connect(server)
        yield* wire.write(head("GET", "/v1/ws", upgrade))
        yield* asked.await
        const closing = yield* Effect.forkChild(server.close, { startImmediately: true })
        yield* told.open
        const answer = yield* wire.closed
        // 0x3f4 is 1012
        assert.include(answer, "\u0088")
        assert.include(answer, "\u0003\u00f4")
        yield* Fiber.join(closing)
      })
  )
})
