// What becomes of a burst that has ended: flushed in order, once, without delaying other keys, unless it was discarded;
// and that a drain and the scope's end lose nothing. A flush that takes long waits for a gate.
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Debouncer from "../src/Debouncer.ts"

type Flushed = readonly [at: number, key: string, items: ReadonlyArray<number>]

/** A debouncer of numbers that writes down what it flushed and when. */
const recording = (options: Omit<Debouncer.Options<string, number, never>, "flush">) =>
  Effect.gen(function* () {
    const flushed: Array<Flushed> = []
    const debouncer = yield* Debouncer.make<string, number>({
      ...options,
      flush: (key, items) => Effect.map(Clock.currentTimeMillis, (at) => flushed.push([at, key, items]))
    })
    return { debouncer, flushed }
  })

/** A debouncer whose flushes of key "slow" wait for the gate. */
const gated = Effect.gen(function* () {
  const gate = yield* Latch.make()
  const flushed: Array<readonly [string, ReadonlyArray<number>]> = []
  const debouncer = yield* Debouncer.make<string, number>({
    quiet: 100,
    flush: (key, items) =>
      Effect.andThen(
        key === "slow" ? gate.await : Effect.void,
        Effect.sync(() => flushed.push([key, items]))
      )
  })
  return { debouncer, flushed, gate }
})

describe("a flush", () => {
  it.effect("of one key keeps its order, and a slow one delays no other key", () =>
    Effect.gen(function* () {
      const { debouncer, flushed, gate } = yield* gated
      yield* debouncer.push("slow", 1)
      yield* TestClock.adjust(100)
      yield* debouncer.push("slow", 2)
      yield* debouncer.push("quick", 3)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(flushed, [["quick", [3]]])
      assert.strictEqual(debouncer.pending, 2)
      yield* gate.open
      yield* debouncer.flush("slow")
      assert.deepStrictEqual(flushed.slice(1), [
        ["slow", [1]],
        ["slow", [2]]
      ])
      assert.strictEqual(debouncer.pending, 0)
    })
  )

  it.effect("never runs inside pushUnsafe, which needs no fiber", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: 0 })
      const done = yield* Deferred.make<void>()
      queueMicrotask(() => {
        debouncer.pushUnsafe("a", 1)
        Deferred.doneUnsafe(done, Exit.succeed(assert.deepStrictEqual(flushed, [])))
      })
      yield* Deferred.await(done)
      yield* debouncer.flush("a")
      assert.deepStrictEqual(flushed, [[0, "a", [1]]])
    })
  )

  it.effect("that dies is logged as an error; its key and the others go on", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ logLevel, cause }) => {
        logged.push([logLevel, Cause.squash(cause)])
      })
      const flushed: Array<number> = []
      const bug = new Error("a bug in flush")
      const debouncer = yield* Debouncer.make<string, number>({
        quiet: 100,
        flush: (_, [item]) => {
          if (item === 1) throw bug
          return item === 2 ? Effect.interrupt : Effect.sync(() => flushed.push(item))
        }
      }).pipe(Effect.provide(Logger.layer([logger])))
      for (const item of [1, 2, 3]) {
        yield* debouncer.push("a", item)
        yield* debouncer.push("b", 10 * item)
        yield* TestClock.adjust(100)
      }
      assert.deepStrictEqual(flushed, [10, 20, 3, 30])
      assert.deepStrictEqual(logged[0], ["Error", bug])
      assert.strictEqual(logged.length, 2)
      assert.strictEqual(debouncer.pending, 0)
    })
  )

  it.effect("has the services of make, not of whoever pushes", () =>
    Effect.gen(function* () {
      const Place = Context.Service<string>("test/Place")
      const seen: Array<string> = []
      const debouncer = yield* Debouncer.make({
        quiet: 0,
        flush: (_key: string, _items: readonly [number, ...Array<number>]) =>
          Effect.map(Place, (place) => seen.push(place))
      }).pipe(Effect.provideService(Place, "made here"))
      yield* debouncer.push("a", 1).pipe(Effect.provideService(Place, "pushed there"))
      yield* debouncer.flush("a")
      assert.deepStrictEqual(seen, ["made here"])
    })
  )
})

describe("discard", () => {
  it.effect("Q7: takes out what matches, in order, and it is never flushed", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: 300 })
      for (const item of [1, 2, 3, 4]) yield* debouncer.push("a", item)
      yield* debouncer.push("b", 9)
      assert.deepStrictEqual(yield* debouncer.discard("a", (item) => item < 3), [1, 2])
      assert.deepStrictEqual(yield* debouncer.discard("b"), [9])
      assert.deepStrictEqual(yield* debouncer.discard("c"), [])
      assert.strictEqual(debouncer.size, 1)
      yield* TestClock.adjust(300)
      assert.deepStrictEqual(flushed, [[300, "a", [3, 4]]])
    })
  )

  it.effect("Q7: reaches batches that wait behind a slow flush", () =>
    Effect.gen(function* () {
      const { debouncer, flushed, gate } = yield* gated
      for (const item of [1, 2, 3]) {
        yield* debouncer.push("slow", item)
        yield* TestClock.adjust(100)
      }
      yield* debouncer.push("slow", 4)
      assert.deepStrictEqual(debouncer.items("slow"), [2, 3, 4])
      assert.deepStrictEqual(yield* debouncer.discard("slow"), [2, 3, 4])
      yield* gate.open
      yield* debouncer.flush("slow")
      assert.deepStrictEqual(flushed, [["slow", [1]]])
      assert.strictEqual(debouncer.pending, 0)
    })
  )
})

describe("drain", () => {
  it.effect("S4: flushes what is held at once, waits for it, and holds nothing from then on", () =>
    Effect.gen(function* () {
      const { debouncer, flushed, gate } = yield* gated
      yield* debouncer.push("slow", 1)
      yield* debouncer.push("quick", 2)
      const draining = yield* Effect.forkChild(debouncer.drain, { startImmediately: true })
      yield* debouncer.push("quick", 3)
      assert.strictEqual(debouncer.size, 0)
      yield* debouncer.flush("quick")
      assert.deepStrictEqual(flushed, [
        ["quick", [2]],
        ["quick", [3]]
      ])
      assert.isUndefined(draining.pollUnsafe())
      yield* gate.open
      yield* Fiber.join(draining)
      assert.deepStrictEqual(flushed[2], ["slow", [1]])
      assert.strictEqual(debouncer.pending, 0)
    })
  )

  it.effect("S4: with nothing held there is no waiting", () =>
    Effect.gen(function* () {
      const { debouncer } = yield* recording({ quiet: "1 hour" })
      yield* debouncer.drain
      yield* debouncer.push("a", 1)
      yield* debouncer.drain
      assert.strictEqual(debouncer.pending, 0)
    })
  )

  it.effect("that is interrupted stops waiting only: the flush goes on", () =>
    Effect.gen(function* () {
      const { debouncer, flushed, gate } = yield* gated
      yield* debouncer.push("slow", 1)
      const draining = yield* Effect.forkChild(debouncer.drain, { startImmediately: true })
      yield* Fiber.interrupt(draining)
      yield* gate.open
      yield* debouncer.drain
      assert.deepStrictEqual(flushed, [["slow", [1]]])
    })
  )

  it.effect("is what the scope's end does, and it waits; what is pushed later is still flushed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { debouncer, flushed, gate } = yield* Scope.provide(gated, scope)
      yield* debouncer.push("slow", 1)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* debouncer.push("late", 2)
      yield* debouncer.flush("late")
      assert.isUndefined(closing.pollUnsafe())
      yield* gate.open
      yield* Fiber.join(closing)
      yield* debouncer.push("later", 3)
      yield* debouncer.flush("later")
      assert.deepStrictEqual(flushed, [
        ["late", [2]],
        ["slow", [1]],
        ["later", [3]]
      ])
    })
  )
})
