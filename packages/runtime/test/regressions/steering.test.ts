// Q6: what is handed to a running turn overtakes nothing: not what an earlier boot left waiting, and not a command that was
// written before it. What an agent still does with it when the turn is over is let go of.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Agent from "../../src/Agent.ts"
import { TestAgent } from "../../src/testing/index.ts"
import { boot, type Label, meanwhile, rest, until, world } from "../guarantees/boots.ts"

const steering = { queue: { mode: "steer" as const } }

/** Takes over at once whatever is handed to a turn that it was told to hold, and ends that turn when it is told to. */
const eager = () => {
  const handed: Array<string> = []
  const ends: Array<() => void> = []
  const turns: Array<string> = []
  const agent = Agent.make({
    open: () =>
      Effect.sync(() => {
        let show: (event: Agent.AgentEvent) => void = () => {}
        return {
          answer: (turn) =>
            Stream.callback<Agent.AgentEvent>((queue) =>
              Effect.suspend(() => {
                turns.push(turn.text)
                show = (event) => void Queue.offerUnsafe(queue, event)
                ends.push(() => {
                  Queue.offerUnsafe(queue, Agent.text(`re: ${turn.text}`))
                  Queue.endUnsafe(queue)
                })
                return Effect.never
              })
            ),
          steer: (messages) =>
            Effect.sync(() => {
              handed.push(...messages.map(({ text }) => text))
              show({ _tag: "Steered", ids: messages.map(({ id }) => id) })
            })
        }
      })
  })
  return { agent: { ...TestAgent.make(), agent }, handed, ends, turns }
}

describe("steering overtakes nothing", () => {
  it.effect(
    "C3 Q6: an agent that does not take a message is handed none behind it: each is answered once, in order",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make({ steers: true })
        const current = yield* boot(place, { agent, ...steering })
        yield* current.say("kim", "one", "m1")
        const first = yield* agent.run(1)
        yield* current.say("kim", "two", "m2")
        yield* first.handed(1)
        yield* current.say("kim", "three", "m3")
        yield* Effect.forEach(Array.from({ length: 100 }), () => Effect.yieldNow, { discard: true })
        const handed = yield* first.handed(1)
        assert.deepStrictEqual(
          handed.map(({ id }) => id),
          ["m2"]
        )
        yield* first.finish("first")
        const second = yield* agent.run(2)
        assert.strictEqual(second.turn.text, "two\nthree")
        yield* second.finish("second")
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual((yield* current.gateway.audit).detail, { replied: 3 })
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["first", "second"])
      })
  )

  it.effect("C3 Q6: behind a resumed turn a new message does not overtake what an earlier boot left waiting", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const first = yield* boot(place, { agent: TestAgent.make(), ...steering })
      yield* first.say("kim", "one", "m1")
      yield* first.agent.run(1)
      yield* first.say("kim", "two", "m2")
      yield* first.crash

      const { agent, ends, handed, turns } = eager()
      const second = yield* boot(place, { agent, ...steering })
      yield* until(() => turns.length === 1)
      yield* second.say("kim", "three", "m3")
      yield* Effect.forEach(Array.from({ length: 100 }), () => Effect.yieldNow, { discard: true })
      assert.deepStrictEqual([turns, handed], [["one"], []])
      ends[0]?.()
      yield* until(() => turns.length === 2)
      ends[1]?.()
      yield* until(() => turns.length === 3 || handed.length > 0)
      ends[2]?.()
      yield* rest(second, "chat/kim")
      const seen = place.far.chat?.seen("kim").filter((text) => text.startsWith("re:"))
      assert.deepStrictEqual(seen, ["re: one", "re: two", "re: three"])
    })
  )

  it.effect("Q6 Q7: a message behind a /stop is not taken into the turn that is being stopped, and is answered", () =>
    Effect.gen(function* () {
      for (let ticks = 0; ticks < 12; ticks++) {
        const place = yield* world()
        const { agent, ends, turns } = eager()
        const current = yield* boot(place, { agent, ...steering })
        yield* current.say("kim", "one", "m1")
        yield* until(() => turns.length === 1)
        // Several commands: the last of them has to wait for the others.
        const commands = ["/status", "/sessions", "/usage", ticks % 2 === 0 ? "/stop" : "\n\t/Stop"]
        yield* Effect.forEach(commands, (text, n) => current.say("kim", text, `c${n}`), { concurrency: "unbounded" })
        for (let tick = 0; tick < ticks; tick++) yield* Effect.yieldNow
        yield* current.say("kim", "instead", "m2")
        yield* until(() => turns.length === 2)
        ends[1]?.()
        yield* rest(current, "chat/kim")
        const seen = place.far.chat?.seen("kim") ?? []
        assert.include(seen.join("\n"), "Stopped.", `${ticks}: ${JSON.stringify(seen)}`)
        assert.strictEqual(seen.at(-1), "re: instead")
        yield* current.crash
      }
    })
  )

  it.effect("Q6: an agent that never comes to an end with what it was handed is let go of with its turn", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const released: Array<string> = []
      const end = yield* Deferred.make<void>()
      const agent = Agent.make({
        open: () =>
          Effect.succeed({
            answer: (turn) =>
              turn.text === "one"
                ? Stream.fromEffect(Effect.as(Deferred.await(end), Agent.text("1")))
                : Stream.succeed(Agent.text(turn.text)),
            steer: (messages) =>
              Effect.onInterrupt(Effect.never, () =>
                Effect.sync(() => void released.push(...messages.map(({ text }) => text)))
              )
          })
      })
      const current = yield* boot(place, { agent: { ...TestAgent.make(), agent }, ...steering })
      yield* current.say("kim", "one", "m1")
      yield* until(() => current.life.crossed.get("after:claim") === 1)
      yield* current.say("kim", "two", "m2")
      yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow, { discard: true })
      yield* Deferred.succeed(end, undefined)
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(released, ["two"])
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { replied: 2 })
    })
  )

  it.effect("Q6 C8: an attempt that runs out of time as it takes a message over does not get it a second time", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const committed = yield* Deferred.make<void>()
      const told = TestAgent.make({ steers: true })
      const agent = { ...told, agent: { ...told.agent, turnTimeout: "10 seconds" as const } }
      let slow = false
      const at = (label: Label) => (slow && label === "before:claim" ? Deferred.await(committed) : Effect.void)
      const current = yield* boot(place, { agent, ...steering, turns: { backoff: [1000] }, at })
      yield* current.say("kim", "one", "m1")
      const run = yield* agent.run(1)
      yield* current.say("kim", "two", "m2")
      yield* run.handed(1)
      slow = true
      yield* run.emit({ _tag: "Steered", ids: ["m2"] })
      yield* until(() => current.life.crossed.get("before:claim") === 2)
      yield* TestClock.adjust("10 seconds")
      slow = false
      yield* Deferred.succeed(committed, undefined)
      const second = yield* meanwhile(agent.run(2))
      yield* Effect.forEach(Array.from({ length: 60 }), () => Effect.yieldNow, { discard: true })
      assert.deepStrictEqual([second.turn.text, yield* second.handed(0)], ["one\ntwo", []])
      yield* second.finish("both")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { replied: 2 })
    })
  )

  it.effect(
    "Q6 Q8 C8: what was handed to the turn does not fall at the cap: it is not answered and called dropped",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make({ steers: true })
        const current = yield* boot(place, { agent, queue: { mode: "steer", cap: 2, drop: "old" } })
        yield* current.say("kim", "one", "m1")
        const run = yield* agent.run(1)
        yield* current.say("kim", "m2", "m2")
        yield* run.handed(1)
        // They wait until the agent has taken what it was handed.
        for (const id of ["m3", "m4", "m5", "m6"]) yield* current.say("kim", id, id)
        yield* run.emit({ _tag: "Steered", ids: ["m2"] })
        const handed = yield* run.handed(3)
        assert.deepStrictEqual(
          handed.map(({ id }) => id),
          ["m2", "m5", "m6"]
        )
        yield* run.emit({ _tag: "Steered", ids: ["m5", "m6"] })
        yield* run.finish("all")
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual((yield* current.gateway.audit).detail, { replied: 4, "dropped(old)": 2 })
        assert.strictEqual(place.far.chat?.seen("kim").at(-1), "all")
      })
  )

  it.effect("Q6 Q25: what was edited while it waited is handed over in its last version alone, and answered once", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ steers: true })
      const current = yield* boot(place, { agent, ...steering })
      const taken = (...ids: ReadonlyArray<string>) => ({ _tag: "Steered" as const, ids })
      yield* current.say("kim", "one", "m1")
      const run = yield* agent.run(1)
      yield* current.say("kim", "two", "m2")
      yield* run.handed(1)
      yield* current.say("kim", "thrre", "m3")
      const edited = { conversation: "kim", sender: "kim", id: "m3/e1", replaces: "m3", text: "three" }
      yield* current.handle().accept(edited)
      yield* run.emit(taken("m2"))
      yield* run.handed(2)
      yield* run.emit(taken("m3/e1"))
      yield* current.say("kim", "four", "m4")
      const handed = yield* run.handed(3)
      assert.deepStrictEqual(
        handed.map(({ text }) => text),
        ["two", "three", "four"]
      )
      yield* run.emit(taken("m4"))
      yield* run.finish("all")
      yield* rest(current, "chat/kim")
      assert.strictEqual(agent.runs.length, 1)
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { replied: 4, "superseded(edit)": 1 })
    })
  )
})
