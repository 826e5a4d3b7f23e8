/** Bursts are a function of stored facts: the same before and after a crash. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { joins } from "../../src/internal/journal/writes/bursts.ts"
import { type Boot, bootFile, bootMemory, claimed, message, movableWall, storeFile } from "./harness.ts"

const Step = Schema.Struct({
  gap: Schema.Literals([0, 1, 50, 99, 100, 101, 250, 400]),
  quiet: Schema.Literals([0, 100, 200]),
  atMost: Schema.Literals([100, 300, 500]),
  closes: Schema.Boolean
})
type Step = typeof Step.Type

/** What a reader of the rules would say: each message with all that came before it. */
const expected = (steps: ReadonlyArray<Step>): ReadonlyArray<boolean> => {
  const opens: Array<boolean> = []
  let at = 0
  let openedAt = 0
  let last: (Step & { readonly at: number }) | undefined
  for (const step of steps) {
    at += step.gap
    const begins = last === undefined || last.closes || at - last.at >= last.quiet || at - openedAt >= last.atMost
    if (begins) openedAt = at
    opens.push(begins)
    last = { ...step, at }
  }
  return opens
}

const admitAll = (boot: Boot, steps: ReadonlyArray<Step>) =>
  Effect.forEach(
    steps,
    ({ atMost, closes, gap, quiet }) =>
      Effect.andThen(TestClock.adjust(gap), boot.journal.admit(message("x", { quiet, atMost, closes }))),
    { discard: true }
  )

describe("bursts", () => {
  it.effect.prop(
    "D2: what opens a burst at the admission opens it for the next boot too",
    [Schema.Array(Step).pipe(Schema.check(Schema.isMaxLength(12)))],
    ([steps]) =>
      Effect.gen(function* () {
        const file = yield* storeFile
        const first = yield* bootFile(file)
        yield* admitAll(first, steps)
        const opens = first.rows.map((row) => row.opens)
        assert.deepStrictEqual(opens, expected(steps))
        yield* first.end
        const second = yield* bootFile(file)
        const keys = yield* second.journal.waiting(1, 100)
        assert.deepStrictEqual(
          keys.map((key) => key.opens),
          opens
        )
        assert.deepStrictEqual(
          keys.map((key) => key.closes),
          steps.map((step) => step.closes)
        )
      }),
    { arbitrary: { runs: 40 } }
  )

  it("a message joins only a burst that is open: quiet, cap and media each end it", () => {
    const tail = { since: 200, quiet: 300, atMost: 1000, closes: false }
    assert.strictEqual(joins(tail, 100), 300)
    assert.strictEqual(joins(undefined, 100), undefined)
    assert.strictEqual(joins(tail, undefined), undefined)
    assert.strictEqual(joins(tail, 300), undefined)
    assert.strictEqual(joins({ ...tail, quiet: 5000 }, 800), undefined)
    assert.strictEqual(joins({ ...tail, closes: true }, 1), undefined)
  })

  it.effect("D2: two bursts that were apart before the crash stay apart, and the first of an epoch opens one", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      const burst = { quiet: 300, atMost: 1500, closes: false }
      yield* admitAll(first, [
        { gap: 0, ...burst, quiet: 200, atMost: 500 },
        { gap: 50, ...burst, quiet: 200, atMost: 500 },
        { gap: 400, ...burst, quiet: 200, atMost: 500 }
      ])
      yield* first.end
      const second = yield* bootFile(file)
      yield* second.journal.admit(message("after the crash"))
      assert.deepStrictEqual(
        (yield* second.journal.waiting(1, 10)).map((key) => key.opens),
        [true, false, true]
      )
      assert.deepStrictEqual(
        second.rows.map((row) => [row.seq, row.opens]),
        [[4, true]]
      )
    })
  )

  it.effect("a message whose predecessor is claimed opens a burst, live and at the next boot", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      for (const text of ["a", "b", "c"]) yield* first.journal.admit(message(text))
      assert.deepStrictEqual(
        first.rows.map((row) => row.opens),
        [true, false, false]
      )
      yield* claimed(first, [1, 2])
      yield* first.journal.admit(message("d"))
      yield* first.journal.drop(1, [4], "new")
      yield* first.journal.admit(message("e"))
      assert.deepStrictEqual(
        first.rows.map((row) => row.opens),
        [true, false, false, false, true]
      )
      yield* first.end
      const second = yield* bootFile(file)
      assert.deepStrictEqual(
        (yield* second.journal.waiting(1, 10)).map((key) => [key.seq, key.opens]),
        [
          [3, true],
          [5, true]
        ]
      )
    })
  )

  it.effect("only messages count: a command neither opens, joins nor parts a burst", () =>
    Effect.gen(function* () {
      const boot = yield* bootFile(yield* storeFile)
      yield* boot.journal.admit(message("a"))
      yield* boot.journal.admit(message("/status", { command: true }))
      yield* TestClock.adjust(100)
      yield* boot.journal.admit(message("b"))
      assert.deepStrictEqual(
        boot.rows.map((row) => [row.text, row.command, row.opens]),
        [
          ["a", false, true],
          ["/status", true, true],
          ["b", false, false]
        ]
      )
    })
  )

  it.effect("D23: a repeat between two messages does not part their burst, nor prolong it", () =>
    Effect.gen(function* () {
      const boot = yield* bootFile(yield* storeFile)
      yield* boot.journal.admit(message("a", { id: "1" }))
      yield* TestClock.adjust(200)
      // One round: the repeat and a new message behind it.
      yield* Effect.all(
        [boot.journal.admit(message("a", { id: "1" })), boot.journal.admit(message("b", { id: "2" }))],
        { concurrency: "unbounded" }
      )
      yield* TestClock.adjust(200)
      yield* boot.journal.admit(message("a", { id: "1" }))
      yield* boot.journal.admit(message("c", { id: "3" }))
      yield* TestClock.adjust(100)
      yield* boot.journal.admit(message("b", { id: "2" }))
      yield* TestClock.adjust(200)
      yield* boot.journal.admit(message("d", { id: "4" }))
      assert.deepStrictEqual(
        boot.rows.map((row) => [row.seq, row.text, row.opens]),
        [
          [1, "a", true],
          [2, "b", false],
          [3, "c", false],
          [4, "d", true]
        ]
      )
    })
  )

  it.effect("D19: the wall clock plays no part, whichever way it jumps", () =>
    Effect.gen(function* () {
      const wall = yield* movableWall
      const boot = yield* Effect.provideService(bootMemory(), Clock.Clock, wall.clock)
      for (const jump of [0, 31_536_000_000, -63_072_000_000]) {
        wall.jump(jump)
        yield* TestClock.adjust(200)
        yield* boot.journal.admit(message(`after ${jump}`))
      }
      assert.deepStrictEqual(
        boot.rows.map((row) => row.opens),
        [true, false, false]
      )
    })
  )
})
