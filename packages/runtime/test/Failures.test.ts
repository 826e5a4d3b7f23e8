// What an agent does wrong stays with its turn: it fails, throws, dies, interrupts itself or never comes back, and the
// others go on, nothing is answered twice, and the person hears of it once the last try is over.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Agent from "../src/Agent.ts"
import { TestAgent } from "../src/testing/index.ts"
import { boot, given, meanwhile, rest, world } from "./guarantees/boots.ts"

const broken = (open: () => Effect.Effect<Agent.OpenAgent, Agent.AgentError>): TestAgent.TestAgent => ({
  ...TestAgent.make(),
  agent: Agent.make({ open })
})

const opened = (answer: () => ReturnType<Agent.OpenAgent["answer"]>) => broken(() => Effect.succeed({ answer }))

const misbehaviours: Readonly<Record<string, () => TestAgent.TestAgent>> = {
  "fails to open": () =>
    broken(() => Effect.fail(new Agent.AgentError({ reason: "Failed", cause: new Error("no binary") }))),
  "dies while it opens": () => broken(() => Effect.die(new Error("boom"))),
  "throws instead of opening": () =>
    broken(() => {
      throw new Error("boom")
    }),
  "interrupts itself while it opens": () => broken(() => Effect.interrupt),
  "dies in its answer": () => opened(() => Stream.die(new Error("boom"))),
  "throws instead of answering": () =>
    opened(() => {
      throw new Error("boom")
    }),
  "interrupts itself in its answer": () => opened(() => Stream.fromEffect(Effect.interrupt)),
  "fails in the middle of its answer": () =>
    opened(() =>
      Stream.concat(
        Stream.make(Agent.text("half of")),
        Stream.fail(new Agent.AgentError({ reason: "Failed", cause: new Error("gone") }))
      )
    ),
  "throws in its scope's end": () =>
    broken(() =>
      Effect.as(Effect.addFinalizer(() => Effect.die(new Error("boom"))) as Effect.Effect<void>, {
        answer: () => Stream.die(new Error("boom"))
      })
    )
}

describe("agents that fail", () => {
  for (const [what, make] of Object.entries(misbehaviours)) {
    it.effect(`Q17: an agent that ${what}: three tries with backoff, told once, and everybody else goes on`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const current = yield* boot(place, { agent: make(), agents: { other: TestAgent.echo().agent }, personas: {} })
        yield* current.say("kim", "do it")
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(place.far.chat?.seen("kim"), [])
        yield* rest(current, "chat/kim")
        const seen = place.far.chat?.seen("kim") ?? []
        assert.strictEqual(seen.length, 1)
        assert.match(seen[0] ?? "", /^"do it" failed 3 times, so I've set it aside\..*\([0-9a-z]{4}\)$/)
        const { balanced, detail } = yield* current.gateway.audit
        assert.deepStrictEqual([balanced, detail["suspended(failed)"]], [true, 1])
        assert.isTrue((yield* current.gateway.readiness).ready)
        assert.strictEqual((yield* current.gateway.stop({ reason: "stop" })).exitCode, 0)
      })
    )
  }

  it.effect("Q17: a turn that fails twice is answered at the third try, once, after 2 s and 10 s", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "do it")
      yield* (yield* agent.run(1)).fail()
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(agent.runs.length, 1)
      yield* TestClock.adjust("1 millis")
      const second = yield* agent.run(2)
      yield* second.emit(Agent.text("a piece that nobody will read"))
      yield* second.fail()
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(agent.runs.length, 2)
      yield* TestClock.adjust("1 millis")
      const third = yield* agent.run(3)
      assert.deepStrictEqual([third.turn.attempt, third.turn.interrupted], [3, undefined])
      yield* third.finish("done")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["done"])
      assert.deepStrictEqual(agent.overlaps, [])
    })
  )

  it.effect("Q17: the rest of a stored wait is waited for after a restart, and messages wait behind it", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent })
      yield* first.say("kim", "do it")
      yield* (yield* agent.run(1)).fail()
      yield* TestClock.adjust("2 seconds")
      yield* (yield* agent.run(2)).fail()
      yield* first.say("kim", "and this")
      yield* TestClock.adjust("4 seconds")
      // A turn in its wait holds up no stop.
      assert.isBelow((yield* first.stop).millis, 50)
      const later = TestAgent.make()
      const second = yield* boot(place, { agent: later })
      yield* TestClock.adjust("5999 millis")
      assert.deepStrictEqual(given(later), [])
      yield* TestClock.adjust("1 millis")
      const run = yield* later.run(1)
      assert.deepStrictEqual([run.turn.text, run.turn.attempt], ["do it", 3])
      yield* run.fail()
      yield* (yield* later.run(2)).finish("2")
      yield* rest(second, "chat/kim")
      const seen = (place.far.chat?.seen("kim") ?? []).filter((text) => !text.startsWith("Got it."))
      assert.deepStrictEqual([seen.length, seen[0]?.startsWith('"do it" failed 3 times'), seen[1]], [2, true, "2"])
    })
  )

  it.effect("D20: /retry brings a message back that was set aside, with its text, and only once", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, turns: { backoff: [] } })
      yield* current.say("kim", "poison")
      yield* (yield* agent.run(1)).fail()
      yield* rest(current, "chat/kim")
      yield* current.say("kim", "/retry")
      const again = yield* agent.run(2)
      assert.deepStrictEqual([again.turn.text, again.turn.attempt], ["poison", 1])
      yield* again.finish("cured")
      yield* rest(current, "chat/kim")
      yield* current.say("kim", "/retry")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(place.far.chat?.seen("kim").slice(1), [
        "Trying again with 1 message.",
        "cured",
        "There is nothing to try again."
      ])
      const { balanced, detail } = yield* current.gateway.audit
      assert.deepStrictEqual([balanced, detail["suspended(failed)"], detail.replied], [true, 1, 1])
    })
  )

  it.effect("a turn that its agent rejects is not tried again, and neither is one whose history is gone", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "no")
      yield* (yield* agent.run(1)).fail("Rejected")
      yield* rest(current, "chat/kim")
      yield* current.say("kim", "remember?")
      yield* (yield* agent.run(2)).fail("HistoryGone")
      yield* rest(current, "chat/kim")
      const seen = place.far.chat?.seen("kim") ?? []
      assert.match(seen[0] ?? "", /^I can't answer this as it is\. .*\([0-9a-z]{4}\)$/)
      assert.match(seen[1] ?? "", /^I can't find our earlier conversation\./)
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { "suspended(failed)": 1, "suspended(ask)": 1 })
    })
  )

  it.effect(
    "Q18: a turn that hangs is named with what it waits for, stalls in its time, and holds nobody else up",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make({ stallTimeout: 60_000 })
        const current = yield* boot(place, { agent, turns: { backoff: [] } })
        yield* current.say("kim", "hang")
        const hung = yield* agent.run(1)
        yield* hung.emit({ _tag: "ToolStarted", id: "t", name: "compile", sideEffects: false })
        for (let n = 0; n < 50; n++) {
          yield* current.say(`p${n}`, "quick")
          yield* (yield* agent.run(n + 2)).finish("quick")
        }
        yield* Effect.forEach(
          Array.from({ length: 50 }, (_, n) => `chat/p${n}`),
          current.gateway.settled
        )
        const live = (yield* current.gateway.live).find(({ key }) => key === "chat/kim")
        assert.deepStrictEqual([live?.state, live?.waitsFor], [{ name: "tool", tool: "compile" }, "tool compile"])
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual((yield* current.gateway.live).filter(({ turn }) => turn !== undefined).length, 1)
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual(yield* hung.over, "interrupted")
        yield* rest(current, "chat/kim")
        assert.match(place.far.chat?.seen("kim").at(-1) ?? "", /^"hang" failed 1 time,/)
      })
  )

  it.effect("Q23: 32 hung turns hold the limit only until they stall: then everybody else gets a turn", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ stallTimeout: 60_000 })
      const current = yield* boot(place, { agent, turns: { backoff: [] } })
      for (let n = 0; n < 32; n++) yield* current.say(`h${n}`, "hang")
      yield* agent.run(32)
      yield* current.say("kim", "hello")
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(agent.runs.length, 32)
      yield* meanwhile(agent.run(33))
      assert.strictEqual(agent.runs[32]?.turn.text, "hello")
      yield* (yield* agent.run(33)).finish("hi")
      yield* rest(current, "chat/kim")
      assert.strictEqual(place.far.chat?.seen("kim").at(-1), "hi")
    })
  )
})
