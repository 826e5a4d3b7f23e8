// Stopping, as a supervisor and a person at a terminal do it: with signals to a real process, and a look at its exit
// code, its report and its store from outside.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Client } from "../client.ts"
import { DatabaseSync } from "node:sqlite"
import { join } from "node:path"
import {
  best,
  records,
  launch,
  now,
  reportIn,
  running,
  start,
  store,
  temporaryFolder,
  tool,
  until
} from "../harness.ts"

/** Milliseconds that so many commits take on the disk of this folder. */
const commitsOn = (folder: string, count: number): number => {
  const database = new DatabaseSync(join(folder, "commits.db"))
  database.exec("pragma journal_mode = wal; pragma synchronous = full; create table t (n)")
  const before = now()
  for (let n = 0; n < count; n++) database.exec("insert into t values (1)")
  const took = now() - before
  database.close()
  return took
}

const working =
  (count: number) =>
  ({ body }: { readonly body: { readonly [key: string]: unknown } }) =>
    Array.isArray(body["live"]) && body["live"].filter((one) => one.turn !== undefined).length === count

const turnsRun = (gateway: { readonly client: Client }, count: number) =>
  until(`${count} turns run`, Effect.orDie(gateway.client.call("/v1/status")), working(count))

describe("stopping the process", () => {
  it.live(
    "S1: an idle gateway ends by SIGTERM with code 0, within 100 ms by its own report, and leaves the report",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const stopped = Effect.gen(function* () {
          const gateway = yield* start({ folder })
          yield* gateway.signal("SIGTERM")
          const exit = yield* gateway.exited
          assert.strictEqual(exit.code, 0, gateway.output().err.join("\n"))
          const report = reportIn(gateway)
          assert.strictEqual(report.reason, "stop")
          assert.deepStrictEqual(report.by, ["SIGTERM"])
          assert.deepStrictEqual(
            report.phases.map(({ name, outcome }) => `${name} ${outcome}`),
            ["pre-mark", "intake", "flush", "drain", "interrupt", "outbox", "channels", "close"].map(
              (name) => `${name} done`
            )
          )
          assert.isTrue(report.ledger?.balanced)
          const printed = yield* gateway.event("stopped", ({ message }) => message === "stopped")
          assert.deepInclude(printed.annotations?.["report"], { epoch: gateway.facts.epoch, exitCode: 0 })
          return report.millis
        }).pipe(Effect.scoped)
        // What a stop writes waits for the disk, as long as the disk takes.
        const limit = 100 + commitsOn(folder, 8)
        assert.isBelow(yield* best(limit, stopped), limit)
      }).pipe(Effect.scoped)
  )

  it.live("S2: turns that run finish side by side, their replies are stored, and the exit follows the last one", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      const people = ["ann", "bob", "cem", "dan"]
      const sent = yield* Effect.forEach(
        people,
        (name, index) => gateway.client.send(name, `work ${600 + index * 100}ms from ${name}`),
        {
          concurrency: "unbounded"
        }
      )
      yield* turnsRun(gateway, people.length)
      yield* gateway.signal("SIGTERM")
      assert.strictEqual((yield* gateway.exited).code, 0)
      const report = reportIn(gateway)
      assert.deepStrictEqual(
        report.sessions.map(({ key, outcome }) => `${key} ${outcome}`).toSorted(),
        people.map((name) => `http/${name} finished`)
      )
      assert.deepInclude(report.ledger, { accepted: sent.length, open: 0, balanced: true })
      const replies = store(gateway, "select text from sluice_replies order by text")
      assert.deepStrictEqual(
        replies.map(({ text }) => String(text).split(" ").at(-1)),
        people
      )
    }).pipe(Effect.scoped)
  )

  it.live(
    "S3: a turn longer than the deadline is cut between D - tail and D, named with code 80, and answered after the next start",
    () =>
      Effect.gen(function* () {
        const environment = { SLUICE_DRAIN_TIMEOUT: "2s" }
        const folder = yield* temporaryFolder
        let cuts = 0
        const cutOff = Effect.gen(function* () {
          const gateway = yield* start({ folder, environment })
          if (cuts++ === 0) yield* gateway.client.send("kim", "work 4s deep thought", { id: "thought" })
          yield* turnsRun(gateway, 1)
          const sent = yield* gateway.signal("SIGTERM")
          const exit = yield* gateway.exited
          assert.strictEqual(exit.code, 80)
          const report = reportIn(gateway)
          assert.strictEqual(report.deadline.millis, 2000)
          assert.isAtLeast(exit.at - sent, 1000)
          const [cut] = report.sessions
          assert.strictEqual(cut?.key, "http/kim")
          assert.strictEqual(cut?.outcome, "interrupted")
          assert.isAbove(cut?.turn ?? 0, 0)
          assert.isAbove(cut?.age ?? 0, 0)
          return report.millis
        }).pipe(Effect.scoped)
        assert.isAtMost(yield* best(2251, cutOff), 2250)
        const next = yield* start({ folder, environment })
        const [reply] = yield* next.client.repliesUntil("kim", 1)
        assert.deepStrictEqual(reply?.inReplyTo, ["thought"])
        const [turn] = store(next, "select crashes, attempt from sluice_turns")
        assert.deepInclude(turn, { crashes: 0, attempt: cuts + 1 })
      }).pipe(Effect.scoped)
  )

  it.live("S7: a second signal interrupts at once, exit 81 within 1.5 s, and nothing is lost", () =>
    Effect.gen(function* () {
      const hurried = Effect.gen(function* () {
        const gateway = yield* start()
        yield* gateway.client.send("kim", "hang")
        yield* turnsRun(gateway, 1)
        yield* gateway.signal("SIGTERM")
        yield* until("it is stopping", Effect.orDie(gateway.client.call("/readyz")), ({ status }) => status === 503)
        // Twins within 250 ms are one request: a terminal and npm both pass a Ctrl-C on.
        yield* Effect.sleep("300 millis")
        const second = yield* gateway.signal("SIGTERM")
        const exit = yield* gateway.exited
        assert.strictEqual(exit.code, 81)
        const report = reportIn(gateway)
        assert.strictEqual(report.forced, 1)
        assert.deepInclude(report.ledger, { accepted: 1, open: 1, balanced: true })
        const [turn] = store(gateway, "select state from sluice_turns")
        assert.strictEqual(turn?.state, "interrupted")
        return exit.at - second
      }).pipe(Effect.scoped)
      assert.isBelow(yield* best(1500, hurried), 1500)
    })
  )

  it.live("S7: one Ctrl-C that arrives twice drains once", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.client.send("kim", "work 600ms")
      yield* turnsRun(gateway, 1)
      yield* gateway.signal("SIGINT")
      yield* gateway.signal("SIGINT")
      assert.strictEqual((yield* gateway.exited).code, 0)
      assert.strictEqual(reportIn(gateway).sessions[0]?.outcome, "finished")
    }).pipe(Effect.scoped)
  )

  it.live("S7: a third signal exits at once, and the journal still answers everything after the next start", () =>
    Effect.gen(function* () {
      const gateway = yield* start({ environment: { SLUICE_DRAIN_ANNOUNCE: "20s" } })
      yield* gateway.client.send("kim", "work 400ms then this")
      yield* gateway.signal("SIGTERM")
      yield* until("it is stopping", Effect.orDie(gateway.client.call("/readyz")), ({ status }) => status === 503)
      yield* Effect.sleep("300 millis")
      yield* gateway.signal("SIGTERM")
      yield* Effect.sleep("300 millis")
      const third = yield* gateway.signal("SIGTERM")
      const exit = yield* gateway.exited
      assert.strictEqual(exit.code, 81)
      assert.isBelow(exit.at - third, 5000)
      const next = yield* start({ folder: gateway.folder })
      assert.lengthOf(yield* next.client.repliesUntil("kim", 1), 1)
    }).pipe(Effect.scoped)
  )

  it.live("S8: SIGTERM before it is ready ends it cleanly with nothing consumed", () =>
    Effect.gen(function* () {
      const gateway = yield* launch()
      yield* until(
        "it records signals",
        Effect.sync(() => records(gateway)),
        (does) => does
      )
      yield* gateway.signal("SIGTERM")
      const exit = yield* gateway.exited
      assert.strictEqual(exit.code, 0, gateway.output().err.join("\n"))
      const next = yield* start({ folder: gateway.folder })
      const { body } = yield* Effect.orDie(next.client.call("/v1/audit"))
      assert.deepInclude(body, { accepted: 0, balanced: true })
    }).pipe(Effect.scoped)
  )

  it.live("S9: two requests to restart, 1 ms apart, are one restart of the same process", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      const ask = Effect.orDie(gateway.client.call("/v1/admin/restart", { method: "POST" }))
      const answers = yield* Effect.all([ask, Effect.delay(ask, "1 millis")], { concurrency: "unbounded" })
      assert.includeMembers([200, 202], [answers[0].status])
      const next = yield* running(gateway, gateway.facts.epoch)
      assert.strictEqual(next.facts.epoch, gateway.facts.epoch + 1)
      assert.strictEqual(next.facts.pid, gateway.pid)
      assert.match(next.facts.lastStop, /clean/)
      yield* next.signal("SIGTERM")
      assert.strictEqual((yield* gateway.exited).code, 0)
    }).pipe(Effect.scoped)
  )

  it.live("S9: a stop that comes while a restart drains wins", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.client.send("kim", "work 800ms")
      yield* turnsRun(gateway, 1)
      yield* gateway.signal("SIGUSR2")
      yield* until("it is stopping", Effect.orDie(gateway.client.call("/readyz")), ({ status }) => status === 503)
      yield* gateway.signal("SIGTERM")
      const exit = yield* gateway.exited
      assert.strictEqual(exit.code, 0)
      assert.deepInclude(reportIn(gateway), { reason: "stop", by: ["SIGUSR2", "SIGTERM"] })
    }).pipe(Effect.scoped)
  )

  it.live("S14: a supervisor's budget below the configured timeout moves the deadline, and doctor says so", () =>
    Effect.gen(function* () {
      const environment = { SLUICE_STOP_BUDGET: "8s" }
      const gateway = yield* start({ environment })
      assert.isBelow(gateway.facts.deadline.millis, 8000)
      assert.include(gateway.facts.deadline.source, "SLUICE_STOP_BUDGET")
      const { json } = yield* tool(gateway.folder, ["doctor", "--json"])
      const { findings } = json as {
        readonly findings: ReadonlyArray<{ readonly name: string; readonly state: string }>
      }
      assert.strictEqual(findings.find(({ name }) => name === "deadline")?.state, "warn")
    }).pipe(Effect.scoped)
  )

  it.live("S17: after kill -9 the next start says that the last one ended unclean and what was open", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.client.send("kim", "work 300ms one")
      yield* turnsRun(gateway, 1)
      yield* gateway.signal("SIGKILL")
      assert.strictEqual((yield* gateway.exited).signal, "SIGKILL")
      const before = now()
      const next = yield* start({ folder: gateway.folder })
      assert.isBelow(now() - before, 20_000)
      assert.match(next.facts.lastStop, /UNCLEAN.*1 turn/)
      assert.lengthOf(yield* next.client.repliesUntil("kim", 1), 1)
    }).pipe(Effect.scoped)
  )
})
