// How workers come and go: none at rest, two for the first request, more when all are busy, fewer when they are idle; and
// how pools share one memory: idle workers give way, least recently used first, busy ones never.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import { totalmem } from "node:os"
import { Governor } from "../src/Governor.ts"
import type { PoolError } from "../src/PoolError.ts"
import { answer, at, bench, memory, pool, transport, until } from "./workers.ts"

const reason = <A>(effect: Effect.Effect<A, PoolError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("workers", () => {
  it.effect("P3: none at rest, two on first use, one more each time that all are busy, up to the maximum", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { max: 4 } })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(workers.loads.length, 0)
      const counts: Array<number> = []
      for (let n = 0; n < 6; n++) {
        yield* Effect.forkChild(echo.submit(`${n}`))
        yield* TestClock.adjust(0)
        counts.push(workers.loads.length)
      }
      assert.deepStrictEqual(counts, [2, 2, 3, 4, 4, 4])
      assert.strictEqual((yield* echo.status).waiting, 2)
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P3: one only on first use when memory is short, and none of them gets a request before it is loaded", () =>
    Effect.gen(function* () {
      const workers = bench({ auto: false })
      const echo = yield* pool(workers, { workers: { memory: 600 } })
      yield* Effect.forkChild(echo.submit("1"))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(workers.loads.length, 1)
      assert.strictEqual(workers.runs.length, 0)
      assert.deepStrictEqual((yield* echo.status).workers, { asking: 0, loading: 1, idle: 0, busy: 0, leaving: 0 })
      yield* Deferred.succeed(at(workers.loads, 0).gate, undefined)
      yield* until(() => workers.runs.length === 1)
    }).pipe(Effect.provide(memory(1000)))
  )

  it.effect("P3: one less for each idle minute, down to none, and their memory is given back", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { memory: 100 } })
      const asked = yield* Effect.forkChild(
        Effect.forEach(["1", "2", "3"], (request) => echo.submit(request), { concurrency: 3 })
      )
      yield* until(() => workers.runs.length === 3)
      yield* TestClock.adjust("10 seconds")
      for (const run of workers.runs) yield* answer(run)
      yield* Fiber.join(asked)
      const { used } = yield* Governor
      const open = () => workers.loads.filter(({ state }) => state === "ready").length
      const counts: Array<readonly [number, number]> = []
      for (const wait of ["59 seconds", "1 second", "59 seconds", "1 second", "59 seconds", "1 second"] as const) {
        yield* TestClock.adjust(wait)
        counts.push([open(), yield* used])
      }
      assert.deepStrictEqual(counts, [
        [3, 300],
        [2, 200],
        [2, 200],
        [1, 100],
        [1, 100],
        [0, 0]
      ])
    }).pipe(Effect.provide(memory(1000)))
  )

  it.effect("P3: use keeps one, while the others cool down", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers)
      for (let second = 0; second < 130; second += 10) {
        const asked = yield* Effect.forkChild(echo.submit("1"))
        yield* until(() => workers.runs.at(-1)?.state === "running")
        yield* answer(at(workers.runs, -1))
        yield* Fiber.join(asked)
        yield* TestClock.adjust("10 seconds")
      }
      assert.deepStrictEqual(workers.loads.map(({ state }) => state).sort(), ["closed", "ready"])
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P3: as many as shall stay do stay, until others need their memory", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, { workers: { start: 3, min: 1, memory: 300 } })
      const asked = yield* Effect.forkChild(echo.submit("1"))
      yield* until(() => workers.runs.length === 1)
      yield* answer(at(workers.runs, 0))
      yield* Fiber.join(asked)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* echo.status).workers.idle, 1)
      const other = yield* pool(bench(), { name: "other", workers: { start: 1, memory: 900 } })
      yield* Effect.forkChild(other.submit("2"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* echo.status).workers.idle, 0)
      assert.strictEqual((yield* other.status).running, 1)
    }).pipe(Effect.provide(memory(1000)))
  )

  it.effect("a request goes to the less busy of two workers", () =>
    Effect.gen(function* () {
      const workers = bench({ concurrency: 10 })
      const echo = yield* pool(workers)
      for (let n = 0; n < 12; n++) {
        yield* Effect.forkChild(echo.submit(`${n}`))
        yield* TestClock.adjust(0)
      }
      assert.deepStrictEqual(
        workers.loads.map(({ running }) => running),
        [6, 6]
      )
    }).pipe(Effect.provide(memory()))
  )

  it.effect("a request goes to the less busy of two that are drawn, however idle a third one is", () => {
    // What is drawn: the first of all, then the next but none.
    let draws: ReadonlyArray<number> = []
    const drawn = { nextDoubleUnsafe: () => draws[0] ?? 0, nextIntUnsafe: () => 0 }
    return Effect.gen(function* () {
      const workers = bench({ concurrency: 10 })
      const echo = yield* pool(workers, { workers: { start: 3, max: 3 } })
      const ask = Effect.andThen(Effect.forkChild(echo.submit("1")), TestClock.adjust(0))
      const running = () => workers.loads.map(({ running }) => running)
      // The first and the second, of which the less busy one is taken: the third stays idle.
      for (let n = 0; n < 4; n++) yield* ask
      assert.deepStrictEqual(running(), [2, 2, 0])
      draws = [0.99]
      // The last and the second.
      yield* ask
      assert.deepStrictEqual(running(), [2, 2, 1])
    }).pipe(Effect.provide(memory()), Effect.provideService(Random.Random, drawn))
  })

  it.effect("one that did not load while others work is not tried again at once", () =>
    Effect.gen(function* () {
      const workers = bench({ auto: false })
      const echo = yield* pool(workers, { workers: { start: 1 } })
      const ask = (request: string) => Effect.andThen(Effect.forkChild(echo.submit(request)), TestClock.adjust(0))
      yield* ask("1")
      yield* Deferred.succeed(at(workers.loads, 0).gate, undefined)
      yield* ask("2")
      yield* Deferred.fail(at(workers.loads, 1).gate, transport())
      yield* ask("3")
      assert.strictEqual(workers.loads.length, 2)
      yield* TestClock.adjust("5 seconds")
      yield* ask("4")
      assert.strictEqual(workers.loads.length, 3)
      assert.strictEqual((yield* echo.status).waiting, 3)
    }).pipe(Effect.provide(memory()))
  )
})

describe("one governor", () => {
  it.effect("P4: the idle worker that was used least recently gives way, and its memory counts until it has gone", () =>
    Effect.gen(function* () {
      const { used } = yield* Governor
      const one = { workers: { start: 1, memory: 400 } }
      const [first, second, third] = [bench(), bench(), bench({ auto: false })]
      const a = yield* pool(first, { ...one, name: "a" })
      const b = yield* pool(second, { ...one, name: "b" })
      const c = yield* pool(third, { ...one, name: "c" })
      for (const [workers, one] of [
        [first, a],
        [second, b],
        [first, a]
      ] as const) {
        const asked = yield* Effect.forkChild(one.submit("1"))
        yield* until(() => workers.runs.at(-1)?.state === "running")
        yield* answer(at(workers.runs, -1))
        yield* Fiber.join(asked)
        yield* TestClock.adjust("1 second")
      }
      yield* Effect.forkChild(c.submit("1"))
      yield* until(() => third.loads.length === 1)
      assert.strictEqual(at(second.loads, 0).state, "closed")
      assert.strictEqual(at(first.loads, 0).state, "ready")
      assert.strictEqual(yield* used, 800)
    }).pipe(Effect.provide(memory(1000)))
  )

  it.effect("P4: a busy worker never gives way; who needs its memory waits until it is idle", () =>
    Effect.gen(function* () {
      const [first, second] = [bench(), bench()]
      const a = yield* pool(first, { name: "a", workers: { memory: 600 } })
      const b = yield* pool(second, { name: "b", workers: { memory: 600 } })
      const asked = yield* Effect.forkChild(a.submit("1"))
      yield* until(() => first.runs.length === 1)
      const late = yield* Effect.forkChild(reason(b.submit("2", { timeout: "3 seconds" })))
      const other = yield* Effect.forkChild(b.submit("3"))
      yield* TestClock.adjust("3 seconds")
      // Not a mere timeout: there was nothing that it could have waited for.
      assert.deepStrictEqual(yield* Fiber.join(late), { _tag: "MemoryExhausted", needed: 600, limit: 1000 })
      assert.strictEqual((yield* b.status).health, "degraded")
      assert.deepStrictEqual((yield* a.status).workers, { asking: 0, loading: 0, idle: 0, busy: 1, leaving: 0 })
      yield* answer(at(first.runs, 0))
      yield* Fiber.join(asked)
      yield* until(() => second.runs.length === 1)
      assert.strictEqual(at(first.loads, 0).state, "closed")
      yield* answer(at(second.runs, 0))
      assert.strictEqual(yield* Fiber.join(other), "3")
    }).pipe(Effect.provide(memory(1000)))
  )

  it.effect("P4: a pool that grows takes what others keep beyond their last worker, not that one", () =>
    Effect.gen(function* () {
      const [first, second] = [bench(), bench()]
      const a = yield* pool(first, { name: "a", workers: { memory: 300, cooldown: "1 hour" } })
      const b = yield* pool(second, { name: "b", workers: { start: 1, memory: 300 } })
      const asked = yield* Effect.forkChild(a.submit("1"))
      yield* until(() => first.runs.length === 1)
      yield* answer(at(first.runs, 0))
      yield* Fiber.join(asked)
      for (let n = 0; n < 4; n++) {
        yield* Effect.forkChild(b.submit(`${n}`))
        yield* TestClock.adjust(0)
      }
      assert.strictEqual(second.runs.length, 2)
      assert.deepStrictEqual(first.loads.map(({ state }) => state).sort(), ["closed", "ready"])
    }).pipe(Effect.provide(memory(900)))
  )

  it.effect("P4: a worker larger than all memory fails its callers at once, also when it only turns out to be", () =>
    Effect.gen(function* () {
      const large = yield* pool(bench(), { workers: { memory: 2000 } })
      assert.deepStrictEqual(yield* reason(large.submit("1")), { _tag: "MemoryExhausted", needed: 2000, limit: 1000 })
      const workers = bench({ memory: () => 5000 })
      const liar = yield* pool(workers, { workers: { start: 1, memory: 10 } })
      assert.deepStrictEqual(yield* reason(liar.submit("1")), { _tag: "MemoryExhausted", needed: 5000, limit: 1000 })
      assert.deepStrictEqual(yield* reason(liar.submit("2")), { _tag: "MemoryExhausted", needed: 5000, limit: 1000 })
      yield* until(() => at(workers.loads, 0).state === "closed")
      assert.strictEqual(workers.loads.length, 1)
      assert.strictEqual(yield* (yield* Governor).used, 0)
    }).pipe(Effect.provide(memory(1000)))
  )

  it.effect("P4: gives pools 80 % of what the machine or the container has, unless told otherwise", () =>
    Effect.gen(function* () {
      const granted = process.constrainedMemory()
      const all = granted > 0 && granted < totalmem() ? granted : totalmem()
      const limitOf = (options: Parameters<typeof Governor.layer>[0]) =>
        Effect.provide(
          Effect.map(Governor, ({ limit }) => limit),
          Governor.layer(options)
        )
      assert.strictEqual(yield* limitOf({}), Math.floor(all * 0.8))
      assert.strictEqual(yield* limitOf({ share: 0.25 }), Math.floor(all * 0.25))
    })
  )

  it.effect("P4: what a worker really takes is booked, after the loading and after each request", () =>
    Effect.gen(function* () {
      const { used } = yield* Governor
      let bytes = 300
      const workers = bench({ memory: () => bytes })
      const echo = yield* pool(workers, { workers: { start: 1, memory: 100 } })
      const asked = yield* Effect.forkChild(echo.submit("1"))
      yield* until(() => workers.runs.length === 1)
      assert.strictEqual(yield* used, 300)
      bytes = 450
      yield* answer(at(workers.runs, 0))
      yield* Fiber.join(asked)
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* used, 450)
    }).pipe(Effect.provide(memory(1000)))
  )
})

describe("the circuit", () => {
  const options = { breaker: { minimum: 4, pause: "10 seconds" }, workers: { start: 1 } } as const

  it.effect("P7: opens on a rolling window, lets one request try at a time, and closes when it is answered", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, options)
      const fail = Effect.gen(function* () {
        const seen = workers.runs.length
        const asked = yield* Effect.forkChild(reason(echo.submit("1", { timeout: "1 second" })))
        yield* until(() => workers.runs.length > seen)
        yield* TestClock.adjust("1 second")
        return yield* Fiber.join(asked)
      })
      // Two failures that the window forgets, then four.
      yield* fail
      yield* fail
      yield* TestClock.adjust("30 seconds")
      for (let n = 0; n < 3; n++) yield* fail
      assert.strictEqual((yield* echo.status).breaker, "closed")
      yield* fail
      assert.strictEqual((yield* echo.status).breaker, "open")
      assert.strictEqual((yield* echo.status).health, "unhealthy")
      assert.deepStrictEqual(yield* reason(echo.submit("2")), { _tag: "CircuitOpen", retryAfter: 10_000 })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* echo.status).breaker, "half-open")
      const seen = workers.runs.length
      const trial = yield* Effect.forkChild(echo.submit("3"))
      yield* until(() => workers.runs.length > seen)
      // The trial is in flight and counts.
      assert.deepStrictEqual(yield* reason(echo.submit("4")), { _tag: "CircuitOpen", retryAfter: 1000 })
      yield* answer(at(workers.runs, -1))
      yield* Fiber.join(trial)
      assert.strictEqual((yield* echo.status).breaker, "closed")
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P7: a trial whose caller left is no verdict, one that fails opens it again", () =>
    Effect.gen(function* () {
      const workers = bench()
      const echo = yield* pool(workers, options)
      const ask = Effect.gen(function* () {
        const seen = workers.runs.length
        const asked = yield* Effect.forkChild(Effect.exit(echo.submit("1", { timeout: "1 second" })))
        yield* until(() => workers.runs.length > seen)
        return asked
      })
      for (let n = 0; n < 4; n++) {
        yield* ask
        yield* TestClock.adjust("1 second")
      }
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.interrupt(yield* ask)
      assert.strictEqual((yield* echo.status).breaker, "half-open")
      yield* ask
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* echo.status).breaker, "open")
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P7: loads that fail open it, and who waits then need not wait for the same", () =>
    Effect.gen(function* () {
      const workers = bench({ auto: false })
      const echo = yield* pool(workers, options)
      for (let n = 0; n < 4; n++) {
        const asked = yield* Effect.forkChild(reason(echo.submit("1")))
        yield* until(() => workers.loads.length === n + 1)
        yield* Deferred.fail(at(workers.loads, n).gate, transport("gone"))
        const expected = n < 3 ? "LoadFailed" : "CircuitOpen"
        assert.strictEqual((yield* Fiber.join(asked))._tag, expected)
      }
      assert.strictEqual((yield* reason(echo.submit("1")))._tag, "CircuitOpen")
    }).pipe(Effect.provide(memory()))
  )
})

describe("a trial", () => {
  it.effect("P7: whose worker does not load opens the circuit again", () =>
    Effect.gen(function* () {
      const workers = bench({ auto: false })
      const echo = yield* pool(workers, { breaker: { minimum: 2, pause: "10 seconds" }, workers: { start: 1 } })
      const fail = Effect.fnUntraced(function* (count: number) {
        const asked = yield* Effect.forkChild(reason(echo.submit("1")))
        yield* until(() => workers.loads.length === count)
        yield* Deferred.fail(at(workers.loads, -1).gate, transport("gone"))
        return (yield* Fiber.join(asked))._tag
      })
      assert.deepStrictEqual([yield* fail(1), yield* fail(2)], ["LoadFailed", "CircuitOpen"])
      // Who looks later than the first failure still reads what it was.
      assert.match((yield* echo.status).why ?? "", /left alone for a while; its last worker did not load: .*gone/)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* echo.status).breaker, "half-open")
      assert.match((yield* echo.status).why ?? "", /is being tried again; its last worker did not load: .*gone/)
      assert.strictEqual(yield* fail(3), "LoadFailed")
      assert.strictEqual((yield* echo.status).breaker, "open")
      assert.deepStrictEqual(yield* reason(echo.submit("1")), { _tag: "CircuitOpen", retryAfter: 10_000 })
    }).pipe(Effect.provide(memory()))
  )
})

describe("options", () => {
  it.effect.each([
    { options: { queue: 0 }, says: "queue 0: is no count; give a whole number from 1" },
    { options: { workers: { max: -1 } }, says: "workers.max -1: is no count; give a whole number from 0" },
    { options: { workers: { memory: Number.NaN } }, says: "workers.memory NaN: is no amount; give bytes from 0" },
    { options: { breaker: { ratio: 2 } }, says: "breaker.ratio 2: is no share; give a number above 0 and up to 1" }
  ])("numbers that make no sense are refused: $says", ({ options, says }) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(pool(bench(), options))
      assert.isTrue(Exit.isFailure(exit))
      assert.include(String(exit), says)
    }).pipe(Effect.provide(memory()))
  )
})
