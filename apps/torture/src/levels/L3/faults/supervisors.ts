/**
 * Supervisors with little patience, and too many of them: SIGTERM and three seconds
 * later SIGKILL, whatever the agents do; a crash at every start; a second gateway on
 * the store, and two that race for it. A stop fits into its budget, a second gateway
 * refuses with a sentence and harms nothing.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import type { Ground, Group, Scenario } from "../Scenario.ts"

const nothingToMend: Scenario["mend"] = ({ behaviours, release }) =>
  Effect.andThen(
    release,
    Effect.sync(() => void behaviours.splice(0, 1, "hello"))
  )

/** The supervisor's budget, and a little for its own wake-up on a machine that is busy. */
const budget = 3_000

/** A stop under a supervisor that kills after its budget; dies when the gateway needed to be killed. */
const stopping = (name: string, behaviour: string): Scenario => ({
  name,
  during: Effect.fnUntraced(function* (ground) {
    const gateway = yield* ground.gateway
    const ends = ground.ends.length
    ground.behaviours.splice(0, 1, behaviour)
    yield* ground.world.running(yield* ground.people.say("sam", behaviour))
    yield* ground.people.more(3)
    yield* gateway.beginStop(`agents that ${behaviour === "hang" ? "hang and ignore SIGTERM" : `are ${behaviour}`}`)
    const patient = Effect.andThen(Effect.sleep(budget), gateway.kill("a stop that took longer than its budget"))
    const end = yield* Effect.raceFirst(ground.endAfter(ends), Effect.andThen(patient, Effect.never))
    return { count: end.signal === null ? 1 : 0, of: "stops within the budget" }
  }),
  mend: nothingToMend,
  expects: { ends: [0, 80] }
})

const loop: Scenario = {
  name: "a crash at every start",
  during: Effect.fnUntraced(function* (ground) {
    let count = 0
    for (let n = 0; n < (ground.long ? 12 : 4); n++) {
      const gateway = yield* ground.gateway
      // Now at once, now when the turns that were cut off are running again.
      yield* Effect.sleep(ground.random() * 200)
      const ends = ground.ends.length
      if (yield* gateway.kill("a crash loop")) count++
      yield* ground.endAfter(ends)
    }
    return { count, of: "crashes" }
  }),
  mend: nothingToMend,
  expects: { ends: ["SIGKILL"] }
}

/** A gateway that nobody is told of: how it ended and what it said on standard error. */
const second = (ground: Ground, program: string, environment: NodeJS.ProcessEnv) =>
  Effect.callback<{ readonly code: number | null; readonly said: string }>((resume) => {
    const child = spawn(process.execPath, [program, "run"], {
      cwd: ground.world.folder,
      env: {
        ...environment,
        PATH: process.env["PATH"],
        SLUICE_PORT: "0",
        SLUICE_STATE_DIR: ground.world.stateDirectory,
        TORTURE_FAR: ground.far.url
      },
      stdio: ["ignore", "ignore", "pipe"]
    })
    let said = ""
    child.stderr.on("data", (data: Buffer) => (said += data.toString("utf8")))
    child.on("close", (code) => resume(Effect.succeed({ code, said })))
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

const two: Scenario = {
  name: "two instances at once",
  during: Effect.fnUntraced(function* (ground) {
    const { environment, program } = ground.bundle
    const some = Effect.replicateEffect(second(ground, program, environment), ground.long ? 4 : 2, {
      concurrency: "unbounded"
    })
    let count = 0
    for (let n = 0; n < (ground.long ? 5 : 1); n++) {
      for (const { code, said } of yield* some) {
        if (code !== 69 || !/another gateway|holds the store|in use/i.test(said)) {
          return yield* Effect.die(new Error(`a second gateway ended with ${code} and said: ${said}`))
        }
        count++
      }
    }
    yield* ground.people.more(6)
    return { count, of: "second gateways refused" }
  }),
  mend: nothingToMend,
  expects: { ends: [] }
}

export const supervisors: Group = {
  name: "supervisors",
  needs: [],
  prepare: Effect.succeed({
    boot: { environment: { SLUICE_STOP_BUDGET: `${budget / 1000}s` } },
    options: {
      agent: { stallTimeout: "3 seconds" },
      configuration: { drain: { timeout: "20 seconds", startWithin: "300 millis" } }
    }
  }),
  scenarios: [
    stopping("a budget of 3 s, agents that ignore SIGTERM", "hang"),
    stopping("a budget of 3 s, agents that need 600 ms", "slow"),
    stopping("a budget of 3 s, grandchildren that survive", "fork"),
    loop,
    two
  ]
}
