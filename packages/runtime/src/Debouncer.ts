/**
 * Holds a burst of items per key until it has been quiet for a while, then flushes it as one batch. What is held is only
 * a timer and a cache: whoever needs to survive a crash keeps the items elsewhere first. Nothing that was pushed is ever
 * dropped: past a limit, during a drain and after the scope's end an item goes straight through to `flush`.
 */
import type * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Deadlines from "./internal/Deadlines.ts"
import * as Flushes from "./internal/Flushes.ts"

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
  const flushes = yield* Flushes.make(options.flush)
  let draining = false
  /** How many items the open bursts have. */
  let held = 0

  const leave = (burst: Burst<K, A>) => {
    deadlines.disarm(burst)
    if (burst.holds === 0) bursts.delete(burst.key)
  }

  const close = (burst: Burst<K, A>) => {
    const items = burst.items
    burst.items = []
    leave(burst)
    held -= items.length
    if (items.length > 0) flushes.hand(burst.key, items)
  }

  const deadlines = yield* Deadlines.make<Burst<K, A>>(close)

  const track = (key: K) => {
    const burst = new Burst<K, A>(key)
    bursts.set(key, burst)
    return burst
  }

  const over = (burst: Burst<K, A>, now: number) => burst.items.length > 0 && burst.due <= now

  const arm = (burst: Burst<K, A>, quietAt: number, now: number) => {
    const due = burst.holds === 0 && quietAt < burst.capAt ? quietAt : burst.capAt
    // A number of its own is one more line of memory for each message: it is written only for who needs it.
    if (burst.holds > 0) burst.quietAt = quietAt
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
    if (burst === undefined) {
      if (closes || !(quietFor > 0) || bursts.size >= maxKeys) return flushes.hand(key, [item])
      burst = track(key)
    }
    if (burst.items.length === 0) {
      burst.capAt = now + (window?.atMost === undefined ? (atMost ?? 5 * quietFor) : millis(window.atMost))
      // Most bursts are one item long; an array that grew by a push has room for 17.
      burst.items = [item]
    } else {
      burst.items.push(item)
    }
    held++
    if (closes) close(burst)
    else arm(burst, now + quietFor, now)
  }

  const hold = (key: K) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const now = deadlines.now()
        const open = bursts.get(key)
        if (open !== undefined && over(open, now)) close(open)
        const burst = bursts.get(key) ?? (draining || bursts.size >= maxKeys ? undefined : track(key))
        if (burst === undefined) return undefined
        const quietAt = burst.holds === 0 ? burst.due : burst.quietAt
        burst.holds++
        if (burst.items.length > 0) arm(burst, quietAt, now)
        return burst
      }),
      (burst) =>
        Effect.sync(() => {
          if (burst === undefined) return
          burst.holds--
          if (burst.items.length === 0) leave(burst)
          else arm(burst, burst.quietAt, deadlines.now())
        })
    )

  const flush = (key: K) =>
    Effect.suspend(() => {
      const burst = bursts.get(key)
      if (burst !== undefined) close(burst)
      return flushes.through(key)
    })

  const flushAll = Effect.suspend(() => {
    for (const burst of bursts.values()) close(burst)
    return flushes.allThrough
  })

  const drain = Effect.suspend(() => {
    draining = true
    return flushAll
  })

  const discard = (key: K, predicate: (item: A) => boolean = () => true) =>
    Effect.sync(() => {
      const discarded: Array<A> = []
      flushes.discard(key, predicate, discarded)
      const burst = bursts.get(key)
      if (burst !== undefined) {
        const before = burst.items.length
        burst.items = Flushes.sift(burst.items, predicate, discarded)
        held -= before - burst.items.length
        if (burst.items.length === 0) leave(burst)
      }
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
    items: (key) => [...flushes.items(key), ...(bursts.get(key)?.items ?? [])],
    get size() {
      return bursts.size
    },
    get pending() {
      return held + flushes.pending()
    }
  } satisfies Debouncer<K, A>
})

/** What a key has gathered; `due` is the earlier of the two times, or the cap alone while somebody holds it. */
class Burst<K, A> extends Deadlines.Deadline {
  readonly key: K
  items: Array<A> = []
  /** When it is quiet enough; only kept while somebody holds it. */
  quietAt = Infinity
  capAt = Infinity
  holds = 0

  constructor(key: K) {
    super()
    this.key = key
  }
}

/** A number is milliseconds; the shortcut is for a window per item. */
const millis = (input: Duration.Input) => (typeof input === "number" ? input : Duration.toMillis(input))
