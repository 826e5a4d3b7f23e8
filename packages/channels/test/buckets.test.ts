/** The rate limits alone, on made-up monotonic time. */
import { assert, describe, it } from "@effect/vitest"
import { limits } from "../src/internal/http/buckets.ts"

const second = 1_000_000_000n

describe("limits", () => {
  it("lets a burst through, then as many as the rate says, and tells how long to wait", () => {
    const bound = limits({ all: false, sender: { perSecond: 2, burst: 3 }, senders: 10 })
    const at = (now: bigint) => bound.sender("kim", now)?.retryAfter
    assert.deepStrictEqual([at(0n), at(0n), at(0n), at(0n)], [undefined, undefined, undefined, 500])
    assert.isUndefined(at(second / 2n))
    assert.strictEqual(at(second / 2n), 500)
    assert.isUndefined(at(60n * second))
  })

  it("W4: remembers a bounded number of senders, the quiet ones go first", () => {
    const bound = limits({ all: false, sender: { perSecond: 1, burst: 1 }, senders: 100 })
    for (let index = 0; index < 10_000; index++) bound.sender(`u${index}`, 0n)
    assert.strictEqual(bound.remembered(), 100)
    assert.isDefined(bound.sender("u9999", 0n))
  })

  it("a time that goes backwards neither fills nor empties a bucket", () => {
    const bound = limits({ all: { perSecond: 1, burst: 1 }, sender: false, senders: 10 })
    assert.isUndefined(bound.all(10n * second))
    assert.isDefined(bound.all(0n))
    assert.isUndefined(bound.all(11n * second))
  })
})
