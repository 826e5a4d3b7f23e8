/**
 * How the pools are, beside what the gateway says of itself. A pool that answers nothing does not make the gateway
 * unready: messages are taken and kept all the same, and who asks the pool hears it from the pool.
 */
import type { Readiness } from "@sluice/runtime/Gateway"
import * as Effect from "effect/Effect"
import type { PoolState } from "./OpenPools.ts"
import type { Pools } from "./Pools.ts"

/** One pool, as readiness has each channel. */
export interface PoolHealth {
  readonly name: string
  readonly state: PoolState["health"]
  /** What is wrong; empty when nothing is. */
  readonly problems: ReadonlyArray<string>
}

/** Readiness, with the pools where there are any. */
export interface WithPools extends Readiness {
  readonly pools?: ReadonlyArray<PoolHealth>
}

const healthOf = ({ health, name, why }: PoolState): PoolHealth => ({
  name,
  state: health,
  problems: why === undefined ? [] : [why]
})

/** Adds the pools to what the gateway says. */
export const withPools =
  ({ opened }: Pools) =>
  (found: Readiness): Effect.Effect<WithPools> =>
    opened === undefined
      ? Effect.succeed(found)
      : Effect.map(opened.states, ({ pools }) => ({
          ...found,
          pools: pools.filter(({ leaving }) => !leaving).map(healthOf)
        }))
