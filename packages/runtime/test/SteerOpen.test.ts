// Queue mode `steer`, while a message is with the agent and the agent has said nothing of it. Nobody knows then whether it was
// taken, so it is neither the turn's nor free: a turn that ends well has its agent's last word, and an attempt that does not
// leaves it to the next attempt of its turn. Whatever cuts the attempt off, and wherever, each message is answered once.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import type { AgentEvent } from "../src/Agent.ts"
import type { Label } from "../src/internal/boundary.ts"
import { TestAgent } from "../src/testing/index.ts"
import { boot, type Boot, given, lived, meanwhile, rest, until, world } from "./guarantees/boots.ts"

const steering = { queue: { mode: "steer" as const } }

/** Two messages: the first one runs, the second one is with its agent. */
const open = Effect.fnUntraced(function* (current: Boot) {
  yield* current.say("kim", "one", "m1")
  const run = yield* current.agent.run(current.agent.runs.length + 1)
  yield* current.say("kim", "two", "m2")
  yield* run.handed(1)
  return run
})

const settled = (current: Boot) => Effect.map(current.gateway.audit, ({ balanced, detail }) => [balanced, detail])

describe("Q6: a message that is with the agent", () => {
  it.effect(
    "Q6 D3: is answered with the turn that goes on after kill -9, once, and what came later comes behind it",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const first = yield* boot(place, { agent: TestAgent.make({ steers: true }), ...steering })
        yield* open(first)
        yield* first.say("kim", "three", "m3")
        yield* first.crash

        const agent = TestAgent.make({ steers: true })
        const second = yield* boot(place, { agent, ...steering })
        // Repeats of a client that heard nothing, and a message of this boot, which must not take the turn along.
        yield* second.say("kim", "two", "m2")
        yield* second.say("kim", "four", "m4")
        const run = yield* meanwhile(agent.run(1))
        assert.deepStrictEqual([run.turn.text, run.turn.attempt], ["one\ntwo", 2])
        yield* run.finish("1 and 2")
        yield* (yield* meanwhile(agent.run(2))).finish("3")
        yield* (yield* meanwhile(agent.run(3))).finish("4")
        yield* rest(second, "chat/kim")
        assert.deepStrictEqual(given(agent), ["one\ntwo", "three", "four"])
        const seen = place.far.chat?.seen("kim").filter((text) => /^\d/.test(text))
        assert.deepStrictEqual(seen, ["1 and 2", "3", "4"])
        assert.deepStrictEqual(yield* settled(second), [true, { replied: 4 }])
      })
  )

  it.effect("Q6 D3: leaves the turn that goes on with it open to what is written next", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const first = yield* boot(place, { agent: TestAgent.make({ steers: true }), ...steering })
      yield* open(first)
      yield* first.crash
      const agent = TestAgent.make({ steers: true })
      const second = yield* boot(place, { agent, ...steering })
      const run = yield* meanwhile(agent.run(1))
      yield* second.say("kim", "three", "m3")
      assert.deepStrictEqual(
        (yield* run.handed(1)).map(({ text }) => text),
        ["three"]
      )
      yield* run.emit({ _tag: "Steered", ids: ["m3"] })
      yield* run.finish("all")
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["all"])
      assert.deepStrictEqual(yield* settled(second), [true, { replied: 3 }])
    })
  )

  it.effect("Q6 D4: is answered once wherever the process dies: as it is handed over, and as its turn goes on", () =>
    Effect.gen(function* () {
      const graves: ReadonlyArray<readonly [Label, number, string]> = [
        ["inside:claim", 2, "one|two"],
        ["after:claim", 2, "one\ntwo"]
      ]
      const resumed = ["inside:resume", "after:resume", "before:settle"] as const
      for (const [label, nth, expected] of graves) {
        for (const then of resumed) {
          const place = yield* world()
          const agent = TestAgent.make({ steers: true })
          yield* lived(place, { agent, ...steering, grave: { label, nth } }, open)
          const between = TestAgent.make({ answer: (turn) => turn.text, steers: true })
          yield* lived(place, { agent: between, ...steering, grave: { label: then, nth: 1 } }, (current) =>
            rest(current, "chat/kim")
          )
          const last = TestAgent.make({ answer: (turn) => turn.text, steers: true })
          const third = yield* boot(place, { agent: last, ...steering })
          yield* rest(third, "chat/kim")
          const seen = place.far.chat?.seen("kim").join("|")
          assert.deepStrictEqual([label, then, seen], [label, then, expected])
          assert.deepStrictEqual(yield* settled(third), [true, { replied: 2 }])
          yield* third.crash
        }
      }
    })
  )

  it.effect("Q6 D3: goes along however large what its agent took before it was", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const first = yield* boot(place, { agent: TestAgent.make({ steers: true }), ...steering })
      yield* first.say("kim", "one", "m1")
      const run = yield* first.agent.run(1)
      const large = "x".repeat(200_000)
      yield* first.say("kim", large, "m2")
      yield* run.handed(1)
      yield* run.emit({ _tag: "Steered", ids: ["m2"] })
      yield* first.say("kim", "three", "m3")
      yield* run.handed(2)
      yield* first.crash
      const agent = TestAgent.make({ answer: () => "all", steers: true })
      const second = yield* boot(place, { agent, ...steering })
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(agent), [`one\n${large}\nthree`])
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["all"])
      assert.deepStrictEqual(yield* settled(second), [true, { replied: 3 }])
    })
  )

  it.effect("Q6 C8: goes along with the next try of a turn that failed, stalled or ran out of time", () =>
    Effect.gen(function* () {
      for (const how of ["fails", "stalls", "runs out of time"] as const) {
        const place = yield* world()
        const agent = TestAgent.make({ steers: true, stallTimeout: 20_000, turnTimeout: 30_000 })
        const current = yield* boot(place, { agent, ...steering, turns: { backoff: [1000] } })
        const run = yield* open(current)
        if (how === "fails") yield* run.fail()
        else if (how === "stalls") yield* TestClock.adjust("20 seconds")
        else {
          yield* TestClock.adjust("15 seconds")
          yield* run.emit({ _tag: "Alive" })
          yield* TestClock.adjust("15 seconds")
        }
        const second = yield* meanwhile(agent.run(2))
        assert.deepStrictEqual([how, second.turn.text, yield* second.handed(0)], [how, "one\ntwo", []])
        yield* second.finish("both")
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual([how, given(agent).length], [how, 2])
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["both"])
        assert.deepStrictEqual(yield* settled(current), [true, { replied: 2 }])
        yield* current.crash
      }
    })
  )

  it.effect("Q6 S3: goes along with its turn when a stop cuts that off at the deadline", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ steers: true })
      const first = yield* boot(place, { agent, ...steering })
      const run = yield* open(first)
      const report = yield* meanwhile(first.stop)
      assert.deepStrictEqual([report.exitCode, yield* run.over], [80, "interrupted"])
      const later = TestAgent.make({ answer: (turn) => turn.text, steers: true })
      const second = yield* boot(place, { agent: later, ...steering })
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(later), ["one\ntwo"])
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["one\ntwo"])
      assert.deepStrictEqual(yield* settled(second), [true, { replied: 2 }])
    })
  )

  it.effect("Q6 S4: is the next turn's when its turn comes to its end in a drain", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ steers: true })
      const first = yield* boot(place, { agent, ...steering })
      const run = yield* open(first)
      const stop = yield* Effect.forkChild(first.stop, { startImmediately: true })
      yield* run.finish("1")
      yield* (yield* agent.run(2)).finish("2")
      yield* meanwhile(Fiber.join(stop))
      assert.deepStrictEqual(given(agent), ["one", "two"])
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["1", "2"])
    })
  )

  it.effect("Q6 C8: has a turn of its own when the one that had it is set aside without an answer", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ steers: true })
      const current = yield* boot(place, { agent, ...steering })
      const run = yield* open(current)
      yield* run.fail("Rejected")
      const second = yield* meanwhile(agent.run(2))
      assert.strictEqual(second.turn.text, "two")
      yield* second.finish("2")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(yield* settled(current), [true, { "suspended(failed)": 1, replied: 1 }])
      assert.strictEqual(place.far.chat?.seen("kim").at(-1), "2")
    })
  )

  it.effect("Q6 Q7: ends with its turn at a /stop, and nothing of it runs in the next one or after a crash", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ steers: true })
      const first = yield* boot(place, { agent, ...steering })
      const run = yield* open(first)
      yield* first.say("kim", "/stop", "s")
      assert.strictEqual(yield* run.over, "interrupted")
      yield* first.say("kim", "three", "m3")
      yield* agent.run(2)
      yield* first.crash
      const later = TestAgent.make({ answer: (turn) => turn.text, steers: true })
      const second = yield* boot(place, { agent: later, ...steering })
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(agent, later), ["one", "three", "three"])
      assert.deepStrictEqual(yield* settled(second), [true, { "cancelled(stop)": 2, command: 1, replied: 1 }])
    })
  )

  it.effect("Q6 Q25: that is edited or withdrawn meanwhile does not go along: only its newer version is answered", () =>
    Effect.gen(function* () {
      for (const how of ["edited", "withdrawn"] as const) {
        const place = yield* world()
        const agent = TestAgent.make({ steers: true })
        const current = yield* boot(place, { agent, ...steering, turns: { backoff: [1000] } })
        const run = yield* open(current)
        const base = { conversation: "kim", sender: "kim" }
        yield* current
          .handle()
          .accept(
            how === "edited"
              ? { ...base, id: "m2/e1", replaces: "m2", text: "zwei" }
              : { ...base, id: "m2/deleted", withdraws: "m2", text: "" }
          )
        yield* run.fail()
        const second = yield* meanwhile(agent.run(2))
        assert.deepStrictEqual([how, second.turn.text], [how, "one"])
        if (how === "edited") {
          assert.deepStrictEqual(
            (yield* second.handed(1)).map(({ text }) => text),
            ["zwei"]
          )
          yield* second.emit({ _tag: "Steered", ids: ["m2/e1"] })
        }
        yield* second.finish("done")
        yield* rest(current, "chat/kim")
        assert.strictEqual(agent.runs.length, 2)
        assert.deepStrictEqual(
          yield* settled(current),
          how === "edited"
            ? [true, { replied: 2, "superseded(edit)": 1 }]
            : [true, { replied: 1, "cancelled(deleted)": 1, "command(deleted)": 1 }]
        )
        yield* current.crash
      }
    })
  )

  it.effect("Q6 Q25: is told to its agent as the turn's, or not, before that goes on with it", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ steers: true })
      const current = yield* boot(place, { agent, ...steering })
      const run = yield* open(current)
      const heard: Array<ReadonlyArray<string>> = []
      const steered = (...ids: ReadonlyArray<string>): AgentEvent => ({
        _tag: "Steered",
        ids,
        joined: (joined) => void heard.push(joined)
      })
      yield* current.handle().accept({ conversation: "kim", sender: "kim", id: "m2/e1", replaces: "m2", text: "zwei" })
      yield* run.emit(steered("m2"))
      yield* run.handed(2)
      yield* run.emit(steered("m2/e1"))
      yield* until(() => heard.length === 2)
      assert.deepStrictEqual(heard, [[], ["m2/e1"]])
      yield* run.finish("both")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(yield* settled(current), [true, { replied: 2, "superseded(edit)": 1 }])
    })
  )

  it.effect("Q6 Q15: stays with its session when its conversation goes to another one, over a crash too", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ steers: true })
      const first = yield* boot(place, { agent, ...steering })
      yield* open(first)
      yield* first.say("kim", "/new side", "c1")
      yield* first.say("kim", "aside", "m3")
      yield* (yield* agent.run(2)).finish("in another one")
      yield* until(() => place.far.chat?.seen("kim").some((text) => text.includes("in another one")) === true)
      yield* first.crash
      const later = TestAgent.make({ answer: (turn) => `${turn.session}: ${turn.text}`, steers: true })
      const second = yield* boot(place, { agent: later, ...steering })
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(later), ["one\ntwo"])
      assert.deepStrictEqual(yield* settled(second), [true, { replied: 3, command: 1 }])
    })
  )
})
