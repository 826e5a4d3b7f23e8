// The outbox over a real store: order, bounds, what the boot and repeats mean, requests without an answer. The far side
// is a test channel; time is TestClock's. Crashes in the send window are in guarantees/C5.reply.test.ts.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as TestChannel from "../src/testing/channels.ts"
import { addressOf, boot, maybeTwice, pending, started, storeFile } from "./outboxHarness.ts"

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

  it.effect("C9: a conversation with 200 replies keeps a few in memory, and sends all of them in order", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const { post, settled } = yield* started({ chat })
      const gate = yield* Deferred.make<void>()
      chat.fates({ gate })
      const texts = Array.from({ length: 200 }, (_, index) => `reply ${index}`)
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

describe("memory", () => {
  it.effect("Q22: conversations to which nothing is owed cost nothing", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const made = yield* started({ chat })
      const peers = Array.from({ length: 100 }, (_, index) => `p${index}`)
      chat.fates("drop", { throttle: 5_000, scope: "conversation" })
      yield* Effect.forEach(peers, (peer) => made.post("chat", peer, "hi"), { concurrency: "unbounded" })
      yield* Effect.forEach(peers, (peer) => made.settled("chat", peer))
      assert.strictEqual((yield* made.outbox.deliveries).lanes, 2)
      yield* TestClock.adjust("1 minute")
      yield* Effect.forEach(peers, (peer) => made.settled("chat", peer))
      assert.deepInclude(yield* made.outbox.deliveries, { lanes: 0, pending: 0, sent: 100 })
    })
  )

  it.effect("a reply that is committed while its lane reads on is not missed", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const file = yield* storeFile
      const first = yield* started({ chat }, { file })
      yield* first.outbox.interrupt
      yield* first.post("chat", "kim", "one")
      yield* first.close
      const reading = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const second = yield* started(
        { chat },
        {
          file,
          around: (journal) => ({
            ...journal,
            owed: (after, limit, conversation) =>
              Effect.tap(journal.owed(after, limit, conversation), () =>
                conversation === undefined
                  ? Effect.void
                  : Effect.andThen(Deferred.succeed(reading, undefined), Deferred.await(gate))
              )
          })
        }
      )
      yield* Deferred.await(reading)
      yield* second.post("chat", "kim", "two")
      yield* Deferred.succeed(gate, undefined)
      yield* second.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["one", "two"])
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
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual((yield* made.outbox.deliveries).retried, 1)
      assert.lengthOf(chat.requests, 1)
      yield* Deferred.succeed(stubborn, undefined)
      yield* chat.requested(3)
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["one", "two"])
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
        const peers = Array.from({ length: 20 }, (_, index) => `p${index}`)
        for (const text of Array.from({ length: 20 }, (_, index) => `reply ${index}`)) {
          yield* Effect.forEach(peers, (peer) => first.post("chat", peer, text), { concurrency: "unbounded" })
        }
        yield* first.close
        const second = yield* boot({ file, channels: { chat: chat.channel } })
        // Committed before the old ones were looked at: it must not overtake them.
        yield* second.post("chat", "p0", "new")
        const { owed } = yield* second.outbox.recover
        assert.strictEqual(owed, 401)
        yield* Effect.forEach(peers, (peer) => second.settled("chat", peer))
        const expected = Array.from({ length: 20 }, (_, index) => `reply ${index}`)
        assert.deepStrictEqual(chat.seen("p0"), [...expected, "new"])
        assert.isTrue(peers.slice(1).every((peer) => chat.seen(peer).join() === expected.join()))
        assert.strictEqual(yield* pending(second), 0)
      })
  )

  it.effect("D7: the boot says at once what nobody can tell any more, also while the channel is throttled", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "ambiguous-hold" })
      const file = yield* storeFile
      const dead = yield* started({ chat }, { file })
      chat.fates("hang")
      yield* dead.post("chat", "kim", "hello")
      yield* chat.requested(1)
      yield* dead.journal.throttle({ channel: "chat" }, 600_000)
      const made = yield* boot({ file, channels: { chat: chat.channel } })
      assert.deepInclude(yield* made.outbox.recover, { owed: 1, inFlight: 1, unknown: 1 })
      assert.deepInclude((yield* made.journal.reads.ledger).posts, { unknown: 1, open: 0 })
    })
  )

  it.effect("D7: a reply in its send window whose channel is gone is classed when the channel is back", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "ambiguous-resend" })
      const file = yield* storeFile
      const dead = yield* started({ chat }, { file })
      chat.fates("hang")
      yield* dead.post("chat", "kim", "hello")
      yield* chat.requested(1)
      const made = yield* started({}, { file })
      yield* made.settled("chat", "kim")
      assert.strictEqual(yield* pending(made), 1)
      made.registered.entries = { ...made.registered.entries, channels: new Map([["chat", chat.channel]]) }
      yield* made.outbox.reconnect("chat")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["hello", `${maybeTwice}\n\nhello`])
    })
  )

  it.effect("each boot tries once, however old a reply is", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const file = yield* storeFile
      const options = { file, outbox: { deadAfter: "20 seconds" } } as const
      const dead = yield* started({ chat }, options)
      chat.fates("hang")
      yield* dead.post("chat", "kim", "hello")
      yield* chat.requested(1)
      yield* TestClock.adjust("30 seconds")
      const made = yield* started({ chat }, options)
      yield* made.settled("chat", "kim")
      assert.strictEqual(yield* pending(made), 0)
      assert.lengthOf(chat.requests, 2)
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
