/** A database that is busy, full, broken, or refuses a row: nothing is acknowledged that is not stored. */
import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import { Journal, type JournalOptions } from "../../src/Journal.ts"
import { Accepted, Busy, Invalid, Storage, TooLarge } from "../../src/Message.ts"
import * as StoreFaults from "../../src/testing/storeFaults.ts"
import {
  type Boot,
  boot,
  bootFile,
  bootMemory,
  claimed,
  done,
  message,
  outside,
  settle,
  sqlite,
  storeFile
} from "./harness.ts"

/** A store in a file whose statements fail on demand. */
const faulty = Effect.fnUntraced(function* (options: JournalOptions = {}) {
  const faults = StoreFaults.make()
  const file = yield* storeFile
  const current = yield* boot(Journal.layer(faults.wrap(sqlite(file)), options))
  return { faults, file, boot: current, journal: current.journal }
})

const accepted = (current: Boot) => Effect.map(current.journal.reads.ledger, (ledger) => ledger.accepted)

const failureOf = (result: Result.Result<unknown, unknown> | undefined) =>
  result !== undefined && Result.isFailure(result) ? result.failure : undefined

/** Lets time pass until a fiber is done. */
const passUntil = <A, E>(fiber: Fiber.Fiber<A, E>, step: number) =>
  Effect.gen(function* () {
    while (fiber.pollUnsafe() === undefined) {
      yield* TestClock.adjust(step)
      yield* Effect.yieldNow
    }
    return yield* Fiber.join(fiber)
  })

describe("a bad row", () => {
  it.effect("D24: a poison row in a group commit fails alone; the others are accepted", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const current = yield* bootFile(file)
      const look = yield* outside(file)
      look.exec(
        `create trigger poison before insert on sluice_inbound when new.text = 'poison' begin select raise(abort, 'no'); end`
      )
      const results = yield* Effect.forEach(
        ["one", "poison", "two", "three"],
        (text) => Effect.result(current.journal.admit(message(text, { id: text }))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        results.map((result) => result._tag),
        ["Success", "Failure", "Success", "Success"]
      )
      assert.instanceOf(failureOf(results[1]), Invalid)
      assert.deepStrictEqual(
        current.rows.map((row) => row.text),
        ["one", "two", "three"]
      )
      assert.isTrue((yield* current.journal.admit(message("two", { id: "two" }))).duplicate)
      assert.isTrue((yield* current.journal.reads.ledger).balanced)
    })
  )

  it.effect("D24: a row that is too large for the store is refused as too large, alone", () =>
    Effect.gen(function* () {
      const { faults, journal } = yield* faulty()
      faults.arm({ on: (_, values) => values.includes("huge"), code: "tooBig", times: 2 })
      const results = yield* Effect.forEach(["one", "huge"], (text) => Effect.result(journal.admit(message(text))), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        results.map((result) => (Result.isFailure(result) ? result.failure._tag : "Accepted")),
        ["Accepted", "TooLarge"]
      )
      assert.instanceOf(failureOf(results[1]), TooLarge)
      assert.strictEqual(faults.hits(), 2)
    })
  )

  it.effect("a settle that the store refuses fails alone and the journal goes on", () =>
    Effect.gen(function* () {
      const { boot, faults, journal } = yield* faulty()
      yield* journal.admit(message("work"))
      const turn = yield* claimed(boot, [1])
      faults.arm({ on: "into sluice_replies", code: "constraint", times: 2 })
      const error = yield* Effect.flip(settle(boot, turn, done("answer")))
      assert.strictEqual(error.reason, "Storage")
      faults.clear()
      yield* journal.admit(message("next"))
      assert.isTrue(yield* settle(boot, turn, done("answer")))
      assert.isTrue((yield* journal.reads.ledger).balanced)
    })
  )

  it.effect("what a failed round changed in memory is taken back: ids, numbers, bursts and open turns", () =>
    Effect.gen(function* () {
      const { boot, faults, journal } = yield* faulty()
      yield* journal.admit(message("one", { id: "1" }))
      faults.arm({ on: "commit", code: "constraint", times: 3 })
      const failed = yield* Effect.all(
        [
          Effect.exit(boot.journal.claim({ session: 1, seqs: [1], agent: "main" })),
          Effect.exit(journal.admit(message("two", { id: "2" })))
        ],
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        failed.map((exit) => exit._tag),
        ["Failure", "Failure"]
      )
      const again = yield* journal.admit(message("two", { id: "2" }))
      assert.deepStrictEqual(again, new Accepted({ seq: 2, id: "2", duplicate: false }))
      assert.isFalse(boot.rows.at(-1)?.opens, "it joins the first one, which still waits")
      const turn = yield* claimed(boot, [1, 2])
      assert.deepStrictEqual([turn.turn.id, turn.rows.length], [1, 2])
      assert.isTrue(yield* settle(boot, turn, done("hi")))
      assert.strictEqual((yield* journal.page("http/kim", 0, 10)).replies[0]?.number, 1)
    })
  )
})

describe("a busy database", () => {
  it.effect("D11: a database that is busy for a moment delays and refuses nobody", () =>
    Effect.gen(function* () {
      const { boot, faults, journal } = yield* faulty()
      faults.arm({ on: "begin", code: "busy", times: 4 })
      const fiber = yield* Effect.forkChild(journal.admit(message("patience")))
      const { seq } = yield* passUntil(fiber, 20)
      assert.deepStrictEqual([seq, yield* accepted(boot), (yield* journal.reads.figures).writer.retries], [1, 1, 4])
    })
  )

  it.effect(
    "D29: while somebody else's write transaction holds the file, an admission fails with Busy within 2 s and a settle waits",
    () =>
      Effect.gen(function* () {
        const file = yield* storeFile
        const current = yield* bootFile(file)
        yield* current.journal.admit(message("work"))
        const turn = yield* claimed(current, [1])
        const host = yield* outside(file)
        host.exec("create table hosts_own (id integer); begin immediate; insert into hosts_own values (1)")
        const admitting = yield* Effect.forkChild(
          Effect.flip(current.journal.admit(message("inside the host's transaction")))
        )
        const settling = yield* Effect.forkChild(settle(current, turn, done("hi")))
        yield* TestClock.adjust(1)
        const began = yield* Effect.clockWith((clock) => clock.monotonicTimeNanos)
        assert.instanceOf(yield* passUntil(admitting, 20), Busy)
        const took = Number((yield* Effect.clockWith((clock) => clock.monotonicTimeNanos)) - began) / 1e6
        assert.isBelow(took, 2000)
        assert.isUndefined(settling.pollUnsafe())
        host.exec("commit")
        assert.isTrue(yield* passUntil(settling, 20))
        assert.strictEqual((yield* current.journal.admit(message("outside of it"))).seq, 2)
        assert.strictEqual(yield* accepted(current), 2)
      })
  )

  it.effect("a stop's deadline ends the waiting for a database that stays locked", () =>
    Effect.gen(function* () {
      const { boot, faults, journal } = yield* faulty()
      yield* journal.admit(message("work"))
      const turn = yield* claimed(boot, [1])
      faults.arm({ on: "begin", code: "busy", times: Infinity })
      const settling = yield* Effect.forkChild(Effect.flip(settle(boot, turn, done("hi"))))
      const failed = yield* Effect.forkChild(journal.failed)
      yield* TestClock.adjust(10_000)
      assert.isUndefined(settling.pollUnsafe())
      journal.stopBy(15_000)
      assert.strictEqual((yield* passUntil(settling, 100)).reason, "Storage")
      assert.strictEqual((yield* Fiber.join(failed)).reason, "Storage")
    })
  )
})

describe("a full disk", () => {
  it.effect(
    "D11: intake stops, the reserve is freed, the mark and then the end are stored; then the journal fails with 74",
    () =>
      Effect.gen(function* () {
        const { boot, faults, file, journal } = yield* faulty()
        yield* journal.admit(message("work"))
        const turn = yield* claimed(boot, [1])
        assert.isAtLeast(fs.statSync(`${file}.reserve`).size, 1024 * 1024)
        faults.arm({ on: "commit", code: "full", times: 2 })
        assert.instanceOf(yield* Effect.flip(journal.admit(message("lost", { id: "m2" }))), Storage)
        assert.strictEqual((yield* journal.failed).reason, "Storage")
        assert.isFalse(fs.existsSync(`${file}.reserve`))
        const settling = yield* Effect.forkChild(settle(boot, turn, done("hi")))
        yield* Effect.yieldNow
        const marking = yield* Effect.forkChild(journal.preMark("disk full"))
        assert.isTrue(yield* passUntil(settling, 50))
        assert.deepStrictEqual(yield* Fiber.join(marking), { turns: 1, sessions: 1 }, "the mark came first")
        assert.instanceOf(yield* Effect.flip(journal.admit(message("still refused"))), Storage)
        assert.strictEqual((yield* Effect.flip(journal.resume(1))).reason, "Storage")
        yield* journal.storeReport({ reason: "storage", exitCode: 74, millis: 1, clean: false, json: null })
        yield* journal.close
        yield* boot.end
        const second = yield* bootFile(file)
        assert.deepInclude(second.journal.opening.postMortem, { end: "unclean", exitCode: 74, reason: "storage" })
        assert.isFalse((yield* second.journal.admit(message("lost", { id: "m2" }))).duplicate, "nothing half-accepted")
        assert.strictEqual((yield* second.journal.reads.ledger).ends.replied, 1)
      })
  )

  it.effect(
    "D11: a disk that stays full: what can't be stored is refused at the deadline, and the next boot counts a cut",
    () =>
      Effect.gen(function* () {
        const { boot, faults, file, journal } = yield* faulty()
        yield* journal.admit(message("work"))
        const turn = yield* claimed(boot, [1])
        faults.arm({ on: "commit", code: "full", times: Infinity })
        const settling = yield* Effect.forkChild(Effect.flip(settle(boot, turn, done("hi"))))
        yield* journal.failed
        journal.stopBy(3000)
        assert.strictEqual((yield* passUntil(settling, 100)).reason, "Storage")
        assert.strictEqual((yield* Effect.flip(journal.preMark("stop"))).reason, "Storage")
        yield* boot.end
        assert.isTrue(fs.existsSync(`${file}.failed`))
        const second = yield* bootFile(file)
        assert.deepInclude(second.journal.opening.turns[0], { crashes: 0, cuts: 1, cutBy: "storage" })
        assert.isFalse(fs.existsSync(`${file}.failed`), "counted once")
        yield* second.journal.resume(turn.turn.id)
        yield* second.end
        assert.deepInclude((yield* bootFile(file)).journal.opening.turns[0], { crashes: 1, cuts: 1, cutBy: "crash" })
      })
  )
})

describe("a broken handle", () => {
  for (const [after, outcome] of [
    [false, "is written again"],
    [true, "is found committed and not written twice"]
  ] as const) {
    for (const code of ["ioError", "fsync"] as const) {
      it.effect(
        `D11: ${code} at a commit that ${after ? "reached" : "did not reach"} the disk: a new connection, and the round ${outcome}`,
        () =>
          Effect.gen(function* () {
            const { boot, faults, journal } = yield* faulty()
            yield* journal.admit(message("work"))
            const turn = yield* claimed(boot, [1])
            faults.arm({ on: "commit", code, after })
            const [settled, admitted] = yield* Effect.all(
              [settle(boot, turn, done("hi")), journal.admit(message("two", { id: "m2" }))],
              { concurrency: "unbounded" }
            )
            assert.isTrue(settled)
            assert.deepStrictEqual(admitted, new Accepted({ seq: 2, id: "m2", duplicate: false }))
            assert.deepStrictEqual(
              boot.rows.map((row) => row.seq),
              [1, 2]
            )
            const page = yield* journal.page("http/kim", 0, 10)
            assert.deepStrictEqual(
              page.replies.map((reply) => [reply.number, reply.text]),
              [[1, "hi"]]
            )
            assert.deepStrictEqual([faults.hits(), (yield* journal.reads.ledger).balanced], [1, true])
          })
      )
    }
  }

  it.effect("D11: a round that is found after a failed sync, and still can't be synced, is not called stored", () =>
    Effect.gen(function* () {
      const { boot, faults, file, journal } = yield* faulty()
      yield* journal.admit(message("before", { id: "m0" }))
      faults.arm({ on: "commit", code: "fsync", after: true })
      faults.arm({ on: "wal_checkpoint", code: "fsync" })
      assert.instanceOf(yield* Effect.flip(journal.admit(message("hello", { id: "m1" }))), Storage)
      assert.strictEqual((yield* journal.failed).reason, "Storage")
      assert.strictEqual(faults.hits(), 2)
      yield* boot.end
      const second = yield* bootFile(file)
      // The power stayed on: the row is there, and the retry is told so.
      assert.isTrue((yield* second.journal.admit(message("hello", { id: "m1" }))).duplicate)
    })
  )

  it.effect("D11: a second failure ends the journal with 74; nobody was told yes, and the retry is answered once", () =>
    Effect.gen(function* () {
      const { boot, faults, file, journal } = yield* faulty()
      faults.arm({ on: "into sluice_inbound", code: "ioError", times: 2 })
      assert.instanceOf(yield* Effect.flip(journal.admit(message("hello", { id: "m1" }))), Storage)
      const error = yield* journal.failed
      assert.deepStrictEqual([error.reason, error.detail.includes("injected")], ["Storage", true])
      assert.strictEqual((yield* Effect.flip(journal.resume(1))).reason, "Storage")
      yield* boot.end
      const second = yield* bootFile(file)
      const first = yield* second.journal.admit(message("hello", { id: "m1" }))
      const repeat = yield* second.journal.admit(message("hello", { id: "m1" }))
      assert.deepStrictEqual([first.duplicate, repeat.duplicate, repeat.seq], [false, true, first.seq])
    })
  )

  it.effect("D11: a store in memory can't be opened again: the journal ends at once", () =>
    Effect.gen(function* () {
      const faults = StoreFaults.make()
      const { journal } = yield* boot(Journal.layer(faults.wrap(sqlite(":memory:"))))
      faults.arm({ on: "commit", code: "corrupt" })
      assert.instanceOf(yield* Effect.flip(journal.admit(message("hello"))), Storage)
      assert.strictEqual((yield* journal.failed).reason, "Storage")
    })
  )
})

describe("the end", () => {
  it.effect("close writes what waits, truncates the log and refuses what comes after", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const current = yield* bootFile(file)
      const admitting = yield* Effect.forEach([1, 2, 3], (k) =>
        Effect.forkChild(current.journal.admit(message(`m${k}`)), { startImmediately: true })
      )
      yield* current.journal.close
      yield* Effect.forEach(admitting, Fiber.join)
      assert.strictEqual(fs.statSync(`${file}-wal`).size, 0)
      assert.strictEqual((yield* Effect.flip(current.journal.admit(message("late"))))._tag, "ShuttingDown")
      assert.strictEqual((yield* Effect.flip(current.journal.resume(1))).reason, "Closed")
      yield* current.journal.close
      yield* current.end
      assert.strictEqual(yield* accepted(yield* bootFile(file)), 3)
    })
  )

  it.effect("a scope that closes under the writer refuses what was not written, and loses nothing that was", () =>
    Effect.gen(function* () {
      const current = yield* bootMemory()
      const told = yield* Deferred.make<void>()
      const one = Effect.tap(current.journal.admit(message("x")), () => Deferred.succeed(told, undefined))
      const fibers = yield* Effect.forEach(Array.from({ length: 600 }), () =>
        Effect.forkChild(Effect.result(one), { startImmediately: true })
      )
      yield* Deferred.await(told)
      yield* current.end
      const results = yield* Effect.forEach(fibers, Fiber.join)
      const yes = results.filter(Result.isSuccess).length
      assert.strictEqual(current.rows.length, yes)
      assert.isAtLeast(yes, 1)
    })
  )

  it.effect("nobody waits for ever: a scope that closes while a round is redone one by one refuses the rest", () =>
    Effect.gen(function* () {
      const { boot, faults, journal } = yield* faulty()
      faults.arm({ on: "commit", code: "constraint" })
      faults.arm({ on: "begin", code: "busy", skip: 1, times: Infinity })
      const fibers = yield* Effect.forEach(["a", "b", "c"], (text) =>
        Effect.forkChild(Effect.result(journal.admit(message(text))), { startImmediately: true })
      )
      yield* TestClock.adjust(10)
      yield* boot.end
      const results = yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(
        results.map((result) => (Result.isFailure(result) ? result.failure._tag : "Accepted")),
        ["ShuttingDown", "ShuttingDown", "ShuttingDown"]
      )
    })
  )

  it.effect("a doorbell that fails disturbs neither the commit nor those who wait for it", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootMemory()
      journal.listen({
        rows: () => {
          throw new Error("the listener's own mistake")
        },
        replies: () => {},
        ended: () => {}
      })
      assert.strictEqual((yield* journal.admit(message("one"))).seq, 1)
      assert.strictEqual((yield* journal.admit(message("two"))).seq, 2)
    })
  )
})
