/**
 * One thing at a time per lane; lanes run beside each other, at most `limit` at once, in the order in which they asked: a
 * lane that has just run stands behind those that wait. The state machine is synchronous, so there is no tick in which
 * work that arrives as a run ends could be missed, and a lane at rest holds no fiber. What dies is logged as an error
 * and the lane goes on: nothing here fails.
 *
 *   resting --wake--> ready --a place is free--> starting --next turn--> running --its fiber ended--> resting
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as MutableList from "effect/MutableList"
import * as Doorbell from "./Doorbell.ts"

/** Extend it with the work that waits; the fields belong to `Lanes`. */
export abstract class Lane<R> {
  /** Whose lane it is; it is in the log when a run dies. */
  abstract readonly key: unknown
  state: "resting" | "ready" | "starting" | "running" = "resting"
  fiber: Fiber.Fiber<unknown> | undefined = undefined
  /** Somebody here asked for the running fiber's end, so its interruption is not a defect. */
  cut = false
  /** A place is free. False: there is nothing to run after all, and the lane is at rest. */
  abstract granted(): boolean
  /**
   * The work itself, chosen now: in the turn after `granted`. What is through when this returns (it is an `Exit`, as
   * `Effect.void` is) needs no fiber.
   */
  abstract begin(): Effect.Effect<unknown, never, R>
  /** The run is over, its finalizers too. The lane is at rest again and may be woken. */
  abstract ended(exit: Exit.Exit<unknown>): void
}

export interface Lanes<R> {
  /** The lane has work: it starts, or stands in line for a place. Nothing happens unless it is at rest. */
  readonly wake: (lane: Lane<R>) => void
  /** Interrupts the lane's run; `ended` is called when its finalizers are through. */
  readonly interrupt: (lane: Lane<R>) => void
}

/** So many starts at once, then everybody else gets a turn. */
const ROUND = 512

/** `name` is what a run is called in the log, `limit` how many run at once. Fibers get the services of this call. */
export const make = Effect.fnUntraced(function* <R>(name: string, limit: number): Effect.fn.Return<Lanes<R>, never, R> {
  if (!(limit >= 1)) return yield* Effect.die(new RangeError(`nothing could run with a limit of ${limit}`))
  const runFork = Effect.runForkWith(yield* Effect.context<R>())
  const ready = MutableList.make<Lane<R>>()
  const starting = MutableList.make<Lane<R>>()
  let places = limit

  const grant = (lane: Lane<R>) => {
    lane.state = "resting"
    if (!lane.granted()) return
    places--
    lane.state = "starting"
    MutableList.append(starting, lane)
    bell.ring()
  }

  const fill = () => {
    while (ready.length > 0) {
      if (places < 1) return
      grant(first(ready))
    }
  }

  const end = (lane: Lane<R>, exit: Exit.Exit<unknown>) => {
    const asked = lane.cut
    lane.fiber = undefined
    lane.cut = false
    lane.state = "resting"
    places++
    if (Exit.isFailure(exit) && !(asked && Cause.hasInterruptsOnly(exit.cause))) {
      runFork(Effect.annotateLogs(Effect.logError(`A ${name} died`, exit.cause), { key: lane.key }))
    }
    lane.ended(exit)
    fill()
  }

  const begin = (lane: Lane<R>): Effect.Effect<unknown, never, R> => {
    try {
      return lane.begin()
    } catch (defect) {
      return Exit.die(defect)
    }
  }

  const start = (lane: Lane<R>) => {
    lane.state = "running"
    const work = begin(lane)
    if (isThrough(work)) return end(lane, work)
    const fiber = runFork(work)
    lane.fiber = fiber
    fiber.addObserver((exit) => end(lane, exit))
    if (lane.cut) fiber.interruptUnsafe()
  }

  const bell = yield* Doorbell.make(() => {
    for (let round = 0; round < ROUND && starting.length > 0; round++) {
      start(first(starting))
    }
    if (starting.length > 0) bell.ring()
  })

  return {
    wake: (lane) => {
      if (lane.state !== "resting") return
      if (places >= 1 && ready.length === 0) return grant(lane)
      lane.state = "ready"
      MutableList.append(ready, lane)
    },
    interrupt: (lane) => {
      if (lane.state !== "running" || lane.cut) return
      lane.cut = true
      lane.fiber?.interruptUnsafe()
    }
  }
})

/** Whether nothing is left to run. */
const isThrough = <R>(work: Effect.Effect<unknown, never, R>): work is Exit.Exit<unknown> => Exit.isExit(work)

/** Takes the first of a list that has one. */
const first = <A>(list: MutableList.MutableList<A>): A => {
  const taken = MutableList.take(list)
  if (taken === MutableList.Empty) throw new RangeError("the list is empty")
  return taken
}
