// Queue mode `steer`: what comes while a turn runs is handed to it. Only the agent's word that it took a message over makes
// that message the turn's; a turn that ends first, a crash, a stop and a command never lose what was handed over, nor is it
// answered twice: what became of it when its agent did not say is in SteerOpen.test.ts.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestAgent } from "../src/testing/index.ts"
import { boot, given, lived, meanwhile, rest, world } from "./guarantees/boots.ts"

const steered = (...ids: ReadonlyArray<string>) => ({ _tag: "Steered" as const, ids })
const steering = { queue: { mode: "steer" as const } }

describe("Q6: steering", () => {
  it.effect(
    "Q6: a message reaches the running turn and is answered by it, once; the next one begins a turn of its own",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make({ steers: true })
        const current = yield* boot(place, { agent, ...steering })
        yield* current.say("kim", "write a poem", "m1")
        const run = yield* agent.run(1)
        yield* current.say("kim", "about the sea", "m2")
        assert.deepStrictEqual(
          (yield* run.handed(1)).map(({ text }) => text),
          ["about the sea"]
        )
        yield* run.emit(steered("m2"))
        yield* run.finish("Waves")
        yield* rest(current, "chat/kim")
        yield* current.say("kim", "thanks", "m3")
        yield* (yield* agent.run(2)).finish("Any time")
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual(given(agent), ["write a poem", "thanks"])
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["Waves", "Any time"])
        assert.deepStrictEqual((yield* current.gateway.audit).detail, { replied: 3 })
        const { replies } = yield* current.journal.page("chat/kim", 0, 10)
        assert.deepStrictEqual(
          replies.map(({ inReplyTo }) => inReplyTo),
          [["m1", "m2"], ["m3"]]
        )
      })
  )

  it.effect("Q6: a turn that ends before it took a message over leaves it to the next one", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ steers: true })
      const current = yield* boot(place, { agent, ...steering })
      yield* current.say("kim", "one", "m1")
      const run = yield* agent.run(1)
      yield* current.say("kim", "two", "m2")
      yield* current.say("kim", "three", "m3")
      yield* run.handed(1)
      yield* run.emit(steered("m2"))
      yield* run.handed(2)
      yield* run.finish("1 and 2")
      const second = yield* meanwhile(agent.run(2), { step: 0 })
      assert.strictEqual(second.turn.text, "three")
      yield* second.finish("3")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["1 and 2", "3"])
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { replied: 3 })
    })
  )

  it.effect("Q6 Q2: a later message waits until the earlier one is taken over too: nothing is overtaken", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ steers: true })
      const current = yield* boot(place, { agent, ...steering })
      yield* current.say("kim", "one", "m1")
      const run = yield* agent.run(1)
      yield* current.say("kim", "two", "m2")
      yield* run.handed(1)
      yield* current.say("kim", "three", "m3")
      yield* current.say("kim", "four", "m4")
      yield* run.emit(steered("m2"))
      yield* run.handed(3)
      yield* run.emit(steered("m4"))
      yield* run.finish("1 and 2")
      const second = yield* meanwhile(agent.run(2), { step: 0 })
      assert.strictEqual(second.turn.text, "three\nfour")
      yield* current.say("kim", "five", "m5")
      yield* second.handed(1)
      yield* current.say("kim", "six", "m6")
      yield* current.say("kim", "seven", "m7")
      yield* second.emit(steered("m5"))
      yield* second.handed(3)
      yield* second.emit(steered("m7"))
      yield* second.emit(steered("m6", "nobody"))
      yield* second.finish("3 to 7")
      yield* rest(current, "chat/kim")
      assert.strictEqual(agent.runs.length, 2)
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { replied: 7 })
    })
  )

  it.effect("Q6: an agent that can't be steered gets follow-ups, whatever it says that it took", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, ...steering })
      yield* current.say("kim", "one")
      const run = yield* agent.run(1)
      yield* current.say("kim", "two")
      yield* run.emit(steered("two"))
      yield* run.finish("1")
      yield* (yield* meanwhile(agent.run(2), { step: 0 })).finish("2")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(given(agent), ["one", "two"])
    })
  )

  it.effect("Q6: /stop ends the turn with all that it took over, and what was only handed to it", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ steers: true })
      const current = yield* boot(place, { agent, ...steering })
      yield* current.say("kim", "one", "m1")
      const run = yield* agent.run(1)
      yield* current.say("kim", "two", "m2")
      yield* current.say("kim", "three", "m3")
      yield* run.handed(1)
      yield* run.emit(steered("m2"))
      yield* run.handed(2)
      yield* current.say("kim", "/stop", "s")
      assert.strictEqual(yield* run.over, "interrupted")
      yield* rest(current, "chat/kim")
      assert.strictEqual(agent.runs.length, 1)
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { "cancelled(stop)": 3, command: 1 })
    })
  )
})

describe("Q6 D3: steering and crashes", () => {
  it.effect(
    "Q6 D3: after a crash the turn goes on with what it took over and with what it was handed: its agent may have both",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make({ steers: true })
        const first = yield* boot(place, { agent, ...steering })
        yield* first.say("kim", "one", "m1")
        const run = yield* agent.run(1)
        yield* first.say("kim", "two", "m2")
        yield* first.say("kim", "three", "m3")
        yield* run.handed(1)
        yield* run.emit(steered("m2"))
        yield* run.handed(2)
        // A sign of life that is shown comes behind the commit of what was taken over.
        yield* run.emit({ _tag: "ToolStarted", id: "t", name: "sea", sideEffects: true })
        yield* meanwhile(
          Effect.whileLoop({
            while: () => first.life.crossed.get("after:tool") === undefined,
            body: () => Effect.yieldNow,
            step: () => {}
          }),
          { step: 0 }
        )
        yield* first.crash

        const later = TestAgent.make({ answer: (turn) => turn.text, steers: true })
        const second = yield* boot(place, { agent: later, ...steering })
        yield* rest(second, "chat/kim")
        assert.deepStrictEqual(given(later), ["one\ntwo\nthree"])
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["one\ntwo\nthree"])
        const { balanced, detail } = yield* second.gateway.audit
        assert.deepStrictEqual([balanced, detail], [true, { replied: 3 }])
      })
  )

  it.effect("Q6 D4: whatever boundary the process dies at, each message is answered once and in order", () =>
    Effect.gen(function* () {
      for (const label of ["before:claim", "inside:claim", "after:claim", "before:settle", "after:settle"] as const) {
        for (const nth of [1, 2, 3]) {
          const place = yield* world()
          const agent = TestAgent.make({ steers: true })
          yield* lived(place, { agent, ...steering, grave: { label, nth } }, (current) =>
            Effect.gen(function* () {
              yield* current.say("kim", "one", "m1")
              const run = yield* agent.run(1)
              yield* current.say("kim", "two", "m2")
              yield* run.handed(1)
              yield* run.emit(steered("m2"))
              yield* run.finish("both")
              yield* rest(current, "chat/kim")
            })
          )
          const later = TestAgent.echo()
          const second = yield* boot(place, { agent: later, ...steering })
          yield* second.say("kim", "one", "m1")
          yield* second.say("kim", "two", "m2")
          yield* rest(second, "chat/kim")
          const { balanced, detail } = yield* second.gateway.audit
          assert.deepStrictEqual([label, nth, balanced, detail], [label, nth, true, { replied: 2 }])
          const said = (place.far.chat?.seen("kim") ?? []).join("\n").replace("both", "one\ntwo")
          assert.strictEqual(said, "one\ntwo", `${label} ${nth}`)
          yield* second.crash
        }
      }
    })
  )
})
