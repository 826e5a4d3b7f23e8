// Those who pull replies: no gap, no repeat, no polling, bounded memory, and nothing left of a reader that leaves.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Readers from "../../src/internal/outbox/readers.ts"
import type { ReplyRow } from "../../src/Journal.ts"
import { conversationKey, type Conversation } from "../../src/Message.ts"

const kim: Conversation = { channel: "http", account: "", peer: "kim", thread: "" }
const key = conversationKey(kim)

const rowOf = (number: number, conversation = kim): ReplyRow => ({
  id: number,
  conversation: 1,
  state: "sent",
  tries: 0,
  remoteId: undefined,
  notBefore: undefined,
  expiresAt: undefined,
  marked: false,
  cut: false,
  reply: { id: `r${number}`, conversation, number, kind: "answer", text: `text ${number}`, inReplyTo: [], createdAt: 0 }
})

/** A conversation's stored replies, how often they were read, and what happens in the middle of a read. */
class Storage {
  readonly rows: Array<ReplyRow> = []
  reads = 0
  reading: Effect.Effect<void> = Effect.void
  readers!: Readers.Readers

  page(after: number, limit: number) {
    this.reads++
    const page = this.rows.filter((row) => row.reply.number > after).slice(0, limit)
    return Effect.as(this.reading, { replies: page.map((row) => row.reply), latest: this.rows.length })
  }

  commit(...numbers: ReadonlyArray<number>) {
    const fresh = numbers.map((number) => rowOf(number))
    this.rows.push(...fresh)
    this.readers.ring(fresh)
  }
}

const storage = Effect.gen(function* () {
  const store = new Storage()
  store.readers = yield* Readers.make((_, after, limit) => Effect.suspend(() => store.page(after, limit)))
  return store
})

/** Lets everybody go on who can. */
const turns = Effect.replicateEffect(Effect.yieldNow, 8, { discard: true })

/** Reads so many numbers in a fiber of its own. */
const read = (store: Storage, after: number, count: number) =>
  store.readers.replies(key, after).pipe(
    Stream.map((reply) => reply.number),
    Stream.take(count),
    Stream.runCollect,
    Effect.forkChild({ startImmediately: true })
  )

const upTo = (count: number, from = 1) => Array.from({ length: count }, (_, index) => from + index)

describe("a reader", () => {
  it.effect("W1: gets what was stored, then what is committed, in order and once", () =>
    Effect.gen(function* () {
      const store = yield* storage
      store.commit(1, 2, 3)
      const reader = yield* read(store, 1, 4)
      yield* turns
      store.commit(4)
      yield* turns
      store.commit(5)
      assert.deepStrictEqual(yield* Fiber.join(reader), [2, 3, 4, 5])
    })
  )

  it.effect("the hand-over of a commit runs nothing of a reader's", () =>
    Effect.gen(function* () {
      const store = yield* storage
      const got: Array<number> = []
      yield* store.readers.replies(key, 0).pipe(
        Stream.runForEach((reply) => Effect.sync(() => got.push(reply.number))),
        Effect.forkChild({ startImmediately: true })
      )
      yield* turns
      store.commit(1)
      assert.deepStrictEqual(got, [])
      yield* turns
      assert.deepStrictEqual(got, [1])
    })
  )

  it.effect("a live reply costs no read of the store", () =>
    Effect.gen(function* () {
      const store = yield* storage
      const reader = yield* read(store, 0, 100)
      yield* turns
      for (const number of upTo(100)) {
        store.commit(number)
        yield* turns
      }
      assert.deepStrictEqual(yield* Fiber.join(reader), upTo(100))
      assert.strictEqual(store.reads, 1)
    })
  )

  it.effect("a reply that is committed while the page is being read is neither lost nor repeated", () =>
    Effect.gen(function* () {
      const store = yield* storage
      const gate = yield* Deferred.make<void>()
      store.commit(1)
      store.reading = Deferred.await(gate)
      const reader = yield* read(store, 0, 3)
      yield* turns
      store.commit(2)
      store.reading = Effect.void
      yield* Deferred.succeed(gate, undefined)
      yield* turns
      store.commit(3)
      assert.deepStrictEqual(yield* Fiber.join(reader), [1, 2, 3])
    })
  )

  it.effect("a reader that stands still costs one bounded box, and misses nothing", () =>
    Effect.gen(function* () {
      const store = yield* storage
      const gate = yield* Deferred.make<void>()
      const numbers: Array<number> = []
      const reader = yield* store.readers.replies(key, 0).pipe(
        Stream.take(5_000),
        Stream.runForEach((reply) =>
          Effect.andThen(
            Effect.sync(() => numbers.push(reply.number)),
            reply.number === 1 ? Deferred.await(gate) : Effect.void
          )
        ),
        Effect.forkChild({ startImmediately: true })
      )
      yield* turns
      for (const number of upTo(5_000)) store.commit(number)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(reader)
      assert.deepStrictEqual(numbers, upTo(5_000))
      assert.isAtMost(store.reads, Math.ceil(5_000 / 256) + 2)
    })
  )

  it.effect("replies of other conversations and repeats of the doorbell are not its replies", () =>
    Effect.gen(function* () {
      const store = yield* storage
      const reader = yield* read(store, 0, 2)
      yield* turns
      store.readers.ring([rowOf(1, { ...kim, peer: "lee" })])
      store.commit(1)
      store.readers.ring([rowOf(1)])
      yield* turns
      store.readers.ring([rowOf(1)])
      store.commit(2)
      assert.deepStrictEqual(yield* Fiber.join(reader), [1, 2])
    })
  )

  it.effect("a reply that nobody was rung for is found with the next one", () =>
    Effect.gen(function* () {
      const store = yield* storage
      const reader = yield* read(store, 0, 3)
      yield* turns
      store.commit(1)
      yield* turns
      store.rows.push(rowOf(2))
      store.commit(3)
      assert.deepStrictEqual(yield* Fiber.join(reader), [1, 2, 3])
    })
  )

  it.effect("a reader that leaves leaves nothing behind", () =>
    Effect.gen(function* () {
      const store = yield* storage
      const readers = yield* Effect.forEach(upTo(50), () => read(store, 0, 1))
      yield* turns
      assert.strictEqual(store.readers.size(), 50)
      yield* Fiber.interruptAll(readers)
      assert.strictEqual(store.readers.size(), 0)
    })
  )

  it.effect.prop(
    "D32: whatever is committed in whatever pieces, every reader gets every number once and in order",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 90 }))), Schema.Array(Schema.Boolean)],
    ([sizes, pauses]) =>
      Effect.gen(function* () {
        const store = yield* storage
        const total = sizes.reduce((sum, size) => sum + size, 0)
        const early = yield* read(store, 0, total)
        let next = 1
        for (const [index, size] of sizes.entries()) {
          store.commit(...upTo(size, next))
          next += size
          if (pauses[index] !== false) yield* turns
        }
        const late = yield* read(store, 0, total)
        assert.deepStrictEqual(yield* Fiber.join(early), upTo(total))
        assert.deepStrictEqual(yield* Fiber.join(late), upTo(total))
      })
  )
})
