/**
 * A wall clock that jumps by hours and by a year, forward and backward, under a gateway
 * that works, stops or starts. Nothing that is waited for may come early or never,
 * nothing may be forgotten or declared too old because a clock was set.
 */
import * as Effect from "effect/Effect"
import type { Ground, Group, Scenario } from "../Scenario.ts"

const hour = 3_600_000

/** The shim counts each time that was given out wrong. */
const jumped = (ground: Ground, millis: number) =>
  Effect.sync(() => {
    const before = ground.shim.clocked()
    ground.shim.jump(millis)
    return () => ({ count: ground.shim.clocked() - before, of: "wrong times read" })
  })

const back: Scenario["mend"] = ({ shim }) => Effect.sync(() => shim.jump(0))

const working = (name: string, millis: number): Scenario => ({
  name,
  during: Effect.fnUntraced(function* (ground) {
    const strike = yield* jumped(ground, millis)
    yield* ground.people.more(15)
    return strike()
  }),
  mend: back,
  expects: { ends: [] }
})

export const clocks: Group = {
  name: "clocks",
  needs: ["shim"],
  prepare: Effect.succeed({ options: { habits: { behaviours: ["hello"] } } }),
  scenarios: [
    working("five hours forward", 5 * hour),
    working("five hours backward", -5 * hour),
    working("a year forward", 365 * 24 * hour),
    working("a year backward", -365 * 24 * hour),
    {
      name: "it never stands still",
      during: Effect.fnUntraced(function* (ground) {
        const strike = yield* jumped(ground, 1000)
        const restless = Effect.sync(() => ground.shim.jump((ground.random() - 0.5) * 48 * hour)).pipe(
          Effect.andThen(Effect.sleep("20 millis")),
          Effect.forever
        )
        yield* Effect.raceFirst(ground.people.more(20), restless)
        return strike()
      }),
      mend: back,
      expects: { ends: [] }
    },
    {
      name: "it is set while the gateway stops",
      during: Effect.fnUntraced(function* (ground) {
        const gateway = yield* ground.gateway
        ground.behaviours.splice(0, 1, "slow")
        yield* ground.people.more(8)
        const strike = yield* jumped(ground, 9 * hour)
        yield* gateway.stop("agents that need 600 ms, a clock that is set")
        return strike()
      }),
      mend: (ground) =>
        Effect.andThen(
          back(ground),
          Effect.sync(() => void ground.behaviours.splice(0, 1, "hello"))
        ),
      expects: { ends: [0, 80] }
    },
    {
      name: "it is another day after a crash",
      during: Effect.fnUntraced(function* (ground) {
        const gateway = yield* ground.gateway
        const strike = yield* jumped(ground, -26 * hour)
        yield* gateway.kill("a clock that is set back")
        yield* ground.gateway
        yield* ground.people.more(6)
        return strike()
      }),
      mend: back,
      expects: { ends: ["SIGKILL"] }
    }
  ]
}
