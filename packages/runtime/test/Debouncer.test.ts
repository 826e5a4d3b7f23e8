// The shape of a burst: when it is quiet, when the cap or an item closes it, while somebody holds it; and what it costs.
// Time is TestClock's.
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
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

/** The test's clock with some of it replaced. */
const clockWith = (change: (clock: Clock.Clock) => Partial<Clock.Clock>) =>
  Effect.map(Clock.Clock, (clock): Clock.Clock => Object.assign(Object.create(clock), change(clock)))

describe("a burst", () => {
  it.effect("Q4: becomes one batch, in order, when it was quiet for long enough", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: "300 millis" })
      yield* debouncer.push("a", 1)
      yield* TestClock.adjust("299 millis")
      yield* debouncer.push("a", 2)
      yield* debouncer.push("b", 9)
      yield* TestClock.adjust("299 millis")
      assert.deepStrictEqual(flushed, [])
      assert.deepStrictEqual(debouncer.items("a"), [1, 2])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(flushed, [
        [599, "a", [1, 2]],
        [599, "b", [9]]
      ])
    })
  )

  it.effect("Q4: the hard cap holds under a stream of items, and is five quiet periods by default", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: "300 millis" })
      for (let item = 0; item < 16; item++) {
        yield* debouncer.push("a", item)
        yield* TestClock.adjust("200 millis")
      }
      assert.deepStrictEqual(
        flushed.map(([at, , items]) => [at, items.length]),
        [
          [1500, 8],
          [3100, 8]
        ]
      )
      assert.deepStrictEqual(
        flushed.flatMap(([, , items]) => items),
        Array.from({ length: 16 }, (_, item) => item)
      )
    })
  )

  it.effect("a cap of its own counts from the first item, also when it is shorter than the quiet period", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: "1 second", atMost: "400 millis" })
      yield* debouncer.push("a", 1)
      yield* TestClock.adjust("200 millis")
      yield* debouncer.push("a", 2)
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(flushed, [[400, "a", [1, 2]]])
    })
  )

  it.effect("Q24: an item that closes the burst joins it and flushes it at once", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: 300, windowOf: (item) => ({ closes: item === 7 }) })
      yield* debouncer.push("a", 1)
      yield* debouncer.push("a", 7)
      yield* debouncer.push("a", 2)
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(flushed, [[0, "a", [1, 7]]])
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(flushed[1], [300, "a", [2]])
    })
  )

  it.effect("an item may have a quiet period and a cap of its own", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({
        quiet: 300,
        windowOf: (item) => (item < 10 ? undefined : { quiet: item, atMost: 2 * item })
      })
      yield* debouncer.push("a", 1)
      yield* debouncer.push("a", 50)
      yield* debouncer.push("b", 40)
      yield* TestClock.adjust("39 millis")
      yield* debouncer.push("b", 41)
      yield* TestClock.adjust("39 millis")
      yield* debouncer.push("b", 42)
      yield* TestClock.adjust("2 millis")
      assert.deepStrictEqual(flushed, [
        [50, "a", [1, 50]],
        [80, "b", [40, 41, 42]]
      ])
    })
  )

  it.effect("a quiet period of 0 goes straight through, item by item", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: 0 })
      yield* debouncer.push("a", 1)
      yield* debouncer.push("a", 2)
      assert.strictEqual(debouncer.size, 0)
      yield* debouncer.flushAll
      assert.deepStrictEqual(flushed, [
        [0, "a", [1]],
        [0, "a", [2]]
      ])
    })
  )

  it.effect("an item whose quiet period is 0 ends the burst that it joins", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: 300, windowOf: (item) => ({ quiet: item }) })
      yield* debouncer.push("a", 200)
      yield* debouncer.push("a", 0)
      yield* debouncer.flush("a")
      assert.deepStrictEqual(flushed, [[0, "a", [200, 0]]])
      assert.strictEqual(debouncer.size, 0)
    })
  )

  it.effect("keys beyond maxKeys go straight through, the others stay open", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: 300, maxKeys: 2 })
      for (const key of ["a", "b", "c", "a", "c"]) yield* debouncer.push(key, 1)
      yield* debouncer.flush("c")
      assert.deepStrictEqual(flushed, [
        [0, "c", [1]],
        [0, "c", [1]]
      ])
      assert.strictEqual(debouncer.size, 2)
      yield* TestClock.adjust(300)
      assert.deepStrictEqual(flushed.slice(2), [
        [300, "a", [1, 1]],
        [300, "b", [1]]
      ])
    })
  )

  it.effect("an item that comes when the time is over opens the next burst, even if the timer is late", () =>
    Effect.gen(function* () {
      // A clock whose sleepers never wake: a loop that is blocked for longer than the quiet period.
      let nanos = 0n
      const clock = yield* clockWith(() => ({ monotonicTimeNanosUnsafe: () => nanos, sleep: () => Effect.never }))
      const { debouncer } = yield* recording({ quiet: 300 }).pipe(Effect.provideService(Clock.Clock, clock))
      yield* debouncer.push("a", 1)
      nanos = 299_000_000n
      yield* debouncer.push("a", 2)
      nanos += 300_000_000n
      yield* debouncer.push("a", 3)
      assert.deepStrictEqual(yield* debouncer.discard("a", (item) => item === 3), [3])
      assert.strictEqual(debouncer.size, 0)
      assert.deepStrictEqual(debouncer.items("a"), [1, 2])
    })
  )

  const Steps = Schema.Array(
    Schema.Struct({
      gap: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400 })),
      key: Schema.Literals(["a", "b", "c"]),
      closes: Schema.Literals([0, 1, 2, 3])
    })
  )

  it.effect.prop(
    "is a pure function of gaps, quiet period, cap and closing items, and every item is in exactly one",
    { steps: Steps },
    ({ steps }) =>
      Effect.gen(function* () {
        const closes = (item: number) => steps[item]?.closes === 1
        const { debouncer, flushed } = yield* recording({
          quiet: 200,
          atMost: 500,
          windowOf: (item) => ({ closes: closes(item) })
        })
        const expected = new Map<string, Array<Array<number>>>()
        const last = new Map<string, { first: number; last: number; closed: boolean }>()
        let time = 0
        for (const [item, { gap, key }] of steps.entries()) {
          time += gap
          yield* TestClock.adjust(gap)
          yield* debouncer.push(key, item)
          const bursts = expected.get(key) ?? []
          const open = last.get(key)
          if (open === undefined || open.closed || time - open.last >= 200 || time - open.first >= 500) {
            bursts.push([item])
            last.set(key, { first: time, last: time, closed: closes(item) })
          } else {
            bursts.at(-1)?.push(item)
            last.set(key, { first: open.first, last: time, closed: closes(item) })
          }
          expected.set(key, bursts)
        }
        yield* TestClock.adjust(500)
        for (const key of ["a", "b", "c"]) {
          const actual = flushed.filter(([, of]) => of === key).map(([, , items]) => items)
          assert.deepStrictEqual(actual, expected.get(key) ?? [])
        }
        assert.strictEqual(debouncer.pending, 0)
      }).pipe(Effect.scoped, Effect.provide(TestClock.layer()))
  )
})

describe("a hold", () => {
  it.effect("keeps the burst open while it lasts, then the quiet period counts again", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: 300 })
      const download = yield* Scope.make()
      yield* debouncer.push("a", 1)
      yield* Scope.provide(debouncer.hold("a"), download)
      yield* TestClock.adjust(700)
      yield* debouncer.push("a", 2)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(flushed, [])
      yield* Scope.close(download, Exit.void)
      yield* TestClock.adjust(200)
      assert.deepStrictEqual(flushed, [[1000, "a", [1, 2]]])
      assert.strictEqual(debouncer.size, 0)
    })
  )

  it.effect("that outlasts the quiet period flushes the burst when it ends", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: 300 })
      yield* debouncer.push("a", 1)
      yield* Effect.scoped(Effect.andThen(debouncer.hold("a"), TestClock.adjust(900)))
      yield* debouncer.flush("a")
      assert.deepStrictEqual(flushed, [[900, "a", [1]]])
    })
  )

  it.effect("never holds past the cap, and holds the next burst from its first item", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: 300, atMost: 1000 })
      yield* debouncer.hold("a")
      yield* TestClock.adjust(5000)
      yield* debouncer.push("a", 1)
      yield* TestClock.adjust(1000)
      yield* debouncer.push("a", 2)
      yield* TestClock.adjust(999)
      assert.deepStrictEqual(flushed, [[6000, "a", [1]]])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(flushed[1], [7000, "a", [2]])
    })
  )

  it.effect("does not stop an item that closes the burst", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: 300, windowOf: (item) => ({ closes: item === 7 }) })
      yield* debouncer.hold("a")
      yield* debouncer.push("a", 1)
      yield* debouncer.push("a", 7)
      yield* debouncer.flush("a")
      assert.deepStrictEqual(flushed, [[0, "a", [1, 7]]])
    })
  )

  it.effect("of several ends with the last, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const { debouncer, flushed } = yield* recording({ quiet: 300 })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* debouncer.hold("a")
          yield* Effect.scoped(debouncer.hold("a"))
          yield* debouncer.push("a", 1)
          yield* TestClock.adjust(400)
          assert.deepStrictEqual(flushed, [])
        })
      )
      yield* debouncer.flush("a")
      assert.deepStrictEqual(flushed, [[400, "a", [1]]])
      yield* Effect.scoped(debouncer.hold("b"))
      assert.strictEqual(debouncer.size, 0)
    })
  )
})

describe("time and space", () => {
  it.effect("D19: a jump of the wall clock, either way, changes nothing", () =>
    Effect.gen(function* () {
      const hour = 3_600_000
      for (const jump of [hour, -hour, 8766 * hour, -8766 * hour]) {
        let skew = 0
        const clock = yield* clockWith((real) => ({
          currentTimeMillisUnsafe: () => real.currentTimeMillisUnsafe() + skew,
          currentTimeNanosUnsafe: () => real.currentTimeNanosUnsafe() + BigInt(skew) * 1_000_000n
        }))
        const { debouncer, flushed } = yield* recording({ quiet: 300 }).pipe(Effect.provideService(Clock.Clock, clock))
        yield* debouncer.push("a", 1)
        yield* TestClock.adjust(200)
        skew = jump
        yield* debouncer.push("a", 2)
        yield* TestClock.adjust(299)
        assert.deepStrictEqual(flushed, [])
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(
          flushed.map(([, , items]) => items),
          [[1, 2]]
        )
      }
    })
  )

  it.effect("Q22: 100,000 keys armed share one timer, and leave no timer, no fiber and no entry when flushed", () =>
    Effect.gen(function* () {
      let sleeping = 0
      let fibers = 0
      const most = { sleeping: 0, fibers: 0 }
      const clock = yield* clockWith((real) => ({
        sleep: (duration) =>
          Effect.suspend(() => {
            sleeping++
            most.sleeping = Math.max(most.sleeping, sleeping)
            return Effect.ensuring(
              real.sleep(duration),
              Effect.sync(() => sleeping--)
            )
          })
      }))
      const counting: Metric.FiberRuntimeMetricsService = {
        recordFiberStart: () => {
          fibers++
          most.fibers = Math.max(most.fibers, fibers)
        },
        recordFiberEnd: () => {
          fibers--
        }
      }
      let flushed = 0
      const debouncer = yield* Debouncer.make<number, number>({
        quiet: 300,
        flush: (_, items) => Effect.sync(() => (flushed += items.length))
      }).pipe(Effect.provideService(Clock.Clock, clock), Effect.provideService(Metric.FiberRuntimeMetrics, counting))
      const before = fibers
      for (let key = 0; key < 100_000; key++) debouncer.pushUnsafe(key, key)
      yield* TestClock.adjust(200)
      for (let key = 0; key < 100_000; key++) debouncer.pushUnsafe(key, key)
      assert.strictEqual(debouncer.size, 100_000)
      assert.isAtMost(sleeping, 1)
      assert.isAtMost(fibers - before, 2)
      yield* TestClock.adjust(299)
      assert.strictEqual(flushed, 0)
      yield* TestClock.adjust(1)
      // The time is over; the flushes take as many turns of the scheduler as they need.
      while (debouncer.pending > 0) yield* Effect.yieldNow
      assert.strictEqual(flushed, 200_000)
      assert.deepStrictEqual([debouncer.size, debouncer.pending, sleeping], [0, 0, 0])
      assert.strictEqual(fibers, before)
      assert.strictEqual(most.sleeping, 1)
      assert.isAtMost(most.fibers - before, 3)
    })
  )
})
