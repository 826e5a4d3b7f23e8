// Whatever can happen to pools, in any order, some of it in the same moment. After each moment nobody has more than he may
// have and nobody waits for nothing; in the end each caller has had one end, the pools have counted what the callers saw,
// and nothing is left: no memory, no worker, no fiber.
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as TestClock from "effect/testing/TestClock"
import { Governor } from "../src/Governor.ts"
import { memory } from "./workers.ts"
import * as World from "./world.ts"

/** Counts the fibers that there are. */
const fibers = () => {
  let active = 0
  const service = { recordFiberStart: () => void active++, recordFiberEnd: () => void active-- }
  return { context: Context.make(Metric.FiberRuntimeMetrics, service), active: () => active }
}

const tally = (names: ReadonlyArray<string>): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

/** What holds of one pool at any moment in which everything has had its turn. */
const ofPool = Effect.fnUntraced(function* ({ benches, phases, pools }: World.World, index: 0 | 1) {
  const { loads, runs } = benches[index]
  const { health, outcomes, running, waiting, workers } = yield* pools[index].status
  const open = loads.filter(({ state }) => state !== "closed")
  assert.isAtMost(open.length, World.most)
  assert.strictEqual(workers.loading + workers.idle + workers.busy + workers.leaving, open.length)
  assert.isTrue(loads.every(({ running, state }) => running <= (state === "ready" ? World.concurrency : 0)))
  assert.isTrue(loads.every(({ cut }) => !cut))
  // Who has failed to load is not waited for, however long his end takes.
  const coming = open.filter(({ gate, state }) => state === "loading" && !Deferred.isDoneUnsafe(gate))
  assert.isAtMost(workers.loading, coming.length)
  assert.strictEqual(running, runs.filter(({ state }) => state === "running").length)
  // A first try and a second one.
  assert.isAtMost(Math.max(0, ...Object.values(tally(runs.map(({ request }) => request)))), 2)
  // What broke and is tried elsewhere was taken already: it may wait beyond the line's length.
  assert.isAtMost(waiting, World.queue + World.most * World.concurrency)
  if (phases[index] === "over") assert.strictEqual(waiting + workers.asking + workers.loading, 0)
  if (waiting === 0) assert.strictEqual(workers.asking, 0)
  else {
    // Nobody waits while there is a free place, nor without somebody who will make room.
    assert.strictEqual(workers.idle, 0)
    assert.isAbove(workers.asking + workers.loading + workers.busy + workers.leaving, 0)
  }
  const quiet = waiting + running + workers.asking + open.length === 0
  const isInDoubt = health !== "healthy" || Object.keys(outcomes).some((name) => /Transport|Stalled|Timeout/.test(name))
  return { open: open.length, quiet, leaving: workers.leaving, looks: isInDoubt ? 1 : 0 }
})

/** What holds of both. */
const moment = Effect.fnUntraced(function* (world: World.World, grows: boolean, extra: () => number) {
  const { limit } = yield* Governor
  const first = yield* ofPool(world, 0)
  const second = yield* ofPool(world, 1)
  // Nobody sleeps or waits, and nobody looks but at the one backend that can be looked at, while it is in doubt: at rest a pool is nothing but memory.
  if (first.quiet && second.quiet) assert.isAtMost(extra(), second.looks)
  const booked = yield* world.used
  // Who has outgrown the memory is on his way out, once his work is done.
  if (grows) return assert.isTrue(booked <= limit || first.leaving + second.leaving > 0)
  assert.isAtMost(booked, limit)
  assert.strictEqual(booked, first.open * World.sizes[0] + second.open * World.sizes[1])
})

/** At least what is known of those who stayed, at most that and all who left: they did not wait for the pool's word. */
const between = (count: number, stayed: number, left: number, what: string): void => {
  assert.isAtLeast(count, stayed, what)
  assert.isAtMost(count, stayed + left, what)
}

/** What a pool says of its requests, against what their callers saw. */
const compared = Effect.fnUntraced(function* ({ callers, pools }: World.World, index: 0 | 1) {
  const own = callers.filter(({ pool }) => pool === index)
  const stayed = own.filter(({ left }) => !left)
  const left = own.length - stayed.length
  const { outcomes } = yield* pools[index].status
  const seen = tally(stayed.flatMap(({ ends }) => ends))
  assert.strictEqual(
    Object.values(outcomes).reduce((sum, count) => sum + count, 0),
    own.length
  )
  for (const name of new Set([...Object.keys(outcomes), ...Object.keys(seen)])) {
    between(outcomes[name] ?? 0, seen[name] ?? 0, left, name)
  }
  const { aborted, drained, rejected } = yield* pools[index].interrupt
  const refused = ({ asked, inside }: World.Caller) => asked === "over" || (asked === "refusing" && !inside)
  const down = stayed.filter(({ ends }) => ends[0] === "ShuttingDown")
  assert.strictEqual(aborted + rejected, outcomes["ShuttingDown"] ?? 0)
  between(rejected, down.filter(refused).length, left, "rejected")
  between(aborted, down.filter((caller) => !refused(caller)).length, left, "aborted")
  const inTime = stayed.filter(({ ended, ends }) => ended !== "open" && ends[0] !== "ShuttingDown")
  // Who was not even taken while the pool was draining is nobody that it drained.
  const never = inTime.filter(
    ({ asked, ends: [name] }) => asked !== "open" && /Overloaded|CircuitOpen/.test(name ?? "")
  )
  between(drained, inTime.length - never.length, left + never.length, "drained")
})

const history = Effect.fnUntraced(function* (
  steps: ReadonlyArray<World.Step>,
  stops: ReadonlyArray<typeof World.Stop.Type>,
  grows: boolean,
  active: () => number
) {
  const rest = active()
  const made = yield* World.make()
  const { world } = made
  const { benches, bookings, callers, phases, pools, used } = world
  const { limit } = yield* Governor
  const asked: Parameters<typeof World.act>[1] = []
  for (const [now, step] of steps.entries()) {
    for (const { interrupt, pool, refuse } of stops) {
      if (now !== refuse && now !== refuse + interrupt) continue
      // What came before is seen by everybody before the stop is.
      yield* TestClock.adjust(0)
      const over = now === refuse + interrupt
      yield* over ? pools[pool].interrupt : pools[pool].refuse
      phases[pool] = over ? "over" : phases[pool] === "open" ? "refusing" : phases[pool]
      yield* TestClock.adjust(0)
    }
    yield* World.act(made, asked, step, grows)
    if (step.settled === 0) continue
    yield* TestClock.adjust(0)
    yield* moment(world, grows, () => active() - rest)
  }
  // Everybody's time is over in the end, whatever was left undone, and then that of all workers.
  yield* TestClock.adjust("2 minutes")
  assert.isTrue(callers.every(({ ends }) => ends.length === 1))
  // Who was given a part of a run had no other one after it.
  for (const [index, { heard, pool }] of callers.entries()) {
    const last = benches[pool].runs.findLastIndex(({ request }) => request === `${index + 1}`)
    assert.isTrue([...heard].every((run) => run === `${last}`))
  }
  yield* TestClock.adjust("10 minutes")
  assert.strictEqual(yield* used, 0)
  assert.isTrue(benches.every(({ runs }) => runs.every(({ state }) => state !== "running")))
  assert.isTrue(benches.every(({ loads }) => loads.every(({ cut, state }) => state === "closed" && !cut)))
  // A worker was let in only where there was room, whatever those that were there had grown to.
  assert.isTrue(bookings.every((bytes) => bytes <= limit))
  assert.strictEqual(active(), rest)
  yield* compared(world, 0)
  yield* compared(world, 1)
})

const Stops = [World.Stop, World.Stop] as const

const proved = (grows: boolean) =>
  Effect.fnUntraced(function* ({
    first,
    room,
    second,
    steps
  }: {
    readonly steps: ReadonlyArray<World.Step>
    readonly first: typeof World.Stop.Type
    readonly second: typeof World.Stop.Type
    readonly room: 0 | 1
  }) {
    const { active, context } = fibers()
    const told = history(steps, [first, second], grows, active)
    yield* told.pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(memory(World.limits[room]), TestClock.layer())),
      Effect.provideContext(context)
    )
  })

const histories = { steps: World.Steps, first: Stops[0], second: Stops[1], room: World.Room }

it.effect.prop(
  "P2, P3, P4, P5, P6, P7, P8: whatever the order, memory is kept to, no place is used twice, and every request ends once",
  histories,
  proved(false),
  { arbitrary: { runs: 200 } }
)

it.effect.prop(
  "P4, P9: also when workers grow, busy ones are left alone, nobody is let in where there is no room, and it all ends",
  histories,
  proved(true),
  { arbitrary: { runs: 200 } }
)
