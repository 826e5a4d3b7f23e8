// What makes a reply wait or grow old: backoff, throttles that outlast a restart, clock jumps, late marks, expiry, caps.
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as TestChannel from "../src/testing/channels.ts"
import { addressOf, boot, hour, pending, started, storeFile } from "./outboxHarness.ts"

const kim = addressOf("chat", "kim")

describe("waits", () => {
  it.effect("a reply that never leaves is tried ever more slowly, then is dead with payload and reason", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const made = yield* started({ chat })
      chat.otherwise("drop")
      yield* made.post("chat", "kim", "hello")
      yield* made.settled("chat", "kim")
      yield* TestClock.adjust("1 minute")
      const inAMinute = chat.requests.length
      assert.isAtLeast(inAMinute, 5)
      assert.isAtMost(inAMinute, 8)
      yield* TestClock.adjust("23 hours")
      assert.strictEqual(yield* pending(made), 1)
      assert.isBelow(chat.requests.length, inAMinute + (24 * hour) / 240_000)
      yield* TestClock.adjust("2 hours")
      yield* made.settled("chat", "kim")
      assert.strictEqual(yield* pending(made), 0)
      const [letter] = yield* made.journal.reads.deadLetters({ limit: 10 })
      assert.strictEqual(letter?.row.reply.text, "hello")
      assert.include(letter?.error, "not delivered within 24 h")
      assert.include(letter?.error, "no route")
      assert.isTrue((yield* made.journal.reads.ledger).balanced)
    })
  )

  it.effect("a throttle of a conversation holds that one only; a throttle of the channel holds all of it", () =>
    Effect.gen(function* () {
      const [chat, other] = [TestChannel.make({ class: "keyed" }), TestChannel.make({ class: "keyed" })]
      const made = yield* started({ chat, other })
      chat.fates({ throttle: 30_000, scope: "conversation" }, "answer", { throttle: 60_000, scope: "channel" })
      yield* made.post("chat", "kim", "one")
      yield* made.settled("chat", "kim")
      yield* made.post("chat", "lee", "one")
      yield* made.settled("chat", "lee")
      assert.deepStrictEqual([chat.seen("kim"), chat.seen("lee")], [[], ["one"]])
      yield* made.post("chat", "max", "one")
      yield* made.settled("chat", "max")
      yield* made.post("chat", "lee", "two")
      yield* made.post("other", "kim", "elsewhere")
      yield* made.settled("other", "kim")
      assert.deepStrictEqual(other.seen("kim"), ["elsewhere"])
      yield* TestClock.adjust("59 seconds")
      assert.lengthOf(chat.requests, 3)
      yield* TestClock.adjust("1 second")
      yield* Effect.forEach(["kim", "lee", "max"], (peer) => made.settled("chat", peer))
      assert.deepStrictEqual(
        ["kim", "lee", "max"].map((peer) => chat.seen(peer)),
        [["one"], ["one", "two"], ["one"]]
      )
    })
  )

  for (const scope of ["conversation", "channel"] as const) {
    it.effect(`a throttle of the ${scope} outlasts a restart, and doesn't hold up the stop`, () =>
      Effect.gen(function* () {
        const chat = TestChannel.make({ class: "keyed" })
        const file = yield* storeFile
        const first = yield* started({ chat }, { file })
        chat.fates({ throttle: 600_000, scope })
        yield* first.post("chat", "kim", "hello")
        yield* first.settled("chat", "kim")
        yield* first.outbox.drain(1e12)
        yield* first.close
        yield* TestClock.adjust("4 minutes")
        const second = yield* started({ chat }, { file })
        yield* second.settled("chat", "kim")
        yield* TestClock.adjust("5 minutes")
        yield* second.post("chat", "kim", "after")
        yield* second.post("chat", "lee", "to lee")
        yield* second.settled("chat", "kim")
        yield* second.settled("chat", "lee")
        assert.deepStrictEqual(chat.seen("kim"), [])
        assert.deepStrictEqual(chat.seen("lee"), scope === "channel" ? [] : ["to lee"])
        yield* TestClock.adjust("1 minute")
        yield* second.settled("chat", "kim")
        yield* second.settled("chat", "lee")
        assert.deepStrictEqual(chat.seen("lee"), ["to lee"])
        assert.deepStrictEqual(chat.seen("kim"), ["hello", "after"])
      })
    )
  }
})

describe("a clock that jumps", () => {
  /** A clock whose wall time is off by what the test says; its monotonic time is the test's. */
  const jumping = Effect.map(Clock.Clock, (clock) => {
    const offset = { millis: 0 }
    const changed: Clock.Clock = Object.assign(Object.create(clock), {
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + offset.millis,
      currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + offset.millis)
    })
    return { offset, clock: changed }
  })

  for (const [where, by] of [
    ["forward by a year", 365 * 24 * hour],
    ["back by a year", -365 * 24 * hour],
    ["forward by two hours", 2 * hour]
  ] as const) {
    it.effect(`D19: ${where}: no reply dies of it, is called late, or waits for it`, () =>
      Effect.gen(function* () {
        const { clock, offset } = yield* jumping
        const chat = TestChannel.make({ class: "keyed", replyMaxAge: hour })
        offset.millis = 800 * 24 * hour
        yield* Effect.gen(function* () {
          const made = yield* started({ chat })
          chat.fates("drop", "drop", "answer", "drop")
          yield* made.post("chat", "kim", "before")
          yield* made.settled("chat", "kim")
          offset.millis += by
          yield* TestClock.adjust("1 minute")
          yield* made.settled("chat", "kim")
          yield* made.post("chat", "kim", "after")
          yield* made.settled("chat", "kim")
          yield* TestClock.adjust("2 minutes")
          yield* made.settled("chat", "kim")
          assert.deepStrictEqual(chat.seen("kim"), ["before", "after"])
        }).pipe(Effect.provideService(Clock.Clock, clock))
      })
    )
  }

  it.effect("D19: a reply's real age still counts after the jump", () =>
    Effect.gen(function* () {
      const { clock, offset } = yield* jumping
      const chat = TestChannel.make({ class: "keyed", replyMaxAge: hour })
      yield* Effect.gen(function* () {
        const made = yield* started({ chat })
        chat.fates({ throttle: 3 * hour, scope: "conversation" })
        yield* made.post("chat", "kim", "hello")
        yield* made.settled("chat", "kim")
        offset.millis += 365 * 24 * hour
        yield* TestClock.adjust("3 hours")
        yield* made.settled("chat", "kim")
        assert.deepStrictEqual(chat.seen("kim"), [
          "(Sorry for the delay. This was meant for you 3 hours ago.)\n\nhello"
        ])
      }).pipe(Effect.provideService(Clock.Clock, clock))
    })
  )
})

describe("age", () => {
  it.effect("an old reply is not sent without saying so; a fresh one is sent as it is", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed", replyMaxAge: hour })
      const file = yield* storeFile
      const first = yield* started({ chat }, { file })
      chat.fates("drop")
      const turn = yield* first.turn("chat", "kim")
      yield* first.answer(turn, kim, "the answer")
      yield* first.post("chat", "kim", "a post")
      yield* first.settled("chat", "kim")
      yield* first.close
      yield* TestClock.adjust("2 hours")
      const second = yield* started({ chat }, { file })
      yield* second.settled("chat", "kim")
      yield* second.post("chat", "kim", "fresh")
      yield* second.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), [
        "(Sorry for the delay. This is about your message from 2 hours ago.)\n\nthe answer",
        "(Sorry for the delay. This was meant for you 2 hours ago.)\n\na post",
        "fresh"
      ])
    })
  )

  it.effect("a mark that doesn't fit in goes ahead as a message of its own, once", () =>
    Effect.gen(function* () {
      const split = (text: string) => text.match(/[^]{1,80}/g) ?? []
      const file = yield* storeFile
      for (const kind of ["ambiguous-resend", "edit"] as const) {
        const chat = TestChannel.make({ class: kind, replyMaxAge: hour, split })
        const name = kind === "edit" ? "edits" : "chat"
        const first = yield* started({ [name]: chat }, { file })
        yield* first.outbox.interrupt
        yield* first.post(name, "kim", "x".repeat(80))
        yield* first.close
        yield* TestClock.adjust("3 hours")
        const second = yield* boot({ file, channels: { [name]: chat.channel } })
        chat.fatesOf(kind === "edit" ? "edit" : "deliver", ...(kind === "edit" ? [] : ["answer" as const]), "drop")
        yield* second.outbox.recover
        yield* second.settled(name, "kim")
        yield* TestClock.adjust("1 minute")
        yield* second.settled(name, "kim")
        yield* second.close
        const mark = "(Sorry for the delay. This was meant for you 3 hours ago.)"
        assert.sameMembers([...chat.seen("kim")], [mark, "x".repeat(80)], kind)
      }
    })
  )

  it.effect("a notice that has expired is dropped, not sent late", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const file = yield* storeFile
      const first = yield* started({ chat }, { file })
      const { conversation } = yield* first.turn("chat", "kim")
      yield* first.outbox.interrupt
      yield* first.outbox.notify({ conversation, address: kim }, "waiting", {})
      yield* first.outbox.notify({ conversation, address: kim }, "letGo", { words: "the plan" })
      yield* first.close
      yield* TestClock.adjust("20 minutes")
      const second = yield* started({ chat }, { file })
      yield* second.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), [
        `I was cut off while working on "the plan" and let it go. Send it again if you still need it.`
      ])
      const [letter] = yield* second.journal.reads.deadLetters({ limit: 10 })
      assert.include(letter?.error, "expired")
    })
  )

  it.effect("S18: a capped notice goes to a conversation once within its time", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const made = yield* started({ chat })
      const { conversation } = yield* made.turn("chat", "kim")
      const down = made.outbox.notify({ conversation, address: kim }, "goingDown", { restarts: true })
      yield* down
      yield* down
      yield* TestClock.adjust("9 minutes")
      yield* down
      yield* made.settled("chat", "kim")
      assert.lengthOf(chat.seen("kim"), 1)
      yield* TestClock.adjust("2 minutes")
      yield* down
      yield* made.settled("chat", "kim")
      assert.lengthOf(chat.seen("kim"), 2)
    })
  )
})
