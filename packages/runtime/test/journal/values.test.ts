// What is kept with sessions: values that change in one transaction each and survive their process, and the past that an
// agent is given, which ends where its session began.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { bootFile, bootMemory, claimed, done, message, outside, pull, settle, storeFile } from "./harness.ts"

describe("values of a session", () => {
  it.effect("D4: a value that was kept is there after the process died, and each session has its own", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("one"))
      assert.strictEqual(yield* first.journal.value(1, "kept/main"), undefined)
      assert.isTrue(yield* first.journal.keep(1, "kept/main", () => "conversation 7"))
      assert.isFalse(yield* first.journal.keep(2, "kept/main", () => "of nobody"))
      yield* first.end
      const next = yield* bootFile(file)
      assert.strictEqual(yield* next.journal.value(1, "kept/main"), "conversation 7")
      assert.strictEqual(yield* next.journal.value(2, "kept/main"), undefined)
      yield* next.journal.keep(1, "kept/main", () => undefined)
      assert.strictEqual(yield* next.journal.value(1, "kept/main"), undefined)
    })
  )

  it.effect("a hundred changes at the same time are one after the other: none is lost", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootMemory()
      yield* journal.admit(message("one"))
      const more = journal.keep(1, "data/count", (stored) => String(Number(stored ?? 0) + 1))
      yield* Effect.all(
        Array.from({ length: 100 }, () => more),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(yield* journal.value(1, "data/count"), "100")
    })
  )

  it.effect("a change that throws fails alone: it changes nothing, and those beside it are stored", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootMemory()
      yield* journal.admit(message("one"))
      yield* journal.keep(1, "data/a", () => "before")
      const [bad, good] = yield* Effect.all(
        [
          Effect.exit(
            journal.keep(1, "data/a", () => {
              throw new Error("a mistake of the caller")
            })
          ),
          Effect.exit(journal.keep(1, "data/b", () => "stored"))
        ],
        { concurrency: "unbounded" }
      )
      assert.isTrue(Exit.hasDies(bad))
      assert.isTrue(Exit.isSuccess(good))
      assert.strictEqual(yield* journal.value(1, "data/a"), "before")
      assert.strictEqual(yield* journal.value(1, "data/b"), "stored")
    })
  )

  it.effect("D24: a gateway that lost its store to another one keeps nothing in it", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const { journal } = yield* bootFile(file)
      yield* journal.admit(message("one"))
      yield* journal.keep(1, "kept/main", () => "ours")
      const other = yield* outside(file)
      other.exec(`insert into sluice_boots select epoch + 1, version, opened_at, chain, rounds, counters, uptime, healthy,
        mark, marked_at, failed, clean, reason, exit_code, millis, ended_at, open_turns, waiting, open_replies, report
        from sluice_boots`)
      assert.strictEqual((yield* Effect.flip(journal.keep(1, "kept/main", () => "still ours"))).reason, "Fenced")
      assert.strictEqual(other.prepare(`select value from sluice_values`).get()?.["value"], "ours")
    })
  )
})

describe("the past of a session", () => {
  it.effect("Q12: answered turns come newest first, a page after the other, with their messages", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      for (const n of [1, 2, 3, 4, 5]) {
        yield* boot.journal.admit(message(`question ${n}`))
        const turn = yield* claimed(boot, [n])
        // The third has no answer, and the fourth was stopped: neither is of the past that counts.
        if (n === 4) yield* settle(boot, turn, { _tag: "Cancelled", by: "stop", replies: [] })
        else yield* settle(boot, turn, n === 3 ? done() : done(`answer ${n}`, `more of ${n}`))
      }
      const page = yield* boot.journal.history(1, { limit: 2 })
      assert.deepStrictEqual(
        page.map(({ answer, rows, turn }) => [turn, rows.map(({ text }) => text), answer]),
        [
          [5, ["question 5"], "answer 5\nmore of 5"],
          [2, ["question 2"], "answer 2\nmore of 2"]
        ]
      )
      const older = yield* boot.journal.history(1, { before: 2, limit: 2 })
      assert.deepStrictEqual(
        older.map(({ turn }) => turn),
        [1]
      )
      assert.deepStrictEqual(yield* boot.journal.history(1, { before: 1, limit: 2 }), [])
    })
  )

  it.effect("Q12: after /new the session has no past and nothing kept; the old one still has both", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* boot.journal.admit(message("before"))
      yield* settle(boot, yield* claimed(boot, [1]), done("answered"))
      yield* boot.journal.keep(1, "kept/main", () => "conversation 7")
      yield* boot.journal.admit(message("/new", { command: true }))
      const made = yield* boot.journal.command(2, { _tag: "New", name: undefined, persona: undefined }, pull, () => [
        "A fresh start."
      ])
      const fresh = made?.session.id ?? 0
      assert.notStrictEqual(fresh, 1)
      assert.deepStrictEqual(yield* boot.journal.history(fresh, { limit: 10 }), [])
      assert.strictEqual(yield* boot.journal.value(fresh, "kept/main"), undefined)
      assert.lengthOf(yield* boot.journal.history(1, { limit: 10 }), 1)
      assert.strictEqual(yield* boot.journal.value(1, "kept/main"), "conversation 7")
    })
  )
})
