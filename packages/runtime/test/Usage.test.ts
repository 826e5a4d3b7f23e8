// What turns cost: counted in the transaction that ends an attempt, whichever way it ends, by the provider's word or by
// the configured prices; and budgets, which hold turns without losing a message.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { DatabaseSync } from "node:sqlite"
import type { AgentEvent } from "../src/Agent.ts"
import { Calendar, costOf, priceOf } from "../src/internal/spending.ts"
import { window } from "../src/internal/journal/reads/uncounted.ts"
import { TestAgent } from "../src/testing/index.ts"
import { type Boot, boot, given, meanwhile, rest, until, world } from "./guarantees/boots.ts"

const usage = (usage: Record<string, number>, model?: string): AgentEvent => ({
  _tag: "Usage",
  usage,
  ...(model === undefined ? {} : { model })
})

const prices = { large: { input: 3, output: 15, cacheRead: 0.3 }, small: { input: 0.5, output: 1 } }

/** What the store says of a turn's usage. */
const stored = (file: string, turn: number): unknown => {
  const database = new DatabaseSync(file)
  const row = database.prepare("select usage from sluice_turns where id = ?").get(turn)
  database.close()
  return JSON.parse(String(row?.["usage"]))
}

/** Shows the events and returns when the gateway has taken them. */
const taken = Effect.fnUntraced(function* (boot: Boot, run: TestAgent.Run, event: AgentEvent) {
  const seen = yield* boot.gateway.progress("chat/kim").pipe(
    Stream.filter(({ _tag }) => _tag === "Text"),
    Stream.runHead,
    Effect.forkChild({ startImmediately: true })
  )
  yield* run.emit(event)
  yield* run.emit({ _tag: "Text", delta: "so far" })
  yield* Fiber.join(seen)
})

/** One turn that costs so much. */
const costing = Effect.fnUntraced(function* (boot: Boot, agent: TestAgent.TestAgent, n: number, cost: number) {
  const run = yield* agent.run(n)
  yield* run.emit(usage({ cost }))
  yield* run.finish("done")
  yield* rest(boot, "chat/kim")
})

describe("prices", () => {
  it("are found by the whole name of a model, or by the name without its version", () => {
    assert.strictEqual(priceOf(prices, "large"), prices.large)
    assert.strictEqual(priceOf(prices, "large-20251101"), prices.large)
    assert.strictEqual(priceOf(prices, "large-2025-11-01"), prices.large)
    assert.isUndefined(priceOf(prices, "large-mini"))
    assert.isUndefined(priceOf(prices, "constructor"))
  })

  it("make a cost of tokens, a million of which cost dollars", () => {
    const tokens = { inputTokens: 1000, outputTokens: 100, cacheReadTokens: 10_000, cacheWriteTokens: 1000 }
    // 0.003 + 0.0015 + 0.003 + 0.003: what is written into the cache costs as much as other input.
    assert.strictEqual(costOf(prices.large, tokens), 10_500_000)
  })
})

describe("the calendar", () => {
  it("counts days in its zone, also when the clocks change", () => {
    const calendar = new Calendar("Europe/Berlin")
    const day = calendar.at(Date.parse("2026-03-28T23:30:00Z"))
    assert.deepStrictEqual([day.day, day.firstOfMonth], ["2026-03-29", "2026-03-01"])
    // That Sunday has 23 hours.
    assert.strictEqual(day.ends - day.began, 23 * 3_600_000)
    assert.strictEqual(calendar.text(day.ends), "2026-03-30 00:00")
    assert.strictEqual(calendar.text(day.monthEnds), "2026-04-01 00:00")
    assert.strictEqual(calendar.at(day.ends).day, "2026-03-30")
    assert.strictEqual(calendar.at(day.began - 1).day, "2026-03-28")
  })
})

describe("what turns use", () => {
  it.effect(
    "is added up by turn, day, session, agent and model, with the provider's cost before the price list's",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const one = yield* boot(place, { agent, prices, timeZone: "UTC" })
        yield* one.say("kim", "hello", "1")
        const run = yield* agent.run(1)
        yield* run.emit(usage({ inputTokens: 1000, outputTokens: 100, cacheReadTokens: 1000 }, "large-20251101"))
        yield* run.emit(usage({ inputTokens: 1000, cost: 0.25 }, "small"))
        yield* run.emit(usage({ inputTokens: 7, thoughts: 3 }, "unheard-of"))
        yield* run.finish("hi")
        yield* rest(one, "chat/kim")
        assert.deepStrictEqual(stored(place.file, 1), {
          inputTokens: 2007,
          outputTokens: 100,
          cacheReadTokens: 1000,
          cost: 0.2548,
          thoughts: 3
        })
        const models = yield* one.gateway.usage({ by: "model" })
        assert.deepStrictEqual(
          models.map(({ cost, inputTokens, name, turns }) => [name, inputTokens, cost, turns]),
          [
            ["small", 1000, 0.25, 0],
            ["large-20251101", 1000, 0.0048, 1],
            ["unheard-of", 7, 0, 0]
          ]
        )
        for (const by of ["day", "session", "agent", "total"] as const) {
          const [sum, ...others] = yield* one.gateway.usage({ by })
          const name = { day: "1970-01-01", session: "chat/kim", agent: "main", total: "total" }[by]
          assert.deepInclude(sum, { name, turns: 1, inputTokens: 2007, outputTokens: 100, cost: 0.2548 })
          assert.deepStrictEqual(others, [])
        }
        assert.lengthOf(yield* one.gateway.usage({ by: "total", conversation: "chat/kim" }), 1)
        assert.deepStrictEqual(yield* one.gateway.usage({ by: "total", conversation: "chat/lee" }), [])
        assert.deepStrictEqual(yield* one.gateway.usage({ by: "day", from: "1970-01-02" }), [])
      })
  )

  it.effect(
    "of a turn whose agent does not say it is nothing that sums could have: such turns are counted by themselves",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make({ answer: ({ text }) => `re: ${text}` })
        const one = yield* boot(place, { agent, timeZone: "UTC" })
        const seen = () => place.far["chat"]?.seen("kim").at(-1)
        yield* one.say("kim", "/usage")
        yield* rest(one, "chat/kim")
        assert.strictEqual(seen(), "main has used nothing yet")
        yield* one.say("lee", "hello")
        yield* TestClock.adjust("1 hour")
        for (const text of ["hello", "hello again", "/usage"]) {
          yield* one.say("kim", text)
          yield* rest(one, "chat/kim", "chat/lee")
        }
        assert.strictEqual(seen(), "main: 2 turns, whose agent does not say what was used")
        const { uncounted } = one.gateway
        assert.deepStrictEqual(yield* uncounted({}), { agents: [{ name: "main", turns: 3 }], complete: true })
        assert.deepStrictEqual((yield* uncounted({ since: 3_600_000 })).agents, [{ name: "main", turns: 2 }])
        assert.deepStrictEqual((yield* uncounted({ conversation: "chat/lee" })).agents, [{ name: "main", turns: 1 }])
        assert.deepStrictEqual((yield* uncounted({ since: 3_700_000 })).agents, [])
        // Turns beyond those that are looked at: there are at least so many.
        yield* one.stop
        const database = new DatabaseSync(place.file)
        database.exec(`with recursive n (i) as (select 1000 union all select i + 1 from n where i < ${999 + window})
        insert into sluice_turns (id, session, state, epoch, attempt, crashes, cuts, errors, agent, first_seq, last_seq,
          seqs, replies, started_at, ended_at)
        select i, 1, 'done', 1, 1, 0, 0, 0, 'other', 1, 1, '[]', '[]', 7200000, 7200000 from n`)
        database.close()
        const next = yield* boot(place, { agent, timeZone: "UTC" })
        const many = { agents: [{ name: "other", turns: window }], complete: false }
        assert.deepStrictEqual(yield* next.gateway.uncounted({}), many)
        assert.isTrue((yield* next.gateway.uncounted({ since: 7_200_000 })).complete)
      })
  )

  it.effect("D4: counts whichever way an attempt ends, and is there after the process died", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const one = yield* boot(place, { agent, timeZone: "UTC", turns: { backoff: [1000] } })
      yield* one.say("kim", "fails once", "1")
      const failing = yield* agent.run(1)
      yield* failing.emit(usage({ cost: 1 }))
      yield* failing.fail()
      const again = yield* meanwhile(agent.run(2))
      yield* again.emit(usage({ cost: 2 }))
      yield* again.finish("hi")
      yield* rest(one, "chat/kim")
      assert.deepStrictEqual(stored(place.file, 1), { cost: 3 })
      // Stopped by a person: the command ends the turn before the agent has let go.
      yield* one.say("kim", "stopped", "2")
      const stopped = yield* agent.run(3)
      yield* taken(one, stopped, usage({ cost: 4 }))
      yield* one.say("kim", "/stop", "3")
      yield* rest(one, "chat/kim")
      yield* until(() => one.journal.spentUnsafe("1970-01-01", "1970-01-01") === 7e9)
      // Cut by a stop of the gateway.
      yield* one.say("kim", "cut", "4")
      const cut = yield* agent.run(4)
      yield* taken(one, cut, usage({ cost: 8 }))
      yield* Effect.forkChild(one.stop, { startImmediately: true })
      yield* meanwhile(cut.over)
      yield* meanwhile(one.gateway.stopped)
      const next = yield* boot(place, { agent, timeZone: "UTC" })
      assert.deepInclude((yield* next.gateway.usage({ by: "total" }))[0], { cost: 15, turns: 3 })
      assert.strictEqual((yield* next.gateway.spending).spentToday, 15)
    })
  )
})

const day = 86_400_000

describe("budgets", () => {
  it.effect("one that is used up holds what comes, says so once with the time, and lets go at midnight", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const one = yield* boot(place, { agent, timeZone: "UTC", budgets: { daily: 5 } })
      yield* one.say("kim", "dear", "1")
      yield* costing(one, agent, 1, 5)
      yield* one.say("kim", "waits", "2")
      yield* one.say("kim", "waits too", "3")
      yield* one.say("lee", "waits as well", "4")
      yield* rest(one, "chat/kim", "chat/lee")
      assert.lengthOf(agent.runs, 1)
      const seen = place.far["chat"]?.seen("kim") ?? []
      const sentence =
        "I've used up what I may spend today. Your message is kept, and I carry on at 1970-01-02 00:00 (in "
      assert.lengthOf(
        seen.filter((text) => text.startsWith(sentence)),
        1
      )
      const { hold } = yield* one.gateway.spending
      assert.deepInclude(hold, { period: "day", budget: 5, since: 0, until: day, untilText: "1970-01-02 00:00" })
      assert.deepStrictEqual((yield* one.gateway.readiness).ready, true)
      assert.match((yield* one.gateway.readiness).notes?.join() ?? "", /budget of 5 USD .* 1970-01-02 00:00/)
      const live = yield* one.gateway.live
      assert.match(live.find(({ key }) => key === "chat/kim")?.held ?? "", /the budget of 5 USD for this day/)
      assert.isTrue((yield* one.gateway.audit).balanced)
      yield* TestClock.adjust("24 hours")
      const [run2, run3] = [yield* agent.run(2), yield* agent.run(3)]
      yield* run2.finish("done")
      yield* run3.finish("done")
      yield* rest(one, "chat/kim", "chat/lee")
      assert.deepStrictEqual(given(agent).slice(1).sort(), ["waits\nwaits too", "waits as well"])
      assert.isUndefined((yield* one.gateway.spending).hold)
    })
  )

  it.effect("a reload that raises it lets go at once; the month's is the longer wait", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const one = yield* boot(place, { agent, timeZone: "UTC", budgets: { daily: 1, monthly: 2 } })
      yield* one.say("kim", "dear", "1")
      yield* costing(one, agent, 1, 2)
      yield* one.say("kim", "waits", "2")
      yield* rest(one, "chat/kim")
      assert.deepInclude((yield* one.gateway.spending).hold, { period: "month", until: 31 * day })
      yield* TestClock.adjust("24 hours")
      assert.lengthOf(agent.runs, 1)
      yield* one.reload(agent.agent)
      yield* (yield* agent.run(2)).finish("done")
      yield* rest(one, "chat/kim")
      assert.lengthOf(agent.runs, 2)
    })
  )

  it.effect("D4: it is still used up after a crash, nobody is told twice, and a message of that time is not lost", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const options = { agent, timeZone: "UTC", budgets: { daily: 5 } }
      const one = yield* boot(place, options)
      yield* one.say("kim", "dear", "1")
      yield* costing(one, agent, 1, 5)
      yield* one.say("kim", "waits", "2")
      yield* rest(one, "chat/kim")
      yield* one.crash
      const next = yield* boot(place, options)
      yield* rest(next, "chat/kim")
      assert.lengthOf(agent.runs, 1)
      const seen = place.far["chat"]?.seen("kim") ?? []
      assert.lengthOf(
        seen.filter((text) => text.includes("used up")),
        1
      )
      yield* TestClock.adjust("24 hours")
      yield* (yield* agent.run(2)).finish("done")
      yield* rest(next, "chat/kim")
      assert.strictEqual(agent.runs[1]?.turn.text, "waits")
      assert.isTrue((yield* next.gateway.audit).balanced)
    })
  )

  it.effect("D3: a turn that a crash cut off waits for the budget, too, and goes on when the day turns", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const one = yield* boot(place, { agent, timeZone: "UTC", budgets: { daily: 5 } })
      yield* one.say("lee", "cut off", "1")
      yield* agent.run(1)
      yield* one.say("kim", "dear", "2")
      yield* costing(one, agent, 2, 5)
      yield* one.crash
      const next = yield* boot(place, { agent, timeZone: "UTC", budgets: { daily: 5 } })
      yield* rest(next, "chat/lee")
      assert.isTrue((yield* next.gateway.readiness).ready)
      assert.lengthOf(agent.runs, 2)
      yield* TestClock.adjust("24 hours")
      const again = yield* agent.run(3)
      assert.deepInclude(again.turn, { text: "cut off", attempt: 2 })
      yield* again.finish("done")
      yield* rest(next, "chat/lee")
      assert.isTrue((yield* next.gateway.audit).balanced)
    })
  )

  it.effect("a model without a price is named once while there is a budget: it would never be used up", () =>
    Effect.gen(function* () {
      const named: Array<unknown> = []
      const logger = Logger.make<unknown, void>(({ fiber, message }) => {
        if (String(message).startsWith("A model has no price"))
          named.push(fiber.getRef(References.CurrentLogAnnotations)["model"])
      })
      const place = yield* world()
      const agent = TestAgent.make()
      const one = yield* boot(place, { agent, prices, budgets: { daily: 5 } }).pipe(
        Effect.provide(Logger.layer([logger]))
      )
      yield* one.say("kim", "hello", "1")
      const run = yield* agent.run(1)
      const tokens = { inputTokens: 10, outputTokens: 1 }
      for (const model of ["large", "new", "new", "newer"]) yield* run.emit(usage(tokens, model))
      yield* run.emit(usage({ ...tokens, cost: 0.1 }, "newest"))
      yield* run.emit(usage({ thoughts: 1 }, "none"))
      yield* run.finish("done")
      yield* rest(one, "chat/kim")
      assert.deepStrictEqual(named, ["new", "newer"])
    })
  )

  it.effect("a stop while it holds leaves the messages to the next start", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const one = yield* boot(place, { agent, timeZone: "UTC", budgets: { daily: 0 } })
      yield* one.say("kim", "waits", "1")
      yield* rest(one, "chat/kim")
      const report = yield* one.stop
      assert.strictEqual(report.exitCode, 0)
      const next = yield* boot(place, { agent, timeZone: "UTC" })
      yield* (yield* meanwhile(agent.run(1))).finish("done")
      yield* rest(next, "chat/kim")
      assert.strictEqual((yield* next.gateway.audit).ends.replied, 1)
    })
  )
})
