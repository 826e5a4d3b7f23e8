/**
 * The shutdown program against scripted parts, on the test's clock: what it does in which order, and that nothing can
 * hold it beyond its one deadline. What the parts do in truth is proven with them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Boundary, type Label } from "../src/internal/boundary.ts"
import { JournalError } from "../src/Journal.ts"
import * as Shutdown from "../src/Shutdown.ts"
import { allDone, job, makeParts, now, outcomes, timed, underWay } from "./shutdownParts.ts"

describe("the phases", () => {
  it.effect("S1: an idle gateway stops at once, through all phases in their order, with exit code 0", () =>
    Effect.gen(function* () {
      const { diary, parts, stored } = yield* makeParts()
      const shutdown = yield* Shutdown.make(parts)
      const { at, report } = yield* timed(shutdown.stop({ reason: "stop", by: "SIGTERM" }))
      assert.strictEqual(at, 0)
      assert.deepStrictEqual(diary, [
        "0 preMark stop",
        "0 hold",
        "0 stopPollers",
        "0 flush",
        "0 lastCall 100",
        "0 interrupt stop",
        "0 farewell stop",
        "0 outbox",
        "0 refuse",
        "0 channels",
        "0 storeReport 0",
        "0 close"
      ])
      assert.deepStrictEqual(outcomes(report), allDone)
      assert.strictEqual(report.exitCode, 0)
      assert.deepStrictEqual(report.by, ["SIGTERM"])
      assert.deepStrictEqual(report.deadline, { millis: 30_000, source: "drain.timeout" })
      assert.strictEqual(stored.length, 1)
      assert.strictEqual(stored[0]?.clean, true)
    })
  )

  it.effect("S2: turns finish side by side and the stop is over with the last one, without polling", () =>
    Effect.gen(function* () {
      const { parts, sessions } = yield* makeParts()
      for (let n = 1; n <= 20; n++) sessions.session(`http/${n}`, [job(n, Effect.sleep(n * 100))])
      const shutdown = yield* Shutdown.make(parts)
      const stop = yield* underWay(timed(shutdown.stop({ reason: "stop" })))
      yield* TestClock.adjust("25 seconds")
      const { at, report } = yield* Fiber.join(stop)
      assert.strictEqual(at, 2000)
      assert.strictEqual(report.exitCode, 0)
      assert.strictEqual(report.sessions.length, 20)
      assert.isTrue(report.sessions.every((row) => row.outcome === "finished" && row.age === (row.turn ?? 0) * 100))
    })
  )

  it.effect("S3: a turn that outlasts the deadline is interrupted at D - tail and named, with code 80", () =>
    Effect.gen(function* () {
      const { diary, parts, sessions } = yield* makeParts()
      sessions.session("http/kim", [job(12, Effect.never)])
      sessions.session("http/bob", [job(13, Effect.sleep("3 seconds"))])
      const shutdown = yield* Shutdown.make(parts)
      yield* TestClock.adjust("2 seconds")
      const stop = yield* underWay(timed(shutdown.stop({ reason: "stop" })))
      yield* TestClock.adjust("40 seconds")
      const { at, report } = yield* Fiber.join(stop)
      // 30 s of which the tail is 3 s.
      assert.strictEqual(at, 29_000)
      assert.include(diary, "29000 interrupt stop")
      assert.strictEqual(report.exitCode, 80)
      assert.deepStrictEqual(report.reasons[0], { code: 80, why: "1 turn interrupted" })
      assert.deepStrictEqual(report.sessions, [
        { session: 1, key: "http/kim", turn: 12, attempt: 1, age: 29_000, state: "processing", outcome: "interrupted" },
        { session: 2, key: "http/bob", turn: 13, attempt: 1, age: 3000, state: "processing", outcome: "finished" }
      ])
    })
  )

  it.effect("S4: queued follow-ups may start within `startWithin`, later ones stay stored", () =>
    Effect.gen(function* () {
      const { parts, sessions } = yield* makeParts()
      const kim = sessions.session(
        "http/kim",
        [1, 2, 3].map((n) => job(n, Effect.sleep("3 seconds")))
      )
      const late = sessions.session("http/late", [job(4, Effect.sleep("1 second")), job(5, Effect.void, 101)])
      const shutdown = yield* Shutdown.make(parts)
      const stop = yield* underWay(timed(shutdown.stop({ reason: "stop" })))
      yield* TestClock.adjust("20 seconds")
      const { at, report } = yield* Fiber.join(stop)
      // Turns of 3 s each: the second starts at 3 s, the third could only at 6 s.
      assert.strictEqual(at, 6000)
      assert.deepStrictEqual(
        kim.queue.map((left) => left.turn),
        [3]
      )
      assert.deepStrictEqual(
        late.queue.map((left) => left.turn),
        [5]
      )
      assert.deepStrictEqual(new Set(report.sessions.map((row) => row.turn)), new Set([1, 2, 4]))
      assert.strictEqual(report.exitCode, 0)
    })
  )

  it.effect("S4: `startWithin` 0 starts nothing, and with nothing held nothing is waited for", () =>
    Effect.gen(function* () {
      const { parts, sessions } = yield* makeParts()
      const kim = sessions.session("http/kim", [job(1, Effect.sleep("1 second")), job(2, Effect.void)])
      const shutdown = yield* Shutdown.make(parts, { startWithin: 0 })
      const stop = yield* underWay(timed(shutdown.stop({ reason: "stop" })))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(stop)).at, 1000)
      assert.strictEqual(kim.queue.length, 1)
    })
  )

  it.effect("S6: what is committed goes on until phase 7 and only then gets ShuttingDown", () =>
    Effect.gen(function* () {
      const { diary, parts } = yield* makeParts()
      const shutdown = yield* Shutdown.make(parts)
      yield* shutdown.stop({ reason: "stop" })
      assert.isBelow(diary.indexOf("0 hold"), diary.indexOf("0 flush"))
      assert.isBelow(diary.indexOf("0 outbox"), diary.indexOf("0 refuse"))
      assert.isBelow(diary.indexOf("0 refuse"), diary.indexOf("0 channels"))
    })
  )

  it.effect("everything is still served for `announce` after the pre-mark", () =>
    Effect.gen(function* () {
      const { diary, parts } = yield* makeParts()
      const shutdown = yield* Shutdown.make(parts, { announce: "5 seconds" })
      const stop = yield* underWay(shutdown.stop({ reason: "stop" }))
      yield* TestClock.adjust("5 seconds")
      const report = yield* Fiber.join(stop)
      assert.deepStrictEqual(diary.slice(0, 2), ["0 preMark stop", "5000 hold"])
      assert.deepStrictEqual(outcomes(report), allDone)
    })
  )

  it.effect("D4: the process can be killed between any two phases: every boundary is crossed once, in order", () =>
    Effect.gen(function* () {
      const crossed: Array<Label> = []
      const { parts } = yield* makeParts()
      const at = (label: Label) => Effect.sync(() => void crossed.push(label))
      const shutdown = yield* Effect.provideService(Shutdown.make(parts), Boundary, at)
      yield* shutdown.stop({ reason: "stop" })
      assert.deepStrictEqual(crossed, [
        "stop:premark",
        "stop:intake",
        "stop:flush",
        "stop:drain",
        "stop:interrupt",
        "stop:outbox",
        "stop:channels",
        "stop:close"
      ])
    })
  )
})

describe("one deadline", () => {
  it.effect("S16: each phase that hangs is named, the next ones run, and the deadline holds", () =>
    Effect.gen(function* () {
      const hang: ReadonlyArray<(parts: Shutdown.Parts) => Partial<Shutdown.Parts>> = [
        (parts) => ({ journal: { ...parts.journal, preMark: () => Effect.never } }),
        (parts) => ({ channels: { ...parts.channels, stopPollers: Effect.never } }),
        () => ({ debouncer: { flush: Effect.never } }),
        (parts) => ({ sessions: { ...parts.sessions, drained: Effect.never } }),
        (parts) => ({ sessions: { ...parts.sessions, interrupt: () => Effect.never } }),
        (parts) => ({ outbox: { ...parts.outbox, drain: () => Effect.never } }),
        (parts) => ({ channels: { ...parts.channels, close: () => Effect.never } }),
        (parts) => ({ journal: { ...parts.journal, close: Effect.never } })
      ]
      for (const [index, change] of hang.entries()) {
        const { parts, stored } = yield* makeParts(change)
        const shutdown = yield* Shutdown.make(parts)
        const before = yield* now
        const stop = yield* underWay(timed(shutdown.stop({ reason: "stop" })))
        yield* TestClock.adjust("30 seconds")
        const { at, report } = yield* Fiber.join(stop)
        assert.isAtMost(at - before, 30_000)
        assert.deepStrictEqual(
          outcomes(report),
          allDone.map((line, i) => (i === index ? line.replace("done", "timed out") : line)),
          `phase ${index + 1}`
        )
        assert.strictEqual(report.exitCode, 80)
        assert.strictEqual(stored.length, 1)
      }
    })
  )

  it.effect("S16: when everything hangs, uninterruptibly, the stop still ends at its deadline with a report", () =>
    Effect.gen(function* () {
      const never = Effect.uninterruptible(Effect.never)
      const { parts } = yield* makeParts((parts) => ({
        journal: {
          ...parts.journal,
          preMark: () => never,
          close: never,
          storeReport: () => never,
          ledger: never,
          waiting: () => never
        },
        intake: { hold: never, refuse: never },
        debouncer: { flush: never },
        sessions: {
          ...parts.sessions,
          begin: () => never,
          lastCall: () => never,
          drained: never,
          interrupt: () => never
        },
        outbox: { farewell: () => never, drain: () => never, figures: never },
        channels: { stopPollers: never, close: () => never },
        drains: [{ name: "pool", refuse: never, drain: () => never, interrupt: never }]
      }))
      const shutdown = yield* Shutdown.make(parts)
      const stop = yield* underWay(timed(shutdown.stop({ reason: "stop" })))
      yield* TestClock.adjust("30 seconds")
      const { at, report } = yield* Fiber.join(stop)
      assert.isAtMost(at, 30_000)
      assert.strictEqual(report.phases.length, 8)
      assert.isTrue(report.phases.every((phase) => phase.outcome === "timed out"))
      assert.strictEqual(report.ledger, undefined)
      assert.isAtMost(Shutdown.Report.text(report).split("\n").length, 25)
    })
  )

  it.effect("S16: a phase that dies is reported and the next runs, with code 70", () =>
    Effect.gen(function* () {
      const { diary, parts } = yield* makeParts(() => ({
        debouncer: { flush: Effect.die(new Error("no such timer")) }
      }))
      const shutdown = yield* Shutdown.make(parts)
      const report = yield* shutdown.stop({ reason: "stop" })
      assert.deepStrictEqual(report.phases[2], {
        name: "flush",
        millis: 0,
        outcome: "died",
        detail: "Error: no such timer"
      })
      assert.strictEqual(report.exitCode, 70)
      // Nothing was flushed, so nothing that waits may start.
      assert.include(diary, "0 lastCall 0")
      assert.include(diary, "0 close")
    })
  )

  it.effect("S16: a piece that fails does not take the other pieces of its phase along", () =>
    Effect.gen(function* () {
      const { diary, parts } = yield* makeParts((parts) => ({
        intake: { ...parts.intake, hold: Effect.die("hold") },
        channels: { ...parts.channels, stopPollers: Effect.andThen(Effect.sleep(10), parts.channels.stopPollers) }
      }))
      const shutdown = yield* Shutdown.make(parts)
      const stop = yield* underWay(shutdown.stop({ reason: "stop" }))
      yield* TestClock.adjust(10)
      const report = yield* Fiber.join(stop)
      assert.strictEqual(report.phases[1]?.outcome, "died")
      assert.include(diary, "10 stopPollers")
    })
  )

  it.effect("D11: a journal that fails in the stop is code 74, one that belongs to somebody else 69", () =>
    Effect.gen(function* () {
      for (const [reason, code] of [
        ["Storage", 74],
        ["Fenced", 69]
      ] as const) {
        const error = new JournalError({ reason, detail: "disk" })
        const { parts, stored } = yield* makeParts((parts) => ({
          journal: { ...parts.journal, preMark: () => Effect.fail(error) }
        }))
        const shutdown = yield* Shutdown.make(parts)
        const report = yield* shutdown.stop({ reason: "restart" })
        assert.strictEqual(report.exitCode, code)
        assert.deepStrictEqual(
          report.reasons.map((each) => each.code),
          [code, 75]
        )
        assert.strictEqual(stored[0]?.clean, false)
      }
    })
  )

  it.effect("D11: a report that can't be stored is in the report, and the journal is closed all the same", () =>
    Effect.gen(function* () {
      const { diary, parts } = yield* makeParts((parts) => ({
        journal: {
          ...parts.journal,
          storeReport: () => Effect.fail(new JournalError({ reason: "Storage", detail: "full" }))
        }
      }))
      const news: Array<Shutdown.StopNews> = []
      const shutdown = yield* Shutdown.make(parts, { watch: (each) => news.push(each) })
      const report = yield* shutdown.stop({ reason: "stop" })
      assert.strictEqual(report.exitCode, 74)
      assert.strictEqual(report.phases[7]?.outcome, "failed")
      assert.include(diary, "0 close")
      const reported = news.find((each) => each._tag === "Reported")
      assert.strictEqual(reported?.report.exitCode, 74)
    })
  )

  it.effect("S14: the deadline follows the supervisor's budget and says so", () =>
    Effect.gen(function* () {
      const { parts, sessions } = yield* makeParts()
      sessions.session("http/kim", [job(1, Effect.never)])
      const options: Shutdown.DrainOptions = {
        budget: { limit: "10 seconds", source: "TimeoutStopSec of sluice.service" }
      }
      const shutdown = yield* Shutdown.make(parts, options)
      const stop = yield* underWay(timed(shutdown.stop({ reason: "stop" })))
      yield* TestClock.adjust("10 seconds")
      const { at, report } = yield* Fiber.join(stop)
      // 10 s less 1.5 s in reserve, of which 1.7 s are the tail.
      assert.strictEqual(at, 6800)
      assert.deepStrictEqual(report.deadline, {
        millis: 8500,
        source: "TimeoutStopSec of sluice.service: 10 s, of which 1.5 s are kept in reserve"
      })
      assert.deepStrictEqual(Shutdown.deadlineOf(options), { ...report.deadline, tail: 1700 })
    })
  )

  it.effect("the deadline counts from the moment of the request, not from when somebody got round to it", () =>
    Effect.gen(function* () {
      const { parts, sessions } = yield* makeParts()
      sessions.session("http/kim", [job(1, Effect.never)])
      const shutdown = yield* Shutdown.make(parts, { timeout: "10 seconds" })
      yield* TestClock.adjust("3 seconds")
      const stop = yield* underWay(timed(shutdown.stop({ reason: "stop", at: 1000 })))
      yield* TestClock.adjust("10 seconds")
      const { at, report } = yield* Fiber.join(stop)
      assert.strictEqual(at, 1000 + 10_000 - 2000)
      assert.strictEqual(report.millis, 8000)
    })
  )

  it.effect("S15: a session that fails in the drain delays nothing", () =>
    Effect.gen(function* () {
      const { parts, sessions } = yield* makeParts()
      sessions.session("http/bad", [job(1, Effect.andThen(Effect.sleep(50), Effect.die("agent")))])
      sessions.session("http/good", [job(2, Effect.sleep(100))])
      const shutdown = yield* Shutdown.make(parts)
      const stop = yield* underWay(timed(shutdown.stop({ reason: "stop" })))
      yield* TestClock.adjust("1 second")
      const { at } = yield* Fiber.join(stop)
      assert.strictEqual(at, 100)
    })
  )
})
