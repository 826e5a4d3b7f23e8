// A pool as a drain of the gateway's shutdown program: what it finished, cut off and refused is a line of the stop's report.
import { assert, it } from "@effect/vitest"
import * as Agent from "@sluice/runtime/Agent"
import { Gateway } from "@sluice/runtime/Gateway"
import type { Drain } from "@sluice/runtime/Shutdown"
import { TestGateway } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Pool from "../src/Pool.ts"
import { answer, at, bench, memory, pool, until } from "./workers.ts"

const clerk = Agent.fromFunction((turn) => Effect.succeed(turn.text))

it.effect("P2, S6: the gateway's report says what a stop made of a pool's requests", () =>
  Effect.gen(function* () {
    const workers = bench()
    const made = yield* pool(workers, { name: "words" })
    const drain: Drain = Pool.toDrain(made)
    const stopped = Effect.gen(function* () {
      const gateway = yield* Gateway
      const asked = yield* Effect.forkChild(
        Effect.forEach(["1", "2"], (text) => Effect.exit(made.submit(text)), { concurrency: 2 })
      )
      yield* until(() => workers.runs.length === 2)
      const stop = yield* Effect.forkChild(gateway.stop({ reason: "stop", by: "the test" }))
      while (!(yield* made.status).draining) yield* TestClock.adjust("10 millis")
      const late = yield* Effect.flip(made.submit("3"))
      assert.strictEqual(late.message, "pool words is being stopped")
      yield* answer(at(workers.runs, 0))
      // Its budget is 5 s; the report is there as soon as it is over.
      yield* TestClock.adjust("5 seconds")
      const { drains } = yield* Fiber.join(stop)
      assert.deepStrictEqual(
        drains.map(({ counts, name }) => ({ name, counts })),
        [{ name: "words", counts: { drained: 1, aborted: 1, rejected: 1 } }]
      )
      const [first, second] = yield* Fiber.join(asked)
      assert.deepStrictEqual(first, Exit.succeed("1"))
      assert.isTrue(second !== undefined && Exit.isFailure(second))
    })
    yield* Effect.provide(stopped, TestGateway.make({ agents: { clerk }, drains: [drain] }))
  }).pipe(Effect.provide(memory()))
)
