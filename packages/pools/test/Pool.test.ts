// What a pool promises to who asks: a worker when there is one, a place in a fair line when there is none, a clear error
// when there can't be one, and no answer later than its time. Time is TestClock's; each test decides when work ends.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { PoolError, WorkerError } from "../src/PoolError.ts"
import { answer, at, bench, memory, pool, rejected, transport, until } from "./workers.ts"

const reason = <A>(effect: Effect.Effect<A, PoolError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("a request", () => {
  it.effect("is answered by a worker that comes for it", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers)
      const asked = yield* Effect.forkChild(echo.submit("hello"))
      yield* until(() => workers.runs.length === 1)
      yield* answer(at(workers.runs, 0), "hello back")
      assert.strictEqual(yield* Fiber.join(asked), "hello back")
      assert.deepStrictEqual((yield* echo.status).outcomes, { served: 1 })
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P5: finds no place in a full line, and is told its position and when to come back", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { queue: 2, workers: { max: 1 } })
      const first = yield* Effect.forkChild(echo.submit("1"))
      yield* until(() => workers.runs.length === 1)
      yield* Effect.forkChild(echo.submit("2"))
      yield* Effect.forkChild(echo.submit("3"))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* reason(echo.submit("4")), { _tag: "Overloaded", position: 3, retryAfter: 3000 })
      // Once it is known how long requests take, the hint is made of that.
      yield* TestClock.adjust("400 millis")
      yield* answer(at(workers.runs, 0))
      yield* Fiber.join(first)
      yield* Effect.forkChild(echo.submit("5"))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* reason(echo.submit("6")), { _tag: "Overloaded", position: 3, retryAfter: 1200 })
    }).pipe(Effect.provide(memory()))
  )

  it.effect(
    "P5: whose caller left gives up its place in the line at once, and its worker when the work has ended",
    () =>
      Effect.gen(function* () {
        const workers = bench()
        const echo = yield* pool(workers, { queue: 1, workers: { max: 1 } })
        const running = yield* Effect.forkChild(echo.submit("1"))
        yield* until(() => workers.runs.length === 1)
        const waiting = yield* Effect.forkChild(echo.submit("2"))
        yield* TestClock.adjust(0)
        yield* Fiber.interrupt(waiting)
        assert.strictEqual((yield* echo.status).waiting, 0)
        yield* Effect.forkChild(echo.submit("3"))
        yield* TestClock.adjust(0)
        yield* Fiber.interrupt(running)
        yield* until(() => workers.runs.length === 2)
        assert.deepStrictEqual(
          workers.runs.map(({ request, state }) => [request, state]),
          [
            ["1", "interrupted"],
            ["3", "running"]
          ]
        )
      }).pipe(Effect.provide(memory()))
  )

  it.effect("P5: of one caller finds no place beyond his share of the line, another caller's does", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { queue: 3, queuePerKey: 1, workers: { max: 1 } })
      const ask = (key: string) => Effect.andThen(Effect.forkChild(echo.submit(key, { key })), TestClock.adjust(0))
      yield* ask("kim")
      yield* ask("kim")
      assert.strictEqual((yield* reason(echo.submit("kim", { key: "kim" })))._tag, "Overloaded")
      yield* ask("ada")
      assert.strictEqual((yield* echo.status).waiting, 2)
    }).pipe(Effect.provide(memory()))
  )

  it.effect("takes turns by the caller's key, so that who asks for much delays himself", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { max: 1 } })
      for (const request of ["a0", "a1", "a2", "a3", "b1", "b2", "c1"]) {
        yield* Effect.forkChild(echo.submit(request, { key: request.slice(0, 1) }))
        yield* TestClock.adjust(0)
      }
      for (let ended = 0; ended < 7; ended++) {
        yield* until(() => workers.runs.length > ended)
        yield* answer(at(workers.runs, ended))
      }
      assert.deepStrictEqual(
        workers.runs.map(({ request }) => request),
        ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]
      )
    }).pipe(Effect.provide(memory()))
  )

  it.effect("that is interactive goes before batch ones, but one batch request in nine starts all the same", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { max: 1 } })
      const ask = (request: string, priority: "interactive" | "batch") =>
        Effect.andThen(Effect.forkChild(echo.submit(request, { priority })), TestClock.adjust(0))
      yield* ask("first", "batch")
      for (let n = 0; n < 2; n++) yield* ask(`batch ${n}`, "batch")
      for (let n = 0; n < 10; n++) yield* ask(`now ${n}`, "interactive")
      for (let ended = 0; ended < 13; ended++) {
        yield* until(() => workers.runs.length > ended)
        yield* answer(at(workers.runs, ended))
      }
      const order = workers.runs.map(({ request }) => request)
      assert.strictEqual(order.indexOf("batch 0"), 9)
      assert.strictEqual(order.indexOf("now 9"), 11)
      assert.strictEqual(order.indexOf("batch 1"), 12)
    }).pipe(Effect.provide(memory()))
  )

  it.effect("has its own time, the waiting included, and says whether a worker had it", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { max: 1 }, requestTimeout: "10 seconds" })
      const first = yield* Effect.forkChild(reason(echo.submit("1")))
      yield* until(() => workers.runs.length === 1)
      yield* TestClock.adjust("1 second")
      const second = yield* Effect.forkChild(reason(echo.submit("2", { timeout: "2 seconds" })))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(second), { _tag: "Timeout", after: 2000, started: false })
      yield* TestClock.adjust("7 seconds")
      assert.deepStrictEqual(yield* Fiber.join(first), { _tag: "Timeout", after: 10_000, started: true })
      yield* until(() => at(workers.runs, 0).state === "interrupted")
      assert.deepStrictEqual((yield* echo.status).outcomes, { Timeout: 2 })
    }).pipe(Effect.provide(memory()))
  )

  it.effect("to a pool without workers fails at once", () =>
    Effect.gen(function* () {
      const echo = yield* pool(bench(), { workers: { max: 0 } })
      assert.deepStrictEqual(yield* reason(echo.submit("1")), { _tag: "NoWorker" })
    }).pipe(Effect.provide(memory()))
  )
})

describe("a worker that breaks", () => {
  it.effect("P6: its request is tried once elsewhere, and fails with the second one's error", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { start: 1, max: 1 } })
      const asked = yield* Effect.forkChild(reason(echo.submit("1")))
      yield* until(() => workers.runs.length === 1)
      yield* Deferred.fail(at(workers.runs, 0).end, transport("first"))
      yield* until(() => workers.runs.length === 2)
      assert.notStrictEqual(at(workers.runs, 1).load, at(workers.runs, 0).load)
      yield* Deferred.fail(at(workers.runs, 1).end, transport("second"))
      assert.deepStrictEqual(yield* Fiber.join(asked), { _tag: "Transport", detail: "second" })
      assert.strictEqual((yield* echo.status).retried, 1)
      yield* until(() => workers.loads.every(({ state }) => state === "closed"))
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P6: what it had when its process died is answered by the next one", () =>
    Effect.gen(function* () {
      const workers = bench({ concurrency: 2 })
      const echo = yield* pool(workers, { workers: { start: 1, max: 1 } })
      const asked = yield* Effect.forkChild(Effect.all([echo.submit("1"), echo.submit("2")], { concurrency: 2 }))
      yield* until(() => workers.runs.length === 2)
      yield* Deferred.fail(at(workers.loads, 0).death, transport("killed by SIGKILL"))
      yield* until(() => workers.runs.length === 4)
      yield* answer(at(workers.runs, 2))
      yield* answer(at(workers.runs, 3))
      assert.deepStrictEqual(yield* Fiber.join(asked), ["1", "2"])
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P7: what the model refuses is not tried again, and is no fault of the worker", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { start: 1 }, breaker: { minimum: 2 } })
      for (let n = 0; n < 5; n++) {
        const asked = yield* Effect.forkChild(reason(echo.submit("1")))
        yield* until(() => workers.runs.length === n + 1)
        yield* Deferred.fail(at(workers.runs, n).end, rejected)
        assert.deepStrictEqual(yield* Fiber.join(asked), { _tag: "ModelError", detail: "no such thing", status: 400 })
      }
      assert.strictEqual(workers.loads.length, 1)
      assert.strictEqual((yield* echo.status).breaker, "closed")
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P8: who waits for one that does not load hears it now, but not when another one is coming", () =>
    Effect.gen(function* () {
      const workers = bench({ auto: false })
      const echo = yield* pool(workers)
      const asked = yield* Effect.forkChild(reason(echo.submit("1")))
      yield* until(() => workers.loads.length === 2)
      yield* Deferred.fail(at(workers.loads, 0).gate, transport("no such file"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* echo.status).waiting, 1)
      yield* Deferred.fail(at(workers.loads, 1).gate, transport("no such file either"))
      assert.deepStrictEqual(yield* Fiber.join(asked), { _tag: "LoadFailed", detail: "no such file either" })
      assert.strictEqual((yield* echo.status).health, "degraded")
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P8: who waits hears it now, also when what it has begun takes its time to end", () =>
    Effect.gen(function* () {
      const letGo = yield* Deferred.make<void>()
      const workers = bench({ auto: false, linger: Deferred.await(letGo) })
      const echo = yield* pool(workers, { workers: { start: 1, max: 1 } })
      const asked = yield* Effect.forkChild(reason(echo.submit("1")))
      yield* until(() => workers.loads.length === 1)
      yield* Deferred.fail(at(workers.loads, 0).gate, transport("no such file"))
      assert.deepStrictEqual(yield* Fiber.join(asked), { _tag: "LoadFailed", detail: "no such file" })
      // The next one waits until it is gone: there may be one only.
      yield* Effect.forkChild(echo.submit("2"))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(workers.loads.length, 1)
      yield* Deferred.succeed(letGo, undefined)
      yield* until(() => workers.loads.length === 2)
      assert.deepStrictEqual(
        workers.loads.map(({ state }) => state),
        ["closed", "loading"]
      )
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P8: one that never gets ready has failed after its load timeout, also when it does not let go", () =>
    Effect.gen(function* () {
      const letGo = yield* Deferred.make<never, WorkerError>()
      const echo = yield* pool(
        { load: () => Effect.uninterruptible(Deferred.await(letGo)) },
        { workers: { start: 1, loadTimeout: "3 seconds" } }
      )
      yield* Effect.addFinalizer(() => Deferred.fail(letGo, transport()))
      const asked = yield* Effect.forkChild(reason(echo.submit("1")))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* Fiber.join(asked), { _tag: "LoadFailed", detail: "it was not ready within 3 s" })
      assert.strictEqual((yield* echo.status).workers.leaving, 1)
    }).pipe(Effect.provide(memory()))
  )
})

describe("a stream", () => {
  it.effect("P6: keeps its worker busy until its end", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { start: 1, max: 1 } })
      const parts = yield* Effect.forkChild(Stream.runCollect(echo.stream("1")))
      yield* until(() => workers.runs.length === 1)
      const second = yield* Effect.forkChild(echo.submit("2"))
      const [run] = workers.runs
      if (run === undefined) return assert.fail("no run")
      yield* Queue.offerAll(run.parts, ["a", "b"])
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(workers.runs.length, 1)
      yield* Queue.offer(run.parts, "c")
      yield* Queue.end(run.parts)
      assert.deepStrictEqual(yield* Fiber.join(parts), ["a", "b", "c"])
      yield* until(() => workers.runs.length === 2)
      yield* answer(at(workers.runs, 1))
      assert.strictEqual(yield* Fiber.join(second), "2")
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P6: that goes silent has failed after the stall timeout, and what it had said stays said", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { start: 1 } })
      const heard: Array<string> = []
      const parts = yield* Effect.forkChild(
        reason(Stream.runForEach(echo.stream("1"), (part) => Effect.sync(() => heard.push(part))))
      )
      yield* until(() => workers.runs.length === 1)
      yield* Queue.offer(at(workers.runs, 0).parts, "a")
      yield* TestClock.adjust("4 seconds")
      yield* Queue.offer(at(workers.runs, 0).parts, "b")
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* Fiber.join(parts), { _tag: "Stalled", after: 5000 })
      assert.deepStrictEqual(heard, ["a", "b"])
      // It had emitted: nobody else may begin anew. And who stalls gets no more requests.
      assert.strictEqual(workers.runs.length, 1)
      yield* until(() => at(workers.loads, 0).state === "closed")
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P6: that breaks before its first part is begun anew elsewhere, one that had a part is not", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { start: 1 } })
      const parts = yield* Effect.forkChild(Effect.exit(Stream.runCollect(echo.stream("1"))))
      yield* until(() => workers.runs.length === 1)
      yield* Queue.fail(at(workers.runs, 0).parts, transport())
      yield* until(() => workers.runs.length === 2)
      yield* Queue.offer(at(workers.runs, 1).parts, "a")
      yield* TestClock.adjust(0)
      yield* Queue.fail(at(workers.runs, 1).parts, transport("in the middle"))
      const exit = yield* Fiber.join(parts)
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual(workers.runs.length, 2)
      assert.deepStrictEqual((yield* echo.status).outcomes, { Transport: 1 })
    }).pipe(Effect.provide(memory()))
  )

  it.effect("whose reader leaves is interrupted, and a slow reader is not taken for a stall", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { start: 1 } })
      const parts = yield* Effect.forkChild(
        echo.stream("1").pipe(
          Stream.tap(() => Effect.sleep("6 seconds")),
          Stream.take(40),
          Stream.runCollect
        )
      )
      yield* until(() => workers.runs.length === 1)
      yield* Queue.offerAll(
        at(workers.runs, 0).parts,
        Array.from({ length: 100 }, (_, n) => String(n))
      )
      // The worker's stream is held back, so its silence is the reader's.
      yield* TestClock.adjust("18 seconds")
      assert.strictEqual(at(workers.runs, 0).state, "running")
      yield* Fiber.interrupt(parts)
      yield* until(() => at(workers.runs, 0).state === "interrupted")
      assert.deepStrictEqual((yield* echo.status).outcomes, { cancelled: 1 })
    }).pipe(Effect.provide(memory()))
  )
})
