// A long history read by those who pull: what one read costs is bounded by size, and nothing is left out for it.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Readers from "../../src/internal/outbox/readers.ts"
import { bootMemory, kim, pull } from "../journal/harness.ts"

const key = "http/kim"
const long = 400_000

/** A conversation with so many posts of this length. */
const history = Effect.fnUntraced(function* (count: number, length: number) {
  const boot = yield* bootMemory()
  const text = "x".repeat(length)
  for (let number = 1; number <= count; number++) {
    yield* boot.journal.post({ address: kim, id: `p${number}`, text, parts: [text], route: pull })
  }
  return boot.journal
})

describe("a page of replies", () => {
  it.effect("C9: ends at 1 MiB of text however many were asked for, and says that there is more", () =>
    Effect.gen(function* () {
      const journal = yield* history(5, long)
      const page = yield* journal.page(key, 0, 1000)
      assert.deepStrictEqual([page.replies.map((reply) => reply.number), page.latest], [[1, 2], 5])
      const last = yield* journal.page(key, 4, 1000)
      assert.deepStrictEqual([last.replies.map((reply) => reply.number), last.latest], [[5], 5])
    })
  )

  it.effect("C9: has at least one reply, however long that is", () =>
    Effect.gen(function* () {
      const journal = yield* history(2, 2_000_000)
      const page = yield* journal.page(key, 0, 10)
      assert.deepStrictEqual(
        page.replies.map((reply) => [reply.number, reply.text.length]),
        [[1, 2_000_000]]
      )
    })
  )

  it.effect("C9, W1: a reader gets all of a history of long replies, once and in order, a bounded page at a time", () =>
    Effect.gen(function* () {
      const journal = yield* history(7, 30_000)
      const pages: Array<number> = []
      const readers = yield* Readers.make((key, after, limit, bytes) =>
        Effect.tap(journal.page(key, after, limit, bytes), ({ replies }) =>
          Effect.sync(() => pages.push(replies.length))
        )
      )
      const numbers = yield* readers.replies(key, 0).pipe(
        Stream.map((reply) => reply.number),
        Stream.take(7),
        Stream.runCollect
      )
      assert.deepStrictEqual(numbers, [1, 2, 3, 4, 5, 6, 7])
      assert.deepStrictEqual(pages, [2, 2, 2, 1])
    })
  )

  it.effect("C9, W1: what is rung for a reader that takes nothing is kept up to a length, and read again later", () =>
    Effect.gen(function* () {
      const journal = yield* history(1, 1)
      let reads = 0
      const readers = yield* Readers.make((key, after, limit, bytes) =>
        Effect.tap(journal.page(key, after, limit, bytes), () => Effect.sync(() => reads++))
      )
      journal.listen({ rows: () => {}, replies: readers.ring, ended: () => {} })
      const text = "y".repeat(25_000)
      const numbers = yield* readers.replies(key, 0).pipe(
        Stream.rechunk(1),
        Stream.tap((reply) =>
          // Nothing is taken while these are committed.
          reply.number === 1
            ? Effect.forEach([2, 3, 4, 5, 6], (n) =>
                journal.post({ address: kim, id: `q${n}`, text, parts: [text], route: pull })
              )
            : Effect.void
        ),
        Stream.map((reply) => reply.number),
        Stream.take(6),
        Stream.runCollect
      )
      assert.deepStrictEqual(numbers, [1, 2, 3, 4, 5, 6])
      assert.strictEqual(reads, 4)
    })
  )
})
