/**
 * The ground of a trial: a world, its people, and a supervisor that does what systemd
 * would do. Whatever ends is started again, also while it can't start, so that a fault
 * meets boots as well as gateways that run; each end is kept, to be judged later.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import { realpathSync } from "node:fs"
import { join } from "node:path"
import type { Bundle } from "../../world/bundle.ts"
import { type Random, randomOf } from "../../world/random.ts"
import type { Gateway, Ready } from "../../world/Gateway.ts"
import { wire } from "../../world/wire.ts"
import * as World from "../../world/World.ts"
import * as Proxy from "./Proxy.ts"
import type { End, Ground, Group, Prepared } from "./Scenario.ts"
import * as Shim from "./Shim.ts"

/** How long anything may take before it counts as hanging, in milliseconds. */
const patience = 120_000
const pauseBetweenBoots = 30

/** What a ground is made from. */
export interface Options {
  readonly bundle: Bundle
  readonly seed: number
  readonly long: boolean
  /** The compiled shim, for groups that need it. */
  readonly library?: string
}

/** A ground and what only the trial does with it. */
export interface Made {
  readonly ground: Ground
  /** The supervisor starts nothing any more; completes with the gateway that is ready. */
  readonly retire: Effect.Effect<Ready>
  /** Fails as the supervisor does; never completes otherwise. */
  readonly failed: Effect.Effect<never>
}

const within = <A, E>(what: string, wait: Effect.Effect<A, E>, millis = patience): Effect.Effect<A, E> =>
  Effect.timeoutOrElse(wait, {
    duration: millis,
    orElse: () => Effect.die(new Error(`it did not come about within ${millis} ms that ${what}`))
  })

/** Looks again and again at what only another process changes. What may take long on a busy machine says so. */
export const until = (what: string, is: () => boolean, millis?: number): Effect.Effect<void> =>
  within(what, Effect.whileLoop({ while: () => !is(), body: () => Effect.sleep("5 millis"), step: () => {} }), millis)

const bootOptions = (prepared: Prepared, environment: Readonly<Record<string, string>>): World.BootOptions => ({
  ...prepared.boot,
  // Whoever waits for an end waits for as long as the trial goes on.
  patience: 3_600_000,
  environment: { ...environment, ...prepared.boot?.environment }
})

const missing = (what: string) => (): never => {
  throw new Error(`this group has no ${what}`)
}

/** The state of a supervisor. */
class Supervised {
  readonly ends: Array<End> = []
  readonly said: Array<string> = []
  readonly mayStart = Latch.makeUnsafe(true)
  process: Gateway | undefined
  ready: Ready | undefined
  retired = false

  say({ boot, printed }: Gateway): void {
    this.said.push(`boot ${boot}`, ...printed().slice(-200))
    // A crash loop says the same again and again.
    if (this.said.length > 20_000) this.said.splice(0, 10_000)
  }
}

/** Starts gateways one after the other. */
const supervise = Effect.fnUntraced(function* (
  state: Supervised,
  boot: () => Effect.Effect<Gateway, never, Scope.Scope>,
  arrive: (gateway: Gateway) => Effect.Effect<Ready, unknown>
) {
  while (!state.retired) {
    yield* state.mayStart.await
    const gateway = yield* boot()
    state.process = gateway
    const arrived = yield* Effect.option(within("a gateway is ready or ends", arrive(gateway)))
    if (arrived._tag === "Some") state.ready = arrived.value
    const ended = yield* gateway.exited
    state.say(gateway)
    state.ready = undefined
    state.process = undefined
    state.ends.push({ boot: gateway.boot, ...ended })
    yield* Effect.sleep(pauseBetweenBoots)
  }
})

/** The path that SQLite opens: its folder without links, which need not be there yet. */
export const databaseOf = ({ folder, stateDirectory }: World.World): string =>
  join(stateDirectory.replace(folder, realpathSync(folder)), "journal.db")

const shimOf = (group: Group, world: World.World, library: string | undefined) =>
  !group.needs.includes("shim") || library === undefined
    ? Effect.void
    : Effect.acquireRelease(
        Effect.sync(() => Shim.make(library, join(realpathSync(world.folder), "shim"), databaseOf(world))),
        (shim) => Effect.sync(() => shim.close())
      )

/** Makes a group's ground and waits until its first gateway has served somebody. */
export const make = Effect.fnUntraced(function* (
  group: Group,
  options: Options
): Effect.fn.Return<Made, never, Scope.Scope> {
  const { bundle, long, seed } = options
  const prepared = yield* group.prepare
  const behaviours = ["hello"]
  const habits = { pause: 1_500, ...prepared.options?.habits, behaviours: behaviours as [string, ...Array<string>] }
  const world = yield* World.make({ bundle, seed, ...prepared.options, habits })
  const shim = yield* shimOf(group, world, options.library)
  const random: Random = randomOf(seed)
  const line = group.needs.includes("line") ? yield* Proxy.make(random) : undefined
  const state = new Supervised()
  const boot = () => world.boot(bootOptions(prepared, shim?.environment ?? {}))
  const arrive = (gateway: Gateway) =>
    Effect.tap(world.arrive(gateway), ({ facts }) =>
      Effect.sync(() => {
        if (line === undefined) return
        line.leadTo(Number(new URL(facts.url).port))
        world.place.wire?.close()
        world.place.wire = wire(line.url)
      })
    )
  const supervisor = yield* Effect.forkScoped(supervise(state, boot, arrive))
  const failed = Effect.andThen(Fiber.join(supervisor), Effect.never)
  const ready = Effect.flatMap(
    until("a gateway is ready", () => state.ready !== undefined),
    () => (state.ready === undefined ? Effect.die(new Error("it ended at once")) : Effect.succeed(state.ready))
  )
  yield* Effect.raceFirst(ready, failed)
  const people = yield* world.people
  const ground: Ground = {
    bundle,
    world,
    people,
    far: world.far,
    behaviours,
    random,
    long,
    get shim() {
      return shim ?? missing("shim")()
    },
    get line() {
      return line ?? missing("line")()
    },
    gateway: ready,
    pid: () => state.process?.pid ?? 0,
    printed: () => {
      if (state.process !== undefined) state.say(state.process)
      return state.said
    },
    ends: state.ends,
    endAfter: (count) =>
      Effect.map(
        until("a gateway ends", () => state.ends.length > count),
        () => state.ends[count] as End
      ),
    hold: Effect.sync(() => void state.mayStart.closeUnsafe()),
    release: Effect.sync(() => void state.mayStart.openUnsafe())
  }
  const retire = Effect.tap(ready, () =>
    Effect.sync(() => {
      state.retired = true
    })
  )
  return { ground, retire, failed }
})
