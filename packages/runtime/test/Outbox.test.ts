// The outbox over a real store: order, waits, holds, age, dead letters, bounds and the drain. The far side is a test
// channel; time is TestClock's. Crashes in the send window are in guarantees/C5.reply.test.ts.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as TestChannel from "../src/testing/channels.ts"
import { addressOf, type Boot, boot, storeFile } from "./outboxHarness.ts"

const hour = 3_600_000
const maybeTwice = "(You may have seen this before: the connection dropped while I was sending it.)"

/** A recovered boot with these channels. */
const started = Effect.fnUntraced(function* (
  channels: { readonly [name: string]: TestChannel.TestChannel },
  options: Partial<Parameters<typeof boot>[0]> = {}
) {
  const made = yield* boot({
    file: options.file ?? (yield* storeFile),
    channels: Object.fromEntries(Object.entries(channels).map(([name, { channel }]) => [name, channel])),
    ...options
  })
  yield* made.outbox.recover
  return made
})

const pending = ({ outbox }: Boot) => Effect.map(outbox.deliveries, (deliveries) => deliveries.pending)

/** A clock that shows another wall time; its monotonic time is the test's. */
const kim = addressOf("chat", "kim")

describe("order", () => {
  it.effect("C3: replies of a conversation leave in (turn, part) order, one after the other", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed", split: (text) => text.split("|") })
      const { answer, settled, turn } = yield* started({ chat })
      const gate = yield* Deferred.make<void>()
      chat.fates({ gate })
      const first = yield* turn("chat", "kim")
      yield* answer(first, kim, "a|b|c")
      const second = yield* turn("chat", "kim")
      yield* answer(second, kim, "d|e")
      yield* chat.requested(1)
      assert.deepStrictEqual(
        chat.requests.map((request) => request.text),
        ["a"]
      )
      yield* Deferred.succeed(gate, undefined)
      yield* settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["a", "b", "c", "d", "e"])
    })
  )

  it.effect("a reply that can't be sent yet is not overtaken by the next one", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const { post, settled } = yield* started({ chat })
      chat.fates("drop", "drop")
      yield* post("chat", "kim", "first")
      yield* post("chat", "kim", "second")
      yield* settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), [])
      yield* TestClock.adjust("1 minute")
      yield* settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["first", "second"])
      assert.deepStrictEqual(
        chat.requests.map((request) => request.text),
        ["first", "first", "first", "second"]
      )
    })
  )

  it.effect("C3: lanes are independent: a request that hangs holds up its own conversation only", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const { post, settled } = yield* started({ chat })
      chat.fates("hang")
      yield* post("chat", "kim", "stuck")
      yield* chat.requested(1)
      for (const peer of ["lee", "max", "noa"]) {
        yield* post("chat", peer, `to ${peer}`)
        yield* settled("chat", peer)
        assert.deepStrictEqual(chat.seen(peer), [`to ${peer}`])
      }
    })
  )

  it.effect("C9: a channel gets at most so many requests at once, and everybody's turn comes", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const { post, settled } = yield* started({ chat }, { outbox: { concurrency: 3 } })
      const gate = yield* Deferred.make<void>()
      chat.otherwise({ gate })
      const peers = Array.from({ length: 10 }, (_, index) => `p${index}`)
      yield* Effect.forEach(peers, (peer) => post("chat", peer, "hi"))
      yield* chat.requested(3)
      yield* TestClock.adjust("1 second")
      assert.lengthOf(chat.requests, 3)
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.forEach(peers, (peer) => settled("chat", peer))
      assert.isTrue(peers.every((peer) => chat.seen(peer).length === 1))
    })
  )

  it.effect("C9: a conversation with a thousand replies keeps a few in memory, and sends all of them in order", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const { post, settled } = yield* started({ chat })
      const gate = yield* Deferred.make<void>()
      chat.fates({ gate })
      const texts = Array.from({ length: 1_000 }, (_, index) => `reply ${index}`)
      yield* Effect.forEach(texts, (text) => post("chat", "kim", text), { concurrency: 64 })
      yield* Deferred.succeed(gate, undefined)
      yield* settled("chat", "kim")
      assert.deepStrictEqual([...chat.seen("kim")].sort(), [...texts].sort())
      assert.deepStrictEqual(
        chat.requests.map((request) => Number(request.id.split("-").at(-1))),
        chat.requests.map((_, index) => Number(chat.requests[0]?.id.split("-").at(-1)) + index)
      )
    })
  )
})

describe("what is stored twice is sent once", () => {
  it.effect("D9: the doorbell rings again for the same reply: one request", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "ambiguous-resend" })
      const made = yield* started({ chat })
      yield* made.post("chat", "kim", "hello", "job-1")
      const rows = yield* made.journal.owed(0, 10)
      made.outbox.repliesUnsafe(rows)
      made.outbox.repliesUnsafe(rows)
      yield* made.settled("chat", "kim")
      yield* made.post("chat", "kim", "hello", "job-1")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["hello"])
      assert.lengthOf(chat.requests, 1)
    })
  )

  it.effect("a network that delivers a request twice shows it once where the other side can tell", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const { post, settled } = yield* started({ chat })
      chat.fates("duplicate", "lose-answer")
      yield* post("chat", "kim", "one")
      yield* post("chat", "kim", "two")
      yield* settled("chat", "kim")
      yield* TestClock.adjust("1 minute")
      yield* settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["one", "two"])
    })
  )
})

describe("requests without an answer", () => {
  const fates = ["lose", "lose-answer", "defect", "hang"] as const
  for (const kind of ["keyed", "edit", "ambiguous-hold", "ambiguous-resend"] as const) {
    it.effect(`C5: ${kind}: a lost answer, a defect and a timeout mean the same, at once`, () =>
      Effect.gen(function* () {
        for (const fate of fates) {
          const chat = TestChannel.make({ class: kind })
          const made = yield* started({ chat }, { outbox: { deliverTimeout: "5 seconds" } })
          if (kind === "edit") chat.fatesOf("edit", fate)
          else chat.fates(fate)
          yield* made.post("chat", "kim", "hello")
          yield* chat.requested(1, kind === "edit" ? "edit" : "deliver")
          yield* TestClock.adjust("5 seconds")
          yield* made.settled("chat", "kim")
          yield* TestClock.adjust("1 minute")
          yield* made.settled("chat", "kim")
          const arrived = fate === "lose-answer" || fate === "hang"
          const deliveries = yield* made.outbox.deliveries
          const where = `${kind} ${fate}`
          assert.strictEqual(deliveries.pending, 0, where)
          if (kind === "ambiguous-hold") {
            assert.deepStrictEqual(chat.seen("kim"), arrived ? ["hello"] : [], where)
            assert.strictEqual(deliveries.unknown, 1, where)
          } else if (kind === "ambiguous-resend") {
            assert.deepStrictEqual(chat.seen("kim"), [...(arrived ? ["hello"] : []), `${maybeTwice}\n\nhello`], where)
            assert.strictEqual(deliveries.sent, 1, where)
          } else {
            assert.deepStrictEqual(chat.seen("kim"), ["hello"], where)
            assert.strictEqual(deliveries.sent, 1, where)
          }
        }
      })
    )
  }

  it.effect("C5: a marked copy that is lost as well is not sent a third time", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "ambiguous-resend" })
      const made = yield* started({ chat })
      chat.fates("lose-answer", "lose-answer")
      yield* made.post("chat", "kim", "hello")
      yield* made.settled("chat", "kim")
      yield* TestClock.adjust("1 hour")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["hello", `${maybeTwice}\n\nhello`])
      assert.strictEqual((yield* made.outbox.deliveries).unknown, 1)
    })
  )

  it.effect("a request that ignores its end is classed in time, and nothing of its conversation overlaps it", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const made = yield* started({ chat }, { outbox: { deliverTimeout: "5 seconds" } })
      const stubborn = yield* Deferred.make<void>()
      chat.fates({ stubborn })
      yield* made.post("chat", "kim", "one")
      yield* made.post("chat", "kim", "two")
      yield* chat.requested(1)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* made.outbox.deliveries).retried, 1)
      assert.lengthOf(chat.requests, 1)
      yield* Deferred.succeed(stubborn, undefined)
      yield* chat.requested(3)
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["one", "two"])
    })
  )
})

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
        yield* second.settled("chat", "kim")
        assert.lengthOf(chat.requests, 1)
        yield* TestClock.adjust("1 minute")
        yield* second.settled("chat", "kim")
        assert.deepStrictEqual(chat.seen("kim"), ["hello", "after"])
      })
    )
  }

  it.effect("D19: a wall clock that jumps neither kills a reply, nor calls it late, nor makes it wait", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed", replyMaxAge: hour })
      yield* TestClock.setTime(400 * 24 * hour)
      const made = yield* started({ chat })
      chat.fates("drop")
      yield* made.post("chat", "kim", "before the jump")
      yield* made.settled("chat", "kim")
      // Back by a year: TestClock's monotonic time stands still then.
      yield* TestClock.setTime(35 * 24 * hour)
      yield* TestClock.adjust("1 minute")
      yield* made.post("chat", "kim", "after it")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["before the jump", "after it"])
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
      const down = made.outbox.notify({ conversation, address: kim }, "goingDown", {})
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
        { channel: "chat", why: "unauthorized", reason: "token revoked", conversations: 2 }
      ])
      yield* TestClock.adjust("48 hours")
      assert.strictEqual(yield* pending(made), 2)
      assert.lengthOf(chat.requests, 1)
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

describe("the boot", () => {
  it.effect(
    "D6: replies of many conversations that were stored and not sent are sent, each conversation in order",
    () =>
      Effect.gen(function* () {
        const chat = TestChannel.make({ class: "keyed" })
        const file = yield* storeFile
        const first = yield* started({ chat }, { file })
        yield* first.outbox.interrupt
        const peers = Array.from({ length: 40 }, (_, index) => `p${index}`)
        for (const text of Array.from({ length: 20 }, (_, index) => `reply ${index}`)) {
          yield* Effect.forEach(peers, (peer) => first.post("chat", peer, text), { concurrency: "unbounded" })
        }
        yield* first.close
        const second = yield* boot({ file, channels: { chat: chat.channel } })
        // Committed before the old ones were looked at: it must not overtake them.
        yield* second.post("chat", "p0", "new")
        const { owed } = yield* second.outbox.recover
        assert.strictEqual(owed, 801)
        yield* Effect.forEach(peers, (peer) => second.settled("chat", peer))
        const expected = Array.from({ length: 20 }, (_, index) => `reply ${index}`)
        assert.deepStrictEqual(chat.seen("p0"), [...expected, "new"])
        assert.isTrue(peers.slice(1).every((peer) => chat.seen(peer).join() === expected.join()))
        assert.strictEqual(yield* pending(second), 0)
      })
  )
})

describe("those who pull", () => {
  it.effect("D32: a post and a reply in the same millisecond both arrive, numbered without a hole", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "pull" })
      const made = yield* started({ chat })
      const turns = yield* Effect.forEach(["a", "b", "c"], () =>
        made.turn("chat", "kim").pipe(Effect.tap((turn) => made.answer(turn, kim, "warm-up")))
      )
      assert.lengthOf(turns, 3)
      const last = yield* made.turn("chat", "kim")
      yield* Effect.all([made.answer(last, kim, "the answer"), made.post("chat", "kim", "the post")], {
        concurrency: 2
      })
      const { replies } = yield* made.outbox.page("chat/kim", 0, 10)
      assert.deepStrictEqual(
        replies.map((reply) => reply.number),
        [1, 2, 3, 4, 5]
      )
      assert.sameMembers(
        replies.slice(3).map((reply) => reply.text),
        ["the answer", "the post"]
      )
      assert.strictEqual((yield* made.outbox.deliveries).sent, 5)
      assert.strictEqual(yield* pending(made), 0)
    })
  )
})
