/**
 * Messages over WebSockets on real connections: what a client is told of each,
 * when, and what it is told when it sends one again.
 */
import { assert, describe, it } from "@effect/vitest"
import { Full } from "@sluice/runtime/Message"
import { MemoryHandle } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { serve } from "./serve.ts"
import { dial, message, nothingElse } from "./sockets.ts"

describe("messages", () => {
  it.live("C1: a message is accepted once it is committed, with its id and its place", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      yield* server.memory.commit.close
      yield* client.send({ ...message("kim", "a", "hello"), sender: "u17" })
      // what came later is answered while the first one waits for its commit
      yield* nothingElse(client)
      yield* server.memory.commit.open
      assert.deepStrictEqual(yield* client.any, {
        type: "accepted",
        conversation: "kim",
        id: "a",
        seq: 1,
        duplicate: false
      })
      const [stored] = yield* server.memory.messages
      assert.deepInclude(stored, { conversation: "kim", id: "a", sender: "u17", text: "hello" })
    })
  )

  it.live(
    "C2 D9: a repeat gets the first receipt, on another socket and over HTTP too; another body is a conflict",
    () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const first = yield* dial(server)
        yield* first.send(message("kim", "a"))
        yield* first.next("accepted")
        const second = yield* dial(server)
        yield* second.send(message("kim", "a"))
        assert.deepInclude(yield* second.any, { type: "accepted", seq: 1, duplicate: true })
        const posted = yield* server.post("kim", { text: "a" }, { key: "a" })
        assert.deepInclude(posted.body, { seq: 1, duplicate: true })
        yield* second.send(message("kim", "a", "something else"))
        assert.deepInclude(yield* second.any, {
          type: "error",
          problem: "urn:sluice:problem:conflict",
          status: 409,
          conversation: "kim",
          id: "a",
          about: { id: "a", seq: 1 }
        })
        assert.strictEqual((yield* server.memory.messages).length, 1)
      })
  )

  it.live("C3: a thousand messages sent at once are all accepted, each conversation's in the order of the socket", () =>
    Effect.gen(function* () {
      const server = yield* serve({ senderRate: false, totalRate: false })
      const client = yield* dial(server)
      const rooms = ["kim", "lee", "ann", "bob"]
      for (let n = 0; n < 250; n++) {
        for (const room of rooms) yield* client.send(message(room, `${room}-${n}`))
      }
      const accepted = new Set<string>()
      while (accepted.size < 1000) accepted.add((yield* client.next("accepted")).id)
      const stored = yield* server.memory.messages
      for (const room of rooms) {
        assert.deepStrictEqual(
          stored.filter(({ conversation }) => conversation === room).map(({ id }) => id),
          Array.from({ length: 250 }, (_, n) => `${room}-${n}`)
        )
      }
    })
  )

  it.live("C3: a message behind one with a file is stored behind it", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      const data = Buffer.from("a file").toString("base64")
      yield* client.send({ ...message("kim", "a"), attachments: [{ type: "text/plain", name: "a.txt", data }] })
      yield* client.send(message("kim", "b"))
      assert.deepStrictEqual([(yield* client.next("accepted")).id, (yield* client.next("accepted")).id], ["a", "b"])
      const [first] = yield* server.memory.messages
      assert.deepInclude(first?.attachments[0], { name: "a.txt", size: 6 })
    })
  )

  it.live("what may pass later says when, and is accepted under its id when it is sent again", () =>
    Effect.gen(function* () {
      const server = yield* serve({ senderRate: { perSecond: 1, burst: 1 } })
      const client = yield* dial(server)
      yield* server.memory.refuseNext(new Full({ retryAfter: 250 }))
      yield* client.send(message("kim", "a"))
      assert.deepInclude(yield* client.any, {
        type: "error",
        problem: "urn:sluice:problem:busy",
        status: 503,
        id: "a",
        retryAfter: 250
      })
      yield* client.send(message("lee", "b"))
      yield* client.next("accepted")
      yield* client.send(message("lee", "c"))
      const limited = yield* client.next("error")
      assert.deepInclude(limited, { problem: "urn:sluice:problem:rate-limited", status: 429, id: "c" })
      assert.deepStrictEqual(limited.about, { scope: "sender" })
      assert.isAbove(limited.retryAfter ?? 0, 0)
      yield* client.send({ ...message("kim", "a"), sender: "u17" })
      assert.deepInclude(yield* client.any, { type: "accepted", id: "a", duplicate: false })
    })
  )

  it.live("D22: a message whose client breaks off between the commit and the answer is there when it comes again", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      yield* server.memory.acknowledge.close
      yield* client.send(message("kim", "a"))
      yield* server.memory.message(1)
      yield* client.terminate
      yield* client.ended
      yield* server.memory.acknowledge.open
      const back = yield* dial(server)
      yield* back.send(message("kim", "a"))
      assert.deepInclude(yield* back.any, { type: "accepted", seq: 1, duplicate: true })
    })
  )

  it.live("S6: while the gateway stops it says so, and a message is accepted for after the restart", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      yield* nothingElse(client)
      yield* server.memory.stop
      yield* client.next("stopping")
      yield* client.send(message("kim", "a"))
      assert.deepInclude(yield* client.any, { type: "accepted", id: "a", held: true })
      const late = yield* dial(server)
      assert.strictEqual((yield* late.any).type, "stopping")
    })
  )

  it.live("a mistake of ours is an error that says nothing of it, and the socket goes on", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryHandle.make({ name: "http" })
      const accept = (inbound: { readonly text: string }) =>
        inbound.text === "break" ? Effect.die(new Error("a secret of ours")) : memory.handle.accept
      const handle: typeof memory.handle = {
        ...memory.handle,
        accept: (inbound) =>
          Effect.suspend(() => {
            const outcome = accept(inbound)
            return Effect.isEffect(outcome) ? outcome : outcome(inbound)
          })
      }
      const server = yield* serve({ memory: { ...memory, handle } })
      const client = yield* dial(server)
      yield* client.send(message("kim", "a", "break"))
      const error = yield* client.next("error")
      assert.deepInclude(error, { problem: "urn:sluice:problem:internal", status: 500, id: "a" })
      assert.notInclude(JSON.stringify(error), "secret")
      yield* client.send(message("kim", "b"))
      yield* client.next("accepted")
    }).pipe(Effect.provide(Logger.layer([])))
  )
})
