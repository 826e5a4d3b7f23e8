// What the queue promises while it runs: one at a time per key and in order, at once when a run ends, fairly between keys,
// and that a drop is committed before it is forgotten. Runs that take long wait for a gate.
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import * as FollowupQueue from "../src/FollowupQueue.ts"

const { Offer } = FollowupQueue

/** A queue whose runs announce themselves and then wait for a permit each. */
const stepped = (options: Partial<FollowupQueue.Options<string, number, never>> = {}) =>
  Effect.gen(function* () {
    const started = yield* Queue.unbounded<readonly [string, ReadonlyArray<number>, FollowupQueue.Info<number>]>()
    const permits = yield* Queue.unbounded<void>()
    const ended: Array<readonly [string, ReadonlyArray<number>]> = []
    const queue = yield* FollowupQueue.make<string, number>({
      drop: "old",
      ...options,
      run: (key, items, info) =>
        Effect.gen(function* () {
          yield* Queue.offer(started, [key, items, info])
          yield* Queue.take(permits)
          ended.push([key, items])
        })
    })
    // Nothing may wait for ever at a test's end.
    yield* Effect.addFinalizer(() => Queue.offerAll(permits, Array.from({ length: 1000 })))
    return { queue, started, ended, step: Queue.offer(permits, undefined) }
  })

describe("a key", () => {
  it.effect("runs one batch at a time, and collects what comes meanwhile", () =>
    Effect.gen(function* () {
      const { queue, started, step, ended } = yield* stepped()
      assert.deepStrictEqual(yield* queue.push("a", 1), Offer.Started())
      assert.deepStrictEqual((yield* Queue.take(started))[1], [1])
      assert.deepStrictEqual(yield* queue.push("a", 2), Offer.Queued({ position: 1 }))
      assert.deepStrictEqual(yield* queue.push("a", 3), Offer.Queued({ position: 2 }))
      assert.deepStrictEqual(ended, [])
      assert.strictEqual(queue.depth("a"), 2)
      yield* step
      assert.deepStrictEqual((yield* Queue.take(started))[1], [2, 3])
      assert.deepStrictEqual(ended, [["a", [1]]])
    })
  )

  it.effect("takes into a run what is offered in the turn in which it begins, as far as the mode allows", () =>
    Effect.gen(function* () {
      const collect = yield* stepped()
      for (const item of [1, 2, 3]) assert.deepStrictEqual(yield* collect.queue.push("a", item), Offer.Started())
      assert.deepStrictEqual((yield* Queue.take(collect.started))[1], [1, 2, 3])

      const followup = yield* stepped({ mode: "followup", opens: (item) => item % 10 === 0 })
      assert.deepStrictEqual(yield* followup.queue.push("a", 10), Offer.Started())
      assert.deepStrictEqual(yield* followup.queue.push("a", 11), Offer.Started())
      assert.deepStrictEqual(yield* followup.queue.push("a", 20), Offer.Queued({ position: 1 }))
      assert.deepStrictEqual((yield* Queue.take(followup.started))[1], [10, 11])
    })
  )

  it.effect("Q3: an item pushed in the very tick in which a run ends starts the next run, 1,000 times", () =>
    Effect.gen(function* () {
      let ending = yield* Deferred.make<number>()
      let runs = 0
      const queue = yield* FollowupQueue.make<string, number>({
        drop: "old",
        run: (_, [item]) => {
          runs++
          const done = ending
          ending = Deferred.makeUnsafe()
          return Deferred.succeed(done, item)
        }
      })
      // Odd ones are pushed by whoever the run wakes as its last act, even ones by whoever waits for its fiber's end.
      let previous = ending
      yield* queue.push("a", 0)
      for (let item = 1; item < 1000; item++) {
        const awaited = previous
        if (item % 2 === 1) yield* Deferred.await(awaited)
        else while (queue.busy) yield* Effect.yieldNow
        for (let yields = 0; yields < item % 5; yields++) yield* Effect.yieldNow
        previous = ending
        yield* queue.push("a", item)
      }
      yield* queue.drain
      assert.strictEqual(runs, 1000)
    })
  )

  it.effect("goes on with the next batch when a run dies, and the defect is logged as an error", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ logLevel, cause }) => {
        logged.push([logLevel, Cause.squash(cause)])
      })
      const ran: Array<number> = []
      const bug = new Error("a bug in run")
      const queue = yield* FollowupQueue.make<string, number>({
        mode: "followup",
        drop: "old",
        run: (_, [item]) => {
          if (item === 1) throw bug
          return item === 2 ? Effect.die(bug) : Effect.sync(() => ran.push(item))
        }
      }).pipe(Effect.provide(Logger.layer([logger])))
      for (const item of [1, 2, 3]) yield* queue.push("a", item)
      yield* queue.drain
      assert.deepStrictEqual(ran, [3])
      assert.deepStrictEqual(logged, [
        ["Error", bug],
        ["Error", bug]
      ])
    })
  )

  it.effect("is not busy with an item that could not even be looked at", () =>
    Effect.gen(function* () {
      const bug = new Error("a bug in weight")
      const queue = yield* FollowupQueue.make<string, number>({
        drop: "old",
        run: () => Effect.void,
        weight: () => {
          throw bug
        }
      })
      const exit = yield* Effect.exit(queue.push("a", 1))
      assert.deepStrictEqual(exit, Exit.die(bug))
      yield* queue.drain
      assert.isFalse(queue.busy)
    })
  )

  it.effect("at rest costs nothing: 10,000 keys that ran leave no entry", () =>
    Effect.gen(function* () {
      let runs = 0
      const queue = yield* FollowupQueue.make<number, number>({
        drop: "old",
        run: () => Effect.sync(() => runs++)
      })
      for (let key = 0; key < 10_000; key++) yield* queue.push(key, key)
      yield* queue.drain
      assert.strictEqual(runs, 10_000)
      assert.deepStrictEqual(queue.report, [])
      assert.isFalse(queue.busy)
    })
  )
})

describe("order", () => {
  /** Some keys, many producers and runs that sleep, yield or end at once, all decided by the seed. */
  const interleaving = (seed: number) =>
    Effect.gen(function* () {
      const modes = ["collect", "followup"] as const
      const ran = new Map<string, Array<number>>()
      const running = new Map<string, number>()
      let most = 0
      const pause = Effect.gen(function* () {
        const kind = yield* Random.nextIntBetween(0, 3)
        if (kind === 1) yield* Effect.sleep(yield* Random.nextIntBetween(1, 5))
        if (kind === 2) yield* Effect.yieldNow
      })
      const queue = yield* FollowupQueue.make<string, number>({
        mode: modes[seed % 2],
        cap: 1000,
        drop: "new",
        concurrency: 2,
        run: (key, items) =>
          Effect.gen(function* () {
            assert.isUndefined(running.get(key), `two runs of ${key} at once`)
            running.set(key, 1)
            most = Math.max(most, running.size)
            yield* pause
            ran.set(key, [...(ran.get(key) ?? []), ...items])
            yield* pause
            running.delete(key)
          })
      })
      const keys = ["a", "b", "c"]
      const pushing = yield* Effect.forEach(
        keys,
        (key) =>
          Effect.gen(function* () {
            for (let item = 0; item < 12; item++) {
              yield* queue.push(key, item)
              yield* pause
            }
          }),
        { concurrency: "unbounded", discard: true }
      ).pipe(Effect.forkChild)
      while (pushing.pollUnsafe() === undefined) yield* TestClock.adjust(1)
      yield* Fiber.join(pushing)
      const draining = yield* Effect.forkChild(queue.drain)
      while (draining.pollUnsafe() === undefined) yield* TestClock.adjust(1)
      for (const key of keys) {
        assert.deepStrictEqual(
          ran.get(key),
          Array.from({ length: 12 }, (_, item) => item),
          `seed ${seed}`
        )
      }
      assert.isAtMost(most, 2)
    }).pipe(Effect.scoped, Random.withSeed(`interleaving ${seed}`), Effect.provide(TestClock.layer()))

  it.effect("Q2: a key's items run one batch at a time and in order, under 1,000 interleavings", () =>
    Effect.forEach(
      Array.from({ length: 1000 }, (_, seed) => seed),
      interleaving,
      { discard: true }
    )
  )

  it.effect("is fair between keys: one that has just run stands behind those that wait", () =>
    Effect.gen(function* () {
      const { queue, started, step } = yield* stepped({ mode: "followup", concurrency: 1 })
      for (let item = 1; item <= 3; item++) yield* queue.push("busy", item)
      yield* queue.push("b", 1)
      yield* queue.push("c", 1)
      yield* queue.push("b", 2)
      const order: Array<string> = []
      for (let run = 0; run < 6; run++) {
        const [key, [item]] = yield* Queue.take(started)
        order.push(`${key}${item}`)
        yield* step
      }
      assert.deepStrictEqual(order, ["busy1", "b1", "c1", "busy2", "b2", "busy3"])
    })
  )

  it.effect("a key that waits for a place runs everything it collected meanwhile", () =>
    Effect.gen(function* () {
      const { queue, started, step } = yield* stepped({ concurrency: 1 })
      yield* queue.push("a", 1)
      assert.deepStrictEqual(yield* queue.push("b", 1), Offer.Queued({ position: 1 }))
      assert.deepStrictEqual(yield* queue.push("b", 2), Offer.Queued({ position: 2 }))
      yield* Queue.take(started)
      yield* step
      assert.deepStrictEqual(yield* Queue.take(started), ["b", [1, 2], {}])
    })
  )
})

describe("the cap", () => {
  it.effect("Q5: old lets the oldest fall, and the run is not told", () =>
    Effect.gen(function* () {
      const { queue, started, step } = yield* stepped({ cap: 2, drop: "old" })
      yield* queue.push("a", 0)
      yield* Queue.take(started)
      for (const item of [1, 2, 3, 4]) assert.strictEqual((yield* queue.push("a", item))._tag, "Queued")
      yield* step
      assert.deepStrictEqual(yield* Queue.take(started), ["a", [3, 4], {}])
    })
  )

  it.effect("Q5: new lets what is offered fall, and says so", () =>
    Effect.gen(function* () {
      const { queue, started, step } = yield* stepped({ cap: 2, drop: "new" })
      yield* queue.push("a", 0)
      yield* Queue.take(started)
      yield* queue.push("a", 1)
      yield* queue.push("a", 2)
      assert.deepStrictEqual(yield* queue.push("a", 3), Offer.Dropped({ policy: "new" }))
      yield* step
      assert.deepStrictEqual(yield* Queue.take(started), ["a", [1, 2], {}])
    })
  )

  it.effect("Q5: summarize tells the next run what fell, once, and counts what it can't show", () =>
    Effect.gen(function* () {
      const { queue, started, step } = yield* stepped({ cap: 2, drop: "summarize" })
      yield* queue.push("a", 0)
      yield* Queue.take(started)
      for (let item = 1; item <= 152; item++) yield* queue.push("a", item)
      yield* queue.push("b", 1)
      assert.deepStrictEqual(yield* Queue.take(started), ["b", [1], {}])
      yield* step
      yield* step
      const [, items, { dropped }] = yield* Queue.take(started)
      assert.deepStrictEqual(items, [151, 152])
      assert.strictEqual(dropped?.count, 150)
      assert.deepStrictEqual([dropped?.items.length, dropped?.items[0], dropped?.items.at(-1)], [100, 51, 150])
      yield* queue.push("a", 153)
      yield* step
      assert.deepStrictEqual(yield* Queue.take(started), ["a", [153], {}])
    })
  )

  it.effect("Q5: a drop is committed before memory forgets it, and whoever pushed waits for that", () =>
    Effect.gen(function* () {
      const gate = yield* Latch.make()
      const committed: Array<unknown> = []
      const { queue, started, step } = yield* stepped({
        cap: 1,
        drop: "summarize",
        onDrop: (key, items, policy) =>
          Effect.andThen(
            gate.await,
            Effect.sync(() => committed.push([key, items, policy]))
          )
      })
      yield* queue.push("a", 0)
      yield* Queue.take(started)
      yield* queue.push("a", 1)
      const pushing = yield* Effect.forkChild(queue.push("a", 2), { startImmediately: true })
      const leaving = yield* Effect.forkChild(Fiber.interrupt(pushing), { startImmediately: true })
      // Meanwhile the fallen item neither runs nor waits, and the queue is busy with it even when all runs are over.
      yield* step
      assert.deepStrictEqual(yield* Queue.take(started), ["a", [2], {}])
      yield* step
      const draining = yield* Effect.forkChild(queue.drain, { startImmediately: true })
      while (queue.report[0]?.running !== 0) yield* Effect.yieldNow
      assert.isTrue(queue.busy)
      assert.isUndefined(draining.pollUnsafe())
      yield* gate.open
      yield* Fiber.join(draining)
      yield* Fiber.join(leaving)
      assert.deepStrictEqual(committed, [["a", [1], "summarize"]])
      assert.isFalse(queue.busy)
    })
  )

  it.effect("Q5: an item whose drop died is not dropped: it waits on and runs, and the defect is logged", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const logger = Logger.make(({ logLevel }) => {
        logged.push(logLevel)
      })
      const { queue, started, step } = yield* stepped({
        cap: 1,
        drop: "new",
        onDrop: () => Effect.die(new Error("a bug in onDrop"))
      })
      yield* queue.push("a", 0)
      yield* Queue.take(started)
      yield* queue.push("a", 1)
      const offer = yield* queue.push("a", 2).pipe(Effect.provide(Logger.layer([logger])))
      assert.deepStrictEqual(offer, Offer.Queued({ position: 2 }))
      assert.deepStrictEqual(logged, ["Error"])
      yield* step
      assert.deepStrictEqual((yield* Queue.take(started))[1], [1, 2])
    })
  )

  it.effect("counts what waits behind a run, so with a cap of 0 an item still runs when its key is free", () =>
    Effect.gen(function* () {
      const { queue, started, ended, step } = yield* stepped({ cap: 0, drop: "old", mode: "followup" })
      assert.deepStrictEqual(yield* queue.push("a", 1), Offer.Started())
      assert.deepStrictEqual(yield* queue.push("a", 2), Offer.Dropped({ policy: "old" }))
      yield* Queue.take(started)
      assert.deepStrictEqual(yield* queue.push("a", 3), Offer.Dropped({ policy: "old" }))
      yield* step
      yield* queue.drain
      assert.deepStrictEqual(ended, [["a", [1]]])
    })
  )
})
