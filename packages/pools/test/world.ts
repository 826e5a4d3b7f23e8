// Two pools under one governor, and everything that can happen to them, one step after the other: requests whole and in
// parts, answers, failures, callers that leave, workers that load, don't load, die or grow, time, and stops. It writes down
// what each caller saw, so that it can be compared with what the pools say of themselves.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Governor } from "../src/Governor.ts"
import type * as Pool from "../src/Pool.ts"
import { PoolError } from "../src/PoolError.ts"
import { at, type Bench, bench, pool, rejected, type Run, transport } from "./workers.ts"

/** How often each happens: mostly requests and workers that come, so that much is there when something goes wrong. */
const weights = {
  ask: 10,
  batch: 3,
  stream: 6,
  inside: 1,
  answer: 5,
  part: 5,
  fail: 4,
  refuse: 1,
  leave: 2,
  load: 8,
  unload: 1,
  die: 2,
  grow: 1,
  second: 2,
  minute: 1
}
export type Kind = keyof typeof weights

const table = Object.entries(weights).flatMap(([kind, weight]) => Array.from({ length: weight }, () => kind as Kind))

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

const which = Schema.Literals([0, 1])

/** What happens; `settled` is 0 where the next step comes before anything of this one has had its turn. */
export const Room = which

export const Steps = Schema.Array(
  Schema.Struct({ kind: upTo(table.length - 1), pool: which, pick: upTo(9), settled: upTo(3) })
).check(Schema.isMinLength(30), Schema.isMaxLength(90))

/** When a pool is stopped, in steps: `refuse`, and `interrupt` some steps later. Beyond the history there is no stop. */
export const Stop = Schema.Struct({ pool: which, refuse: upTo(120), interrupt: upTo(30) })

export type Step = (typeof Steps.Type)[number]

/** Room for two or three workers, where pools wait for each other, or for all but one that there may be. */
export const limits = [700, 1300] as const
export const sizes = [300, 400] as const
export const concurrency = 2
export const most = 2
export const queue = 5

type Phase = "open" | "refusing" | "over"

/** One who asked, and what he saw. */
export interface Caller {
  readonly pool: 0 | 1
  /** How far the stop of the pool was when he asked. */
  readonly asked: Phase
  readonly inside: boolean
  readonly ends: Array<string>
  /** The runs of which he was given a part. */
  readonly heard: Set<string>
  /** How far it was when he had his end. */
  ended: Phase | undefined
  left: boolean
}

export interface World {
  readonly benches: readonly [Bench, Bench]
  readonly pools: readonly [Pool.Pool<string, string, string>, Pool.Pool<string, string, string>]
  readonly callers: Array<Caller>
  readonly phases: [Phase, Phase]
  readonly used: Effect.Effect<number>
  /** Bytes that were booked when somebody began to load, each time. */
  readonly bookings: Array<number>
}

/** How an end is called: `served`, `cancelled`, or the reason. */
const nameOf = (exit: Exit.Exit<unknown, PoolError>): string => {
  if (Exit.isSuccess(exit)) return "served"
  const error = exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
  return error instanceof PoolError ? error.reason._tag : "cancelled"
}

export const make = Effect.fnUntraced(function* () {
  const { used } = yield* Governor
  const bookings: Array<number> = []
  const taken: [number, number] = [...sizes]
  // Workers of the second pool take a while to end, until the test does: then time stands still.
  const over = yield* Deferred.make<void>()
  const linger = Effect.raceFirst(
    Effect.interruptible(Effect.sleep("1500 millis")),
    Effect.interruptible(Deferred.await(over))
  )
  const one = (index: 0 | 1): Bench => {
    const lingers = index === 0 ? {} : { linger }
    const made = bench({ auto: false, concurrency, memory: () => taken[index], ...lingers })
    const load: Bench["load"] = (place) =>
      Effect.andThen(
        Effect.map(used, (bytes) => bookings.push(bytes)),
        made.load(place)
      )
    return { ...made, load }
  }
  const benches = [one(0), one(1)] as const
  const options = { queue, queuePerKey: 4, breaker: { minimum: 6 } }
  const pools = [
    yield* pool(benches[0], { ...options, name: "a", workers: { memory: sizes[0], max: most } }),
    // Its backend is always there when somebody looks.
    yield* pool(benches[1], { ...options, name: "b", workers: { memory: sizes[1], max: most }, probe: Effect.void })
  ] as const
  yield* Effect.addFinalizer(() => Deferred.succeed(over, undefined))
  const world: World = { benches, pools, callers: [], phases: ["open", "open"], used, bookings }
  return { world, taken }
})

const one = <A>(list: ReadonlyArray<A>, pick: number): ReadonlyArray<A> =>
  list.length === 0 ? [] : [at(list, pick % list.length)]

const end = (run: Run) => (run.kind === "whole" ? Deferred.succeed(run.end, run.request) : Queue.end(run.parts))

const fail = (run: Run, error = transport()) =>
  run.kind === "whole" ? Deferred.fail(run.end, error) : Queue.fail(run.parts, error)

/** Somebody asks, and his request is there before anything else happens. */
const ask = Effect.fnUntraced(function* (world: World, index: 0 | 1, kind: Kind, pick: number) {
  const inside = kind === "inside"
  const asked = world.phases[index]
  const caller: Caller = { pool: index, asked, inside, ends: [], heard: new Set(), ended: undefined, left: false }
  world.callers.push(caller)
  const request = `${world.callers.length}`
  const made = world.pools[index]
  const terms: Pool.Request = { key: `${pick % 4}`, priority: kind === "batch" ? "batch" : "interactive", inside }
  const answered =
    kind === "stream"
      ? Stream.runForEach(made.stream(request, terms), (run) => Effect.sync(() => caller.heard.add(run)))
      : made.submit(request, terms)
  const noted = Effect.onExit(answered, (exit) =>
    Effect.sync(() => {
      caller.ends.push(nameOf(exit))
      caller.ended = world.phases[index]
    })
  )
  const fiber = yield* Effect.forkChild(Effect.exit(noted), { startImmediately: true })
  // A stream takes a few turns until it has asked.
  if (kind === "stream") yield* TestClock.adjust(0)
  return { caller, fiber }
})

type Asked = Effect.Success<ReturnType<typeof ask>>

/** One step. `grows` says whether workers may turn out to be larger than they were. */
export const act = Effect.fnUntraced(function* (
  { taken, world }: Effect.Success<ReturnType<typeof make>>,
  asked: Array<Asked>,
  { kind, pick, pool: index }: Step,
  grows: boolean
) {
  const { loads, runs } = world.benches[index]
  const running = runs.filter(({ state }) => state === "running")
  const step = at(table, kind)
  switch (step) {
    case "ask":
    case "batch":
    case "stream":
    case "inside":
      asked.push(yield* ask(world, index, step, pick))
      return
    case "answer":
      for (const run of one(running, pick)) yield* end(run)
      return
    case "part":
      for (const run of one(running, pick)) yield* Queue.offer(run.parts, `${runs.indexOf(run)}`)
      return
    case "fail":
      for (const run of one(running, pick)) yield* fail(run)
      return
    case "refuse":
      for (const run of one(running, pick)) yield* fail(run, rejected)
      return
    case "leave":
      for (const { caller, fiber } of one(asked, pick)) {
        caller.left = true
        yield* Fiber.interrupt(fiber)
      }
      return
    case "load":
    case "unload": {
      const loading = loads.filter(({ state }) => state === "loading")
      for (const { gate } of one(loading, pick)) {
        yield* step === "load" ? Deferred.succeed(gate, undefined) : Deferred.fail(gate, transport())
      }
      return
    }
    case "die": {
      const open = loads.filter(({ state }) => state !== "closed")
      for (const { death } of one(open, pick)) yield* Deferred.fail(death, transport())
      return
    }
    case "grow":
      if (grows) taken[index] = sizes[index] + pick * 40
      return
    case "second":
      return yield* TestClock.adjust("1 second")
    case "minute":
      return yield* TestClock.adjust("1 minute")
  }
})
