/**
 * Who may ask for a stop and what comes of it: further requests, impatient ones, turns that stop their own gateway, and the
 * drains of a host. On scripted parts and the test's clock.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { JournalError } from "../src/Journal.ts"
import * as Shutdown from "../src/Shutdown.ts"
import { allDone, job, ledger, makeParts, now, outcomes, timed, underWay } from "./shutdownParts.ts"

describe("hurry", () => {
  it.effect("S7: a request in a hurry jumps to the interrupt phase, ends within a second and is code 81", () =>
    Effect.gen(function* () {
      const { diary, parts, sessions } = yield* makeParts((parts) => ({
        outbox: { ...parts.outbox, drain: () => Effect.never },
        channels: { ...parts.channels, close: () => Effect.never }
      }))
      sessions.session("http/kim", [job(1, Effect.never)])
      const shutdown = yield* Shutdown.make(parts)
      const stop = yield* underWay(timed(shutdown.stop({ reason: "stop", by: "SIGINT" })))
      yield* TestClock.adjust("4 seconds")
      const second = yield* underWay(shutdown.stop({ reason: "stop", by: "SIGINT", force: 1 }))
      yield* TestClock.adjust("1 second")
      const { at, report } = yield* Fiber.join(stop)
      assert.include(diary, "4000 interrupt stop")
      assert.isAtMost(at, 5000)
      assert.strictEqual(report.exitCode, 81)
      assert.strictEqual(report.forced, 1)
      assert.deepStrictEqual(report.by, ["SIGINT", "SIGINT"])
      assert.deepStrictEqual(report.deadline, {
        millis: 5000,
        source: "hurried by SIGINT; before that 30 s, drain.timeout"
      })
      assert.deepStrictEqual(
        report.reasons.map((reason) => reason.code),
        [81, 80, 80, 80]
      )
      assert.strictEqual(report.phases[3]?.outcome, "cut short")
      assert.strictEqual(yield* Fiber.join(second), report)
    })
  )

  it.effect(
    "S7: hurry before the drain leaves out what waits, and phases that hang don't cost more than the second",
    () =>
      Effect.gen(function* () {
        const { diary, parts } = yield* makeParts((parts) => ({
          journal: { ...parts.journal, preMark: () => Effect.never }
        }))
        const shutdown = yield* Shutdown.make(parts, { announce: "5 seconds" })
        const stop = yield* underWay(timed(shutdown.stop({ reason: "stop" })))
        yield* TestClock.adjust(100)
        yield* underWay(shutdown.stop({ reason: "stop", force: 1 }))
        yield* TestClock.adjust("1 second")
        const { at, report } = yield* Fiber.join(stop)
        assert.strictEqual(at, 350)
        assert.deepStrictEqual(outcomes(report).slice(0, 5), [
          "pre-mark timed out",
          "intake cut short",
          "flush cut short",
          "drain cut short",
          "interrupt done"
        ])
        assert.notInclude(diary.join(), "hold")
      })
  )

  it.effect("S7: a first request that is in a hurry still marks what is open before it interrupts it", () =>
    Effect.gen(function* () {
      const { diary, parts, sessions } = yield* makeParts()
      sessions.session("http/kim", [job(1, Effect.never)])
      const shutdown = yield* Shutdown.make(parts)
      const report = yield* shutdown.stop({ reason: "stop", by: "the host", force: 1 })
      assert.deepStrictEqual(diary.slice(0, 2), ["0 preMark stop", "0 interrupt stop"])
      assert.strictEqual(report.exitCode, 81)
      assert.strictEqual(report.sessions[0]?.outcome, "interrupted")
    })
  )

  it.effect("S7: hurry in the last phases brings their limits nearer, once, and never later", () =>
    Effect.gen(function* () {
      const { parts } = yield* makeParts((parts) => ({ outbox: { ...parts.outbox, drain: () => Effect.never } }))
      const news: Array<Shutdown.StopNews> = []
      const shutdown = yield* Shutdown.make(parts, { watch: (each) => news.push(each) })
      const stop = yield* underWay(timed(shutdown.stop({ reason: "stop" })))
      yield* TestClock.adjust("2 seconds")
      yield* underWay(shutdown.stop({ reason: "stop", by: "SIGINT", force: 1 }))
      yield* TestClock.adjust(200)
      yield* underWay(shutdown.stop({ reason: "stop", by: "SIGINT", force: 1 }))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(stop)).at, 2650)
      const hurried = news.filter((each) => each._tag === "Hurried")
      assert.deepStrictEqual(
        hurried.map(({ by, deadline }) => ({ by, deadline: Math.round(deadline) })),
        [{ by: "SIGINT", deadline: 3000 }]
      )
    })
  )

  it.effect("S7: somebody who won't wait can have the report as it stands", () =>
    Effect.gen(function* () {
      const { parts, sessions } = yield* makeParts()
      sessions.session("http/kim", [job(1, Effect.never)])
      const news: Array<Shutdown.StopNews> = []
      const shutdown = yield* Shutdown.make(parts, { watch: (each) => news.push(each) })
      yield* underWay(shutdown.stop({ reason: "stop", by: "SIGTERM" }))
      yield* TestClock.adjust("1 second")
      const began = news[0]
      assert.strictEqual(began?._tag, "Began")
      if (began?._tag !== "Began") return
      assert.strictEqual(Math.round(began.deadline), 30_000)
      const report = began.soFar({ code: 81, why: "a third signal" })
      assert.strictEqual(report.exitCode, 81)
      assert.strictEqual(report.forced, 2)
      assert.deepStrictEqual(report.phases.at(-1), { name: "drain", millis: 1000, outcome: "running" })
      assert.strictEqual(report.sessions[0]?.outcome, "interrupted")
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* shutdown.stopped).exitCode, 80)
    })
  )
})

describe("who asks", () => {
  it.effect("S9: two restart requests are one restart, with one report for both", () =>
    Effect.gen(function* () {
      const { diary, parts } = yield* makeParts()
      const shutdown = yield* Shutdown.make(parts)
      const [one, two] = yield* Effect.all(
        [shutdown.stop({ reason: "restart" }), shutdown.stop({ reason: "restart" })],
        {
          concurrency: "unbounded"
        }
      )
      assert.strictEqual(one, two)
      assert.strictEqual(one.exitCode, 75)
      assert.strictEqual(diary.filter((line) => line.includes("preMark")).length, 1)
      assert.strictEqual(yield* shutdown.stop({ reason: "stop" }), one)
      assert.strictEqual(yield* shutdown.stopped, one)
    })
  )

  it.effect("S9: a stop wins over a restart that drains, and a restart does not win over a stop", () =>
    Effect.gen(function* () {
      for (const [first, second] of [
        ["restart", "stop"],
        ["stop", "restart"]
      ] as const) {
        const { parts, sessions } = yield* makeParts()
        sessions.session("http/kim", [job(1, Effect.sleep("1 second"))])
        const shutdown = yield* Shutdown.make(parts)
        const stop = yield* underWay(shutdown.stop({ reason: first }))
        yield* TestClock.adjust(1)
        yield* underWay(shutdown.stop({ reason: second }))
        yield* TestClock.adjust("1 second")
        const report = yield* Fiber.join(stop)
        assert.strictEqual(report.reason, "stop")
        assert.strictEqual(report.exitCode, 0)
        assert.deepStrictEqual(report.by, [first, second])
      }
    })
  )

  it.effect("a caller that goes away does not end the stop", () =>
    Effect.gen(function* () {
      const { parts, sessions } = yield* makeParts()
      sessions.session("http/kim", [job(1, Effect.sleep("1 second"))])
      const shutdown = yield* Shutdown.make(parts)
      const caller = yield* underWay(shutdown.stop({ reason: "stop", by: "a request" }))
      yield* TestClock.adjust(10)
      yield* Fiber.interrupt(caller)
      yield* TestClock.adjust("1 second")
      const report = yield* shutdown.stopped
      assert.strictEqual(report.exitCode, 0)
      assert.deepStrictEqual(yield* shutdown.began, { reason: "stop", by: "a request" })
    })
  )

  it.effect("S10: the turn that asks is not waited for, is named as asked and costs no exit code of its own", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const { parts, sessions } = yield* makeParts((parts) => ({
        journal: { ...parts.journal, asked: (turn, reason) => Effect.sync(() => void asked.push(`${turn} ${reason}`)) }
      }))
      const shutdown = yield* Shutdown.make(parts)
      const restart = Effect.asVoid(shutdown.stop({ reason: "restart", by: "a tool" })).pipe(
        Effect.provideService(Shutdown.AskingTurn, { turn: 1, attempt: 1 })
      )
      sessions.session("http/bob", [job(2, Effect.sleep("2 seconds"))])
      sessions.session("http/kim", [job(1, restart)])
      yield* TestClock.adjust("2 seconds")
      const report = yield* shutdown.stopped
      assert.strictEqual(yield* now, 2000)
      assert.deepStrictEqual(asked, ["1 restart"])
      assert.strictEqual(report.exitCode, 75)
      assert.deepStrictEqual(
        report.sessions.map((row) => [row.turn, row.outcome]),
        [
          [1, "asked"],
          [2, "finished"]
        ]
      )
    })
  )

  it.effect("S10: a turn that joins a running stop by its process's marker is not waited for either", () =>
    Effect.gen(function* () {
      const { parts, sessions } = yield* makeParts((parts) => ({
        sessions: { ...parts.sessions, turnOf: (marker) => Effect.succeed(marker === "kim's child" ? 1 : undefined) }
      }))
      sessions.session("http/kim", [job(1, Effect.never)])
      const shutdown = yield* Shutdown.make(parts)
      const stop = yield* underWay(timed(shutdown.stop({ reason: "stop" })))
      yield* TestClock.adjust("1 second")
      yield* underWay(shutdown.stop({ reason: "restart", asking: "kim's child" }))
      yield* TestClock.adjust(1)
      const { at, report } = yield* Fiber.join(stop)
      assert.strictEqual(at, 1000)
      assert.strictEqual(report.sessions[0]?.outcome, "asked")
      assert.strictEqual(report.exitCode, 0)
    })
  )

  it.effect("S10: the same turn, resumed after the restart, gets the stored report and stops nothing", () =>
    Effect.gen(function* () {
      const first = yield* makeParts()
      const before = yield* Effect.flatMap(Shutdown.make(first.parts), (shutdown) =>
        shutdown.stop({ reason: "restart" })
      )
      const { diary, parts } = yield* makeParts((parts) => ({
        journal: {
          ...parts.journal,
          asked: () =>
            Effect.succeed({ reason: "restart", epoch: 7, report: JSON.parse(JSON.stringify(first.stored[0]?.json)) })
        }
      }))
      const scope = yield* Scope.make()
      const shutdown = yield* Scope.provide(Shutdown.make(parts), scope)
      const again = shutdown.stop({ reason: "restart" })
      const report = yield* Effect.provideService(again, Shutdown.AskingTurn, { turn: 1, attempt: 2 })
      assert.deepStrictEqual(
        report.phases.map((phase) => phase.name),
        before.phases.map((phase) => phase.name)
      )
      assert.strictEqual(report.exitCode, 75)
      assert.deepStrictEqual(diary, [])
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.effect("S10: a turn whose stop left no report hears that, and stops nothing either", () =>
    Effect.gen(function* () {
      const { diary, parts } = yield* makeParts((parts) => ({
        journal: { ...parts.journal, asked: () => Effect.succeed({ reason: "restart", epoch: 6, report: undefined }) }
      }))
      const shutdown = yield* Shutdown.make(parts)
      const report = yield* Effect.provideService(shutdown.stop({ reason: "restart" }), Shutdown.AskingTurn, {
        turn: 1,
        attempt: 2
      })
      assert.strictEqual(report.epoch, 6)
      assert.strictEqual(report.exitCode, 70)
      assert.match(report.reasons[0]?.why ?? "", /left no report/)
      assert.deepStrictEqual(diary, [])
    })
  )

  it.effect("D11: a gateway that can't go on stops with the code of what failed", () =>
    Effect.gen(function* () {
      const { parts } = yield* makeParts()
      const shutdown = yield* Shutdown.make(parts)
      const cause = new JournalError({ reason: "Storage", detail: "I/O error" })
      // Whoever needs the journal notices it: one failure, told once.
      const noticed = shutdown.stop({ reason: "failure", by: "the gateway itself", cause })
      const [report] = yield* Effect.all([noticed, noticed], { concurrency: "unbounded" })
      assert.strictEqual(report.exitCode, 74)
      assert.match(report.reasons[0]?.why ?? "", /I\/O error/)
      assert.lengthOf(report.reasons, 1)
      assert.deepStrictEqual(report.by, ["the gateway itself"])
    })
  )

  it.effect("a ledger out of balance is code 70, also on a restart", () =>
    Effect.gen(function* () {
      const { parts, stored } = yield* makeParts((parts) => ({
        journal: { ...parts.journal, ledger: Effect.succeed({ ...ledger, balanced: false }) }
      }))
      const shutdown = yield* Shutdown.make(parts)
      assert.strictEqual((yield* shutdown.stop({ reason: "restart" })).exitCode, 70)
      assert.strictEqual(stored[0]?.clean, false)
    })
  )

  it.effect("somebody who watches and throws changes nothing", () =>
    Effect.gen(function* () {
      const { parts } = yield* makeParts()
      const shutdown = yield* Shutdown.make(parts, {
        watch: () => {
          throw new Error("watcher")
        }
      })
      assert.strictEqual((yield* shutdown.stop({ reason: "stop" })).exitCode, 0)
    })
  )
})

describe("drains of a host", () => {
  it.effect(
    "S5, S6: a drain refuses in phase 2, drains beside the turns within its budget, and its counts are reported",
    () =>
      Effect.gen(function* () {
        const seen: Array<string> = []
        const note = (what: string) => Effect.map(now, (at) => void seen.push(`${at} ${what}`))
        const { diary, parts, sessions } = yield* makeParts(() => ({
          drains: [
            {
              name: "pool",
              refuse: note("refuse"),
              drain: (until) =>
                Effect.andThen(
                  Effect.sleep("1 second"),
                  Effect.as(note(`drained, until ${Math.round(until)}`), { drained: 3, rejected: 1 })
                ),
              interrupt: Effect.as(note("interrupt"), { aborted: 2 })
            },
            { name: "stuck", timeout: "2 seconds", refuse: Effect.void, drain: () => Effect.never },
            { name: "broken", refuse: Effect.fail("no"), drain: () => Effect.fail("gone") }
          ]
        }))
        sessions.session("http/kim", [job(1, Effect.sleep("4 seconds"))])
        const shutdown = yield* Shutdown.make(parts)
        const stop = yield* underWay(shutdown.stop({ reason: "stop" }))
        yield* TestClock.adjust("5 seconds")
        const report = yield* Fiber.join(stop)
        // What running turns ask of a pool passes until phase 5.
        assert.deepStrictEqual(seen, ["0 refuse", "1000 drained, until 5000", "4000 interrupt"])
        assert.include(diary, "4000 interrupt stop")
        assert.deepStrictEqual(
          report.drains.map(({ name, outcome, counts, detail }) => ({ name, outcome, counts, detail })),
          [
            { name: "pool", outcome: "done", counts: { drained: 3, rejected: 1, aborted: 2 }, detail: undefined },
            { name: "stuck", outcome: "timed out", counts: {}, detail: "it did not end within its budget" },
            { name: "broken", outcome: "failed", counts: {}, detail: "no" }
          ]
        )
        assert.deepStrictEqual(outcomes(report), allDone)
        assert.strictEqual(report.exitCode, 0)
      })
  )

  it.effect("S6: a drain's number that is none does not cost the report", () =>
    Effect.gen(function* () {
      const { parts } = yield* makeParts(() => ({
        drains: [
          { name: "pool", refuse: Effect.void, drain: () => Effect.succeed({ drained: Number.NaN, aborted: 1 }) }
        ]
      }))
      const shutdown = yield* Shutdown.make(parts)
      assert.deepStrictEqual((yield* shutdown.stop({ reason: "stop" })).drains[0]?.counts, { aborted: 1 })
    })
  )
})
