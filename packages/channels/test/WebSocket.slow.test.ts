/**
 * Clients that take nothing, say nothing, or say far too much: each is bounded,
 * ends with a code where one can still be heard, resumes without a loss, and
 * costs nobody else anything.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { connect, head, serve, type Server } from "./serve.ts"
import { type Client, dial } from "./sockets.ts"

const resume = (conversation: string, after = 0) => ({ type: "resume", conversation, after })
const alive = (client: Client) => Effect.andThen(client.send({ type: "ping" }), client.next("pong"))

/** More than the sockets hold between them. */
const much = 60
const manyReplies = (server: Server, conversation: string) =>
  Effect.forEach(
    Array.from({ length: much }, (_, index) => `${index + 1} ${"x".repeat(250_000)}`),
    (text) => server.memory.reply(conversation, { text }),
    { discard: true }
  )

/** The replies from here to the last, by their numbers, each with what it should be. */
const theRest = Effect.fnUntraced(function* (client: Client, from: number) {
  for (let number = from; number <= much; number++) {
    const reply = yield* client.next("reply")
    assert.deepStrictEqual([reply.number, reply.text.split(" ", 1)[0]], [number, String(number)])
  }
})

const beats = { heartbeat: "1 second", stallAfter: "10 seconds" } as const

/** A second after the other, each with a moment for what travels in real time. */
const timePassesUntil = Effect.fnUntraced(function* (done: Effect.Effect<unknown>) {
  const waiting = yield* Effect.forkChild(done, { startImmediately: true })
  const moment = Fiber.await(waiting).pipe(Effect.timeoutOption("10 millis"), TestClock.withLive)
  do yield* TestClock.adjust("1 second")
  while (Option.isNone(yield* moment))
})

const handshake = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="
}
const frame = JSON.stringify(resume("kim"))
/** The frame as a client sends it, masked with nothing. */
const hello = `\x81${String.fromCharCode(0x80 + frame.length)}\0\0\0\0${frame}`

describe("slow readers", () => {
  it.effect("C9 S13: one that takes nothing is sent away, comes back with its number and misses nothing", () =>
    Effect.gen(function* () {
      const server = yield* serve(beats)
      const slow = yield* dial(server)
      yield* slow.send(resume("kim"))
      yield* slow.next("resumed")
      yield* slow.stopReading
      yield* manyReplies(server, "kim")
      yield* timePassesUntil(server.memory.readers(0))
      const back = yield* dial(server)
      yield* back.send(resume("kim", 1))
      yield* theRest(back, 2)
    })
  )

  it.live("C9: one that takes nothing for a while and then reads on sees everything once", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      yield* client.send(resume("kim"))
      yield* client.next("resumed")
      yield* client.stopReading
      yield* manyReplies(server, "kim")
      yield* alive(yield* dial(server))
      yield* client.readAgain
      yield* theRest(client, 1)
    })
  )

  it.live("C9: what waits for readers is bounded over all of them: the slowest goes, who reads stays", () =>
    Effect.gen(function* () {
      const server = yield* serve({ maxUnread: 300_000 })
      const reading = yield* dial(server)
      yield* reading.send(resume("lee"))
      yield* reading.next("resumed")
      const slow = yield* Effect.forEach(["kim", "ann"], (room) =>
        Effect.gen(function* () {
          const client = yield* dial(server)
          yield* client.send(resume(room))
          yield* client.next("resumed")
          yield* client.stopReading
          return client
        })
      )
      yield* server.memory.readers(3)
      for (const room of ["kim", "ann"]) yield* manyReplies(server, room)
      // one of the two may stay: alone it may wait, there is nobody slower
      yield* server.memory.readers(2)
      yield* server.memory.reply("lee", { text: "still here" })
      assert.strictEqual((yield* reading.next("reply")).text, "still here")
      assert.strictEqual(slow.length, 2)
    })
  )

  it.live("C9: one that sends and never reads comes to a halt, and nobody else does", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const deaf = yield* dial(server)
      yield* deaf.stopReading
      for (let n = 0; n < 2000; n++) yield* deaf.send({ type: "ping" })
      const other = yield* dial(server)
      yield* other.send({ type: "message", conversation: "kim", id: "a", text: "hi" })
      yield* other.next("accepted")
      yield* deaf.readAgain
      for (let n = 0; n < 2000; n++) yield* deaf.next("pong")
    })
  )
})

describe("signs of life", () => {
  it.effect("one that answers no ping is ended and leaves nothing behind", () =>
    Effect.gen(function* () {
      const server = yield* serve(beats)
      const dead = yield* dial(server, { autoPong: false })
      yield* dead.send(resume("kim"))
      yield* dead.next("resumed")
      yield* timePassesUntil(dead.ended)
      assert.strictEqual((yield* dead.ended).code, 4408)
      yield* Effect.all([server.memory.readers(0), server.memory.watchers(0)])
    })
  )

  it.effect("one that does not even answer the close is cut", () =>
    Effect.gen(function* () {
      const server = yield* serve(beats)
      const gone = yield* connect(server)
      yield* gone.write(Buffer.from(head("GET", "/v1/ws", handshake) + hello, "latin1"))
      yield* server.memory.readers(1)
      yield* timePassesUntil(gone.closed)
      yield* Effect.all([server.memory.readers(0), server.memory.watchers(0)])
    })
  )

  it.effect("one that has nothing to say for long stays: it answers pings", () =>
    Effect.gen(function* () {
      const server = yield* serve(beats)
      const client = yield* dial(server)
      yield* client.send(resume("kim"))
      yield* client.next("resumed")
      // Each ping is received before time goes on, so a slow machine is no client that is dead. A second in which none was
      // waited for yet is lost, and the next one is tried.
      for (let beat = 1; beat <= 40; beat++) {
        const pinged = client.pinged(beat).pipe(Effect.timeoutOption("200 millis"), TestClock.withLive)
        do yield* TestClock.adjust("1 second")
        while (Option.isNone(yield* pinged))
      }
      yield* server.memory.reply("kim", { text: "there you are" })
      assert.strictEqual((yield* client.next("reply")).text, "there you are")
    })
  )
})
