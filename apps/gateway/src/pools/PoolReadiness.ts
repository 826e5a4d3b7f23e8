/**
 * How the pools are, beside what the gateway says of itself. A pool that answers nothing does not make the gateway
 * unready: messages are taken and kept all the same, and who asks the pool hears it from the pool.
 */
import type { Readiness } from "@sluice/runtime/Gateway"
import * as Effect from "effect/Effect"
import type { PoolState } from "./OpenPools.ts"
import type { Pools } from "./Pools.ts"

/** One pool, in a word and, where that is not `healthy`, in a sentence. */
export type PoolHealth = Pick<PoolState, "name" | "health" | "why">

/** Readiness, with the pools where there are any. */
export interface WithPools extends Readiness {
  readonly pools?: ReadonlyArray<PoolHealth>
}

/** Adds the pools to what the gateway says. */
export const withPools =
  ({ opened }: Pools) =>
  (found: Readiness): Effect.Effect<WithPools> =>
    opened === undefined
      ? Effect.succeed(found)
      : Effect.map(opened.states, ({ pools }) => ({
          ...found,
          pools: pools
            .filter(({ leaving }) => !leaving)
            .map(({ health, name, why }) => ({ name, health, ...(why === undefined ? {} : { why }) }))
        }))
