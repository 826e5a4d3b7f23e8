// What level 4 calls growth: a line that rises by more than chance and by enough to matter.
import { assert, describe, it } from "@effect/vitest"
import { judge, lineThrough } from "../src/levels/growth.ts"

const memory = { name: "memory", unit: "MB", slack: 4 }
/** The first boot is left out. */
const verdictOf = (...values: ReadonlyArray<number>) => judge(memory, [0, ...values]).verdict

describe("growth over boots of the same age", () => {
  it("is the slope of the line of least squares, with how sure it is", () => {
    const line = lineThrough([1, 3, 5, 7])
    assert.deepInclude(line, { slope: 2, intercept: 1, certainty: Infinity })
    assert.closeTo(lineThrough([1, 2, 1.5, 2.5, 2])?.slope ?? 0, 0.25, 1e-9)
    assert.strictEqual(lineThrough([1, 2]), undefined)
    assert.deepInclude(lineThrough([4, 4, 4]), { slope: 0, certainty: 0 })
  })

  it("is seen in a steady rise, also behind noise", () => {
    assert.strictEqual(verdictOf(100, 105, 110, 115, 120, 125), "grows")
    assert.strictEqual(verdictOf(100, 107, 108, 116, 118, 127, 128, 137), "grows")
  })

  it("is not seen in noise, in a fall, in a step within the slack, nor in a rise that matters to nobody", () => {
    assert.strictEqual(verdictOf(100, 120, 95, 118, 101, 119), "does not grow")
    assert.strictEqual(verdictOf(120, 115, 110, 105, 100), "does not grow")
    assert.strictEqual(verdictOf(10, 11, 12, 13, 14), "does not grow")
    assert.strictEqual(verdictOf(100, 101, 102, 103, 104, 105), "does not grow")
  })

  it("is not judged by a few boots, and the first one does not count", () => {
    assert.strictEqual(verdictOf(100, 200, 300, 400), "too few")
    assert.strictEqual(judge(memory, [500, 100, 100, 100, 100, 100]).verdict, "does not grow")
  })
})
