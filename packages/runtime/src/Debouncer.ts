/**
 * Holds a burst of items per key until it has been quiet for a while, then flushes it as one batch. What is held is only
 * a timer and a cache: whoever needs to survive a crash keeps the items elsewhere first. Nothing that was pushed is ever
 * dropped: past a limit, during a drain and after the scope's end an item goes straight through to `flush`.
 */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Deadlines from "./internal/Deadlines.ts"
import * as Lanes from "./internal/Lanes.ts"

/**
 * **When to use**
 *
 * Use it where many small events for the same key should become one piece of work: messages typed in a row, files that
 * change together. `Stream.debounce` keeps only the last item; this keeps all of them, in order.
 *
 * **Gotchas**
 *
 * - `push` never waits, so a flush that is slower than what comes in piles batches up: flush into something that has a
 *   cap (a `FollowupQueue`).
 * - `flush` runs with the services, spans and log annotations of `make`, not with those of whoever pushes.
 * - `flush` can't fail. If it dies (or interrupts itself) this is logged as an error with its cause, the batch counts as
 *   flushed and everything else goes on. Catch what you want to treat otherwise inside of `flush`.
 * - The scope's finalizer drains and waits for running flushes for as long as they take. For a deadline, race `drain`
 *   before you close the scope.
 */
export interface Debouncer<in out K, in out A> {
  /** Takes an item: it joins its key's burst. Succeeds at once, before the flush. */
  readonly push: (key: K, item: A) => Effect.Effect<void>
  /** `push` for synchronous code: it never waits, and `flush` starts in a later turn, never inside this call. */
  readonly pushUnsafe: (key: K, item: A) => void
  /**
   * Keeps the key's burst open, now or when it begins, while the scope lives, but not past the cap: for an item that is
   * known to come and takes its time. An item that closes the burst does so all the same. The cap is that of the burst's
   * first item, so with a quiet period of 0 and no `atMost` there is nothing to hold.
   */
  readonly hold: (key: K) => Effect.Effect<void, never, Scope.Scope>
  /** Flushes the key's burst now, and waits until everything that was pushed for the key before is through `flush`. */
  readonly flush: (key: K) => Effect.Effect<void>
  /** `flush` for every key, beside each other. */
  readonly flushAll: Effect.Effect<void>
  /**
   * Flushes everything now, waits for it, and holds nothing from then on: later pushes go straight through. Idempotent;
   * interrupting it stops the waiting only.
   */
  readonly drain: Effect.Effect<void>
  /** Takes the key's items (those that match) out before their flush begins, and returns them in order. */
  readonly discard: (key: K, predicate?: (item: A) => boolean) => Effect.Effect<ReadonlyArray<A>>
  /** The key's items whose flush has not begun, oldest first. */
  readonly items: (key: K) => ReadonlyArray<A>
  /** How many keys are tracked: those with an open burst or a hold. */
  readonly size: number
  /** How many items were pushed and are not through `flush` yet; 0 means that nothing is held and no flush is running. */
  readonly pending: number
}

/** How one item wants its burst to be timed; what is left out is as in `make`'s options. */
export interface Window {
  /** The quiet period after this item. 0 ends the burst with this item. */
  readonly quiet?: Duration.Input | undefined
  /** The cap, if this item opens the burst. */
  readonly atMost?: Duration.Input | undefined
  /** The item joins the burst and flushes it at once. */
  readonly closes?: boolean | undefined
}

export interface Options<K, A, R> {
  /** How long a key must be quiet. 0: every item is its own batch, at once. */
  readonly quiet: Duration.Input
  /** The hard cap, from a burst's first item. Default: five times the quiet period in force for that item. */
  readonly atMost?: Duration.Input | undefined
  /** How many keys are tracked (default 100,000); items of further keys go straight through. */
  readonly maxKeys?: number | undefined
  /** What happens with a burst. One at a time and in order for a key; keys don't wait for each other. */
  readonly flush: (key: K, items: Arr.NonEmptyReadonlyArray<A>) => Effect.Effect<unknown, never, R>
  /** Overrides the timing by item, e.g. a quiet period per channel, or a photo that closes the burst. */
  readonly windowOf?: ((item: A) => Window | undefined) | undefined
}

/**
 * A burst closes at the earlier of (last item + its quiet period) and (first item + its cap), both measured on the
 * monotonic clock; an item that comes at that very moment or later opens the next one, even when the timer is late.
 * Re-arming writes a number: all keys share one timer, and there is a fiber only while something is being flushed.
 */
export const make: <K, A, R = never>(
  options: Options<K, A, R>
) => Effect.Effect<Debouncer<K, A>, never, R | Scope.Scope> = Effect.fnUntraced(function* <K, A, R>(
  options: Options<K, A, R>
) {
  const { windowOf } = options
  const maxKeys = options.maxKeys ?? 100_000
  const quiet = Duration.toMillis(options.quiet)
  const atMost = options.atMost === undefined ? undefined : Duration.toMillis(options.atMost)
  const bursts = new Map<K, Burst<K, A>>()
  const flushes = new Map<K, Flushes<K, A, R>>()
  const lanes = yield* Lanes.make<R>("flush of a burst", Infinity)
  let draining = false
  let pending = 0

  const flushed = (lane: Flushes<K, A, R>, count: number) => {
    pending -= count
    lane.answer()
    if (lane.waiting.length > 0) lanes.wake(lane)
    else flushes.delete(lane.key)
  }

  const hand = (key: K, items: Array<A>) => {
    let lane = flushes.get(key)
    if (lane === undefined) {
      lane = new Flushes(key, options.flush, flushed)
      flushes.set(key, lane)
    }
    lane.waiting.push({ items })
    lanes.wake(lane)
  }

  const leave = (burst: Burst<K, A>) => {
    deadlines.disarm(burst)
    if (burst.holds === 0) bursts.delete(burst.key)
  }

  const close = (burst: Burst<K, A>) => {
    const items = burst.items
    burst.items = []
    leave(burst)
    if (items.length > 0) hand(burst.key, items)
  }

  const deadlines = yield* Deadlines.make<Burst<K, A>>(close)

  const track = (key: K) => {
    const burst = new Burst<K, A>(key)
    bursts.set(key, burst)
    return burst
  }

  const over = (burst: Burst<K, A>, now: number) => burst.items.length > 0 && burst.due <= now

  const arm = (burst: Burst<K, A>, now: number) => {
    const due = burst.holds > 0 ? burst.capAt : Math.min(burst.quietAt, burst.capAt)
    if (due > now) deadlines.arm(burst, due)
    else close(burst)
  }

  const pushUnsafe = (key: K, item: A) => {
    const window = windowOf?.(item)
    const quietFor = window?.quiet === undefined ? quiet : millis(window.quiet)
    const closes = draining || window?.closes === true
    const now = deadlines.now()
    let burst = bursts.get(key)
    // Its time may be over with only the timer late: the loop was busy.
    if (burst !== undefined && over(burst, now)) {
      close(burst)
      burst = bursts.get(key)
    }
    pending++
    if (burst === undefined) {
      if (closes || !(quietFor > 0) || bursts.size >= maxKeys) return hand(key, [item])
      burst = track(key)
    }
    if (burst.items.length === 0) {
      burst.capAt = now + (window?.atMost === undefined ? (atMost ?? 5 * quietFor) : millis(window.atMost))
    }
    burst.items.push(item)
    burst.quietAt = now + quietFor
    if (closes) close(burst)
    else arm(burst, now)
  }

  const hold = (key: K) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const now = deadlines.now()
        const open = bursts.get(key)
        if (open !== undefined && over(open, now)) close(open)
        const burst = bursts.get(key) ?? (draining || bursts.size >= maxKeys ? undefined : track(key))
        if (burst === undefined) return undefined
        burst.holds++
        if (burst.items.length > 0) arm(burst, now)
        return burst
      }),
      (burst) =>
        Effect.sync(() => {
          if (burst === undefined) return
          burst.holds--
          if (burst.items.length === 0) leave(burst)
          else arm(burst, deadlines.now())
        })
    )

  /** Waits until these lanes are through with what they have now; what comes later is not waited for. */
  const through = (awaited: ReadonlyArray<Flushes<K, A, R>>) =>
    Effect.callback<void>((resume) => {
      let left = awaited.length
      if (left === 0) return resume(Effect.void)
      const mark = () => {
        left--
        if (left === 0) resume(Effect.void)
      }
      for (const lane of awaited) lane.waiting.push(mark)
      return Effect.sync(() => {
        for (const lane of awaited) lane.forget(mark)
      })
    })

  const flush = (key: K) =>
    Effect.suspend(() => {
      const burst = bursts.get(key)
      if (burst !== undefined) close(burst)
      const lane = flushes.get(key)
      return lane === undefined ? Effect.void : through([lane])
    })

  const flushAll = Effect.suspend(() => {
    for (const burst of bursts.values()) close(burst)
    return through([...flushes.values()])
  })

  const drain = Effect.suspend(() => {
    draining = true
    return flushAll
  })

  const discard = (key: K, predicate: (item: A) => boolean = () => true) =>
    Effect.sync(() => {
      const discarded: Array<A> = []
      flushes.get(key)?.discard(predicate, discarded)
      const burst = bursts.get(key)
      if (burst !== undefined) {
        burst.items = sift(burst.items, predicate, discarded)
        if (burst.items.length === 0) leave(burst)
      }
      pending -= discarded.length
      return discarded
    })

  yield* Effect.addFinalizer(() => drain)

  return {
    push: (key, item) => Effect.sync(() => pushUnsafe(key, item)),
    pushUnsafe,
    hold,
    flush,
    flushAll,
    drain,
    discard,
    items: (key) => [...(flushes.get(key)?.items() ?? []), ...(bursts.get(key)?.items ?? [])],
    get size() {
      return bursts.size
    },
    get pending() {
      return pending
    }
  } satisfies Debouncer<K, A>
})

/** What a key has gathered; `due` is the earlier of the two times, or the cap alone while somebody holds it. */
class Burst<K, A> extends Deadlines.Deadline {
  readonly key: K
  items: Array<A> = []
  quietAt = 0
  capAt = 0
  holds = 0

  constructor(key: K) {
    super()
    this.key = key
  }
}

/** The closed bursts of one key: flushed one at a time. A function among them is somebody waiting for those before it. */
class Flushes<K, A, R> extends Lanes.Lane<R> {
  readonly key: K
  readonly waiting: Array<{ items: Array<A> } | (() => void)> = []
  readonly #flush: Options<K, A, R>["flush"]
  readonly #flushed: (lane: Flushes<K, A, R>, count: number) => void
  #running = 0

  constructor(key: K, flush: Options<K, A, R>["flush"], flushed: (lane: Flushes<K, A, R>, count: number) => void) {
    super()
    this.key = key
    this.#flush = flush
    this.#flushed = flushed
  }

  granted() {
    return this.waiting.length > 0
  }

  begin() {
    this.answer()
    const next = this.waiting.shift()
    // Empty: all of it was discarded between the burst's end and now.
    if (next === undefined || typeof next === "function" || !Arr.isArrayNonEmpty(next.items)) return Effect.void
    this.#running = next.items.length
    return this.#flush(this.key, next.items)
  }

  ended() {
    const count = this.#running
    this.#running = 0
    this.#flushed(this, count)
  }

  /** Tells those who wait that everything before them is through. */
  answer() {
    for (let mark = this.waiting[0]; typeof mark === "function"; mark = this.waiting[0]) {
      this.waiting.shift()
      mark()
    }
  }

  forget(mark: () => void) {
    const index = this.waiting.indexOf(mark)
    if (index >= 0) this.waiting.splice(index, 1)
  }

  items() {
    return this.waiting.flatMap((waiting) => (typeof waiting === "function" ? [] : waiting.items))
  }

  discard(predicate: (item: A) => boolean, discarded: Array<A>) {
    for (const waiting of this.waiting) {
      if (typeof waiting !== "function") waiting.items = sift(waiting.items, predicate, discarded)
    }
  }
}

/** A number is milliseconds; the shortcut is for a window per item. */
const millis = (input: Duration.Input) => (typeof input === "number" ? input : Duration.toMillis(input))

/** Moves what matches to `out` and returns the rest, both in order. */
const sift = <A>(items: ReadonlyArray<A>, predicate: (item: A) => boolean, out: Array<A>) => {
  const kept: Array<A> = []
  for (const item of items) (predicate(item) ? out : kept).push(item)
  return kept
}
