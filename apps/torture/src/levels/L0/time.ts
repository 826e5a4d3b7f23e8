/**
 * The time of a simulation. Nothing runs by itself: tasks stand in one line and
 * timers in one heap, and `run` takes them in an order that depends on nothing
 * else. A process of the simulation has a scheduler and a clock of its own; when it
 * is killed, its tasks and timers are gone with it, in the middle of whatever it did.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"

/** Whose tasks and timers they are: those of the dead never run. */
export interface Owner {
  readonly dead: boolean
}

/** The world around the processes, which can't die. */
export const outside: Owner = { dead: false }

class Timer {
  readonly at: number
  readonly order: number
  readonly owner: Owner
  fire: (() => void) | undefined

  constructor(at: number, order: number, owner: Owner, fire: () => void) {
    this.at = at
    this.order = order
    this.owner = owner
    this.fire = fire
  }
}

const before = (one: Timer, other: Timer): boolean =>
  one.at < other.at || (one.at === other.at && one.order < other.order)

/** So many tasks, or statements, at one moment are a loop that never ends. Histories that end need some hundreds. */
const mostAtOnce = 10_000

/** So many timers in one history are a wait that never ends. */
const mostTimers = 50_000

export class Time {
  /** Milliseconds since the history began. */
  now = 0
  /** Why it stands still: something went on for ever, and nothing more happens. */
  stuck: string | undefined
  #tasks: Array<{ readonly owner: Owner; readonly run: () => void }> = []
  #head = 0
  #fired = 0
  #statements = 0
  readonly #heap: Array<Timer> = []
  #order = 0

  /** Runs this soon, after what stands in line. */
  task(owner: Owner, run: () => void): void {
    this.#tasks.push({ owner, run })
  }

  /** Runs this in so many milliseconds; returns how to take it back. */
  timer(owner: Owner, millis: number, fire: () => void): () => void {
    const timer = new Timer(this.now + Math.max(0, millis), this.#order++, owner, fire)
    this.#push(timer)
    return () => {
      timer.fire = undefined
    }
  }

  /** Stands still from now on. */
  stop(why: string): void {
    this.stuck ??= `${why} at ${this.now} ms`
  }

  /** A statement was made at this moment. */
  statement(): void {
    if (++this.#statements > mostAtOnce) this.stop(`more than ${mostAtOnce} statements`)
  }

  /** Everything that can happen at this moment. */
  settle(): void {
    this.#statements = 0
    for (let count = 0; this.#head < this.#tasks.length && this.stuck === undefined; count++) {
      if (count > mostAtOnce) return this.stop(`more than ${mostAtOnce} tasks`)
      const task = this.#tasks[this.#head++]
      if (this.#head === this.#tasks.length) {
        this.#tasks = []
        this.#head = 0
      }
      if (task !== undefined && !task.owner.dead) task.run()
    }
  }

  /** When something happens next; `undefined` when never. */
  next(): number | undefined {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (first.fire !== undefined && !first.owner.dead) return first.at
      this.#pop()
    }
    return undefined
  }

  /** Lets everything happen up to that moment, or until `done`. */
  run(until: number, done: () => boolean = () => false): void {
    this.settle()
    while (!done() && this.stuck === undefined) {
      const at = this.next()
      if (at === undefined || at > until) {
        if (until !== Infinity) this.now = Math.max(this.now, until)
        return
      }
      this.now = Math.max(this.now, at)
      const { fire } = this.#pop()
      if (++this.#fired > mostTimers) return this.stop(`more than ${mostTimers} timers`)
      fire?.()
      this.settle()
    }
  }

  #push(timer: Timer): void {
    const heap = this.#heap
    let index = heap.push(timer) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent] as Timer
      if (!before(timer, above)) break
      heap[index] = above
      index = parent
    }
    heap[index] = timer
  }

  #pop(): Timer {
    const heap = this.#heap
    const first = heap[0] as Timer
    const last = heap.pop() as Timer
    if (heap.length === 0) return first
    let index = 0
    while (true) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as Timer, heap[child] as Timer)) child++
      if (!before(heap[child] as Timer, last)) break
      heap[index] = heap[child] as Timer
      index = child
    }
    heap[index] = last
    return first
  }
}

/** Effect's scheduler over this time: the platform's own one, with the line of tasks for the platform's. */
export const schedulerOf = (time: Time, owner: Owner): Scheduler.Scheduler =>
  new Scheduler.MixedScheduler("async", (run) => {
    let cancelled = false
    time.task(owner, () => {
      if (!cancelled) run()
    })
    return () => {
      cancelled = true
    }
  })

/** Effect's clock over this time. The wall clock can be moved; the monotonic one begins anew with each process. */
export class SimulatedClock implements Clock.Clock {
  readonly #time: Time
  readonly #owner: Owner
  readonly #began: number
  readonly #wall: { readonly offset: number }

  constructor(time: Time, owner: Owner, wall: { readonly offset: number }, began: number) {
    this.#time = time
    this.#owner = owner
    this.#wall = wall
    this.#began = began
  }

  currentTimeMillisUnsafe(): number {
    return this.#time.now + this.#wall.offset
  }
  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.currentTimeMillisUnsafe())
  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.currentTimeMillisUnsafe())) * 1_000_000n
  }
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.currentTimeNanosUnsafe())
  monotonicTimeNanosUnsafe(): bigint {
    return BigInt(Math.round((this.#time.now - this.#began) * 1e6))
  }
  readonly monotonicTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.monotonicTimeNanosUnsafe())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const millis = Duration.toMillis(duration)
    if (millis <= 0) return Effect.yieldNow
    if (!Number.isFinite(millis)) return Effect.never
    return Effect.callback<void>((resume) => {
      const cancel = this.#time.timer(this.#owner, millis, () => resume(Effect.void))
      return Effect.sync(cancel)
    })
  }
}
