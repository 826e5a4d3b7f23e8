// Two pools under one governor, and whatever can happen to them in any order: requests, answers, failures, callers that
// leave, workers that load, don't load or die, and time. After each step the sum of memory is within its limit and nobody
// does more than he can; in the end every request has ended, every worker is gone, and nothing is booked.
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Governor } from "../src/Governor.ts"
import { answer, at, type Bench, bench, memory, pool, transport } from "./workers.ts"

/** How often each happens: mostly requests and workers that come, so that much is there when something goes wrong. */
const weights = { ask: 10, batch: 3, answer: 4, fail: 1, leave: 2, load: 6, unload: 1, die: 1, second: 2, minute: 1 }
const table = Object.entries(weights).flatMap(([kind, weight]) =>
  Array.from({ length: weight }, () => kind as keyof typeof weights)
)

const Steps = Schema.Array(
  Schema.Struct({
    kind: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: table.length - 1 })),
    pool: Schema.Literals([0, 1]),
    pick: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 }))
  })
).check(Schema.isMinLength(30), Schema.isMaxLength(80))

const limit = 1000
const sizes = [300, 400] as const
const concurrency = 2

const state = (workers: Bench) => ({
  running: workers.runs.filter(({ state }) => state === "running"),
  loading: workers.loads.filter(({ state }) => state === "loading"),
  open: workers.loads.filter(({ state }) => state !== "closed")
})

it.effect.prop(
  "P3, P4, P5, P6, P8: whatever the order, memory is kept to, no place is used twice, and every request ends once",
  { steps: Steps },
  ({ steps }) =>
    Effect.gen(function* () {
      const { used } = yield* Governor
      const benches = [bench({ auto: false, concurrency }), bench({ auto: false, concurrency })] as const
      const pools = [
        yield* pool(benches[0], { name: "a", queue: 5, workers: { memory: sizes[0], max: 3 } }),
        yield* pool(benches[1], { name: "b", queue: 5, workers: { memory: sizes[1], max: 3 } })
      ] as const
      const asked: Array<Fiber.Fiber<unknown, unknown>> = []
      const one = <A>(list: ReadonlyArray<A>, pick: number): ReadonlyArray<A> =>
        list.length === 0 ? [] : [at(list, pick % list.length)]
      const act = Effect.fnUntraced(function* ({ kind, pick, pool }: (typeof steps)[number]) {
        const { loading, open, running } = state(benches[pool])
        switch (table[kind]) {
          case "ask":
          case "batch": {
            const priority = table[kind] === "ask" ? "interactive" : "batch"
            asked.push(yield* Effect.forkChild(Effect.exit(pools[pool].submit("x", { key: `${pick}`, priority }))))
            return
          }
          case "answer":
            for (const run of one(running, pick)) yield* answer(run)
            return
          case "fail":
            for (const run of one(running, pick)) yield* Deferred.fail(run.end, transport())
            return
          case "leave":
            for (const fiber of one(asked, pick)) yield* Fiber.interrupt(fiber)
            return
          case "load":
            for (const { gate } of one(loading, pick)) yield* Deferred.succeed(gate, undefined)
            return
          case "unload":
            for (const { gate } of one(loading, pick)) yield* Deferred.fail(gate, transport())
            return
          case "die":
            for (const { death } of one(open, pick)) yield* Deferred.fail(death, transport())
            return
          case "second":
            return yield* TestClock.adjust("1 second")
          case "minute":
            return yield* TestClock.adjust("1 minute")
        }
      })
      for (const step of steps) {
        yield* act(step)
        yield* TestClock.adjust(0)
        const booked = yield* used
        const real = benches.reduce((sum, workers, at) => sum + state(workers).open.length * (sizes[at] ?? 0), 0)
        assert.isAtMost(booked, limit)
        assert.strictEqual(booked, real)
        for (const [at, workers] of benches.entries()) {
          assert.isTrue(workers.loads.every(({ running, state }) => running <= (state === "ready" ? concurrency : 0)))
          const { waiting, workers: counts } = yield* (pools[at] ?? pools[0]).status
          // What broke and is to be tried elsewhere was taken already: it may wait beyond the line's length.
          assert.isAtMost(waiting, 5 + 3 * concurrency)
          // Nobody waits while there is a free place, nor without a worker that is on its way.
          if (waiting > 0) {
            assert.strictEqual(counts.idle, 0)
            assert.isAbove(counts.asking + counts.loading + counts.busy, 0)
          }
        }
      }
      // Everybody's time is over in the end, whatever was left undone.
      yield* TestClock.adjust("2 minutes")
      for (const fiber of asked) assert.isDefined(fiber.pollUnsafe())
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* used, 0)
      assert.isTrue(benches.every(({ runs }) => runs.every(({ state }) => state !== "running")))
      assert.isTrue(benches.every(({ loads }) => loads.every(({ state }) => state === "closed")))
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(memory(limit), TestClock.layer())))
)
