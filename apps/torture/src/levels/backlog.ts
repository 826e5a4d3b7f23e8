/**
 * How long a boot takes when much is left open: a store is filled with messages through
 * a gateway whose agents never answer, the gateway is killed, and the next ones are
 * started and killed as soon as each is ready. What is open stays open, so every boot
 * finds the same.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Bundle } from "../world/bundle.ts"
import type { Ended, Ready } from "../world/Gateway.ts"
import type { Unanswered } from "../world/wire.ts"
import * as World from "../world/World.ts"
import type { Times } from "./Level.ts"

/** Which backlogs are tried, and how often each. */
export interface Backlogs {
  readonly rows: ReadonlyArray<number>
  readonly boots: number
}

/** Messages of a conversation; the rest is other conversations. */
const each = 100

/** Stores so many messages, 64 requests at a time. */
const fill = (gateway: Ready, rows: number) =>
  Effect.forEach(
    Array.from({ length: rows }, (_, row) => row),
    (row) =>
      gateway.wire
        .ask(`/v1/conversations/c${Math.floor(row / each)}/messages`, {
          body: { text: `#c.${row} hang` },
          key: `c.${row}`,
          token: gateway.token
        })
        .pipe(
          Effect.filterOrFail(
            ({ status }) => status === 202,
            ({ body, status }) => new Error(`message ${row} was answered with ${status} ${JSON.stringify(body)}`)
          ),
          Effect.orDie
        ),
    { concurrency: 64, discard: true }
  )

const monotonic = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

const one = (bundle: Bundle, rows: number, boots: number): Effect.Effect<Array<number>, Ended | Unanswered> =>
  Effect.gen(function* () {
    const world = yield* World.make({ bundle, seed: 0 })
    const booted = <A, E>(use: (gateway: Ready) => Effect.Effect<A, E>) =>
      Effect.scoped(
        Effect.gen(function* () {
          const began = yield* monotonic
          const gateway = yield* world.boot()
          const ready = yield* world.arrive(gateway)
          const took = (yield* monotonic) - began
          yield* use(ready)
          yield* gateway.kill("boot")
          return took
        })
      )
    yield* booted((gateway) => fill(gateway, rows))
    const times: Array<number> = []
    for (let boot = 0; boot < boots; boot++) times.push(yield* booted(() => Effect.void))
    return times
  }).pipe(Effect.scoped)

/** The times from start to ready, by what was open. */
export const bootTimes = Effect.fnUntraced(function* (
  bundle: Bundle,
  { boots, rows }: Backlogs
): Effect.fn.Return<Times, Ended | Unanswered> {
  const times: Times = {}
  for (const count of rows) times[`boot to ready, backlog of ${count}`] = yield* one(bundle, count, boots)
  return times
})
