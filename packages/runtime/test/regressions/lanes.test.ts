// What a lane that was there before had broken: a reply that waits, and a turn that lets go of its placeholder late.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as TestChannel from "../../src/testing/channels.ts"
import { addressOf, pending, started } from "../outboxHarness.ts"

const kim = addressOf("chat", "kim")

describe("a turn lets go after its answer was delivered", () => {
  for (const scope of ["conversation", "channel"] as const) {
    it.effect(`a later reply that waits for a throttle of the ${scope} is delivered all the same`, () =>
      Effect.gen(function* () {
        const chat = TestChannel.make({ class: "edit" })
        const made = yield* started({ chat })
        const turn = yield* made.turn("chat", "kim")
        const attempt = yield* Scope.make()
        yield* Scope.provide(made.outbox.begin(turn.id, { conversation: turn.conversation, address: kim }), attempt)
        yield* made.settled("chat", "kim")
        // Its end is committed by somebody else; its agent takes its time to let go.
        yield* made.answer(turn, kim, "done")
        yield* made.settled("chat", "kim")
        assert.strictEqual(yield* pending(made), 0)
        chat.fatesOf("place", { throttle: 60_000, scope })
        yield* made.post("chat", "kim", "later")
        yield* made.settled("chat", "kim")
        yield* Scope.close(attempt, Exit.void)
        yield* TestClock.adjust("1 minute")
        yield* made.settled("chat", "kim")
        assert.deepStrictEqual(chat.seen("kim"), ["done", "later"])
        assert.strictEqual(yield* pending(made), 0)
      })
    )
  }
})
