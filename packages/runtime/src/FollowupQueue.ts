/**
 * What waits behind a running piece of work, per key: how it becomes the next one (mode), how much may wait (cap) and what
 * falls at the cap (drop policy). `makeLine` is the rule alone, synchronous and without time, for whoever runs the work
 * himself; `make` runs it: one at a time per key, keys beside each other, fairly under a limit. It is a cache: a drop
 * is committed by the caller (`onDrop`, or between `overflow` and `forget`) before memory forgets the items.
 */
import * as Arr from "effect/Array"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Lanes from "./internal/Lanes.ts"
import * as Lines from "./internal/Line.ts"
import type { Drop, Items, Line, Policy } from "./internal/Line.ts"

export type { Drop, Items, Line, Mode, Policy } from "./internal/Line.ts"

/** An empty line, for one key. */
export const makeLine: <A>(options?: Policy & Items<A>) => Line<A> = Lines.make

/** The answer to a push. */
export type Offer = Data.TaggedEnum<{
  /** It belongs to a run that begins now. */
  Started: {}
  /** It waits; position 1 is the head of its key's line. */
  Queued: { readonly position: number }
  /** It fell at the cap and will not run. `onDrop` has had it. */
  Dropped: { readonly policy: Drop }
  /** Nothing new is taken: the queue is being drained or closed. The item was not taken. */
  Draining: {}
}>

export const Offer = Data.taggedEnum<Offer>()

/** What a run is told besides its items. */
export interface Info<A> {
  /**
   * With `summarize`: what fell since the key's last run. `items` has the latest of them (at most 100), `count` all;
   * `summary` makes a short text of them.
   */
  readonly dropped?: { readonly count: number; readonly items: ReadonlyArray<A> } | undefined
}

export interface Options<K, A, R> extends Policy, Items<A> {
  /** What falls at the cap: a decision that a caller has to make, so it has no default here. */
  readonly drop: Drop
  /** How many keys run at once, first come, first served; a key that has just run stands behind those that wait. */
  readonly concurrency?: number | "unbounded" | undefined
  /** The work. One run at a time and in order for a key. */
  readonly run: (key: K, items: Arr.NonEmptyReadonlyArray<A>, info: Info<A>) => Effect.Effect<unknown, never, R>
  /** Ends dropped items where they are kept, before memory forgets them. The push that made them fall waits for it. */
  readonly onDrop?:
    | ((key: K, items: Arr.NonEmptyReadonlyArray<A>, policy: Drop) => Effect.Effect<unknown, never, R>)
    | undefined
}

/** What one key has: items that wait, and items in its run (0: nothing runs). */
export interface Depth<K> {
  readonly key: K
  readonly waiting: number
  readonly running: number
}

/** What one key had left when everything was interrupted. */
export interface Remains<K, A> {
  readonly key: K
  /** Whose run never began. */
  readonly waiting: ReadonlyArray<A>
  /** Whose run was cut short. */
  readonly cut: ReadonlyArray<A>
}

/**
 * **When to use**
 *
 * Use it where work for one key must not overlap and more of it comes in while some is running. FiberMap starts a key's
 * new fiber before the old one's finalizers are through; this waits for them.
 *
 * **Gotchas**
 *
 * - What `push` offers in the turn in which a run is about to begin still joins that run, as far as the mode allows.
 * - `run` executes with the services, spans and log annotations of `make`, not with those of whoever pushes.
 * - `run` and `onDrop` can't fail. If a run dies (or interrupts itself) this is logged as an error with its cause and its
 *   key goes on with what waits. If `onDrop` dies, this is logged too and the items wait on: nothing falls uncommitted.
 * - The mode `interrupt` waits for the finalizers of what it cuts; what a cut run had taken is that run's to look after.
 * - The scope's finalizer drains, for as long as that takes. For a deadline, race `drain`, then `interrupt`, and close
 *   the scope after that. A run that waits for `drain` waits for itself.
 */
export interface FollowupQueue<in out K, in out A> {
  /** Takes an item and says what becomes of it. Waits only for `onDrop`. */
  readonly push: (key: K, item: A) => Effect.Effect<Offer>
  /** Takes out what waits for the key, oldest first; with `run`, also interrupts its run and waits for its finalizers. */
  readonly cancel: (key: K, options?: { readonly run?: boolean }) => Effect.Effect<ReadonlyArray<A>>
  /** How many items wait for the key; those in its run are not among them. */
  readonly depth: (key: K) => number
  /** Whether anything waits, runs, or is being dropped. */
  readonly busy: boolean
  /** Every key that is not at rest, in no particular order. */
  readonly report: ReadonlyArray<Depth<K>>
  /** Finishes everything that was taken, and takes nothing new: later pushes say `Draining`. Interrupting it stops the waiting only. */
  readonly drain: Effect.Effect<void>
  /** Takes nothing new, interrupts every run, waits for their finalizers, and returns what did not run or was cut. */
  readonly interrupt: Effect.Effect<ReadonlyArray<Remains<K, A>>>
}

const STARTED = Offer.Started()
const DRAINING = Offer.Draining()

/** How many of the fallen items a run is told. */
const TOLD = 100

export const make: <K, A, R = never>(
  options: Options<K, A, R>
) => Effect.Effect<FollowupQueue<K, A>, never, R | Scope.Scope> = Effect.fnUntraced(function* <K, A, R>(
  options: Options<K, A, R>
) {
  const { concurrency = "unbounded", onDrop } = options
  const context = yield* Effect.context<R>()
  const lanes = yield* Lanes.make<R>("run of the follow-up queue", concurrency === "unbounded" ? Infinity : concurrency)
  const seats = new Map<K, Seat<K, A, R>>()
  const waiters = new Set<() => void>()
  let draining = false

  /** On with what waits; with nothing to do the key goes, and with the last key everybody who waits for that is told. */
  const settle = (seat: Seat<K, A, R>) => {
    if (seat.line.size > 0) return lanes.wake(seat)
    if (seat.state !== "resting" || seat.dropping > 0) return
    seats.delete(seat.key)
    if (seats.size === 0) for (const resume of waiters) resume()
  }

  const idle = Effect.callback<void>((resume) => {
    if (seats.size === 0) return resume(Effect.void)
    const waiter = () => {
      waiters.delete(waiter)
      resume(Effect.void)
    }
    waiters.add(waiter)
    return Effect.sync(() => waiters.delete(waiter))
  })

  const fall = (seat: Seat<K, A, R>, fallen: Arr.NonEmptyReadonlyArray<A>, offer: Offer): Effect.Effect<Offer> => {
    const policy = seat.line.drop
    const forget = () => {
      seat.line.forget(fallen)
      if (policy === "summarize") seat.remember(fallen)
    }
    if (onDrop === undefined) {
      forget()
      settle(seat)
      return Effect.succeed(offer)
    }
    seat.dropping++
    return Effect.suspend(() => onDrop(seat.key, fallen, policy)).pipe(
      Effect.provideContext(context),
      Effect.as(offer),
      Effect.tap(() => Effect.sync(forget)),
      Effect.catchCause((cause) => {
        seat.line.keep(fallen)
        return Effect.as(
          Effect.logError("A drop of the follow-up queue died", cause),
          Offer.Queued({ position: seat.line.size })
        )
      }),
      Effect.ensuring(
        Effect.sync(() => {
          seat.dropping--
          settle(seat)
        })
      ),
      Effect.uninterruptible
    )
  }

  const push = (key: K, item: A) =>
    Effect.suspend(() => {
      if (draining) return Effect.succeed(DRAINING)
      const seat = seats.get(key) ?? new Seat(key, Lines.make(options), options.run, settle)
      const line = seat.line
      line.push(item)
      // Only now: had a function about the item thrown, a seat with nothing in it would be waited for for ever.
      seats.set(key, seat)
      lanes.wake(seat)
      // What the start in this turn will take does not wait: it can't fall, and neither can the item if it is among it.
      const begins = seat.state === "starting" ? (line.peek()?.length ?? 0) : 0
      if (begins === line.size) return Effect.succeed(STARTED)
      const fallen = line.overflow(begins)
      const dropped = fallen.includes(item)
      if (line.mode === "interrupt" && !dropped) lanes.interrupt(seat)
      const offer = dropped ? Offer.Dropped({ policy: line.drop }) : Offer.Queued({ position: line.size - begins })
      return Arr.isReadonlyArrayNonEmpty(fallen) ? fall(seat, fallen, offer) : Effect.succeed(offer)
    })

  const cancel = (key: K, cancelling?: { readonly run?: boolean }) =>
    Effect.suspend(() => {
      const seat = seats.get(key)
      if (seat === undefined) return Effect.succeed([])
      const waiting = seat.line.clear()
      const running = cancelling?.run === true ? seat.fiber : undefined
      if (running === undefined) {
        settle(seat)
        return Effect.succeed(waiting)
      }
      lanes.interrupt(seat)
      return Effect.as(Fiber.await(running), waiting)
    })

  const drain = Effect.suspend(() => {
    draining = true
    return idle
  })

  const interrupt = Effect.suspend(() => {
    draining = true
    const remains = [...seats.values()].map((seat) => ({ seat, running: seat.running, waiting: seat.line.clear() }))
    for (const { seat } of remains) {
      lanes.interrupt(seat)
      settle(seat)
    }
    return Effect.map(idle, () =>
      remains
        .map(({ seat, running, waiting }) => ({ key: seat.key, waiting, cut: seat.cutShort ? running : [] }))
        .filter(({ waiting, cut }) => waiting.length + cut.length > 0)
    )
  })

  yield* Effect.addFinalizer(() => drain)

  return {
    push,
    cancel,
    depth: (key) => seats.get(key)?.line.size ?? 0,
    get busy() {
      return seats.size > 0
    },
    get report() {
      return [...seats.values()].map(({ key, line, running }) => ({ key, waiting: line.size, running: running.length }))
    },
    drain,
    interrupt
  } satisfies FollowupQueue<K, A>
})

/** What is known of a key while it is not at rest. */
class Seat<K, A, R> extends Lanes.Lane<R> {
  readonly key: K
  readonly line: Line<A>
  running: ReadonlyArray<A> = []
  /** Whether the last run ended by interruption. */
  cutShort = false
  /** How many drops are being committed. */
  dropping = 0
  #dropped: { readonly count: number; readonly items: ReadonlyArray<A> } | undefined
  readonly #run: Options<K, A, R>["run"]
  readonly #settle: (seat: Seat<K, A, R>) => void

  constructor(key: K, line: Line<A>, run: Options<K, A, R>["run"], settle: (seat: Seat<K, A, R>) => void) {
    super()
    this.key = key
    this.line = line
    this.#run = run
    this.#settle = settle
  }

  granted() {
    if (this.line.size > 0) return true
    this.#settle(this)
    return false
  }

  begin() {
    const items = this.line.next()
    // Cancelled between the start and now.
    if (items === undefined) return Effect.void
    const info: Info<A> = this.#dropped === undefined ? {} : { dropped: this.#dropped }
    this.#dropped = undefined
    this.running = items
    return this.#run(this.key, items, info)
  }

  ended(exit: Exit.Exit<unknown>) {
    this.running = []
    this.cutShort = Exit.hasInterrupts(exit)
    this.#settle(this)
  }

  remember(fallen: ReadonlyArray<A>) {
    const { count, items } = this.#dropped ?? { count: 0, items: [] }
    this.#dropped = { count: count + fallen.length, items: [...items, ...fallen].slice(-TOLD) }
  }
}

/**
 * A short text of what fell: how many, and a line for each of the latest. A line is cut to `width` UTF-16 units (160)
 * with an ellipsis and never inside a character's surrogate pair; line breaks become spaces. `count` is the number that
 * fell when there are more than `lines` (default: their number); of `lines` the last `maxLines` (100) are used.
 */
export const summary = (
  lines: ReadonlyArray<string>,
  options: { readonly width?: number; readonly maxLines?: number; readonly count?: number } = {}
): { readonly count: number; readonly lines: ReadonlyArray<string> } => {
  const { width = 160, maxLines = TOLD, count = lines.length } = options
  return { count, lines: lines.slice(-maxLines).map((line) => cut(line.replace(/\s+/gu, " ").trim(), width)) }
}

const cut = (line: string, width: number) => {
  if (line.length <= width) return line
  const end = width - 1
  const splits = /[\uD800-\uDBFF]/.test(line.charAt(end - 1))
  return `${line.slice(0, splits ? end - 1 : end).trimEnd()}\u2026`
}
