// C6: at boot every turn that was left open goes on, by its agent's policy. A message that comes in before that takes the
// turn's messages along, unless an older one waits between them; one that comes later follows the queue's mode.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { type Agent, StopBudget } from "../../src/Agent.ts"
import { TestAgent } from "../../src/testing/index.ts"
import { boot, given, rest, world } from "./boots.ts"

const texts = (name: string, count: number) => Array.from({ length: count }, (_, index) => `${name} ${index + 1}`)
const kept = (list: ReadonlyArray<string>) => list.map((text) => ({ peer: "kim", text, id: text }))

describe("C6: boot resume and new messages", () => {
  it.effect(
    "D17: a message that is admitted before the resume takes the cut-off turn along: one owner, one answer",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const first = yield* boot(place, { agent })
        yield* first.say("kim", "one")
        yield* agent.run(1)
        yield* first.crash

        const later = TestAgent.make()
        const second = yield* boot(place, { agent: later, kept: kept(["two"]) })
        const run = yield* later.run(1)
        assert.deepStrictEqual(
          [run.turn.text, run.turn.attempt, run.turn.interrupted],
          ["one\ntwo", 1, { by: "crash" }]
        )
        yield* run.finish("both")
        yield* rest(second, "chat/kim")
        assert.deepStrictEqual(given(later), ["one\ntwo"])
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["both"])
        const { accepted, balanced, ends } = yield* second.gateway.audit
        assert.deepStrictEqual([accepted, ends.replied, balanced], [2, 2, true])
      })
  )

  it.effect("D17: a message in an open burst holds the resume: they go together when it closes", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent })
      yield* first.say("kim", "one")
      yield* agent.run(1)
      yield* first.crash

      const later = TestAgent.echo()
      const debounce = { quiet: "300 millis" } as const
      const second = yield* boot(place, { agent: later, debounce, kept: kept(["two"]) })
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(later), ["one\ntwo"])
    })
  )

  it.effect("D17: a message after the resume's dispatch follows the queue's mode", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent })
      yield* first.say("kim", "one")
      yield* agent.run(1)
      yield* first.crash

      const later = TestAgent.make()
      const second = yield* boot(place, { agent: later })
      const run = yield* later.run(1)
      yield* second.say("kim", "two")
      yield* run.finish("1")
      yield* (yield* later.run(2)).finish("2")
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(later), ["one", "two"])
      assert.deepStrictEqual(
        place.far.chat?.seen("kim").filter((text) => /^\d$/.test(text)),
        ["1", "2"]
      )
      assert.deepStrictEqual([...agent.overlaps, ...later.overlaps], [])
    })
  )

  it.effect("D17: what doesn't fit beside the messages that it takes along is the next turn, in this very boot", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const debounce = { quiet: "300 millis" } as const
      const first = yield* boot(place, { agent, debounce, kept: kept(texts("old", 60)) })
      yield* TestClock.adjust("300 millis")
      assert.strictEqual((yield* agent.run(1)).turn.messages.length, 60)
      yield* first.crash

      const later = TestAgent.echo()
      const second = yield* boot(place, { agent: later, debounce, kept: kept(texts("new", 20)) })
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(
        given(later).map((text) => text.split("\n").length),
        [64, 16]
      )
      assert.deepStrictEqual(given(later).join("\n").split("\n"), [...texts("old", 60), ...texts("new", 20)])
      assert.deepInclude(yield* second.gateway.audit, { accepted: 80, open: 0, balanced: true })
    })
  )

  it.effect("D34: older waiting messages are never overtaken by one that comes in before the resume", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent })
      yield* first.say("kim", "one")
      yield* agent.run(1)
      yield* first.say("kim", "two")
      yield* first.crash

      const later = TestAgent.echo()
      const second = yield* boot(place, { agent: later, kept: kept(["three"]) })
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(later), ["one", "two", "three"])
    })
  )

  it.effect("D34: a turn that takes over a cut-off one inherits its crashes, and is set aside at the third", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const first = TestAgent.make()
      const one = yield* boot(place, { agent: first })
      yield* one.say("kim", "poison")
      yield* first.run(1)
      yield* one.crash
      for (const text of ["still there?", "hello?"]) {
        const agent = TestAgent.make()
        const next = yield* boot(place, { agent, kept: kept([text]) })
        const run = yield* agent.run(1)
        assert.include(run.turn.text, text)
        assert.strictEqual(run.turn.attempt, 1)
        yield* next.crash
      }
      const last = TestAgent.echo()
      const end = yield* boot(place, { agent: last })
      yield* rest(end, "chat/kim")
      assert.deepStrictEqual(given(last), [])
      const { accepted, balanced, detail } = yield* end.gateway.audit
      assert.deepStrictEqual([accepted, detail["suspended(crashed)"], balanced], [3, 3, true])
      assert.match(place.far.chat?.seen("kim").join() ?? "", /^I broke down 3 times while working on "poison"/)
    })
  )
})

/** An agent with a process of an earlier boot, which ends by itself or is ended. */
const orphaned = (agent: TestAgent.TestAgent, orphan: Agent["orphan"]) =>
  Effect.gen(function* () {
    const ends = yield* Deferred.make<void>()
    const done: Array<string> = []
    const process = {
      pid: 4711,
      epoch: 1,
      session: 1,
      turn: "1",
      reap: Effect.andThen(
        Effect.sync(() => done.push("reaped")),
        Deferred.succeed(ends, undefined)
      ),
      gone: Deferred.await(ends)
    }
    return {
      done,
      ends,
      agent: { ...agent, agent: { ...agent.agent, orphan, orphans: () => Effect.succeed([process]) } }
    }
  })

describe("C6: processes of an earlier boot", () => {
  it.effect("D17 Q16: an orphan that is awaited counts as dispatched: what comes meanwhile is the next turn", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent })
      yield* first.say("kim", "one")
      yield* agent.run(1)
      yield* first.crash

      const later = TestAgent.echo()
      const { agent: awaiting, done, ends } = yield* orphaned(later, { await: "5 minutes" })
      const second = yield* boot(place, { agent: awaiting, kept: kept(["two"]) })
      yield* second.say("lee", "hello")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(given(later), ["hello"], "only its own session waits for it")
      yield* Deferred.succeed(ends, undefined)
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(later), ["hello", "one", "two"])
      assert.deepStrictEqual(done, ["reaped"])
    })
  )

  it.effect("C3: an orphan of a turn that has ended is reaped before its session runs anything new", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const first = yield* boot(place, { agent: TestAgent.echo() })
      yield* first.say("kim", "one")
      yield* rest(first, "chat/kim")
      yield* first.crash

      const later = TestAgent.echo()
      const reaping = yield* Deferred.make<void>()
      const { agent: left } = yield* orphaned(later, { await: "5 minutes" })
      const slow = {
        ...left,
        agent: {
          ...left.agent,
          orphans: () =>
            Effect.map(left.agent.orphans(), (found) => found.map((one) => ({ ...one, reap: Deferred.await(reaping) })))
        }
      }
      const second = yield* boot(place, { agent: slow })
      yield* second.say("kim", "two")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(given(later), [])
      yield* Deferred.succeed(reaping, undefined)
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(later), ["two"])
    })
  )

  it.effect("Q16: a stop does not leave behind what was about to be let go", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const first = yield* boot(place, { agent: TestAgent.echo() })
      yield* first.say("kim", "one")
      yield* rest(first, "chat/kim")
      yield* first.crash

      const budgets: Array<number> = []
      const asked = yield* Deferred.make<void>()
      // It listens to nothing but the last step of the ladder, and that comes with the time only, or with a stop.
      const reap = Effect.gen(function* () {
        const left = yield* yield* StopBudget
        budgets.push(left)
        yield* Deferred.succeed(asked, undefined)
        if (left > 0) return yield* Effect.never
      })
      const { agent: left } = yield* orphaned(TestAgent.echo(), "reap")
      const deaf = {
        ...left,
        agent: {
          ...left.agent,
          orphans: () => Effect.map(left.agent.orphans(), (found) => found.map((one) => ({ ...one, reap })))
        }
      }
      const second = yield* boot(place, { agent: deaf })
      yield* Deferred.await(asked)
      yield* second.stop
      assert.deepStrictEqual(budgets, [Infinity, 0])
    })
  )
})
