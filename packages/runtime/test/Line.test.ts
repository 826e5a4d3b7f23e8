// The rules of a line, without time: what becomes a batch, what falls at the cap, and that an item is always in exactly
// one place: waiting, fallen, or out.
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as FollowupQueue from "../src/FollowupQueue.ts"

const lineOf = (
  items: ReadonlyArray<number>,
  options?: FollowupQueue.Policy & FollowupQueue.Items<number>
): FollowupQueue.Line<number> => {
  const line = FollowupQueue.makeLine<number>(options)
  for (const item of items) line.push(item)
  return line
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

describe("next", () => {
  it("collect takes everything that waits, and then there is nothing", () => {
    const line = lineOf([1, 2, 3])
    assert.deepStrictEqual(line.peek(), [1, 2, 3])
    assert.deepStrictEqual(line.next(), [1, 2, 3])
    assert.isUndefined(line.next())
    assert.strictEqual(line.size, 0)
  })

  it("begins with the head, which what falls is never", () => {
    const line = lineOf([1, 2, 3], { cap: 2, drop: "old" })
    assert.strictEqual(line.head, 1)
    assert.deepStrictEqual(line.overflow(), [1])
    assert.strictEqual(line.head, 2)
    assert.strictEqual(line.next()?.[0], 2)
    assert.isUndefined(line.head)
  })

  it("takes at most 64 items, the rest waits", () => {
    const line = lineOf(upTo(130))
    assert.deepStrictEqual([line.next()?.length, line.next()?.length, line.next()?.length], [64, 64, 2])
  })

  it("takes at most 256 KiB, but one item alone may be heavier", () => {
    const KiB = 1024
    const line = lineOf([100, 156, 1, 300, 2], { weight: (item) => item * KiB })
    assert.deepStrictEqual(line.next(), [100, 156])
    assert.deepStrictEqual(line.next(), [1])
    assert.deepStrictEqual(line.next(), [300])
    assert.deepStrictEqual(line.next(), [2])
  })

  it("followup takes one item, or one burst where the items say where one begins", () => {
    assert.deepStrictEqual(lineOf([1, 2], { mode: "followup" }).next(), [1])
    const line = lineOf([10, 11, 12, 20, 30, 31], { mode: "followup", opens: (item) => item % 10 === 0 })
    assert.deepStrictEqual([line.next(), line.next(), line.next()], [[10, 11, 12], [20], [30, 31]])
  })

  it("followup keeps bursts apart when the item that began one is gone", () => {
    const line = lineOf([10, 11, 20, 21], { mode: "followup", opens: (item) => item % 10 === 0 })
    assert.deepStrictEqual(
      line.clear((item) => item === 20),
      [20]
    )
    assert.deepStrictEqual([line.next(), line.next()], [[10, 11], [21]])
  })

  it("followup cuts a burst at the batch limit, and its rest is the next batch", () => {
    const line = lineOf([10, 11, 12, 20], { mode: "followup", maxItems: 2, opens: (item) => item % 10 === 0 })
    assert.deepStrictEqual([line.next(), line.next(), line.next()], [[10, 11], [12], [20]])
  })

  it("interrupt takes everything, as collect does, and the mode may change at any time", () => {
    const line = lineOf([1, 2, 3], { mode: "followup" })
    assert.deepStrictEqual(line.next(), [1])
    line.mode = "interrupt"
    assert.deepStrictEqual(line.next(), [2, 3])
  })
})

describe("overflow", () => {
  it("Q5: nothing falls up to the cap, which is 20", () => {
    const line = lineOf(upTo(19))
    assert.isFalse(line.full)
    line.push(20)
    assert.isTrue(line.full)
    assert.deepStrictEqual(line.overflow(), [])
    line.push(21)
    assert.deepStrictEqual(line.overflow(), [1])
  })

  it("Q5: summarize and old let the oldest fall, new what was offered", () => {
    for (const [drop, falls] of [["summarize", [1, 2]] as const, ["old", [1, 2]] as const, ["new", [4, 5]] as const]) {
      const line = lineOf([1, 2, 3, 4, 5], { cap: 3, drop })
      assert.deepStrictEqual(line.overflow(), falls)
      assert.strictEqual(line.size, 3)
    }
  })

  it("Q5: a fallen item is told once, not taken, not cleared, and waits again if it is kept", () => {
    const line = lineOf([1, 2, 3], { cap: 2, drop: "old" })
    assert.deepStrictEqual(line.overflow(), [1])
    assert.deepStrictEqual(line.overflow(), [])
    assert.deepStrictEqual(line.items(), [2, 3])
    line.keep([1])
    assert.deepStrictEqual(line.items(), [1, 2, 3])
    assert.deepStrictEqual(line.overflow(), [1])
    assert.deepStrictEqual(line.clear(), [2, 3])
    line.forget([1])
    line.keep([1])
    assert.isUndefined(line.next())
  })

  it("items that don't count neither fall nor make others fall", () => {
    const line = lineOf([100, 1, 200, 2, 3], { cap: 2, drop: "old", counted: (item) => item < 100 })
    assert.deepStrictEqual(line.overflow(), [1])
    line.forget([1])
    assert.deepStrictEqual(line.next(), [100, 200, 2, 3])
  })

  it("what is about to run neither counts nor falls", () => {
    const line = lineOf([1, 2, 3, 4], { cap: 1, drop: "old" })
    assert.deepStrictEqual(line.overflow(2), [3])
    assert.deepStrictEqual(line.items(), [1, 2, 4])
  })

  it("cap and policy may change at any time", () => {
    const line = lineOf([1, 2, 3, 4], { cap: 4, drop: "old" })
    assert.deepStrictEqual(line.overflow(), [])
    line.cap = 2
    line.drop = "new"
    assert.deepStrictEqual(line.overflow(), [3, 4])
  })

  it("equal items fall, are kept and are forgotten one by one", () => {
    const line = lineOf([7, 7, 7], { cap: 1, drop: "old" })
    assert.deepStrictEqual(line.overflow(), [7, 7])
    line.forget([7])
    line.keep([7, 7])
    assert.deepStrictEqual(line.items(), [7, 7])
  })
})

const Operations = Schema.Array(
  Schema.Struct({
    operation: Schema.Literals(["push", "push", "push", "next", "overflow", "forget", "keep", "clear", "mode"]),
    mode: Schema.Literals(["collect", "followup", "interrupt"]),
    drop: Schema.Literals(["old", "new", "summarize"]),
    cap: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
  })
).check(Schema.isMinLength(20), Schema.isMaxLength(80))

it.prop(
  "whatever is done to a line, each item is in one place and leaves in order",
  { operations: Operations },
  ({ operations }) => {
    const line = FollowupQueue.makeLine<number>({ opens: (item) => item % 3 === 0, maxItems: 4 })
    const out: Array<number> = []
    const taken: Array<number> = []
    let fallen: Array<number> = []
    let pushed = 0
    for (const { operation, mode, drop, cap } of operations) {
      if (operation === "push") line.push(pushed++)
      else if (operation === "next") taken.push(...(line.next() ?? []))
      else if (operation === "overflow") fallen.push(...line.overflow())
      else if (operation === "clear") out.push(...line.clear((item) => item % 5 === 0))
      else if (operation === "mode") Object.assign(line, { mode, drop, cap })
      else {
        line[operation](fallen)
        if (operation === "forget") out.push(...fallen)
        fallen = []
      }
      const everywhere = [...line.items(), ...out, ...taken, ...fallen].sort((a, b) => a - b)
      assert.deepStrictEqual(
        everywhere,
        upTo(pushed).map((item) => item - 1)
      )
      assert.strictEqual(line.size, line.items().length)
    }
    if (!operations.some(({ operation }) => operation === "keep")) {
      assert.deepStrictEqual(
        taken,
        taken.toSorted((a, b) => a - b)
      )
    }
  }
)

describe("summary", () => {
  it("Q5: says how many fell and shows a line of at most 160 characters for each", () => {
    const { count, lines } = FollowupQueue.summary(["short", "x".repeat(200), "two\n  lines "])
    assert.strictEqual(count, 3)
    assert.deepStrictEqual(lines, ["short", `${"x".repeat(159)}\u2026`, "two lines"])
    assert.strictEqual(lines[1]?.length, 160)
  })

  it("never cuts a character in two", () => {
    for (let offset = 0; offset < 4; offset++) {
      const [line = ""] = FollowupQueue.summary([`${"x".repeat(offset)}${"\u{1F600}".repeat(100)}`]).lines
      assert.isTrue(line.isWellFormed())
      assert.isAtMost(line.length, 160)
      assert.isAtLeast(line.length, 159)
    }
  })

  it("shows the latest lines when there are too many, and counts all", () => {
    const { count, lines } = FollowupQueue.summary(["a", "b", "c"], { maxLines: 2, count: 40 })
    assert.strictEqual(count, 40)
    assert.deepStrictEqual(lines, ["b", "c"])
  })
})
