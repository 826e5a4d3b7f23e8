// Who belongs to a program, decided on tables that are written by hand: what a kernel would take days to produce.
import { assert, describe, it } from "@effect/vitest"
import { pick, type Root } from "../src/internal/kin.ts"
import type { Entry } from "../src/internal/node/processTable.ts"

const entry = (pid: number, over: Partial<Entry> = {}): Entry => ({
  pid,
  parent: 1,
  group: pid,
  session: pid,
  start: 100,
  ...over
})

const root: Root = { pid: 10, start: 100 }

const kinOf = (
  entries: ReadonlyArray<Entry>,
  over: {
    readonly marked?: ReadonlyArray<number>
    readonly protect?: ReadonlyArray<number>
    readonly held?: boolean
  } = {}
): ReadonlyArray<number> =>
  pick({
    table: new Map(entries.map((one) => [one.pid, one])),
    protect: new Map((over.protect ?? []).map((pid) => [pid, true])),
    root,
    held: over.held ?? true,
    known: new Map(),
    marked: (pid) => over.marked?.includes(pid) === true
  })
    .map(({ pid }) => pid)
    .sort((a, b) => a - b)

describe("kin", () => {
  it("takes in the group, the session, the marked and all their descendants", () => {
    const entries = [
      entry(10),
      entry(11, { group: 10, session: 10 }),
      entry(12, { session: 10 }),
      entry(13),
      entry(14, { parent: 13 }),
      entry(15, { parent: 14 }),
      entry(16, { parent: 12 }),
      entry(99)
    ]
    assert.deepStrictEqual(kinOf(entries, { marked: [13] }), [10, 11, 12, 13, 14, 15, 16])
  })

  it("Q16: leaves out the one that got the root's number later, with its group", () => {
    const entries = [entry(10, { start: 200 }), entry(11, { group: 10, session: 10, start: 201 })]
    assert.deepStrictEqual(kinOf(entries, { held: false }), [])
  })

  it("leaves out what is older than the root, whatever its marker says", () => {
    assert.deepStrictEqual(kinOf([entry(10), entry(5, { start: 99 })], { marked: [5] }), [10])
  })

  it("never takes in what is protected, nor what hangs below it alone", () => {
    const entries = [entry(10), entry(20, { parent: 10 }), entry(21, { parent: 20 })]
    assert.deepStrictEqual(kinOf(entries, { protect: [20], marked: [20] }), [10])
  })

  it("follows a chain of any length without running out of stack", () => {
    const chain = Array.from({ length: 30_000 }, (_, n) => entry(10 + n, { parent: n === 0 ? 1 : 9 + n }))
    assert.strictEqual(kinOf(chain).length, 30_000)
  })
})
