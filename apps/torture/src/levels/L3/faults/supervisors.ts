/**
 * Supervisors with little patience, and too many of them: SIGTERM and three seconds
 * later SIGKILL, whatever the agents do; a crash at every start; a second gateway on
 * the store, and two that race for it. A stop fits into its budget, a second gateway
 * refuses with a sentence and harms nothing.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import type { Ground, Group, Scenario } from "../Scenario.ts"

const nothingToMend: Scenario["mend"] = () => Effect.void

/** They alone have agents that make a stop wait, one of each kind. */
const guests = ["guest0", "guest1", "guest2"]
const agents = { guest1: "acp", guest2: "claude-code", bob: "acp", cem: "claude-code" } as const

/** The supervisor's budget. */
const budget = 3_000

/** Milliseconds in which a process was ready to run and was given no processor; as many as ever were, once it is gone. */
const waitedFor = (pid: number, before = 0): number => {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6
  } catch {
    return before
  }
}

/** Completes when the process has had so much time; what others took from it is not its own. */
const hasHad = Effect.fnUntraced(function* (ground: Ground, pid: number, millis: number) {
  const now = () => ground.world.history.now()
  const began = now()
  const before = waitedFor(pid)
  let waited = before
  while (now() - began - (waited - before) < millis) {
    yield* Effect.sleep("20 millis")
    waited = waitedFor(pid, waited)
  }
})

/** A stop under a supervisor that kills after its budget: it strikes when the gateway was quicker. */
const stopping = (name: string, behaviour: string, what: string): Scenario => ({
  name,
  during: Effect.fnUntraced(function* (ground) {
    const gateway = yield* ground.gateway
    const ends = ground.ends.length
    for (const guest of guests) yield* ground.world.running(yield* ground.people.say(guest, behaviour))
    yield* gateway.beginStop(what)
    const patient = Effect.andThen(
      hasHad(ground, gateway.pid, budget),
      gateway.kill("a stop that took longer than its budget")
    )
    yield* Effect.raceFirst(ground.endAfter(ends), Effect.andThen(patient, Effect.never))
    return { count: 1, of: "stops" }
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
  expects: { ends: [] },
  alone: true
}

export const supervisors: Group = {
  name: "supervisors",
  needs: [],
  prepare: Effect.succeed({
    boot: { environment: { SLUICE_STOP_BUDGET: `${budget / 1000}s` } },
    options: {
      habits: { guests, agents },
      agent: { stallTimeout: "4 seconds" },
      configuration: { drain: { timeout: "20 seconds", startWithin: "300 millis" } }
    }
  }),
  scenarios: [
    stopping("a budget of 3 s, agents that ignore SIGTERM", "hang", "agents that hang and ignore SIGTERM"),
    stopping("a budget of 3 s, agents that need 600 ms", "slow", "agents that need 600 ms"),
    stopping("a budget of 3 s, grandchildren that survive", "fork", "agents with grandchildren that survive"),
    loop,
    two
  ]
}
