/**
 * PL2: what a request weighs that waits in a pool's line, with everything that hangs on it: the caller's fiber, its place
 * and its timeout. All workers are busy, ten thousand requests of a hundred callers come, and the heap is weighed before
 * and with them, after full collections. The caller's own part is what the same fibers weigh that wait for nothing.
 */
import { textGeneration } from "@sluice/pools/Capabilities"
import { Governor } from "@sluice/pools/Governor"
import * as Pool from "@sluice/pools/Pool"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { type Figure, heap, median } from "../figure.ts"
import { messages } from "./kinds.ts"

const count = 10_000
const callers = 100
const rounds = 5

/** Bytes of the heap for each of the fibers that run this. */
const weigh = Effect.fnUntraced(function* (work: (index: number) => Effect.Effect<unknown, unknown>) {
  const before = yield* Effect.promise(heap)
  const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
  for (let index = 0; index < count; index++) fibers.push(yield* Effect.forkChild(work(index)))
  yield* Effect.yieldNow
  const with_ = yield* Effect.promise(heap)
  yield* Fiber.interruptAll(fibers)
  return (with_ - before) / count
})

const bytes = (value: number): string => `${value.toFixed(0)} B`

/** See the header. */
export const PL2 = (): Promise<Figure> =>
  Effect.gen(function* () {
    const pool = yield* Pool.make({
      name: "writer",
      capability: textGeneration,
      load: () => Effect.succeed({ answer: () => Effect.never, stream: () => Stream.never }),
      workers: { start: 1, max: 1 },
      queue: count
    })
    yield* Effect.forkChild(Effect.exit(pool.submit({ messages })))
    while ((yield* pool.status).running === 0) yield* Effect.yieldNow
    const terms = (index: number) => ({ key: `caller ${index % callers}` })
    const found = { submitted: [] as Array<number>, streamed: [] as Array<number>, fiber: [] as Array<number> }
    for (let round = 0; round < rounds; round++) {
      found.submitted.push(yield* weigh((index) => pool.submit({ messages }, terms(index))))
      found.streamed.push(yield* weigh((index) => Stream.runDrain(pool.stream({ messages }, terms(index)))))
      found.fiber.push(yield* weigh(() => Effect.never))
    }
    const { waiting } = yield* pool.status
    if (waiting !== 0) return yield* Effect.die(new Error(`${waiting} still wait`))
    yield* pool.interrupt
    const submitted = median(found.submitted)
    return {
      id: "PL2",
      what: "memory of 10,000 queued requests, each: whole, streamed; a fiber alone that waits",
      target: "",
      measured: `${bytes(submitted)}, ${bytes(median(found.streamed))}; ${bytes(median(found.fiber))} (${((submitted * count) / 1e6).toFixed(1)} MB in all)`
    }
  }).pipe(Effect.provide(Governor.layer()), Effect.scoped, Effect.runPromise)
