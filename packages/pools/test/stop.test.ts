// A pool that is stopped: nothing new, five seconds for what is there, then the rest is interrupted; and it says what became
// of each request. Also as a drain of the gateway's own shutdown program, and by the end of the pool's scope alone.
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Pool from "../src/Pool.ts"
import type { PoolError } from "../src/PoolError.ts"
import { answer, at, bench, echo, memory, pool, until } from "./workers.ts"

const reason = <A>(effect: Effect.Effect<A, PoolError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("a stop", () => {
  it.effect(
    "P2, S6: refuses new requests, finishes queued and running ones, and is through with the last of them",
    () =>
      Effect.gen(function* () {
        const workers = bench()
        const made = yield* pool(workers, { workers: { start: 1, max: 1 } })
        const asked = yield* Effect.forkChild(Effect.all([made.submit("1"), made.submit("2")], { concurrency: 2 }))
        yield* until(() => workers.runs.length === 1)
        const drain = yield* Effect.forkChild(made.drain())
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* reason(made.submit("3")), { _tag: "ShuttingDown" })
        assert.deepStrictEqual(yield* reason(Stream.runDrain(made.stream("4"))), { _tag: "ShuttingDown" })
        yield* answer(at(workers.runs, 0))
        yield* until(() => workers.runs.length === 2)
        yield* answer(at(workers.runs, 1))
        assert.deepStrictEqual(yield* Fiber.join(asked), ["1", "2"])
        // No clock had to be moved for this.
        assert.deepStrictEqual(yield* Fiber.join(drain), { drained: 2, aborted: 0, rejected: 2 })
      }).pipe(Effect.provide(memory()))
  )

  it.effect("P2: what is not through after its time is interrupted, queued and running alike", () =>
    Effect.gen(function* () {
      const workers = bench()
      const made = yield* pool(workers, { workers: { start: 2, max: 2 } })
      const exits = yield* Effect.forkChild(
        Effect.forEach(["1", "2", "3", "4"], (request) => Effect.exit(made.submit(request)), { concurrency: 4 })
      )
      yield* until(() => workers.runs.length === 2)
      const drain = yield* Effect.forkChild(made.drain("5 seconds"))
      yield* TestClock.adjust("1 second")
      yield* answer(at(workers.runs, 0))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* Fiber.join(drain), { drained: 1, aborted: 0, rejected: 0 })
      assert.deepStrictEqual(yield* made.interrupt, { drained: 1, aborted: 3, rejected: 0 })
      const ends = (yield* Fiber.join(exits)).filter(Exit.isFailure)
      assert.strictEqual(ends.length, 3)
      yield* until(() => workers.loads.every(({ state }) => state === "closed"))
      assert.isTrue(workers.runs.every(({ state }) => state !== "running"))
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P2: a pool without requests is drained at once, and workers that idle go", () =>
    Effect.gen(function* () {
      const workers = bench()
      const made = yield* pool(workers)
      const asked = yield* Effect.forkChild(made.submit("1"))
      yield* until(() => workers.runs.length === 1)
      yield* answer(at(workers.runs, 0))
      yield* Fiber.join(asked)
      assert.deepStrictEqual(yield* made.drain(), { drained: 0, aborted: 0, rejected: 0 })
      yield* made.interrupt
      yield* until(() => workers.loads.every(({ state }) => state === "closed"))
    }).pipe(Effect.provide(memory()))
  )

  it.effect("S6: requests of work that the stop lets finish pass until it is interrupted", () =>
    Effect.gen(function* () {
      const workers = bench()
      const made = yield* pool(workers)
      yield* made.refuse
      const asked = yield* Effect.forkChild(made.submit("1", { inside: true }))
      yield* until(() => workers.runs.length === 1)
      yield* answer(at(workers.runs, 0))
      assert.strictEqual(yield* Fiber.join(asked), "1")
      yield* made.interrupt
      assert.deepStrictEqual(yield* reason(made.submit("2", { inside: true })), { _tag: "ShuttingDown" })
    }).pipe(Effect.provide(memory()))
  )

  it.effect(
    "P2: the end of the pool's scope is a stop too: it waits, then interrupts, and workers are gone after it",
    () =>
      Effect.gen(function* () {
        const workers = bench()
        const scope = yield* Scope.make()
        const made = yield* Pool.make({ name: "echo", capability: echo, load: workers.load }).pipe(
          Effect.provideService(Scope.Scope, scope)
        )
        const exits = yield* Effect.forkChild(
          Effect.all([Effect.exit(made.submit("1")), reason(made.submit("2"))], { concurrency: 2 })
        )
        yield* until(() => workers.runs.length === 2)
        const closed = yield* Effect.forkChild(Scope.close(scope, Exit.void))
        yield* TestClock.adjust("2 seconds")
        yield* answer(at(workers.runs, 0))
        yield* TestClock.adjust("2 seconds")
        assert.isUndefined(closed.pollUnsafe())
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(closed)
        assert.deepStrictEqual(yield* Fiber.join(exits), [Exit.succeed("1"), { _tag: "ShuttingDown" }])
        assert.deepStrictEqual(
          workers.loads.map(({ state }) => state),
          ["closed", "closed"]
        )
      }).pipe(Effect.provide(memory()))
  )

  it.effect("P2: as a drain of the shutdown program it keeps to the program's own deadline", () =>
    Effect.gen(function* () {
      const workers = bench()
      const made = yield* pool(workers)
      const drain = Pool.toDrain(made)
      yield* Effect.forkChild(Effect.exit(made.submit("1")))
      yield* until(() => workers.runs.length === 1)
      yield* TestClock.adjust("7 seconds")
      yield* drain.refuse
      const until_ = Number(yield* Clock.monotonicTimeNanos) / 1e6 + 3000
      const counted = yield* Effect.forkChild(drain.drain(until_))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* Fiber.join(counted), { drained: 0, aborted: 0, rejected: 0 })
      assert.deepStrictEqual(yield* drain.interrupt, { drained: 0, aborted: 1, rejected: 0 })
    }).pipe(Effect.provide(memory()))
  )
})
