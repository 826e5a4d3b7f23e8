// What a clock that jumps had broken: the age of an answer whose placeholder is older than the jump, and of a reply whose
// process died after one.
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as TestChannel from "../../src/testing/channels.ts"
import { addressOf, hour, pending, started, storeFile } from "../outboxHarness.ts"

const kim = addressOf("chat", "kim")

describe("the clock was set back while a placeholder stood", () => {
  it.effect("D19: the answer that is edited in is tried again when its request is lost, not given up as too old", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const offset = { millis: 800 * 24 * hour }
      const jumping: Clock.Clock = Object.assign(Object.create(clock), {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + offset.millis
      })
      const chat = TestChannel.make({ class: "edit" })
      yield* Effect.gen(function* () {
        const made = yield* started({ chat })
        const turn = yield* made.turn("chat", "kim")
        const attempt = yield* Scope.make()
        yield* Scope.provide(made.outbox.begin(turn.id, { conversation: turn.conversation, address: kim }), attempt)
        // A reply that is younger than the placeholder and older than the jump.
        yield* made.post("chat", "kim", "meanwhile")
        yield* made.settled("chat", "kim")
        offset.millis -= 24 * hour
        chat.fatesOf("edit", "lose")
        yield* made.answer(turn, kim, "done")
        yield* made.settled("chat", "kim")
        yield* TestClock.adjust("1 minute")
        yield* made.settled("chat", "kim")
        assert.deepStrictEqual(chat.seen("kim"), ["done", "meanwhile"])
        assert.strictEqual(yield* pending(made), 0)
        assert.lengthOf(yield* made.journal.reads.deadLetters({ limit: 10 }), 0)
      }).pipe(Effect.provideService(Clock.Clock, jumping))
    })
  )
})

describe("the clock was set forward by 25 hours, and the process died", () => {
  it.effect(
    "D19: the replies that it left are late, and no failed request makes one a dead letter within an hour",
    () =>
      Effect.gen(function* () {
        const clock = yield* Clock.Clock
        const offset = { millis: 800 * 24 * hour }
        const jumping: Clock.Clock = Object.assign(Object.create(clock), {
          currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + offset.millis
        })
        const chat = TestChannel.make({ class: "keyed", replyMaxAge: hour })
        yield* Effect.gen(function* () {
          const file = yield* storeFile
          const dead = yield* started({ chat }, { file })
          chat.fates("drop")
          yield* dead.post("chat", "kim", "hello")
          yield* dead.post("chat", "kim", "and this")
          yield* dead.settled("chat", "kim")
          yield* dead.close
          offset.millis += 25 * hour
          const made = yield* started({ chat }, { file })
          chat.otherwise("drop")
          yield* made.settled("chat", "kim")
          yield* TestClock.adjust("50 minutes")
          assert.strictEqual(yield* pending(made), 2)
          chat.otherwise("answer")
          yield* TestClock.adjust("6 minutes")
          yield* made.settled("chat", "kim")
          const late = "(Sorry for the delay. This was meant for you 25 hours ago.)"
          assert.deepStrictEqual(
            chat.seen("kim").map((text) => text.replace("26 hours", "25 hours")),
            [`${late}\n\nhello`, `${late}\n\nand this`]
          )
          assert.lengthOf(yield* made.journal.reads.deadLetters({ limit: 10 }), 0)
        }).pipe(Effect.provideService(Clock.Clock, jumping))
      })
  )

  it.effect("D19: what has not got through for an hour since then is given up, and with it what waits behind it", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const offset = { millis: 800 * 24 * hour }
      const jumping: Clock.Clock = Object.assign(Object.create(clock), {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + offset.millis
      })
      const chat = TestChannel.make({ class: "keyed" })
      yield* Effect.gen(function* () {
        const file = yield* storeFile
        const first = yield* started({ chat }, { file })
        chat.otherwise("drop")
        yield* first.post("chat", "kim", "one")
        yield* first.post("chat", "kim", "two")
        yield* first.settled("chat", "kim")
        yield* first.close
        offset.millis += 25 * hour
        const second = yield* started({ chat }, { file })
        yield* TestClock.adjust("70 minutes")
        yield* second.settled("chat", "kim")
        assert.strictEqual(yield* pending(second), 0)
        assert.lengthOf(yield* second.journal.reads.deadLetters({ limit: 10 }), 2)
      }).pipe(Effect.provideService(Clock.Clock, jumping))
    })
  )
})
