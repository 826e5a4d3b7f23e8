// The whole pipeline, from a message accepted to its reply, over a store in memory: what holds when nothing goes wrong, and
// what a person's /stop and the gateway's own stop do to it. What must hold after crashes stands in guarantees/.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Gateway } from "../src/Gateway.ts"
import { TestAgent, TestGateway } from "../src/testing/index.ts"

const say = (text: string, id?: string, conversation = "kim") =>
  Gateway.use((gateway) => gateway.accept({ conversation, sender: "kim", text, ...(id === undefined ? {} : { id }) }))

const replies = (count: number, conversation = "kim") =>
  Gateway.use((gateway) => Stream.runCollect(Stream.take(gateway.replies(conversation), count)))

describe("Gateway", () => {
  it.effect("answers a message, once, and the ledger balances", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway
      const accepted = yield* say("hello", "m1")
      assert.strictEqual(accepted.duplicate, false)
      const again = yield* say("hello", "m1")
      assert.deepStrictEqual([again.seq, again.id, again.duplicate], [accepted.seq, "m1", true])
      yield* TestClock.adjust("300 millis")
      yield* gateway.settled("kim")
      const [reply] = yield* replies(1)
      assert.deepStrictEqual([reply?.text, reply?.number, reply?.inReplyTo], ["hello", 1, ["m1"]])
      const ledger = yield* gateway.audit
      assert.isTrue(ledger.balanced)
      assert.strictEqual(ledger.ends.replied, 1)
      const report = yield* gateway.stop({ reason: "stop", by: "the test" })
      assert.strictEqual(report.exitCode, 0)
    }).pipe(Effect.provide(TestGateway.layer))
  )

  it.effect("D1 Q4: a burst becomes one turn with its messages in order", () => {
    const agent = TestAgent.echo()
    return Effect.gen(function* () {
      const gateway = yield* Gateway
      yield* say("a")
      yield* TestClock.adjust("200 millis")
      yield* say("b")
      yield* TestClock.adjust("200 millis")
      yield* say("c")
      assert.strictEqual(agent.runs.length, 0)
      yield* TestClock.adjust("300 millis")
      yield* gateway.settled("kim")
      assert.deepStrictEqual(
        agent.runs.map((run) => run.turn.text),
        ["a\nb\nc"]
      )
    }).pipe(Effect.provide(TestGateway.make({ agents: { main: agent.agent } })))
  })

  it.effect("what comes while a turn runs is the next turn", () => {
    const agent = TestAgent.make()
    return Effect.gen(function* () {
      const gateway = yield* Gateway
      yield* say("first")
      yield* TestClock.adjust("300 millis")
      const first = yield* agent.run(1)
      yield* say("second")
      yield* TestClock.adjust("300 millis")
      yield* say("third")
      yield* TestClock.adjust("300 millis")
      yield* first.finish("one")
      const second = yield* agent.run(2)
      assert.strictEqual(second.turn.text, "second\nthird")
      yield* second.finish("two")
      yield* gateway.settled("kim")
      assert.deepStrictEqual(
        (yield* replies(2)).map((reply) => reply.text),
        ["one", "two"]
      )
      assert.deepStrictEqual(agent.overlaps, [])
    }).pipe(Effect.provide(TestGateway.make({ agents: { main: agent.agent } })))
  })

  it.effect("Q7: /stop cancels the running turn and what waits, and says so", () => {
    const agent = TestAgent.make()
    return Effect.gen(function* () {
      const gateway = yield* Gateway
      yield* say("first")
      yield* TestClock.adjust("300 millis")
      const first = yield* agent.run(1)
      yield* say("second")
      yield* TestClock.adjust("300 millis")
      yield* say("third")
      const stopping = yield* Effect.forkChild(first.over)
      yield* say("/stop")
      assert.strictEqual(yield* Fiber.join(stopping), "interrupted")
      yield* gateway.settled("kim")
      const [reply] = yield* replies(1)
      assert.strictEqual(reply?.text, "Stopped. 2 messages that waited are cancelled too.")
      const ledger = yield* gateway.audit
      assert.strictEqual(ledger.detail["cancelled(stop)"], 3)
      assert.isTrue(ledger.balanced)
      assert.strictEqual(agent.runs.length, 1)
    }).pipe(Effect.provide(TestGateway.make({ agents: { main: agent.agent } })))
  })

  it.effect("S2: a stop waits for running turns and reports every session", () => {
    const agent = TestAgent.make()
    return Effect.gen(function* () {
      const gateway = yield* Gateway
      yield* say("first")
      yield* TestClock.adjust("300 millis")
      const run = yield* agent.run(1)
      const stop = yield* Effect.forkChild(gateway.stop({ reason: "stop" }))
      yield* TestClock.adjust("100 millis")
      yield* run.finish("done")
      const report = yield* Fiber.join(stop)
      assert.strictEqual(report.exitCode, 0)
      assert.deepStrictEqual(
        report.sessions.map((row) => [row.key, row.outcome]),
        [["host/kim", "finished"]]
      )
    }).pipe(Effect.provide(TestGateway.make({ agents: { main: agent.agent } })))
  })
})
