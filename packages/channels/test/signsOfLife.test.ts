/**
 * Who counts as dead and who as slow, decided by what is seen of a connection:
 * bytes that come, bytes that are taken, bytes that wait. The sockets themselves
 * are in WebSocket.slow.test.ts.
 */
import { assert, describe, it } from "@effect/vitest"
import { Attachments } from "@sluice/runtime/Attachments"
import { MemoryHandle } from "@sluice/runtime/testing"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { limits } from "../src/internal/http/buckets.ts"
import { Serving } from "../src/internal/http/serving.ts"
import { closings, type Connection, Sockets } from "../src/internal/websocket/sockets.ts"
import { temporaryAttachments } from "./serve.ts"

const settings = {
  bodyLimit: 1,
  attachmentLimit: 1,
  maxWait: 1,
  heartbeat: 15_000,
  stallAfter: 60_000,
  maxReaders: 1,
  maxUnread: 1000
}

/** A connection whose numbers a test says. */
const made = () => {
  const seen = { heard: 0, taken: 0, waiting: 0, pings: 0 }
  const connection: Connection = {
    transport: {
      isFull: () => seen.waiting > 0,
      room: Effect.void,
      gather: () => undefined,
      waiting: () => seen.waiting,
      taken: () => seen.taken,
      heard: () => seen.heard,
      ping: () => void seen.pings++,
      destroy: () => {}
    },
    token: undefined,
    warn: Effect.void,
    closing: Deferred.makeUnsafe()
  }
  return { seen, connection, isOpen: () => !Deferred.isDoneUnsafe(connection.closing) }
}

const socketsWith = Effect.fnUntraced(function* (stallAfter: number) {
  const { handle } = yield* MemoryHandle.make()
  const wanted = { ...settings, stallAfter }
  const serving = new Serving(handle, yield* Attachments, wanted, limits({ all: false, sender: false, senders: 0 }))
  return new Sockets(serving, yield* Clock.Clock, [])
}, Effect.provide(temporaryAttachments))

const makeSockets = socketsWith(settings.stallAfter)

/** So many heartbeats, each with what happens before it. */
const beats = Effect.fnUntraced(function* (sockets: Sockets, count: number, before: (beat: number) => void) {
  for (let beat = 1; beat <= count; beat++) {
    before(beat)
    yield* TestClock.adjust("15 seconds")
    yield* sockets.look
  }
})

describe("signs of life", () => {
  it.effect("whoever answers pings stays; whoever says nothing for a minute goes", () =>
    Effect.gen(function* () {
      const sockets = yield* makeSockets
      const [quiet, dead] = [made(), made()]
      for (const { connection } of [quiet, dead]) sockets.enter(connection)
      yield* beats(sockets, 4, () => {
        quiet.seen.heard += 2
        // this machine's own buffers take pings to a dead one as well
        dead.seen.taken += 2
      })
      assert.deepStrictEqual([quiet.isOpen(), dead.isOpen()], [true, true])
      yield* beats(sockets, 1, () => (quiet.seen.heard += 2))
      assert.deepStrictEqual([quiet.isOpen(), dead.isOpen()], [true, false])
      assert.deepStrictEqual(yield* Deferred.await(dead.connection.closing), closings.slow)
      assert.strictEqual(quiet.seen.pings, 5)
    })
  )

  it.effect("whoever reads slowly stays, though no ping gets through to it; whoever stopped to read goes", () =>
    Effect.gen(function* () {
      const sockets = yield* makeSockets
      const [slow, stuck] = [made(), made()]
      for (const { connection, seen } of [slow, stuck]) {
        seen.waiting = 100
        sockets.enter(connection)
      }
      yield* beats(sockets, 20, () => {
        slow.seen.taken += 10
        // it still talks
        stuck.seen.heard += 10
      })
      assert.deepStrictEqual([slow.isOpen(), stuck.isOpen()], [true, false])
      assert.strictEqual(slow.seen.pings, 0)
      slow.seen.waiting = 0
      yield* beats(sockets, 6, () => {})
      assert.isFalse(slow.isOpen())
    })
  )

  it.effect.each([
    { time: 40_000.5, stays: false },
    { time: Infinity, stays: true }
  ])("a time of $time ms without a sign is kept as it is", ({ stays, time }) =>
    Effect.gen(function* () {
      const sockets = yield* socketsWith(time)
      const one = made()
      sockets.enter(one.connection)
      yield* beats(sockets, 3, () => {})
      assert.strictEqual(one.isOpen(), stays)
    })
  )

  it.effect("C9: beyond what may wait for all the one goes that took nothing for longest, never the only one", () =>
    Effect.gen(function* () {
      const sockets = yield* makeSockets
      const [first, second, reading] = [made(), made(), made()]
      for (const { connection } of [first, second, reading]) sockets.enter(connection)
      first.seen.waiting = 2000
      sockets.pressed()
      assert.isTrue(first.isOpen())
      yield* TestClock.adjust("1 second")
      first.seen.taken += 1
      second.seen.waiting = 500
      sockets.pressed()
      assert.deepStrictEqual([first.isOpen(), second.isOpen(), reading.isOpen()], [true, false, true])
      yield* TestClock.adjust("1 second")
      reading.seen.waiting = 10
      reading.seen.taken += 10
      sockets.pressed()
      assert.deepStrictEqual([first.isOpen(), reading.isOpen()], [false, true])
    })
  )
})
