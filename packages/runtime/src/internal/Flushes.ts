/**
 * The batches of a debouncer whose burst is over: per key they go through `flush` one at a time and in order, keys beside
 * each other. A key is known here only while something of it is on its way. Whoever waits stands between the batches, as
 * a function that is called when everything before it is through, so a wait never includes what came later.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Lanes from "./Lanes.ts"

/** What happens with a batch. */
export type Flush<K, A, R> = (key: K, items: Arr.NonEmptyReadonlyArray<A>) => Effect.Effect<unknown, never, R>

export interface Flushes<in K, in out A> {
  /** Takes a batch, which must not be touched any more. `flush` begins in a later turn. */
  readonly hand: (key: K, items: Array<A>) => void
  /** Waits until what the key has now is through. */
  readonly through: (key: K) => Effect.Effect<void>
  /** The same for every key. */
  readonly allThrough: Effect.Effect<void>
  /** The key's items whose flush has not begun. */
  readonly items: (key: K) => ReadonlyArray<A>
  /** Moves those of them that match to `out`. */
  readonly discard: (key: K, predicate: (item: A) => boolean, out: Array<A>) => void
  /** How many items are not through yet. */
  readonly pending: () => number
}

/** The flushes get the services of this call. */
export const make = Effect.fnUntraced(function* <K, A, R>(
  flush: Flush<K, A, R>
): Effect.fn.Return<Flushes<K, A>, never, R> {
  const lanes = yield* Lanes.make<R>("flush of a burst", Infinity)
  const busy = new Map<K, Batches<K, A, R>>()
  let pending = 0

  const flushed = (batches: Batches<K, A, R>, count: number) => {
    pending -= count
    batches.answer()
    if (batches.waiting.length > 0) lanes.wake(batches)
    else busy.delete(batches.key)
  }

  const through = (awaited: ReadonlyArray<Batches<K, A, R>>) =>
    Effect.callback<void>((resume) => {
      let left = awaited.length
      if (left === 0) return resume(Effect.void)
      const mark = () => {
        left--
        if (left === 0) resume(Effect.void)
      }
      for (const batches of awaited) batches.waiting.push(mark)
      return Effect.sync(() => {
        for (const batches of awaited) batches.forget(mark)
      })
    })

  return {
    hand: (key, items) => {
      pending += items.length
      let batches = busy.get(key)
      if (batches === undefined) {
        batches = new Batches(key, items, flush, flushed)
        busy.set(key, batches)
      } else {
        batches.waiting.push(items)
      }
      lanes.wake(batches)
    },
    through: (key) =>
      Effect.suspend(() => {
        const batches = busy.get(key)
        return batches === undefined ? Effect.void : through([batches])
      }),
    allThrough: Effect.suspend(() => through([...busy.values()])),
    items: (key) => busy.get(key)?.items() ?? [],
    discard: (key, predicate, out) => {
      const before = out.length
      busy.get(key)?.discard(predicate, out)
      pending -= out.length - before
    },
    pending: () => pending
  }
})

/** The batches of one key, with those who wait among them. */
class Batches<K, A, R> extends Lanes.Lane<R> {
  readonly key: K
  readonly waiting: Array<Array<A> | (() => void)>
  readonly #flush: Flush<K, A, R>
  readonly #flushed: (batches: Batches<K, A, R>, count: number) => void
  #running = 0

  constructor(
    key: K,
    items: Array<A>,
    flush: Flush<K, A, R>,
    flushed: (batches: Batches<K, A, R>, count: number) => void
  ) {
    super()
    this.key = key
    this.waiting = [items]
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
    if (next === undefined || typeof next === "function" || !Arr.isArrayNonEmpty(next)) return Effect.void
    this.#running = next.length
    return this.#flush(this.key, next)
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
    return this.waiting.flatMap((waiting) => (typeof waiting === "function" ? [] : waiting))
  }

  discard(predicate: (item: A) => boolean, discarded: Array<A>) {
    for (const [index, waiting] of this.waiting.entries()) {
      if (typeof waiting !== "function") this.waiting[index] = sift(waiting, predicate, discarded)
    }
  }
}

/** Moves what matches to `out` and returns the rest, both in order. */
export const sift = <A>(items: ReadonlyArray<A>, predicate: (item: A) => boolean, out: Array<A>) => {
  const kept: Array<A> = []
  for (const item of items) (predicate(item) ? out : kept).push(item)
  return kept
}
