/** Replies on their way: steps, posts, notices, waits and dead letters. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { ReplyStep } from "../../src/Journal.ts"
import { Accepted, Conflict } from "../../src/Message.ts"
import { bootFile, bootMemory, claimed, done, kim, lee, message, pull, push, settle, storeFile } from "./harness.ts"

/** A reply of a push channel, pending. */
const pending = Effect.fnUntraced(function* () {
  const boot = yield* bootMemory()
  const { seq } = yield* boot.journal.admit(message("work"))
  yield* settle(boot, yield* claimed(boot, [seq]), done("answer"), push)
  return { boot, reply: boot.replies[0]?.id ?? 0, step: boot.journal.step }
})

describe("steps", () => {
  it.effect("a step leaves only the states that it names; one that lost its race does nothing", () =>
    Effect.gen(function* () {
      const { boot, reply, step } = yield* pending()
      const impossible: ReadonlyArray<ReplyStep> = [
        { _tag: "Sent", reply, remoteId: "r" },
        { _tag: "Unknown", reply, error: "?" },
        { _tag: "Placed", reply, remoteId: "r" },
        { _tag: "Sending", reply: 99 }
      ]
      for (const lost of impossible) assert.isUndefined(yield* step(lost), lost._tag)
      const both = yield* Effect.all([step({ _tag: "Sending", reply }), step({ _tag: "Sending", reply })], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        both.map((row) => row?.state),
        ["sending", undefined]
      )
      assert.strictEqual((yield* step({ _tag: "Sent", reply, remoteId: "r1" }))?.remoteId, "r1")
      assert.isUndefined(yield* step({ _tag: "Dead", reply, error: "late" }))
      assert.deepStrictEqual(boot.ended, [1])
    })
  )

  it.effect("what is put off keeps its wait and its mark, and counts its tries", () =>
    Effect.gen(function* () {
      const { reply, step } = yield* pending()
      yield* TestClock.adjust(1000)
      yield* step({ _tag: "Sending", reply })
      const later = yield* step({ _tag: "Later", reply, wait: 5000, marked: true })
      assert.deepStrictEqual([later?.state, later?.notBefore, later?.marked, later?.tries], ["pending", 6000, true, 1])
      yield* step({ _tag: "Sending", reply })
      const again = yield* step({ _tag: "Later", reply, wait: 0, marked: false })
      assert.deepStrictEqual([again?.marked, again?.tries], [true, 2])
    })
  )

  it.effect("W4: the list of dead letters has the beginnings of long ones, a replay has all of it", () =>
    Effect.gen(function* () {
      const text = "x".repeat(200_000)
      const boot = yield* bootMemory()
      yield* boot.journal.admit(message("hi"))
      yield* settle(boot, yield* claimed(boot, [1]), done(text), push)
      const reply = boot.replies[0]?.id ?? 0
      yield* boot.journal.step({ _tag: "Sending", reply })
      yield* boot.journal.step({ _tag: "Dead", reply, error: "too long" })
      const [letter] = yield* boot.journal.reads.deadLetters({ limit: 10 })
      assert.deepStrictEqual([letter?.row.reply.text, letter?.length], [text.slice(0, 1000), 200_000])
      assert.strictEqual((yield* boot.journal.replay(reply))?.reply.text, text)
    })
  )

  it.effect("a dead letter keeps its payload, is replayed once as a new reply, or discarded", () =>
    Effect.gen(function* () {
      const { boot, reply, step } = yield* pending()
      yield* step({ _tag: "Sending", reply })
      yield* step({ _tag: "Dead", reply, error: "chat not found" })
      assert.strictEqual((yield* boot.journal.reads.ledger).ends.undeliverable, 1)
      const [letter] = yield* boot.journal.reads.deadLetters({ limit: 10 })
      assert.deepStrictEqual(
        [letter?.row.reply.text, letter?.error, letter?.conversationKey],
        ["answer", "chat not found", "http/kim"]
      )
      const [fresh, again] = yield* Effect.all([boot.journal.replay(reply), boot.journal.replay(reply)], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        [fresh?.state, fresh?.reply.text, fresh?.reply.number, again],
        ["pending", "answer", 2, undefined]
      )
      assert.deepStrictEqual(fresh?.reply.inReplyTo, letter?.row.reply.inReplyTo)
      assert.strictEqual(boot.replies.at(-1)?.id, fresh?.id, "the outbox is rung for it")
      yield* step({ _tag: "Sending", reply: fresh?.id ?? 0 })
      yield* step({ _tag: "Dead", reply: fresh?.id ?? 0, error: "still not" })
      assert.isTrue(yield* boot.journal.discard(fresh?.id ?? 0))
      assert.isFalse(yield* boot.journal.discard(fresh?.id ?? 0))
      assert.deepStrictEqual(yield* boot.journal.reads.deadLetters({ limit: 10 }), [])
      const { balanced, detail } = yield* boot.journal.reads.ledger
      assert.deepStrictEqual([balanced, detail], [true, { undeliverable: 1 }])
    })
  )
})

describe("posts", () => {
  const post = { address: kim, id: "p1", text: "disk almost full", parts: ["disk almost full"], route: pull }

  it.effect("a post is idempotent in an id space of its own, and has a ledger column of its own", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootMemory()
      yield* journal.admit(message("hello", { id: "p1" }))
      const [first, repeat] = yield* Effect.all([journal.post(post), journal.post(post)], { concurrency: "unbounded" })
      assert.deepStrictEqual(first, new Accepted({ seq: first.seq, id: "p1", duplicate: false }))
      assert.deepStrictEqual(repeat, new Accepted({ seq: first.seq, id: "p1", duplicate: true }))
      assert.instanceOf(yield* Effect.flip(journal.post({ ...post, text: "another" })), Conflict)
      // A reload has given the channel another limit meanwhile, or took it away: it is cut otherwise, and the same post.
      assert.isTrue((yield* journal.post({ ...post, parts: ["disk", "almost full"], route: push })).duplicate)
      assert.isFalse((yield* journal.post({ ...post, address: lee })).duplicate)
      const { accepted, balanced, posts } = yield* journal.reads.ledger
      assert.deepStrictEqual(
        [accepted, balanced, posts],
        [1, true, { accepted: 2, open: 0, sent: 2, undeliverable: 0, unknown: 0 }]
      )
    })
  )

  it.effect("a post of a push channel is open until its last part has its end; the worst decides", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* boot.journal.post({ ...post, parts: ["one", "two"], route: push })
      const [one = 0, two = 0] = boot.replies.map((row) => row.id)
      yield* boot.journal.step({ _tag: "Sending", reply: one })
      yield* boot.journal.step({ _tag: "Unknown", reply: one, error: "?" })
      assert.strictEqual((yield* boot.journal.reads.ledger).posts.open, 1)
      yield* boot.journal.step({ _tag: "Sending", reply: two })
      yield* boot.journal.step({ _tag: "Sent", reply: two, remoteId: undefined })
      const { balanced, posts } = yield* boot.journal.reads.ledger
      assert.deepStrictEqual([balanced, posts.open, posts.unknown], [true, 0, 1])
    })
  )
})

describe("notices and waits", () => {
  const notice = {
    conversation: 1,
    notice: "waiting",
    parts: ["Got it."],
    route: pull,
    expiresAt: 99_000,
    cap: { count: 2, within: 60_000 }
  }

  it.effect("S18: a sentence is stored at most so often in its time, per conversation and sentence", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootMemory()
      yield* journal.admit(message("a"))
      yield* journal.admit(message("b", { address: lee }))
      const say = (more: Partial<typeof notice> = {}) =>
        Effect.map(journal.notice({ ...notice, ...more }), (row) => row !== undefined)
      const together = yield* Effect.all([say(), say(), say()], { concurrency: "unbounded" })
      assert.deepStrictEqual(together, [true, true, false])
      assert.isTrue(yield* say({ conversation: 2 }))
      assert.isTrue(yield* say({ notice: "back" }))
      assert.isFalse(yield* say({ conversation: 77 }), "nobody is there")
      yield* TestClock.adjust(60_001)
      assert.isTrue(yield* say())
    })
  )

  it.effect("a notice has its kind, its expiry and a number like any reply", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* boot.journal.admit(message("a"))
      const row = yield* boot.journal.notice({ ...notice, route: push })
      assert.deepStrictEqual(
        [row?.reply.kind, row?.expiresAt, row?.reply.number, row?.state],
        ["notice", 99_000, 1, "pending"]
      )
      assert.strictEqual(boot.replies.length, 1)
    })
  )

  it.effect("429 waits are stored for a conversation or a channel, and outlive a restart", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.throttle({ channel: "telegram" }, 10_000)
      yield* first.journal.throttle({ channel: "telegram", conversation: 3 }, 20_000)
      yield* first.journal.throttle({ channel: "telegram" }, 30_000)
      yield* first.end
      yield* TestClock.adjust(5000)
      const second = yield* bootFile(file)
      assert.sameDeepMembers(
        [...(yield* second.journal.throttles)],
        [
          { channel: "telegram", conversation: undefined, left: 25_000 },
          { channel: "telegram", conversation: 3, left: 15_000 }
        ]
      )
      yield* TestClock.adjust(25_000)
      assert.deepStrictEqual(yield* second.journal.throttles, [])
    })
  )
})
