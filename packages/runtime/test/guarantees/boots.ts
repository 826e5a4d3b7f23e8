/**
 * Boots of a whole gateway over one file, for the promises that outlive a process.
 * A boot that crashes commits nothing any more and hands nothing on, from the very
 * boundary at which it dies; it is left lying, as a killed process would be, and
 * the next boot's epoch fences it off. What outlives it is the file and the far
 * side of its channels.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { Agent } from "../../src/Agent.ts"
import type { Channel, Handle } from "../../src/Channel.ts"
import { Gateway, type GatewayOptions } from "../../src/Gateway.ts"
import { boundaries, Boundary, type Label } from "../../src/internal/boundary.ts"
import { Journal, type JournalOptions } from "../../src/Journal.ts"
import type { Accepted, AcceptError } from "../../src/Message.ts"
import type { Report } from "../../src/Shutdown.ts"
import { TestAgent, TestChannel, TestGateway } from "../../src/testing/index.ts"
import { memoryFolder } from "../memoryFolder.ts"

/** A file for a store, gone with the scope. */
export const storeFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(memoryFolder, "sluice-boots-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  ),
  (folder) => join(folder, "store.db")
)

/** What outlives a boot. */
export interface World {
  readonly file: string
  /** The far sides, by the channel's name. */
  readonly far: Readonly<Record<string, TestChannel.TestChannel>>
}

/** A store and the far sides of channels of these classes. */
export const world = (channels: Readonly<Record<string, TestChannel.TestClass>> = { chat: "keyed" }) =>
  Effect.map(storeFile, (file): World => ({
    file,
    far: Object.fromEntries(Object.entries(channels).map(([name, kind]) => [name, TestChannel.make({ class: kind })]))
  }))

/** Where a boot dies: the n-th time (from 1) that it comes to the label. */
export interface Grave {
  readonly label: Label
  readonly nth: number
}

/** The life of one process, as its boundaries see it. */
export class Life {
  dead = false
  /** How often each label was crossed. */
  readonly crossed = new Map<Label, number>()
  readonly died = Deferred.makeUnsafe<void>()
  readonly #grave: Grave | undefined
  readonly #at: BootOptions["at"]

  constructor({ at, grave }: BootOptions) {
    this.#grave = grave
    this.#at = at
  }

  /** kill -9. */
  end() {
    this.dead = true
    Deferred.doneUnsafe(this.died, Exit.void)
  }

  readonly cross = (label: Label): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (!this.dead) {
        const count = (this.crossed.get(label) ?? 0) + 1
        this.crossed.set(label, count)
        if (this.#grave?.label !== label || this.#grave.nth !== count) return this.#at?.(label) ?? Effect.void
        this.end()
      }
      // A round that does not pass ends its journal; everything else just stops.
      return /^(before|inside|after):/.test(label) ? Effect.die(new Error("the process is dead")) : Effect.never
    })
}

/** A boot of the gateway. */
export interface Boot {
  readonly gateway: Gateway["Service"]
  readonly journal: Journal["Service"]
  readonly agent: TestAgent.TestAgent
  readonly life: Life
  /** Somebody writes, on the channel `chat` unless another is named. */
  readonly say: (peer: string, text: string, id?: string, channel?: string) => Effect.Effect<Accepted, AcceptError>
  readonly handle: (channel?: string) => Handle
  /** Exchanges the agent `main`, and these channels for others of the same far side. */
  readonly reload: (agent: Agent, ...channels: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string>>
  /** kill -9: nothing of it reaches the store or a far side any more. */
  readonly crash: Effect.Effect<void>
  /** Stops in order. */
  readonly stop: Effect.Effect<Report>
}

/** What a boot is made with, beside its channels. */
export interface BootOptions extends Omit<GatewayOptions, "agents" | "channels"> {
  /** One whose runs the test ends by hand, unless another is given. */
  readonly agent?: TestAgent.TestAgent
  /** Further agents by name; the test's own is `main`. */
  readonly agents?: Readonly<Record<string, Agent>>
  readonly channels?: Readonly<Record<string, Channel>>
  readonly journal?: JournalOptions
  /** What the platform kept for the channel `chat`: handed over before the channel is ready, and so before any turn starts. */
  readonly kept?: ReadonlyArray<{ readonly peer: string; readonly text: string; readonly id?: string }>
  readonly grave?: Grave
  /** The clock that it sees; the test's by default. */
  readonly clock?: Clock.Clock
  /** What happens at a boundary that is passed. */
  readonly at?: (label: Label) => Effect.Effect<void>
}

const listening = (
  far: TestChannel.TestChannel,
  keep: (handle: Handle) => void,
  kept: BootOptions["kept"] = []
): Channel => ({
  ...far.channel,
  receive: (handle) =>
    Effect.gen(function* () {
      keep(handle)
      for (const { id, peer, text } of kept) {
        yield* Effect.orDie(
          handle.accept({ conversation: peer, sender: peer, text, ...(id === undefined ? {} : { id }) })
        )
      }
      yield* handle.ready
      return yield* Effect.never
    })
})

/** Boots the gateway; dies of the defect, or never comes to an end, where its grave is in the boot. */
const build = Effect.fnUntraced(function* (world: World, options: BootOptions, life: Life) {
  const {
    agent = TestAgent.make(),
    agents,
    at: _at,
    channels,
    clock,
    grave: _grave,
    journal,
    kept,
    ...bounds
  } = options
  const handles = new Map<string, Handle>()
  const scope = yield* Scope.make()
  const channelOf = (name: string, far: TestChannel.TestChannel) =>
    listening(far, (handle) => void handles.set(name, handle), name === "chat" ? kept : [])
  let current: Readonly<Record<string, Channel>> = {
    ...Object.fromEntries(Object.entries(world.far).map(([name, far]) => [name, channelOf(name, far)])),
    ...channels
  }
  const layer = TestGateway.make(
    // Who tests what people are told of a restart says so.
    {
      debounce: { quiet: 0 },
      notices: { restart: false },
      ...bounds,
      agents: { main: agent.agent, ...agents },
      channels: current
    },
    // The lock belongs to the process; here the boots of one process follow each other.
    { filename: world.file, journal: { lock: Layer.empty, ...journal } }
  ).pipe(Layer.provide(Layer.succeed(Boundary, life.cross)))
  const here = yield* Clock.Clock
  const context = yield* Effect.provideService(Layer.buildWithScope(layer, scope), Clock.Clock, clock ?? here)
  const gateway = Context.get(context, Gateway)
  const handle = (name = "chat") => handles.get(name) as Handle
  const made: Boot = {
    gateway,
    journal: Context.get(context, Journal),
    agent,
    life,
    handle,
    say: (peer, text, id, channel) =>
      handle(channel).accept({ conversation: peer, sender: peer, text, ...(id === undefined ? {} : { id }) }),
    reload: (main, ...names) =>
      Effect.suspend(() => {
        const exchanged = Object.entries(world.far).filter(([name]) => names.includes(name))
        current = { ...current, ...Object.fromEntries(exchanged.map(([name, far]) => [name, channelOf(name, far)])) }
        return Effect.orDie(gateway.reload({ agents: { main, ...agents }, channels: current }))
      }).pipe(Effect.provideService(Boundary, life.cross)),
    crash: Effect.sync(() => life.end()),
    stop: Effect.tap(gateway.stop({ reason: "stop", by: "the test" }), () => Scope.close(scope, Exit.void))
  }
  return made
})

/** A boot that comes up. Whatever is left of it when the test ends is crashed. */
export const boot = (world: World, options: BootOptions = {}) =>
  Effect.suspend(() => {
    const life = new Life(options)
    return Effect.tap(Effect.orDie(build(world, options, life)), ({ crash }) => Effect.addFinalizer(() => crash))
  })

/** The kernel takes a dead process's locks back: whoever died inside a transaction has let go of the file. */
const released = (file: string) =>
  Effect.whileLoop({
    while: () => {
      const database = new DatabaseSync(file)
      try {
        database.exec("begin immediate; rollback")
        return false
      } catch {
        return true
      } finally {
        database.close()
      }
    },
    body: () => Effect.yieldNow,
    step: () => {}
  })

/** Runs `work` on a boot until that is done (it is stopped then, in order), or until it dies at its grave. */
export const lived = <A>(
  world: World,
  options: BootOptions,
  work: (boot: Boot) => Effect.Effect<A, unknown>
): Effect.Effect<{ readonly died: boolean; readonly life: Life }> =>
  Effect.suspend(() => {
    const life = new Life(options)
    const run = build(world, options, life).pipe(
      Effect.tap(work),
      Effect.flatMap(({ stop }) => stop),
      // What a dying process still says counts for nothing.
      Effect.catchCause((cause) => (life.dead ? Effect.never : Effect.die(Cause.squash(cause))))
    )
    return Effect.flatMap(Effect.forkDetach(run), (fiber) =>
      Effect.raceFirst(Effect.as(Deferred.await(life.died), true), Effect.as(Fiber.join(fiber), false)).pipe(
        // Left where it stands: nobody waits for what a dead process might still want to finish.
        Effect.tap((died) => (died ? Effect.sync(() => fiber.interruptUnsafe()) : Effect.void)),
        Effect.tap(released(world.file)),
        Effect.map((died) => ({ died, life }))
      )
    )
  })

/** Lets time pass, a step at a time, until this is done. */
export const meanwhile = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: { readonly step?: number; readonly steps?: number } = {}
) =>
  Effect.gen(function* () {
    const { step = 1000, steps = 600 } = options
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    for (let n = 0; n < steps; n++) {
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return yield* exit
      yield* TestClock.adjust(step)
    }
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return yield* exit
    yield* Effect.forkDetach(Fiber.interrupt(fiber))
    return yield* Effect.die(new Error(`not done after ${(step * steps) / 1000} s`))
  })

/** Completes when that is so; time passes meanwhile. */
export const until = (isSo: () => boolean) =>
  meanwhile(Effect.whileLoop({ while: () => !isSo(), body: () => Effect.yieldNow, step: () => {} }))

/** Completes when nothing is owed to these peers; time passes meanwhile. */
export const rest = (boot: Boot, ...keys: ReadonlyArray<string>) =>
  meanwhile(Effect.forEach(keys, boot.gateway.settled, { discard: true }))

/** From the n-th on, every run ends with this text. */
export const finishing = (agent: TestAgent.TestAgent, n: number, text: string): Effect.Effect<unknown> =>
  Effect.forkChild(
    Effect.gen(function* () {
      for (let next = n; ; next++) yield* (yield* agent.run(next)).finish(text)
    })
  )

/** The texts of an agent's runs so far. */
export const given = (...agents: ReadonlyArray<TestAgent.TestAgent>): ReadonlyArray<string> =>
  agents.flatMap((agent) => agent.runs.map((run) => run.turn.text))

export { boundaries }
export type { Label }
