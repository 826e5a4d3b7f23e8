/** Contracts C5 and C8 at the store: an end and its replies are one, and every message ends once. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { Settlement } from "../../src/Journal.ts"
import { endedText } from "../../src/Message.ts"
import {
  answer,
  bootFile,
  bootMemory,
  claimed,
  done,
  kim,
  message,
  outside,
  places,
  pull,
  push,
  settle,
  storeFile
} from "./harness.ts"

const begin = Effect.fnUntraced(function* (text = "work") {
  const boot = yield* bootMemory()
  const { seq } = yield* boot.journal.admit(message(text, { id: `id of ${text}` }))
  return { boot, turn: yield* claimed(boot, [seq]) }
})

describe("settle", () => {
  it.effect("C5: at the moment at which a settle returns, the end and all its replies are on disk", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const boot = yield* bootFile(file)
      const look = yield* outside(file)
      yield* boot.journal.admit(message("work"))
      const turn = yield* claimed(boot, [1])
      assert.isTrue(yield* settle(boot, turn, done("one", "two"), push))
      assert.deepStrictEqual({ ...look.prepare("select state from sluice_turns").get() }, { state: "done" })
      assert.strictEqual(look.prepare("select count(*) as n from sluice_replies").get()?.n, 2)
    })
  )

  it.effect("the first end wins, also in one round; the loser's replies do not exist", () =>
    Effect.gen(function* () {
      const { boot, turn } = yield* begin()
      const outcomes = yield* Effect.all(
        [
          settle(boot, turn, done("answer")),
          settle(boot, turn, { _tag: "Cancelled", by: "stop", replies: [answer("stopped")] })
        ],
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(outcomes, [true, false])
      assert.isFalse(yield* settle(boot, turn, done("late")))
      const page = yield* boot.journal.page("http/kim", 0, 10)
      assert.deepStrictEqual(
        page.replies.map((reply) => reply.text),
        ["answer"]
      )
    })
  )

  it.effect("an end of another attempt is refused", () =>
    Effect.gen(function* () {
      const { boot, turn } = yield* begin()
      yield* settle(boot, turn, { _tag: "Interrupted", reason: "stop", asked: false })
      const second = yield* boot.journal.resume(turn.turn.id)
      assert.isFalse(yield* settle(boot, turn, done("of the first attempt")))
      if (second !== undefined) assert.isTrue(yield* settle(boot, second, done("of the second")))
    })
  )

  it.effect("an answer that comes after the interruption of its own attempt is still an answer", () =>
    Effect.gen(function* () {
      const { boot, turn } = yield* begin()
      assert.isTrue(yield* settle(boot, turn, { _tag: "Interrupted", reason: "stop", asked: false }))
      assert.isFalse(yield* settle(boot, turn, { _tag: "Interrupted", reason: "stop", asked: false }))
      assert.isTrue(yield* settle(boot, turn, done("just in time")))
      assert.strictEqual((yield* boot.journal.reads.ledger).ends.replied, 1)
    })
  )

  it.effect("an error counts and waits, the wait is stored, and the next attempt begins from it", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* TestClock.adjust(1000)
      yield* first.journal.admit(message("work"))
      const turn = yield* claimed(first, [1])
      assert.isTrue(yield* settle(first, turn, { _tag: "Retry", error: "boom", wait: 60_000 }))
      yield* first.end
      yield* TestClock.adjust(10_000)
      const second = yield* bootFile(file)
      const [open] = second.journal.opening.turns
      assert.deepStrictEqual(
        [open?.state, open?.errors, open?.waitUntil, open?.crashes, open?.cuts],
        ["waiting", 1, 61_000, 0, 0]
      )
      const again = yield* second.journal.resume(turn.turn.id)
      assert.deepStrictEqual([again?.turn.attempt, again?.turn.waitUntil, again?.turn.cutBy], [2, undefined, undefined])
    })
  )

  it.effect("a stop that meets a backoff changes nothing of it", () =>
    Effect.gen(function* () {
      const { boot, turn } = yield* begin()
      yield* settle(boot, turn, { _tag: "Retry", error: "boom", wait: 60_000 })
      yield* settle(boot, turn, { _tag: "Interrupted", reason: "stop", asked: false })
      const [summary] = yield* boot.journal.reads.sessions({})
      assert.deepInclude(summary?.turn, { state: "waiting", waitUntil: 60_000, cutBy: undefined, cuts: 0 })
    })
  )

  const cases: ReadonlyArray<readonly [Settlement, string]> = [
    [done("hi"), "replied"],
    [done(), "no-reply"],
    [{ _tag: "Cancelled", by: "stop", replies: [] }, "cancelled(stop)"],
    [{ _tag: "Suspended", why: "crashed", replies: [answer("set aside")] }, "suspended(crashed)"],
    [{ _tag: "Dropped", policy: "resume", replies: [answer("gone")] }, "dropped(resume)"]
  ]
  for (const [settlement, end] of cases) {
    it.effect(`C8: ${settlement._tag} ends the message as ${end}, once, and the ledger balances`, () =>
      Effect.gen(function* () {
        const { boot, turn } = yield* begin()
        assert.isTrue(yield* settle(boot, turn, settlement))
        const ledger = yield* boot.journal.reads.ledger
        assert.deepStrictEqual(ledger.detail, { [end]: 1 })
        assert.deepStrictEqual([ledger.accepted, ledger.open, ledger.balanced], [1, 0, true])
        assert.deepStrictEqual(boot.ended, [1])
        assert.strictEqual(endedText((yield* boot.journal.standing(1))?.ended), end)
      })
    )
  }

  it.effect("C8: replies of a push channel keep the message open until the last is sent; the worst decides", () =>
    Effect.gen(function* () {
      const ends: Array<string> = []
      for (const last of ["Sent", "Unknown", "Dead"] as const) {
        const { boot, turn } = yield* begin()
        yield* settle(boot, turn, done("one", "two", "three"), push)
        const [one, two, three] = boot.replies.map((row) => row.id)
        const { step } = boot.journal
        const finish = (reply: number, tag: "Sent" | "Unknown" | "Dead") =>
          Effect.andThen(
            step({ _tag: "Sending", reply }),
            step(tag === "Sent" ? { _tag: tag, reply, remoteId: undefined } : { _tag: tag, reply, error: "no" })
          )
        yield* finish(one ?? 0, "Sent")
        yield* finish(two ?? 0, last)
        assert.deepStrictEqual(boot.ended, [])
        assert.strictEqual((yield* boot.journal.reads.ledger).open, 1)
        assert.isUndefined((yield* boot.journal.standing(1))?.ended)
        yield* finish(three ?? 0, last === "Dead" ? "Unknown" : "Sent")
        assert.deepStrictEqual(boot.ended, [1])
        const { balanced, detail } = yield* boot.journal.reads.ledger
        assert.isTrue(balanced)
        ends.push(...Object.keys(detail))
      }
      assert.deepStrictEqual(ends, ["replied", "unknown", "undeliverable"])
    })
  )

  it.effect("the last two replies of a turn that end in one round end its message once", () =>
    Effect.gen(function* () {
      const { boot, turn } = yield* begin()
      yield* settle(boot, turn, done("one", "two"), push)
      const ids = boot.replies.map((row) => row.id)
      yield* Effect.forEach(ids, (reply) => boot.journal.step({ _tag: "Sending", reply }))
      yield* Effect.forEach(ids, (reply) => boot.journal.step({ _tag: "Sent", reply, remoteId: undefined }), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(boot.ended, [1])
      assert.deepStrictEqual((yield* boot.journal.reads.ledger).detail, { replied: 1 })
    })
  )

  it.effect("D32: numbers of a conversation count from 1 without a hole over turns, posts, notices and boots", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("a"))
      const turn = yield* claimed(first, [1])
      const post = first.journal.post({ address: kim, id: "p1", text: "posted", parts: ["posted"], route: pull })
      const notice = first.journal.notice({
        conversation: 1,
        notice: "slow",
        parts: ["still on it"],
        route: pull,
        expiresAt: undefined,
        cap: undefined
      })
      yield* Effect.all([settle(first, turn, done("one", "two")), post, notice], { concurrency: "unbounded" })
      yield* first.end
      const second = yield* bootFile(file)
      yield* second.journal.post({ address: kim, id: "p2", text: "later", parts: ["later"], route: pull })
      const page = yield* second.journal.page("http/kim", 0, 10)
      assert.deepStrictEqual(
        page.replies.map((reply) => reply.number),
        [1, 2, 3, 4, 5]
      )
      assert.sameMembers(
        page.replies.map((reply) => reply.text),
        ["one", "two", "posted", "still on it", "later"]
      )
      assert.strictEqual(new Set(page.replies.map((reply) => reply.id)).size, 5)
      assert.deepStrictEqual(
        (yield* second.journal.page("http/kim", 2, 2)).replies.map((reply) => reply.number),
        [3, 4]
      )
    })
  )
})

describe("placeholders", () => {
  it.effect("the first part of the answer goes into the placeholder, wherever it stands", () =>
    Effect.gen(function* () {
      for (const stand of ["reserved", "placing", "placed"] as const) {
        const { boot, turn } = yield* begin()
        const { reserve, step } = boot.journal
        const reply = (yield* reserve(turn.turn.id))?.id ?? 0
        assert.strictEqual((yield* reserve(turn.turn.id))?.id, reply)
        if (stand !== "reserved") yield* step({ _tag: "Placing", reply })
        if (stand === "placed") yield* step({ _tag: "Placed", reply, remoteId: "r7" })
        assert.deepStrictEqual(yield* boot.journal.owed(0, 10), [], "nobody owes a placeholder without a text")
        yield* settle(boot, turn, done("one", "two"), places)
        assert.deepStrictEqual(
          boot.replies.map((row) => [row.id, row.reply.number, row.reply.text, row.state, row.remoteId]),
          [
            [reply, 1, "one", stand === "placing" ? "placing" : "pending", stand === "placed" ? "r7" : undefined],
            [reply + 1, 2, "two", "pending", undefined]
          ]
        )
        if (stand === "reserved") yield* step({ _tag: "Placing", reply })
        if (stand !== "placed") {
          const placed = yield* step({ _tag: "Placed", reply, remoteId: "r7" })
          assert.deepStrictEqual([placed?.state, placed?.remoteId, placed?.tries], ["pending", "r7", 0])
        }
        assert.isUndefined(yield* step({ _tag: "Placing", reply }), "it is placed")
        assert.strictEqual((yield* step({ _tag: "Sending", reply }))?.state, "sending")
      }
    })
  )

  it.effect("a turn without a reply edits its end into the placeholder, or leaves nothing behind", () =>
    Effect.gen(function* () {
      for (const [text, stand] of [
        ["Stopped.", "placed"],
        [undefined, "placed"],
        [undefined, "reserved"],
        [undefined, "placing"]
      ] as const) {
        const { boot, turn } = yield* begin()
        const { reserve, step } = boot.journal
        const reply = (yield* reserve(turn.turn.id))?.id ?? 0
        if (stand !== "reserved") yield* step({ _tag: "Placing", reply })
        if (stand === "placed") yield* step({ _tag: "Placed", reply, remoteId: "r7" })
        const settlement: Settlement = { _tag: "Cancelled", by: "stop", replies: [] }
        yield* boot.journal.settle({
          turn: turn.turn.id,
          attempt: 1,
          settlement,
          route: places,
          ...(text === undefined ? {} : { placeholder: text })
        })
        if (stand === "placing") {
          assert.strictEqual((yield* step({ _tag: "Placed", reply, remoteId: "r7" }))?.state, "sent")
        }
        assert.deepStrictEqual(
          (yield* boot.journal.owed(0, 10)).map((row) => [row.reply.text, row.reply.kind]),
          text === undefined ? [] : [["Stopped.", "notice"]]
        )
        assert.isUndefined(yield* reserve(turn.turn.id), "an ended turn has no placeholder")
        assert.deepStrictEqual((yield* boot.journal.reads.ledger).detail, { "cancelled(stop)": 1 })
      }
    })
  )
})
