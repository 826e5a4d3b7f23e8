/**
 * Strangers in their thousands: what they are told and what they may guess is bounded
 * for all of them together, and whoever has the code comes in all the same.
 *
 * Scenarios: W5
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Door } from "../src/internal/chat/door.ts"

/** A door with one code, and the guesses that were looked at. */
const withCode = () => {
  const looked: Array<string> = []
  const redeem = (code: string) =>
    Effect.sync(() => {
      looked.push(code)
      return code === "ABCD1234"
    })
  const door = new Door<number>({ paired: Effect.succeed([]), redeem, redeemed: () => Effect.succeed(false) })
  return { door, looked }
}

const people = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index)

describe("the door", () => {
  it.effect("W5: tells 200 strangers an hour that a code is needed, also where more come than are remembered", () =>
    Effect.gen(function* () {
      const { door } = withCode()
      const knocked = Effect.forEach([...people(0, 3000), ...people(0, 3000)], (id) => door.knock(id, "hello"))
      const hints = Effect.map(knocked, (answers) => answers.filter((answer) => answer === "hint").length)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(yield* hints, 200)
      assert.strictEqual(yield* door.knock(7000, "abcd-1234"), "welcome")
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual(yield* hints, 0)
      yield* TestClock.adjust("1 minutes")
      assert.strictEqual(yield* hints, 200)
    })
  )

  it.effect("W5: looks at 5 guesses of one and at 60 of all in an hour, and at the right code after it", () =>
    Effect.gen(function* () {
      const { door, looked } = withCode()
      yield* TestClock.adjust("2 hours")
      for (let guess = 0; guess < 9; guess++) yield* door.knock(1, `GUESS00${guess}`)
      assert.strictEqual(looked.length, 5)
      yield* Effect.forEach(people(2, 3000), (id) => door.knock(id, "GUESS123"))
      assert.strictEqual(looked.length, 60)
      assert.notStrictEqual(yield* door.knock(9000, "ABCD1234"), "welcome")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* door.knock(9000, "ABCD1234"), "welcome")
    })
  )

  it.effect("W5: says nothing at all, and looks at nothing, without pairing", () =>
    Effect.gen(function* () {
      const door = new Door<number>(undefined)
      assert.deepStrictEqual(
        yield* Effect.forEach(["hello", "ABCD1234", "/start ABCD1234"], (text) => door.knock(1, text)),
        ["nothing", "nothing", "nothing"]
      )
      assert.isFalse(yield* door.wasCode(1, "ABCD1234"))
    })
  )
})
