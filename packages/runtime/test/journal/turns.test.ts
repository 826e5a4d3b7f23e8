/** Contracts C3, C4 and C6 at the store: what a claim fixes, and what takes over from what. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Journal } from "../../src/Journal.ts"
import * as StoreFaults from "../../src/testing/storeFaults.ts"
import {
  boot,
  bootFile,
  bootMemory,
  claim,
  claimed,
  done,
  kim,
  lee,
  message,
  settle,
  sqlite,
  storeFile
} from "./harness.ts"

const cutOff = { _tag: "Interrupted", reason: "stop", asked: false } as const

describe("turns", () => {
  it.effect("C4: the attempt is on disk when the claim returns, and the next boot finds it", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("work"))
      const turn = yield* claimed(first, [1])
      yield* first.end
      const second = yield* bootFile(file)
      assert.deepStrictEqual(
        second.journal.opening.turns.map(({ attempt, id, state }) => [id, attempt, state]),
        [[turn.turn.id, 1, "interrupted"]]
      )
      const again = yield* second.journal.resume(turn.turn.id)
      assert.deepStrictEqual([again?.turn.attempt, again?.turn.cutBy], [2, "crash"])
      assert.deepStrictEqual(
        again?.rows.map((row) => row.text),
        ["work"]
      )
    })
  )

  it.effect("C4: a session never has two open turns", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      for (const text of ["a", "b"]) yield* boot.journal.admit(message(text))
      const [first, second] = yield* Effect.all([Effect.exit(claim(boot, [1])), Effect.exit(claim(boot, [2]))], {
        concurrency: "unbounded"
      })
      assert.isTrue(Exit.isSuccess(first))
      assert.isTrue(Exit.isFailure(second))
      assert.strictEqual((yield* boot.journal.reads.figures).openTurns.running, 1)
      assert.strictEqual((yield* boot.journal.waiting(1, 10)).length, 0, "no backlog in the first epoch")
      assert.strictEqual((yield* boot.journal.queued(10)).rows[0]?.waiting, 1)
    })
  )

  it.effect("C3: a claim takes rows in commit order, whatever order they are named in, and each row once", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      for (const text of ["a", "b", "c"]) yield* boot.journal.admit(message(text))
      const turn = yield* claimed(boot, [3, 1, 2, 1])
      assert.deepStrictEqual(
        turn.rows.map((row) => row.text),
        ["a", "b", "c"]
      )
      assert.deepStrictEqual([turn.turn.firstSeq, turn.turn.lastSeq], [1, 3])
      yield* settle(boot, turn, done("ok"))
      assert.isUndefined(yield* claim(boot, [1, 2, 3]), "ended rows are nobody's batch")
    })
  )

  it.effect("rows of another session, commands, dropped and cancelled rows are left out of a claim", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* boot.journal.admit(message("mine"))
      yield* boot.journal.admit(message("/status", { command: true }))
      yield* boot.journal.admit(message("dropped"))
      yield* boot.journal.admit(message("theirs", { address: lee }))
      yield* boot.journal.drop(1, [3], "old")
      const turn = yield* boot.journal.claim({ session: 1, seqs: [1, 2, 3, 4, 99], agent: "main" })
      assert.deepStrictEqual(
        turn?.rows.map((row) => row.text),
        ["mine"]
      )
    })
  )

  it.effect("a turn takes at most 64 messages and 256 KiB, and one message of any size; the rest waits", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      const all = Array.from({ length: 70 }, (_, k) => k + 1)
      for (const k of all) yield* boot.journal.admit(message(`m${k}`))
      const first = yield* claimed(boot, all)
      assert.strictEqual(first.rows.length, 64)
      yield* settle(boot, first, done())
      const rest = yield* claimed(boot, all)
      assert.deepStrictEqual(
        rest.rows.map((row) => row.seq),
        [65, 66, 67, 68, 69, 70]
      )
      yield* settle(boot, rest, done())
      const large = "\u00e9".repeat(100_000)
      for (const text of [large, large, "\u20ac".repeat(200_000)]) yield* boot.journal.admit(message(text))
      const one = yield* claimed(boot, [71, 72, 73])
      assert.deepStrictEqual(
        one.rows.map((row) => row.bytes),
        [200_000]
      )
      yield* settle(boot, one, done())
      yield* settle(boot, yield* claimed(boot, [72, 73]), done())
      const huge = yield* claimed(boot, [73])
      assert.strictEqual(huge.rows[0]?.bytes, 600_000)
    })
  )

  it.effect("a session's agent is the one of its first turn until somebody changes it", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* boot.journal.admit(message("a"))
      assert.strictEqual((yield* boot.journal.session(1))?.agent, "")
      const turn = yield* claimed(boot, [1])
      assert.deepStrictEqual([turn.session.agent, turn.turn.agent], ["main", "main"])
      yield* settle(boot, turn, done())
      yield* boot.journal.admit(message("b"))
      yield* boot.journal.claim({ session: 1, seqs: [2], agent: "other" })
      assert.strictEqual((yield* boot.journal.session(1))?.agent, "main")
    })
  )

  it.effect("D18: a tool that had started is told with the next attempt, also to the turn that takes over", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("pay"))
      const turn = yield* claimed(first, [1])
      yield* first.journal.tool(turn.turn.id, 1, "bank_transfer")
      yield* first.journal.tool(turn.turn.id, 7, "another attempt's")
      yield* first.end
      const second = yield* bootFile(file)
      assert.strictEqual(second.journal.opening.turns[0]?.tool, "bank_transfer")
      yield* second.journal.admit(message("and?"))
      const taken = yield* second.journal.claim({ session: 1, seqs: [2], agent: "main", supersedes: turn.turn.id })
      assert.deepStrictEqual([taken?.turn.tool, taken?.turn.cutBy], ["bank_transfer", "crash"])
      yield* second.journal.tool(taken?.turn.id ?? 0, 1, undefined)
      yield* second.end
      const third = yield* bootFile(file)
      assert.isUndefined(third.journal.opening.turns[0]?.tool)
    })
  )

  it.effect(
    "the store is asked for what fell only while there is something to tell, also after a claim that failed",
    () =>
      Effect.gen(function* () {
        let asked = 0
        const faults = StoreFaults.make()
        const first = yield* boot(Journal.layer(faults.wrap(sqlite(yield* storeFile))))
        const { journal } = first
        for (const text of ["a", "b", "c"]) yield* journal.admit(message(text))
        yield* journal.drop(1, [1], "summarize")
        faults.arm({ on: "commit", code: "constraint", times: Infinity })
        assert.isTrue(Exit.isFailure(yield* Effect.exit(claim(first, [2]))))
        faults.clear()
        faults.arm({
          on: (statement) => {
            if (statement.startsWith("select session, seq from sluice_untold")) asked++
            return false
          },
          code: "full"
        })
        const told = yield* claimed(first, [2])
        assert.deepStrictEqual([told.summary.map((row) => row.text), asked], [["a"], 1])
        yield* settle(first, told, done("ok"))
        const next = yield* claimed(first, [3])
        assert.deepStrictEqual([next.summary, asked], [[], 1])
      })
  )

  it.effect("messages that summarize dropped are told once, with the next turn, and again with its next attempt", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      for (const text of ["a", "b", "c", "d"]) yield* first.journal.admit(message(text))
      yield* first.journal.drop(1, [1, 2], "summarize")
      yield* first.journal.drop(1, [3], "old")
      const turn = yield* claimed(first, [4])
      assert.deepStrictEqual(
        turn.summary.map((row) => row.text),
        ["a", "b"]
      )
      yield* first.end
      const second = yield* bootFile(file)
      const again = yield* second.journal.resume(turn.turn.id)
      assert.deepStrictEqual(
        again?.summary.map((row) => row.text),
        ["a", "b"]
      )
      if (again !== undefined) yield* settle(second, again, done("ok"))
      yield* second.journal.admit(message("e"))
      const next = yield* claimed(second, [5])
      assert.deepStrictEqual(next.summary, [])
      const { detail } = yield* second.journal.reads.ledger
      assert.deepStrictEqual([detail["dropped(summarize)"], detail["dropped(old)"]], [2, 1])
    })
  )

  it.effect("a turn that queue mode interrupt cut off is the context of the next one", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* boot.journal.admit(message("first"))
      const old = yield* claimed(boot, [1])
      yield* boot.journal.admit(message("no, this"))
      yield* settle(boot, old, { _tag: "Cancelled", by: "interrupt", replies: [] })
      const next = yield* boot.journal.claim({ session: 1, seqs: [2], agent: "main", context: old.turn.id })
      assert.deepStrictEqual(
        next?.context.map((row) => row.text),
        ["first"]
      )
      assert.strictEqual((yield* boot.journal.reads.ledger).detail["cancelled(interrupt)"], 1)
    })
  )
})

describe("superseding", () => {
  it.effect("C6, D17, D34: a message admitted before the resume takes over the messages, crashes and placeholder", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("one", { id: "m1" }))
      const old = yield* claimed(first, [1])
      const placeholder = yield* first.journal.reserve(old.turn.id)
      yield* first.end
      const second = yield* bootFile(file)
      yield* second.journal.admit(message("two", { id: "m2" }))
      const taken = yield* second.journal.claim({ session: 1, seqs: [2], agent: "main", supersedes: old.turn.id })
      assert.deepStrictEqual(
        taken?.rows.map((row) => row.id),
        ["m1", "m2"]
      )
      assert.deepStrictEqual([taken?.turn.crashes, taken?.turn.attempt, taken?.turn.firstSeq], [1, 1, 1])
      assert.deepStrictEqual((yield* second.journal.reserve(taken?.turn.id ?? 0))?.id, placeholder?.id)
      assert.isUndefined(yield* second.journal.resume(old.turn.id), "it is not open any more")
      if (taken !== undefined) yield* settle(second, taken, done("both"))
      const page = yield* second.journal.page("http/kim", 0, 10)
      assert.deepStrictEqual(page.replies[0]?.inReplyTo, ["m1", "m2"])
      const { balanced, ends } = yield* second.journal.reads.ledger
      assert.isTrue(balanced)
      assert.strictEqual(ends.replied, 2)
    })
  )

  it.effect("C6: a turn that was dispatched first is not superseded; the message waits behind it", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* boot.journal.admit(message("one"))
      const old = yield* claimed(boot, [1])
      yield* settle(boot, old, cutOff)
      yield* boot.journal.admit(message("two"))
      const resumed = yield* boot.journal.resume(old.turn.id)
      assert.isUndefined(yield* boot.journal.claim({ session: 1, seqs: [2], agent: "main", supersedes: old.turn.id }))
      if (resumed !== undefined) yield* settle(boot, resumed, done("one"))
      assert.deepStrictEqual(
        (yield* claimed(boot, [2])).rows.map((row) => row.text),
        ["two"]
      )
    })
  )

  it.effect("D34: an older message that waits between is never overtaken", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      for (const text of ["one", "older"]) yield* first.journal.admit(message(text))
      const old = yield* claimed(first, [1])
      yield* first.end
      const second = yield* bootFile(file)
      yield* second.journal.admit(message("new"))
      const overtaking = { session: 1, seqs: [3], agent: "main", supersedes: old.turn.id }
      assert.isUndefined(yield* second.journal.claim(overtaking))
      const both = yield* second.journal.claim({ ...overtaking, seqs: [2, 3] })
      assert.deepStrictEqual(
        both?.rows.map((row) => row.text),
        ["one", "older", "new"]
      )
    })
  )

  it.effect("D3: a running turn and two follow-ups at a crash: resumed once, then the follow-ups, in order", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      for (const text of ["run", "next", "last"]) yield* first.journal.admit(message(text, { address: kim }))
      yield* claimed(first, [1])
      yield* first.end
      const second = yield* bootFile(file)
      const [open] = second.journal.opening.turns
      assert.deepStrictEqual(yield* second.journal.backlog, [{ session: 1, waiting: 2, firstSeq: 2 }])
      const resumed = yield* second.journal.resume(open?.id ?? 0)
      assert.isUndefined(yield* second.journal.resume(open?.id ?? 0), "one owner")
      if (resumed !== undefined) yield* settle(second, resumed, done("run"))
      const seqs = (yield* second.journal.waiting(1, 10)).map((key) => key.seq)
      const next = yield* second.journal.claim({ session: 1, seqs, agent: "main" })
      assert.deepStrictEqual(
        next?.rows.map((row) => row.text),
        ["next", "last"]
      )
    })
  )
})
