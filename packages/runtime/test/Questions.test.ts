// Questions of a running turn, and commands in the tick of its end: an answer reaches its own turn only, holds no place,
// and one of a command and a turn wins.
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { TestAgent } from "../src/testing/index.ts"
import { type Boot, boot, meanwhile, rest, type World, world } from "./guarantees/boots.ts"

/** What kim sees, without the sentence for those who wait. */
const seen = (place: World, peer = "kim") =>
  (place.far.chat?.seen(peer) ?? []).filter((text) => !text.startsWith("Got it."))

/** Says it and returns what is answered to it, while no time passes. */
const asked = Effect.fnUntraced(function* (current: Boot, text: string) {
  const at = yield* Clock.monotonicTimeNanos
  const { seq } = yield* current.say("kim", text)
  const standing = yield* current.handle().ended(seq)
  assert.strictEqual(yield* Clock.monotonicTimeNanos, at)
  return standing?.replies.map((reply) => reply.text).join() ?? ""
})

describe("questions", () => {
  /** A turn that asks this and says what it was told. */
  const asking = Effect.fnUntraced(function* (
    current: Boot,
    agent: TestAgent.TestAgent,
    n: number,
    ...questions: ReadonlyArray<string>
  ) {
    const told: Array<string | undefined> = []
    const run = yield* agent.run(n)
    for (const question of questions) {
      yield* run.emit({
        _tag: "Permission",
        question,
        options: ["Yes", "No, never", "Ask again"],
        respond: (option) => Effect.sync(() => void told.push(option))
      })
    }
    for (let tick = 0; tick < 500; tick++) {
      const [live] = yield* current.gateway.live
      if (live?.state.name === "waiting") break
      yield* Effect.yieldNow
    }
    return { run, told }
  })
  const heard = (told: ReadonlyArray<unknown>, count: number) =>
    Effect.gen(function* () {
      for (let tick = 0; tick < 500 && told.length < count; tick++) yield* Effect.yieldNow
    })

  for (const [how, text] of [
    ["its words", "no, never"],
    ["its number", "2"],
    ["/allow with its words", "/allow 1 No, never"],
    ["/allow with other letters", "/allow 1 NO, NEVER"],
    ["/allow with its number", "/allow 1 2"]
  ] as const) {
    it.effect(`a question is answered by ${how}, and the turn goes on with the answer`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent })
        yield* current.say("kim", "delete it")
        const { run, told } = yield* asking(current, agent, 1, "Delete it?")
        yield* meanwhile(place.far.chat?.requested(1) ?? Effect.void, { step: 0 })
        assert.deepStrictEqual(seen(place), [
          "Delete it?\n1. Yes\n2. No, never\n3. Ask again\n(/allow 1 and your choice)"
        ])
        assert.strictEqual((yield* current.gateway.live)[0]?.waitsFor, "a person's decision")
        assert.match(
          yield* asked(current, "/status"),
          /^main: waiting for you, .*\nnothing waits\nwaits for a person's decision\nquestion 1: Delete it\?\n1\. Yes\n2\. No, never\n3\. Ask again\nagent main$/
        )
        assert.strictEqual(yield* asked(current, text), "All right: No, never.")
        yield* heard(told, 1)
        assert.deepStrictEqual(told, ["No, never"])
        assert.strictEqual((yield* current.gateway.live)[0]?.state.name, "processing")
        yield* run.finish("kept")
        yield* rest(current, "chat/kim")
        assert.strictEqual(seen(place).at(-1), "kept")
        assert.deepStrictEqual((yield* current.gateway.audit).detail, { command: 2, replied: 1 })
      })
    )
  }

  it.effect(
    "Q19: another text while a question is open waits behind the turn, which is said once, and a second answer is told that it is late",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent })
        yield* current.say("kim", "go")
        const { run, told } = yield* asking(current, agent, 1, "A?", "B?")
        yield* meanwhile(place.far.chat?.requested(2) ?? Effect.void, { step: 0 })
        yield* current.say("kim", "1")
        yield* current.say("kim", "well?")
        yield* meanwhile(place.far.chat?.requested(3) ?? Effect.void, { step: 0 })
        assert.deepStrictEqual(place.far.chat?.seen("kim").slice(2), [
          'I\'m still waiting for your decision on "A?":\n1. Yes\n2. No, never\n3. Ask again\n' +
            "Write one of these, or /allow 1 with its number. I'll get to what you just wrote after that."
        ])
        assert.match(yield* asked(current, "/allow 9 Yes"), /no open question with that number/)
        assert.match(
          yield* asked(current, "/allow 1 Perhaps"),
          /^"Perhaps" is not possible here. Possible: Yes, No, never, Ask again\.$/
        )
        yield* asked(current, "/allow 2 Yes")
        yield* asked(current, "/allow 1 Ask again")
        yield* heard(told, 2)
        assert.deepStrictEqual(told, ["Yes", "Ask again"])
        assert.match(yield* asked(current, "/allow 1 Yes"), /no open question with that number/)
        yield* run.finish("ok")
        // With two questions open a bare number named neither.
        assert.strictEqual((yield* agent.run(2)).turn.text, "1\nwell?")
      })
  )

  it.effect(
    "a question is answered by its number also from another session of the conversation, and numbers differ",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent })
        yield* current.say("kim", "go")
        const first = yield* asking(current, agent, 1, "A?")
        yield* asked(current, "/new side")
        yield* current.say("kim", "go on")
        const second = yield* asking(current, agent, 2, "B?")
        yield* meanwhile(place.far.chat?.requested(3) ?? Effect.void, { step: 0 })
        assert.deepStrictEqual(
          seen(place).flatMap((text) => /\(\/allow \d/.exec(text)?.[0] ?? []),
          ["(/allow 1", "(/allow 2"]
        )
        assert.match(yield* asked(current, "/allow 1 Perhaps"), /is not possible here/)
        assert.strictEqual(yield* asked(current, "/allow 1 No, never"), "All right: No, never.")
        // In words it is the question of the session that they are in.
        assert.strictEqual(yield* asked(current, "Yes"), "All right: Yes.")
        yield* heard(first.told, 1)
        yield* heard(second.told, 1)
        assert.deepStrictEqual([first.told, second.told], [["No, never"], ["Yes"]])
        yield* first.run.finish("one")
        yield* second.run.finish("two")
        yield* rest(current, "chat/kim")
        assert.isTrue((yield* current.gateway.audit).balanced)
      })
  )

  it.effect("Q23: a turn that is stopped while it waits for its place after an answer takes no place along", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, turns: { limit: 2 } })
      let runs = 0
      const began = Effect.suspend(() => agent.run(++runs))
      for (let ticks = 0; ticks < 30; ticks++) {
        yield* current.say("kim", "may I")
        const asking = yield* began
        yield* asking.emit({ _tag: "Permission", question: "?", options: ["Yes"], respond: () => Effect.void })
        const others: Array<TestAgent.Run> = []
        for (const peer of ["x", "y"]) {
          yield* current.say(peer, "work")
          others.push(yield* began)
        }
        // The answer makes it wait for a place behind the two; then it is stopped, and the next one waits there too.
        yield* asked(current, "Yes")
        yield* asked(current, "/stop")
        yield* current.say("kim", "next")
        for (let tick = 0; tick < ticks; tick++) yield* Effect.yieldNow
        for (const run of others) yield* run.finish("ok")
        yield* (yield* began).finish("ok")
        yield* Effect.forEach(["chat/kim", "chat/x", "chat/y"], current.gateway.settled)
      }
      // Both places are still there.
      yield* current.say("x", "a")
      yield* current.say("y", "b")
      yield* agent.run(runs + 2)
    })
  )

  it.effect(
    "Q19 S6: a stop does not wait for a person: the question is cancelled, the turn asks again after the boot",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent })
        yield* current.say("kim", "go")
        const { run, told } = yield* asking(current, agent, 1, "A?")
        const report = yield* meanwhile(current.stop, { step: 1, steps: 100 })
        assert.strictEqual(yield* run.over, "interrupted")
        assert.deepStrictEqual(told, [])
        assert.isBelow(report.millis, 100)
        assert.deepStrictEqual(
          report.sessions.map(({ outcome }) => outcome),
          ["interrupted"]
        )
        const later = yield* boot(place, { agent })
        yield* later.say("kim", "Yes")
        const again = yield* asking(later, agent, 2, "A?")
        yield* later.say("kim", "Yes")
        yield* heard(again.told, 1)
        assert.deepStrictEqual(again.told, ["Yes"])
      })
  )
})

describe("the tick of a command", () => {
  it.effect("Q7 Q17: /stop and a turn's own end race: one of them wins, the person is told by that one only", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      let answered = 0
      for (let n = 0; n < 60; n++) {
        const peer = `p${n}`
        yield* current.say(peer, "a")
        const run = yield* agent.run(n + 1)
        yield* run.finish("A")
        for (let tick = 0; tick < n; tick++) yield* Effect.yieldNow
        yield* current.say(peer, "/stop")
        yield* meanwhile(current.gateway.settled(`chat/${peer}`), { step: 0 })
        const shown = [...seen(place, peer)].sort()
        if (shown.includes("A")) answered++
        assert.include([["A", "There is nothing to stop."], ["Stopped."]].map(String), String(shown))
      }
      assert.isAbove(answered, 0)
      const { balanced, detail } = yield* current.gateway.audit
      assert.deepStrictEqual([balanced, detail.command, detail.replied ?? 0], [true, 60, answered])
    })
  )
})
