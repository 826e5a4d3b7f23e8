/**
 * Replies over WebSockets on real connections: what a client sees, also after it
 * was gone, several conversations at a time, with its numbers as all that it
 * needs; and the places that sockets and readers have.
 */
import { assert, describe, it } from "@effect/vitest"
import { Storage } from "@sluice/runtime/Message"
import { MemoryHandle } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { serve } from "./serve.ts"
import { type Client, dial, message, nothingElse, resume } from "./sockets.ts"

const ack = (conversation: string, number: number) => ({ type: "ack", conversation, number })

/** The next replies, as `conversation number text`. */
const replies = (client: Client, count: number) =>
  Effect.map(Effect.all(Array.from({ length: count }, () => client.next("reply"))), (frames) =>
    frames.map(({ conversation, number, text }) => `${conversation} ${number} ${text}`)
  )

const aboutNumber = (value: string) => ({
  field: "number",
  value,
  remedy: "was not sent yet; acknowledge what has come"
})

describe("replies", () => {
  it.live("W2: a client that resumes from its last number sees what it missed, once and in order", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const first = yield* dial(server)
      yield* first.send(resume("kim"))
      assert.deepStrictEqual(yield* first.any, { type: "resumed", conversation: "kim", after: 0, latest: 0 })
      yield* server.memory.reply("kim", { text: "one" })
      assert.deepStrictEqual(yield* replies(first, 1), ["kim 1 one"])
      yield* first.terminate
      yield* server.memory.readers(0)
      for (const text of ["two", "three"]) yield* server.memory.reply("kim", { text })
      const second = yield* dial(server)
      yield* second.send(resume("kim", 1))
      assert.deepInclude(yield* second.any, { type: "resumed", after: 1, latest: 3 })
      assert.deepStrictEqual(yield* replies(second, 2), ["kim 2 two", "kim 3 three"])
      yield* server.memory.reply("kim", { text: "four" })
      assert.deepStrictEqual(yield* replies(second, 1), ["kim 4 four"])
      yield* nothingElse(second)
    })
  )

  it.live("W2: several conversations on one socket, each with its own numbers, none in the way of another", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (const text of ["one", "two"]) yield* server.memory.reply("lee", { text })
      const client = yield* dial(server)
      yield* client.send(resume("kim"))
      yield* client.send(resume("lee", 1))
      yield* client.send(resume("ann", "latest"))
      assert.deepStrictEqual(yield* replies(client, 1), ["lee 2 two"])
      yield* client.next("resumed")
      yield* server.memory.reply("ann", { text: "hi" })
      assert.deepStrictEqual(yield* replies(client, 1), ["ann 1 hi"])
      yield* client.send({ type: "leave", conversation: "ann" })
      yield* client.send({ type: "leave", conversation: "nobody" })
      yield* nothingElse(client)
      yield* server.memory.readers(2)
      yield* server.memory.reply("ann", { text: "not shown" })
      yield* server.memory.reply("kim", { text: "shown" })
      assert.deepStrictEqual(yield* replies(client, 1), ["kim 1 shown"])
    })
  )

  it.live("a conversation that is resumed again starts over from there, with one reader", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (const text of ["one", "two"]) yield* server.memory.reply("kim", { text })
      const client = yield* dial(server)
      yield* client.send(resume("kim"))
      assert.deepStrictEqual(yield* replies(client, 2), ["kim 1 one", "kim 2 two"])
      yield* client.send(resume("kim", 1))
      assert.deepInclude(yield* client.any, { type: "resumed", after: 1 })
      assert.deepStrictEqual(yield* replies(client, 1), ["kim 2 two"])
      yield* server.memory.readers(1)
    })
  )

  it.live("with a window no more come than were acknowledged and so many, without it nothing waits for an ack", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (let n = 1; n <= 6; n++) yield* server.memory.reply("kim", { text: `${n}` })
      const client = yield* dial(server)
      yield* client.send(resume("kim", 0, { window: 2 }))
      assert.deepStrictEqual(yield* replies(client, 2), ["kim 1 1", "kim 2 2"])
      yield* nothingElse(client)
      yield* client.send(ack("kim", 1))
      assert.deepStrictEqual(yield* replies(client, 1), ["kim 3 3"])
      yield* nothingElse(client)
      yield* client.send(ack("kim", 3))
      assert.deepStrictEqual(yield* replies(client, 2), ["kim 4 4", "kim 5 5"])
      yield* client.send(ack("kim", 2))
      yield* nothingElse(client)
      yield* client.send(ack("kim", 9))
      assert.deepInclude(yield* client.any, { type: "error", status: 400, about: aboutNumber("9") })
      yield* client.send(ack("lee", 1))
      assert.include((yield* client.next("error")).detail, "resume it first")
      yield* client.send(resume("kim", 5))
      assert.deepStrictEqual(yield* replies(client, 1), ["kim 6 6"])
    })
  )

  it.live("what happens in turns is shown as it happens, unless it is left out", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      const other = yield* dial(server)
      yield* client.send(resume("kim"))
      yield* other.send(resume("kim", 0, { events: false }))
      yield* client.next("resumed")
      yield* other.next("resumed")
      yield* server.memory.watchers(1)
      const turn = { session: "http/kim", turn: "t1" }
      yield* server.memory.emit("kim", { _tag: "State", session: "http/kim", state: { name: "tool", tool: "grep" } })
      yield* server.memory.emit("kim", { _tag: "ToolStarted", ...turn, id: "1", name: "grep" })
      const seen = [yield* client.any, yield* client.any]
      assert.deepStrictEqual(seen, [
        {
          type: "event",
          conversation: "kim",
          event: "state",
          data: { session: "http/kim", state: { name: "tool", tool: "grep" } }
        },
        { type: "event", conversation: "kim", event: "tool-started", data: { ...turn, id: "1", name: "grep" } }
      ])
      yield* nothingElse(other)
    })
  )

  it.live("a store that can't be read is told as what it is, and the client goes on where it stood", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryHandle.make({ name: "http" })
      let broken = true
      const failing = Stream.fail(new Storage({ retryAfter: 5000, cause: new Error("no disk") }))
      const handle: typeof memory.handle = {
        ...memory.handle,
        replies: (peer, after) => (broken ? failing : memory.handle.replies(peer, after))
      }
      const server = yield* serve({ memory: { ...memory, handle } })
      yield* memory.reply("kim", { text: "one" })
      const client = yield* dial(server)
      yield* client.send(resume("kim"))
      yield* client.next("resumed")
      assert.deepInclude(yield* client.any, {
        type: "error",
        problem: "urn:sluice:problem:storage",
        status: 503,
        conversation: "kim",
        retryAfter: 5000
      })
      broken = false
      yield* client.send(resume("kim"))
      assert.deepStrictEqual(yield* replies(client, 1), ["kim 1 one"])
    })
  )

  it.live("a reply has its files, its turn and what it answers, as over HTTP", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      yield* client.send(resume("kim"))
      yield* client.send(message("kim", "a"))
      yield* server.memory.message(1)
      yield* server.memory.answer(1, "hello", "turn-7")
      const { conversation, type, ...shown } = yield* client.next("reply")
      assert.deepStrictEqual([conversation, type], ["kim", "reply"])
      const page = yield* server.fetch("/v1/conversations/kim/replies")
      assert.deepStrictEqual([shown], page.body.replies)
      assert.deepInclude(shown, { turn: "turn-7", inReplyTo: ["a"] })
    })
  )
})

describe("places", () => {
  it.live(
    "beyond the places for readers a conversation is refused with when to come back, and shown when one has left",
    () =>
      Effect.gen(function* () {
        const server = yield* serve({ maxReaders: 1 })
        const first = yield* dial(server)
        const second = yield* dial(server)
        yield* first.send(resume("kim"))
        yield* first.next("resumed")
        yield* second.send(resume("kim"))
        assert.deepInclude(yield* second.any, {
          type: "error",
          problem: "urn:sluice:problem:too-many-readers",
          conversation: "kim",
          retryAfter: 1000
        })
        yield* first.terminate
        yield* server.memory.readers(0)
        yield* second.send(resume("kim"))
        yield* second.next("resumed")
        yield* second.send({ type: "leave", conversation: "kim" })
        yield* second.send(resume("lee"))
        yield* second.next("resumed")
      })
  )

  it.live("a socket shows so many conversations and no more, and has its places back when it leaves one", () =>
    Effect.gen(function* () {
      const server = yield* serve({ webSockets: { conversations: 2 } })
      const client = yield* dial(server)
      for (const room of ["kim", "lee", "ann"]) yield* client.send(resume(room))
      assert.strictEqual((yield* client.next("error")).conversation, "ann")
      yield* client.send({ type: "leave", conversation: "kim" })
      yield* client.send(resume("ann"))
      assert.strictEqual((yield* client.next("resumed")).conversation, "ann")
    })
  )

  it.live("so many sockets are open and no more; the next one gets in when one has left", () =>
    Effect.gen(function* () {
      const server = yield* serve({ webSockets: { sockets: 1 } })
      const first = yield* dial(server)
      const refused = yield* Effect.flip(Effect.scoped(dial(server)))
      assert.deepInclude(refused, { status: 429 })
      assert.strictEqual(refused.body.type, "urn:sluice:problem:too-many-sockets")
      assert.strictEqual(refused.headers["retry-after"], "1")
      yield* first.close
      assert.strictEqual((yield* first.ended).code, 1000)
      const second = yield* Effect.eventually(dial(server))
      yield* nothingElse(second)
    })
  )

  it.live("without WebSockets there is no such path", () =>
    Effect.gen(function* () {
      const server = yield* serve({ webSockets: false })
      assert.strictEqual((yield* Effect.flip(Effect.scoped(dial(server)))).status, 404)
      assert.strictEqual((yield* server.fetch("/v1/ws")).status, 404)
    })
  )

  it.live("a client that closes leaves no reader and no watcher behind, in whatever it was doing", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      yield* server.memory.commit.close
      const client = yield* dial(server)
      yield* client.send(resume("kim"))
      yield* client.next("resumed")
      yield* client.send(message("kim", "a"))
      yield* server.memory.arrived(1)
      yield* client.close
      assert.strictEqual((yield* client.ended).code, 1000)
      yield* Effect.all([server.memory.readers(0), server.memory.watchers(0)])
      const waiting = yield* Effect.forkChild(server.memory.message(1))
      yield* server.memory.commit.open
      assert.strictEqual((yield* Fiber.join(waiting)).id, "a")
    })
  )
})
