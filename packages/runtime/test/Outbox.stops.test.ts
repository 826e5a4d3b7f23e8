// What stops delivery and what goes on: held and exchanged channels, dead letters, channels that let nothing go, the drain
// and its deadline.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as TestClock from "effect/testing/TestClock"
import { letGoAfter } from "../src/internal/outbox/deliver.ts"
import * as TestChannel from "../src/testing/channels.ts"
import { addressOf, boot, maybeTwice, pending, started, storeFile } from "./outboxHarness.ts"

const kim = addressOf("chat", "kim")

describe("holds", () => {
  it.effect("refused credentials hold the channel, nobody else, and kill nothing; a release sends all of it", () =>
    Effect.gen(function* () {
      const [chat, other] = [TestChannel.make({ class: "edit" }), TestChannel.make({ class: "keyed" })]
      const made = yield* started({ chat, other })
      chat.otherwise("unauthorized")
      yield* made.post("chat", "kim", "one")
      yield* made.settled("chat", "kim")
      yield* made.post("chat", "lee", "two")
      yield* made.post("other", "kim", "three")
      yield* made.settled("other", "kim")
      assert.deepStrictEqual(other.seen("kim"), ["three"])
      assert.lengthOf(chat.requests, 1)
      assert.deepStrictEqual(yield* made.outbox.held, [
        { channel: "chat", why: "unauthorized", reason: "token revoked", since: 0, retryIn: 30_000, conversations: 2 }
      ])
      yield* TestClock.adjust("48 hours")
      assert.strictEqual(yield* pending(made), 2)
      chat.otherwise("answer")
      assert.isTrue(yield* made.outbox.release("chat"))
      assert.isFalse(yield* made.outbox.release("chat"))
      yield* made.settled("chat", "kim")
      yield* made.settled("chat", "lee")
      assert.include(chat.seen("kim")[0], "one")
      assert.include(chat.seen("lee")[0], "two")
      assert.deepStrictEqual(yield* made.outbox.held, [])
    })
  )

  it.effect("replies to a channel that is not configured are kept and shown, and sent when it is again", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const file = yield* storeFile
      const first = yield* started({ chat }, { file })
      yield* first.outbox.interrupt
      yield* first.post("chat", "kim", "one")
      yield* first.close
      const second = yield* boot({ file, channels: {} })
      const { held, owed } = yield* second.outbox.recover
      assert.strictEqual(owed, 1)
      assert.deepInclude(held[0], { channel: "chat", why: "unconfigured", conversations: 1 })
      yield* second.settled("chat", "kim")
      assert.strictEqual(yield* pending(second), 1)
      second.registered.entries = { ...second.registered.entries, channels: new Map([["chat", chat.channel]]) }
      yield* second.outbox.reconnect("chat")
      yield* second.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["one"])
    })
  )

  it.effect("a reload exchanges the channel between two requests, and waits for the one under way", () =>
    Effect.gen(function* () {
      const [before, after] = [TestChannel.make({ class: "keyed" }), TestChannel.make({ class: "ambiguous-hold" })]
      const made = yield* started({ chat: before })
      const gate = yield* Deferred.make<void>()
      before.fates({ gate })
      yield* made.post("chat", "kim", "one")
      yield* made.post("chat", "kim", "two")
      yield* before.requested(1)
      made.registered.entries = { ...made.registered.entries, channels: new Map([["chat", after.channel]]) }
      const reconnected = yield* Effect.forkChild(made.outbox.reconnect("chat"), { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(reconnected.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(reconnected)
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual([before.seen("kim"), after.seen("kim")], [["one"], ["two"]])
    })
  )

  it.effect("a channel that became one that is pulled from owes nothing more: its replies have their numbers", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const chat = TestChannel.make({ class: "keyed" })
      const first = yield* started({ chat }, { file })
      yield* first.outbox.interrupt
      yield* first.post("chat", "kim", "one")
      yield* first.close
      const second = yield* started({ chat: TestChannel.make({ class: "pull" }) }, { file })
      yield* second.settled("chat", "kim")
      assert.strictEqual(yield* pending(second), 0)
      const { replies } = yield* second.outbox.page("chat/kim", 0, 10)
      assert.deepStrictEqual(
        replies.map((reply) => [reply.number, reply.text]),
        [[1, "one"]]
      )
    })
  )
})

describe("dead letters", () => {
  it.effect("a refused reply keeps its payload and reason, can be replayed and can be discarded", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const made = yield* started({ chat })
      chat.fates("refuse")
      const turn = yield* made.turn("chat", "kim")
      yield* made.answer(turn, kim, "hello")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), [])
      const [letter] = yield* made.journal.reads.deadLetters({ limit: 10 })
      assert.strictEqual(letter?.error, "refused: chat not found")
      const standing = yield* made.journal.standing(turn.seq)
      assert.strictEqual(standing?.ended?.ending, "undeliverable")
      const dead = letter?.row.id ?? 0
      assert.isTrue(yield* made.outbox.replay(dead))
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["hello"])
      chat.fates("refuse")
      yield* made.post("chat", "kim", "again")
      yield* made.settled("chat", "kim")
      const letters = yield* made.journal.reads.deadLetters({ limit: 10 })
      const other = letters.find(({ row }) => row.reply.text === "again")?.row.id ?? 0
      assert.isTrue(yield* made.outbox.discard(other))
      assert.isFalse(yield* made.outbox.discard(other))
      assert.isFalse(yield* made.outbox.replay(other))
      assert.isTrue((yield* made.journal.reads.ledger).balanced)
    })
  )
})

describe("a channel that never lets go of its requests", () => {
  for (const [kind, copies, unknown] of [
    ["ambiguous-hold", ["hello", "and then"], 1],
    ["ambiguous-resend", ["hello", `${maybeTwice}\n\nhello`, "and then"], 0],
    ["keyed", ["hello", "and then"], 0]
  ] as const) {
    it.effect(`gives back its places and loses no lane, is named once, and its class decides: ${kind}`, () => {
      const lines: Array<readonly [level: string, channel: unknown]> = []
      const logger = Logger.make(({ fiber, logLevel, message }) => {
        if (/does not let go/.test(String(message)))
          lines.push([logLevel, fiber.getRef(References.CurrentLogAnnotations)["channel"]])
      })
      return Effect.gen(function* () {
        const chat = TestChannel.make({ class: kind })
        const made = yield* started({ chat }, { outbox: { deliverTimeout: "5 seconds", concurrency: 1 } })
        const stubborn = yield* Deferred.make<void>()
        chat.fates({ stubborn }, { stubborn })
        yield* made.post("chat", "kim", "hello")
        yield* chat.requested(1)
        yield* made.post("chat", "kim", "and then")
        yield* made.post("chat", "lee", "one")
        yield* TestClock.adjust(5_000 + letGoAfter - 1)
        assert.lengthOf(chat.requests, 1)
        assert.strictEqual((yield* made.outbox.deliveries).unknown, unknown)
        assert.deepStrictEqual(lines, [])
        yield* TestClock.adjust(1)
        // The second request hangs like the first one; nobody hears of that again.
        yield* TestClock.adjust(2 * letGoAfter)
        yield* made.settled("chat", "kim")
        yield* made.settled("chat", "lee")
        assert.deepStrictEqual([...chat.seen("kim"), ...chat.seen("lee")], [...copies, "one"])
        assert.deepStrictEqual(lines, [["Error", "chat"]])
        assert.strictEqual(yield* pending(made), 0)
        yield* Deferred.succeed(stubborn, undefined)
      }).pipe(Effect.provide(Logger.layer([logger])))
    })
  }
})

describe("the drain", () => {
  it.effect("sends what can be sent now and doesn't wait for what can't", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const made = yield* started({ chat })
      chat.fates("drop")
      yield* made.post("chat", "slow", "later")
      yield* made.settled("chat", "slow")
      const gate = yield* Deferred.make<void>()
      chat.fates({ gate })
      yield* made.post("chat", "kim", "one")
      yield* made.post("chat", "kim", "two")
      yield* chat.requested(2)
      const drained = yield* Effect.forkChild(made.outbox.drain(1e12), { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(drained.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(drained)
      assert.deepStrictEqual(chat.seen("kim"), ["one", "two"])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(chat.seen("slow"), [])
    })
  )

  it.effect("C9: ends at its deadline though a request never answers; the next boot knows what to do", () =>
    Effect.gen(function* () {
      for (const kind of ["keyed", "ambiguous-hold", "ambiguous-resend"] as const) {
        const chat = TestChannel.make({ class: kind })
        const file = yield* storeFile
        const made = yield* started({ chat }, { file })
        const stubborn = yield* Deferred.make<void>()
        chat.fates({ stubborn })
        yield* made.post("chat", "kim", "hello")
        yield* chat.requested(1)
        const now = Number(yield* Effect.clockWith((clock) => clock.monotonicTimeNanos)) / 1e6
        const drained = yield* Effect.forkChild(made.outbox.drain(now + 3_000), { startImmediately: true })
        yield* TestClock.adjust("2999 millis")
        assert.isUndefined(drained.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(drained)
        yield* made.outbox.interrupt
        yield* made.close
        const next = yield* started({ chat }, { file })
        yield* next.settled("chat", "kim")
        yield* TestClock.adjust("1 minute")
        yield* next.settled("chat", "kim")
        const expected = kind === "ambiguous-resend" ? ["hello", `${maybeTwice}\n\nhello`] : ["hello"]
        assert.deepStrictEqual(chat.seen("kim"), expected, kind)
        assert.strictEqual(yield* pending(next), 0)
        yield* Deferred.succeed(stubborn, undefined)
        yield* next.close
      }
    })
  )

  it.effect("what is committed after it waits for the next boot", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const file = yield* storeFile
      const made = yield* started({ chat }, { file })
      yield* made.outbox.drain(1e12)
      yield* made.post("chat", "kim", "hello")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), [])
      yield* made.close
      const next = yield* started({ chat }, { file })
      yield* next.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["hello"])
    })
  )

  it.effect("S8: before the boot's rows were looked at there is nothing to drain, and nothing is sent", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const made = yield* boot({ file: yield* storeFile, channels: { chat: chat.channel } })
      yield* made.post("chat", "kim", "hello")
      yield* made.outbox.drain(1e12)
      assert.lengthOf(chat.requests, 0)
    })
  )
})
