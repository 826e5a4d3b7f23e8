// What the writer remembers of waiting messages: a bounded copy that may forget anything, but never says a wrong row.
import { assert, describe, it } from "@effect/vitest"
import { WaitingRows } from "../../src/internal/journal/writer/waitingRows.ts"
import type { Row } from "../../src/Journal.ts"

const rowOf = (seq: number, bytes = 10, command = false): Row => ({
  seq,
  id: `m${seq}`,
  conversation: 1,
  conversationKey: "host/kim",
  session: 1,
  epoch: 1,
  opens: true,
  closes: false,
  bytes,
  command,
  sender: "kim",
  text: "hello",
  attachments: [],
  acceptedAt: 0,
  quiet: 0,
  atMost: 0,
  replayOf: undefined,
  asking: undefined,
  waits: true
})

const from = (first: number, count: number, bytes?: number) =>
  Array.from({ length: count }, (_, index) => rowOf(first + index, bytes))

const MiB = 1024 * 1024

describe("waiting rows", () => {
  it("has what was kept until it stops waiting, but no commands", () => {
    const rows = new WaitingRows()
    rows.keep([rowOf(1), rowOf(2, 10, true), rowOf(3)])
    assert.deepStrictEqual([rows.get(1)?.id, rows.get(2), rows.get(3)?.id], ["m1", undefined, "m3"])
    rows.drop(1, [])
    assert.deepStrictEqual([rows.get(1), rows.get(3)?.id], [undefined, "m3"])
  })

  it("forgets the oldest beyond 8,192 and never takes one row for another", () => {
    const rows = new WaitingRows()
    for (let first = 1; first <= 10_000; first += 100) rows.keep(from(first, 100))
    assert.deepStrictEqual([rows.get(1), rows.get(10_000 - 8192)], [undefined, undefined])
    assert.deepStrictEqual([rows.get(10_001 - 8192)?.seq, rows.get(10_000)?.seq], [10_001 - 8192, 10_000])
  })

  it("forgets the oldest beyond 16 MiB, also where commands left holes", () => {
    const rows = new WaitingRows()
    rows.keep(from(8190, 10, MiB))
    rows.keep([rowOf(8200, MiB, true)])
    rows.keep(from(8201, 8, MiB))
    assert.deepStrictEqual([rows.get(8190), rows.get(8191), rows.get(8192)?.seq], [undefined, undefined, 8192])
    assert.strictEqual(rows.get(8208)?.seq, 8208)
    rows.keep([rowOf(20_000, 17 * MiB), rowOf(20_001)])
    assert.deepStrictEqual([rows.get(8208), rows.get(20_000), rows.get(20_001)?.seq], [undefined, undefined, 20_001])
  })

  it("has a row again whose claim was taken back, unless a newer one has its place", () => {
    const rows = new WaitingRows()
    const undo: Array<() => void> = []
    rows.keep([rowOf(1), rowOf(2)])
    rows.drop(1, undo)
    rows.drop(2, undo)
    rows.keep([rowOf(8193)])
    for (const back of undo.splice(0).reverse()) back()
    assert.deepStrictEqual([rows.get(1), rows.get(2)?.id, rows.get(8193)?.id], [undefined, "m2", "m8193"])
    rows.drop(7, undo)
    assert.deepStrictEqual(undo, [])
  })
})
