/**
 * PL3: how long the end of a pool takes with a thousand requests in flight that need 50 ms each, from the wish to stop to
 * the moment at which all have their answers and all workers are gone. The last one began just before: none is nearly done.
 */
import { type ChatAnswer, textGeneration } from "@sluice/pools/Capabilities"
import { Governor } from "@sluice/pools/Governor"
import * as Pool from "@sluice/pools/Pool"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { type Figure, median, ms, now } from "../figure.ts"
import { messages } from "./kinds.ts"

const count = 1000
/** Milliseconds that a request takes. */
const service = 50
const workers = 4
const rounds = 9
const warmUps = 3

const answer: ChatAnswer = { text: "hello", finish: "stop", message: { role: "assistant", content: "hello" } }

const one = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const pool = yield* Pool.make({
    name: "writer",
    capability: textGeneration,
    load: () =>
      Effect.succeed({
        concurrency: count / workers,
        answer: () => Effect.delay(Effect.succeed(answer), service)
      }),
    workers: { start: workers, max: workers },
    queue: count
  }).pipe(Effect.provideService(Scope.Scope, scope))
  // The workers are there, as they are in a gateway that has work.
  yield* pool.submit({ messages })
  const asked: Array<Fiber.Fiber<unknown, unknown>> = []
  for (let index = 0; index < count; index++) asked.push(yield* Effect.forkChild(pool.submit({ messages })))
  while ((yield* pool.status).running < count) yield* Effect.yieldNow
  const begun = now()
  yield* Scope.close(scope, Exit.void)
  const took = now() - begun
  const { outcomes } = yield* pool.status
  yield* Fiber.awaitAll(asked)
  if (outcomes["served"] !== count + 1) return yield* Effect.die(new Error(`ended: ${JSON.stringify(outcomes)}`))
  return took
})

/** See the header. */
export const PL3 = (): Promise<Figure> =>
  Effect.gen(function* () {
    const all: Array<number> = []
    for (let round = 0; round < warmUps + rounds; round++) {
      const took = yield* one
      if (round >= warmUps) all.push(took)
    }
    const took = median(all)
    return {
      id: "PL3",
      what: `time to stop a pool with ${count} in flight of ${service} ms each, all of them answered`,
      target: "<= 90 ms",
      measured: `${ms(took)} (slowest of ${rounds}: ${ms(Math.max(...all))})`,
      met: took <= 90
    }
  }).pipe(Effect.provide(Governor.layer()), Effect.runPromise)
