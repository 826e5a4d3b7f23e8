/**
 * The kernel takes the processor away: the gateway is stopped by SIGSTOP for longer
 * than its deadlines, in the middle of its work, of a stop, of a start. When it goes on
 * it finds its timers over and its clients gone, and neither harms anybody.
 */
import * as Effect from "effect/Effect"
import type { Ground, Group, Scenario } from "../Scenario.ts"

const nothingToMend: Scenario["mend"] = () => Effect.void

/** Takes the process away for so long. Says whether it was there. */
const frozen = (ground: Ground, millis: number): Effect.Effect<number> =>
  Effect.suspend(() => {
    const pid = ground.pid()
    const send = (signal: NodeJS.Signals): boolean => {
      try {
        return process.kill(pid, signal)
      } catch {
        // It has ended: there is nobody to be stopped.
        return false
      }
    }
    if (pid === 0 || !send("SIGSTOP")) return Effect.succeed(0)
    return Effect.sleep(millis).pipe(Effect.ensuring(Effect.sync(() => send("SIGCONT"))), Effect.as(1))
  })

const strike = (count: number) => ({ count, of: "processes stopped" })

const working = (name: string, millis: number, long = false): Scenario => ({
  name,
  long,
  alone: true,
  during: (ground) => Effect.map(frozen(ground, millis), strike),
  mend: nothingToMend,
  expects: { ends: [] }
})

export const pauses: Group = {
  name: "pauses",
  needs: [],
  prepare: Effect.succeed({
    options: { configuration: { drain: { timeout: "1 second", startWithin: "200 millis" } } }
  }),
  scenarios: [
    working("the gateway stands still for longer than a stop may take", 1_800),
    working("the gateway stands still for longer than its watchdog waits", 36_000, true),
    {
      name: "the gateway stands still again and again",
      alone: true,
      during: Effect.fnUntraced(function* (ground) {
        let count = 0
        for (let n = 0; n < (ground.long ? 40 : 8); n++) {
          count += yield* frozen(ground, 20 + ground.random() * 100)
          yield* ground.people.more(1)
        }
        return strike(count)
      }),
      mend: nothingToMend,
      expects: { ends: [] }
    },
    {
      name: "the gateway stands still in the middle of a stop",
      during: Effect.fnUntraced(function* (ground) {
        const gateway = yield* ground.gateway
        const ends = ground.ends.length
        yield* ground.world.running(yield* ground.people.say("sam", "slow"))
        // Its deadline is of no use to whoever measures: the pause is not the gateway's. So nothing is said of a stop.
        yield* gateway.signal("SIGTERM")
        yield* Effect.sleep(ground.random() * 150)
        const count = yield* frozen(ground, 1_500)
        yield* ground.endAfter(ends)
        return strike(count)
      }),
      mend: nothingToMend,
      expects: { ends: [0, 80, "SIGKILL"] }
    },
    {
      name: "the gateway stands still while it starts",
      during: Effect.fnUntraced(function* (ground) {
        const gateway = yield* ground.gateway
        yield* ground.hold
        yield* gateway.kill("a start that stands still")
        const ends = ground.ends.length
        yield* ground.release
        let count = 0
        for (let n = 0; n < 3; n++) {
          yield* Effect.sleep(60 + ground.random() * 100)
          count += yield* frozen(ground, 150)
        }
        return ground.ends.length > ends + 1 ? strike(0) : strike(count)
      }),
      mend: ({ release }) => release,
      expects: { ends: ["SIGKILL"] }
    }
  ]
}
