/**
 * Server-sent events over real sockets: what a reader sees, what it sees after
 * it was gone, and that one who does not read costs nobody anything.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Sse from "effect/encoding/Sse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { connect, head, serve, type Wire } from "./serve.ts"

const path = "/v1/conversations/kim/events"

/** The events in what arrived, without the chunks' sizes and the heartbeats. */
const events = (raw: string): ReadonlyArray<Sse.Event> => {
  const found: Array<Sse.Event> = []
  const parser = Sse.makeParser((event) => {
    if (event._tag === "Event") found.push(event)
  })
  const body = raw.slice(raw.indexOf("\r\n\r\n") + 4)
  parser.feed(body.replaceAll(/^[0-9a-f]+\r\n|\r\n/gm, ""))
  return found
}

const names = (raw: string) => events(raw).map(({ event }) => event)

const replies = (raw: string) =>
  events(raw).flatMap(({ data, event, id }): ReadonlyArray<readonly [string | undefined, string]> => {
    const reply: { readonly text: string } = JSON.parse(data)
    return event === "reply" ? [[id, reply.text]] : []
  })

const has = (wire: Wire, text: string) => wire.until(`"text":"${text}"`)

describe("events", () => {
  it.live("W1: a stream has the stored replies, then each as it is committed, with its number as id", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      yield* server.memory.reply("kim", { text: "stored" })
      const wire = yield* connect(server)
      yield* wire.write(head("GET", path))
      yield* has(wire, "stored")
      yield* server.memory.reply("kim", { text: "live\nwith two lines" })
      const raw = yield* has(wire, "live\\nwith two lines")
      assert.include(raw, "content-type: text/event-stream")
      assert.deepStrictEqual(names(raw), ["ready", "reply", "reply"])
      assert.deepStrictEqual(replies(raw), [
        ["1", "stored"],
        ["2", "live\nwith two lines"]
      ])
    })
  )

  it.live("W1: a reader that comes back with Last-Event-ID sees what it missed, once and in order", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const first = yield* connect(server)
      yield* first.write(head("GET", path))
      yield* first.until("event: ready")
      yield* server.memory.reply("kim", { text: "one" })
      yield* has(first, "one")
      yield* first.destroy
      yield* server.memory.readers(0)
      for (const text of ["two", "three"]) yield* server.memory.reply("kim", { text })
      const second = yield* connect(server)
      yield* second.write(head("GET", path, { "last-event-id": "1" }))
      yield* has(second, "three")
      yield* server.memory.reply("kim", { text: "four" })
      assert.deepStrictEqual(replies(yield* has(second, "four")), [
        ["2", "two"],
        ["3", "three"],
        ["4", "four"]
      ])
    })
  )

  it.live("a stream from `latest` begins at the number that it names, so a loss right after is noticed", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (const text of ["old", "older"]) yield* server.memory.reply("kim", { text })
      const wire = yield* connect(server)
      yield* wire.write(head("GET", `${path}?after=latest`))
      const [ready] = events(yield* wire.until("event: ready"))
      assert.strictEqual(ready?.id, "2")
      yield* server.memory.reply("kim", { text: "new" })
      assert.deepStrictEqual(replies(yield* has(wire, "new")), [["3", "new"]])
    })
  )

  it.live("what happens in a turn is shown without an id, so it never moves the cursor", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const wire = yield* connect(server)
      yield* wire.write(head("GET", path))
      yield* wire.until("event: ready")
      yield* server.memory.watchers(1)
      const turn = { session: "http/kim", turn: "t1" }
      yield* server.memory.emit("kim", { _tag: "State", session: "http/kim", state: { name: "tool", tool: "grep" } })
      yield* server.memory.emit("kim", { _tag: "ToolStarted", ...turn, id: "1", name: "grep" })
      yield* server.memory.emit("kim", { _tag: "Text", ...turn, delta: "hel" })
      yield* server.memory.emit("kim", { _tag: "TurnEnded", ...turn, outcome: "done" })
      const raw = yield* wire.until("turn-ended")
      assert.deepStrictEqual(names(raw), ["ready", "state", "tool-started", "text", "turn-ended"])
      assert.notInclude(raw.slice(raw.indexOf("event: state")), "id: ")
      const text = events(raw)[3]
      assert.deepStrictEqual(JSON.parse(text?.data ?? ""), { ...turn, delta: "hel" })
    })
  )

  it.live(
    "S6: at a stop the reader is told and its stream ends; what the drain still answers reaches it when it comes back",
    () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const wire = yield* connect(server)
        yield* wire.write(head("GET", path, { connection: "close" }))
        yield* wire.until("event: ready")
        yield* server.memory.stop
        const raw = yield* wire.closed
        assert.deepStrictEqual(names(raw), ["ready", "stopping"])
        const back = yield* connect(server)
        yield* back.write(head("GET", path, { "last-event-id": "0", connection: "close" }))
        yield* back.until("event: stopping")
        yield* server.memory.reply("kim", { text: "drained" })
        yield* has(back, "drained")
        yield* server.close
        yield* back.closed
      })
  )

  it.live("a bad Last-Event-ID is a 400, not a stream from the beginning", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const answer = yield* server.fetch(path, { headers: { "last-event-id": "seven" } })
      assert.strictEqual(answer.status, 400)
      assert.strictEqual(answer.body.field, "Last-Event-ID")
    })
  )

  it.live("an idle stream shows that it lives, and a reader that takes nothing is disconnected", () =>
    Effect.gen(function* () {
      const server = yield* serve({ heartbeat: "5 millis", stallAfter: "50 millis" })
      const wire = yield* connect(server)
      yield* wire.write(head("GET", path))
      yield* wire.until(": \n\n")
      yield* wire.stopReading
      // more than the sockets hold between them
      for (let index = 0; index < 60; index++) yield* server.memory.reply("kim", { text: "x".repeat(250_000) })
      yield* server.memory.readers(0)
      assert.strictEqual((yield* server.post("kim", { text: "still here" })).status, 202)
    })
  )

  it.live("C9, W4: what waits for readers is bounded over all of them: the slowest goes, who reads stays", () =>
    Effect.gen(function* () {
      const server = yield* serve({ maxUnread: 500_000 })
      const idle = yield* connect(server)
      yield* idle.write(head("GET", "/v1/conversations/lee/events"))
      yield* server.memory.reply("lee", { text: `${"a".repeat(300_000)} read` })
      yield* idle.until(" read")
      const deaf = yield* connect(server)
      yield* deaf.write(head("GET", path))
      yield* deaf.until("event: ready")
      yield* deaf.stopReading
      // More than the sockets hold between them. Alone it may wait: there is nobody slower.
      for (let index = 0; index < 60; index++) yield* server.memory.reply("kim", { text: "x".repeat(250_000) })
      const other = yield* connect(server)
      yield* other.write(head("GET", "/v1/conversations/ann/events"))
      yield* server.memory.reply("ann", { text: "all three" })
      yield* has(other, "all three")
      yield* server.memory.readers(2)
      yield* server.memory.reply("lee", { text: "still here" })
      yield* has(idle, "still here")
    })
  )

  it.effect("a reader that has nothing to read for long is not disconnected: it takes the heartbeats", () =>
    Effect.gen(function* () {
      const server = yield* serve({ heartbeat: "1 second", stallAfter: "10 seconds" })
      const wire = yield* connect(server)
      yield* wire.write(head("GET", path))
      yield* wire.until("event: ready")
      // Each heartbeat is received before time goes on, so a slow machine is no reader that stalls. A second in which none was
      // waited for yet is lost, and the next one is tried.
      for (let beat = 1; beat <= 40; beat++) {
        const received = wire.untilMany(": \n\n", beat).pipe(Effect.timeoutOption("200 millis"), TestClock.withLive)
        do yield* TestClock.adjust("1 second")
        while (Option.isNone(yield* received))
      }
      yield* server.memory.reply("kim", { text: "there you are" })
      yield* has(wire, "there you are")
    })
  )

  it.live("beyond the places for readers a stream is told to come later, and does when one has left", () =>
    Effect.gen(function* () {
      const server = yield* serve({ maxReaders: 1 })
      const first = yield* connect(server)
      yield* first.write(head("GET", path))
      yield* first.until("event: ready")
      const second = yield* server.fetch(path)
      assert.strictEqual(second.status, 429)
      yield* first.destroy
      yield* server.memory.readers(0)
      const third = yield* connect(server)
      yield* third.write(head("GET", path))
      yield* third.until("event: ready")
    })
  )
})
