/**
 * Any number of deadlines on one timer. They stand in a binary heap; moving one to later writes a number, and only when
 * the old time comes up it is put where it now belongs. One sleeping fiber waits for the earliest, none when there is
 * nothing to wait for. Time is Effect's monotonic clock in milliseconds, so a jump of the wall clock changes nothing and
 * TestClock drives it. (A fiber asleep per deadline wakes 100 ms late at 100,000 of them.)
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { monotonic } from "./clock.ts"
import * as Doorbell from "./Doorbell.ts"

/** What can have a deadline: extend it with what belongs to it. One entry has at most one deadline. */
export class Deadline {
  /** When it is due, in milliseconds of `Deadlines.now`; only meaningful while armed. */
  due = Infinity
  /** Where the heap believes it to be: never later than `due`. */
  at = Infinity
  /** Its place in the heap, or -1. */
  index = -1
}

export interface Deadlines<in E extends Deadline> {
  /** Monotonic time in milliseconds, of arbitrary origin. */
  readonly now: () => number
  /** Sets or moves the deadline of `entry` to `due` (finite, on the scale of `now`). */
  readonly arm: (entry: E, due: number) => void
  /** Takes the deadline away. Nothing happens if there is none. */
  readonly disarm: (entry: E) => void
  /** How many are armed. */
  readonly size: () => number
  /** Whether the one timer is running: false when nothing is armed. */
  readonly ticking: () => boolean
}

/** Nobody can sleep for less than this (milliseconds): what is due so soon is due. */
const GRAIN = 1e-3

/** So many at once, then everybody else gets a turn: 100,000 that are due together must not block the loop. */
const ROUND = 512

/**
 * `fire` is called once for each entry whose time has come, earliest first; the entry is disarmed by then. It must not
 * throw and must be quick. The scope's end stops the timer without firing what is left.
 */
export const make = Effect.fnUntraced(function* <E extends Deadline>(
  fire: (entry: E) => void
): Effect.fn.Return<Deadlines<E>, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const runFork = Effect.runForkWith(yield* Effect.context())
  const heap: Array<E> = []
  let timer: Fiber.Fiber<void> | undefined
  let wakesAt = Infinity
  let firing = false

  const now = monotonic(clock)

  const stop = () => {
    const running = timer
    timer = undefined
    wakesAt = Infinity
    running?.interruptUnsafe()
  }

  /** Has the timer wake for the earliest entry; a timer that wakes too early is left alone. */
  const retime = () => {
    const first = heap[0]
    if (firing) return
    if (first === undefined) return stop()
    if (timer !== undefined && wakesAt <= first.at) return
    stop()
    const left = first.at - now()
    if (left <= GRAIN) return bell.ring()
    wakesAt = first.at
    // Rounded up, because timers of less than a millisecond only wake too early and again.
    const sleeping = runFork(clock.sleep(Duration.millis(Math.ceil(left - GRAIN))))
    timer = sleeping
    sleeping.addObserver(() => {
      if (timer !== sleeping) return
      timer = undefined
      expire()
    })
  }

  const expire = () => {
    const time = now() + GRAIN
    firing = true
    for (let round = 0; round < ROUND; round++) {
      const first = heap[0]
      if (first === undefined || first.at > time) break
      if (first.due > time) {
        first.at = first.due
        sink(heap, 0)
      } else {
        remove(heap, first)
        fire(first)
      }
    }
    firing = false
    retime()
  }

  const bell = yield* Doorbell.make(expire)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      heap.length = 0
      stop()
    })
  )

  return {
    now,
    arm: (entry, due) => {
      entry.due = due
      if (entry.index === -1) {
        entry.at = due
        entry.index = heap.push(entry) - 1
      } else if (due < entry.at) {
        entry.at = due
      } else {
        return
      }
      rise(heap, entry.index)
      if (entry.index === 0) retime()
    },
    disarm: (entry) => {
      if (entry.index === -1) return
      remove(heap, entry)
      if (heap.length === 0) retime()
    },
    size: () => heap.length,
    ticking: () => timer !== undefined
  }
})

/** A place below the heap's length always has an entry; anything else is a mistake in here. */
const at = <E extends Deadline>(heap: ReadonlyArray<E>, index: number): E => {
  const entry = heap[index]
  if (entry === undefined) throw new RangeError(`no deadline at ${index}`)
  return entry
}

const place = (heap: Array<Deadline>, entry: Deadline, index: number) => {
  heap[index] = entry
  entry.index = index
}

const rise = (heap: Array<Deadline>, from: number) => {
  const entry = at(heap, from)
  let index = from
  while (index > 0) {
    const parent = (index - 1) >> 1
    const above = at(heap, parent)
    if (above.at <= entry.at) break
    place(heap, above, index)
    index = parent
  }
  place(heap, entry, index)
}

const sink = (heap: Array<Deadline>, from: number) => {
  const entry = at(heap, from)
  let index = from
  while (true) {
    let child = 2 * index + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && at(heap, child + 1).at < at(heap, child).at) child++
    const below = at(heap, child)
    if (below.at >= entry.at) break
    place(heap, below, index)
    index = child
  }
  place(heap, entry, index)
}

const remove = (heap: Array<Deadline>, entry: Deadline) => {
  const index = entry.index
  const last = heap.pop()
  entry.index = -1
  if (last === undefined || last === entry) return
  place(heap, last, index)
  sink(heap, index)
  rise(heap, last.index)
}
