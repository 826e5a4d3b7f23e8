// What a clock that jumps had broken: the age of an answer whose placeholder is older than the jump.
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as TestChannel from "../src/testing/channels.ts"
import { addressOf, hour, pending, started } from "./outboxHarness.ts"

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
