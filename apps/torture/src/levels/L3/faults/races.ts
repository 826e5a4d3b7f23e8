/**
 * Two gateways that are started at the same moment for a store that nobody holds: one
 * gets it, the other ends with 69 and a sentence, and has not even opened the store's
 * files, as the shim in each of them counts. The store is one that a crash left
 * behind, with work to be resumed, or one that is not there yet.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { join } from "node:path"
import * as World from "../../../world/World.ts"
import { databaseOf } from "../Ground.ts"
import type { Ground, Group, Scenario } from "../Scenario.ts"
import * as Shim from "../Shim.ts"

/** Its exit code, and what it says. */
const held = 69
const sentence = /another gateway|holds the store|in use/i

/** One that runs, with a shim of its own. */
const racer = Effect.fnUntraced(function* (world: World.World, library: string, n: number) {
  const shim = yield* Effect.acquireRelease(
    Effect.sync(() => Shim.make(library, join(world.folder, `racer-${n}`), databaseOf(world))),
    (shim) => Effect.sync(() => shim.close())
  )
  return { shim, gateway: yield* world.boot({ environment: shim.environment }) }
})

/** Who has the store after a race, and what is wrong with that. */
const race = Effect.fnUntraced(function* (world: World.World) {
  const compiled = Shim.compile()
  if ("missing" in compiled) return yield* Effect.die(new Error(compiled.missing))
  const racers = yield* Effect.forEach([1, 2], (n) => racer(world, compiled.library, n))
  const arrivals = yield* Effect.forEach(racers, ({ gateway }) => Effect.exit(world.arrive(gateway)), {
    concurrency: "unbounded"
  })
  const winners = arrivals.flatMap((exit) => (Exit.isSuccess(exit) ? [exit.value] : []))
  const broken: Array<string> = []
  if (winners.length !== 1) broken.push(`C4: of two gateways that raced for a store ${winners.length} got it`)
  for (const { gateway, shim } of racers) {
    if (winners.some(({ pid }) => pid === gateway.pid)) continue
    const { code, signal } = yield* gateway.exited
    const said = gateway.printed().join("\n")
    if (code !== held || !sentence.test(said))
      broken.push(`C4: who lost the race ended with ${code ?? signal}: ${said}`)
    if (shim.loadedBy() !== gateway.pid) broken.push("harness: who lost the race was not watched")
    const touched = Shim.calls.filter((call) => shim.seen(call) > 0)
    if (touched.length > 0) broken.push(`C4: who lost the race touched the store: ${touched.join(", ")}`)
  }
  return { winner: winners[0], broken }
})

/** What was wrong, of each ground: worlds run beside each other. */
const racing = (
  name: string,
  one: (ground: Ground) => Effect.Effect<ReadonlyArray<string>>,
  ends: Scenario["expects"]["ends"]
): Scenario => {
  const found = new WeakMap<Ground, ReadonlyArray<string>>()
  return {
    name,
    during: Effect.fnUntraced(function* (ground) {
      const times = ground.long ? 12 : 3
      const broken: Array<string> = []
      for (let n = 0; n < times; n++) broken.push(...(yield* one(ground)))
      found.set(ground, broken)
      return { count: times, of: "races" }
    }),
    mend: () => Effect.void,
    expects: { ends, proof: (ground) => found.get(ground) ?? [] },
    alone: true
  }
}

/** A store that was left by a crash: the winner serves everybody for a while, and dies too. */
const left = (ground: Ground) =>
  Effect.gen(function* () {
    const gateway = yield* ground.gateway
    const ends = ground.ends.length
    yield* ground.hold
    yield* gateway.kill("a race for its store")
    yield* ground.endAfter(ends)
    const { broken, winner } = yield* race(ground.world)
    yield* ground.people.more(4)
    if (winner !== undefined) yield* winner.kill("having won a race")
    yield* ground.release
    return broken
  }).pipe(Effect.scoped)

/** A store that nobody has made yet: also the token that both may make is the winner's. */
const fresh = (ground: Ground) =>
  Effect.gen(function* () {
    const world = yield* World.make({ bundle: ground.bundle, seed: 1 })
    const { broken, winner } = yield* race(world)
    if (winner === undefined) return broken
    const { status } = yield* Effect.orDie(winner.wire.ask("/v1/status", { token: winner.token }))
    yield* winner.stop("a race that is over")
    return status === 200 ? broken : [...broken, `C4: who won the race refuses the token that lies there: ${status}`]
  }).pipe(Effect.scoped)

export const races: Group = {
  name: "races",
  needs: ["shim"],
  prepare: Effect.succeed({}),
  scenarios: [
    racing("two instances race for a store that a crash left", left, ["SIGKILL"]),
    racing("two instances race for a store that is not there yet", fresh, [])
  ]
}
