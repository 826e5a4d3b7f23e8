// What level 1 rests on: no label is left out, whatever worlds they are put into, and a label that nothing comes to is
// named.
import { assert, describe, it } from "@effect/vitest"
import { boundaries } from "../../../packages/runtime/src/internal/boundary.ts"
import { apart, chains, grave, missing, named, singles, together } from "../src/levels/L1/points.ts"

const crossedTimes = (times: number) => new Map(boundaries.map((label): [string, number] => [label, times]))
const labels = (points: ReturnType<typeof singles>) => points.flatMap(({ graves }) => graves.map(({ label }) => label))

describe("points of level 1", () => {
  it("each label is met exactly once in the short form, and no life dies twice", () => {
    const points = together(crossedTimes(1))
    assert.deepStrictEqual(labels(points).toSorted(), boundaries.toSorted())
    assert.isBelow(points.length, boundaries.length)
    for (const { graves } of points) assert.isAtMost(graves.length, 4)
  })

  it("in the long form each label has a world of its own for each time that something comes to it", () => {
    assert.deepStrictEqual(labels(singles(crossedTimes(2), 2)), [...boundaries])
    assert.deepStrictEqual(singles(crossedTimes(2), 3), [])
    assert.deepStrictEqual(singles(crossedTimes(3), 3)[0]?.graves[0]?.nth, 3)
  })

  it("a label that nothing comes to is named, and has no world", () => {
    const crossed = crossedTimes(1)
    crossed.delete("inside:claim")
    assert.deepStrictEqual(missing(crossed), ["inside:claim"])
    assert.notInclude(labels(together(crossed)), "inside:claim")
    assert.notInclude(labels(singles(crossed, 1)), "inside:claim")
  })

  it("a death inside a transaction is a slow one: what is done too early has the time to be done", () => {
    for (const { label, linger } of boundaries.map((label) => grave(label))) {
      assert.strictEqual(linger > 0, label.startsWith("inside:"), label)
    }
  })

  it("chains die at labels that there are, and every world has a name of its own", () => {
    const known: ReadonlySet<string> = new Set(boundaries)
    for (const label of labels(chains)) assert.isTrue(known.has(label), label)
    const names = [...chains, ...together(crossedTimes(1))].map(({ name }) => name)
    assert.strictEqual(new Set(names).size, names.length)
    assert.deepStrictEqual(apart([grave("send:after", 2)])[0]?.name, named(grave("send:after", 2)))
  })
})
