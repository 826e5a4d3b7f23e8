// One conversation is serialised, conversations are not: nobody waits for somebody else's turn except at the turn limit,
// which is fair, and an agent is kept warm only while it may be needed. Interleavings are seeded: a seed reproduces its run.
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { TestAgent } from "../src/testing/index.ts"
import { boot, given, meanwhile, rest, world } from "./guarantees/boots.ts"

/** Numbers below `limit` that depend on the seed alone. */
const random = (seed: number) => {
  let state = seed + 1
  return (limit: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

const ticks = (count: number) =>
  Effect.gen(function* () {
    for (let tick = 0; tick < count; tick++) yield* Effect.yieldNow
  })

/** Answers each run as soon as so many ticks have passed. */
const answering = (agent: TestAgent.TestAgent, delay: () => number, from = 1) =>
  Effect.forkChild(
    Effect.gen(function* () {
      for (let n = from; ; n++) {
        const run = yield* agent.run(n)
        yield* Effect.forkChild(Effect.andThen(ticks(delay()), run.finish(`re: ${run.turn.text}`)))
      }
    })
  )

describe("one conversation", () => {
  it.effect(
    "Q2: 1,000 interleavings of messages and ends of turns, ten at a time: every message once, in order",
    () =>
      Effect.gen(function* () {
        const place = yield* world({ web: "pull" })
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent, queue: { cap: 1000 }, session: { maxLive: 20 } })
        const delay = random(0)
        yield* answering(agent, () => delay(6))
        const conversation = Effect.fnUntraced(function* (mode: "collect" | "followup", seed: number) {
          const next = random(seed)
          const peer = `${mode}${seed}`
          if (mode === "followup") yield* current.say(peer, "/queue followup", undefined, "web")
          const count = 2 + next(4)
          const writers: Array<Fiber.Fiber<unknown, unknown>> = []
          for (let n = 0; n < count; n++) {
            // In the order of their commits, but not one after the other.
            writers.push(
              yield* Effect.forkChild(current.say(peer, String(n), undefined, "web"), { startImmediately: true })
            )
            yield* ticks(next(12))
          }
          for (const writer of writers) yield* Fiber.join(writer)
          yield* current.gateway.settled(`web/${peer}`)
          const turns = agent.runs.filter(({ turn }) => turn.session === `web/${peer}`).map(({ turn }) => turn)
          const seqs = turns.flatMap(({ messages }) => messages.map(({ seq }) => seq))
          assert.deepStrictEqual(
            turns.flatMap(({ messages }) => messages.map(({ text }) => text)),
            Array.from({ length: count }, (_, n) => String(n)),
            `${mode} ${seed}`
          )
          assert.deepStrictEqual(
            seqs,
            [...seqs].sort((a, b) => a - b)
          )
          const { replies } = yield* current.handle("web").page({ conversation: peer }, { after: 0, limit: 50 })
          assert.deepStrictEqual(
            replies.filter(({ kind }) => kind === "answer").map(({ text }) => text),
            turns.map(({ text }) => `re: ${text}`)
          )
        })
        const seeds = Array.from({ length: 500 }, (_, seed) => seed)
        for (const mode of ["collect", "followup"] as const) {
          yield* Effect.forEach(seeds, (seed) => conversation(mode, seed), { concurrency: 10, discard: true })
        }
        assert.deepStrictEqual(agent.overlaps, [])
      }),
    240_000
  )

  it.effect(
    "Q3: a message in the very tick in which a turn ends starts the next turn, 1,000 times",
    () =>
      Effect.gen(function* () {
        const place = yield* world({ web: "pull" })
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent })
        for (let n = 0; n < 1000; n++) {
          const peer = `p${n % 250}`
          yield* current.say(peer, "first", undefined, "web")
          const first = yield* agent.run(2 * n + 1)
          yield* first.finish("1")
          // From before the agent's end, over the settlement, to after it.
          yield* ticks(n % 40)
          yield* current.say(peer, "second", undefined, "web")
          const second = yield* agent.run(2 * n + 2)
          assert.strictEqual(second.turn.text, "second")
          yield* second.finish("2")
          yield* current.gateway.settled(`web/${peer}`)
        }
        assert.deepStrictEqual(agent.overlaps, [])
        assert.strictEqual((yield* current.gateway.audit).ends.replied, 2000)
      }),
    240_000
  )
})

describe("conversations beside each other", () => {
  it.effect("Q1: a turn of a minute delays nobody else's turn, not by a tick of the clock", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "work 60s")
      const long = yield* agent.run(1)
      for (let second = 0; second < 60; second++) {
        const before = yield* Clock.monotonicTimeNanos
        yield* current.say("bo", `${second}`)
        const run = yield* agent.run(second + 2)
        assert.strictEqual(yield* Clock.monotonicTimeNanos, before)
        yield* run.finish("ok")
        yield* current.gateway.settled("chat/bo")
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual((yield* current.gateway.live).find(({ key }) => key === "chat/kim")?.turn?.age, 60_000)
      yield* long.finish("done")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["Still on it: 1 min so far. /stop cancels.", "done"])
    })
  )

  it.effect("the turn limit is fair: a conversation that always has more does not stand before those that wait", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, queue: { mode: "followup" }, turns: { limit: 1 } })
      for (const text of ["1", "2", "3"]) yield* current.say("greedy", text)
      yield* agent.run(1)
      yield* current.say("kim", "kim")
      yield* current.say("bo", "bo")
      const waiting = (yield* current.gateway.live).find(({ key }) => key === "chat/kim")
      assert.strictEqual(waiting?.waitsFor, "a free place")
      for (let n = 1; n <= 5; n++) yield* (yield* agent.run(n)).finish("ok")
      yield* rest(current, "chat/greedy", "chat/kim", "chat/bo")
      assert.deepStrictEqual(given(agent), ["1", "kim", "bo", "2", "3"])
    })
  )

  it.effect("Q23: 32 open questions hold no place: others get their turns, and an answer goes on with its own", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      const answers: Array<string | undefined> = []
      for (let n = 1; n <= 32; n++) {
        yield* current.say(`p${n}`, "may I")
        const run = yield* agent.run(n)
        yield* run.emit({
          _tag: "Permission",
          question: "May I?",
          options: ["Yes", "No"],
          respond: (option) =>
            Effect.andThen(
              Effect.sync(() => void answers.push(option)),
              run.finish("asked")
            )
        })
      }
      yield* meanwhile(
        Effect.forEach(
          Array.from({ length: 32 }, (_, n) => n + 1),
          (n) => place.far.chat?.requested(n) ?? Effect.void
        )
      )
      yield* current.say("kim", "hello")
      yield* (yield* agent.run(33)).finish("hi")
      yield* meanwhile(current.gateway.settled("chat/kim"))
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["hi"])
      yield* current.say("p7", "Yes")
      yield* rest(current, "chat/p7")
      assert.deepStrictEqual(answers, ["Yes"])
      assert.include(place.far.chat?.seen("p7") ?? [], "asked")
    })
  )
})
