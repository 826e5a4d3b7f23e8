/**
 * The items that wait for one key, and the rules by which they become batches or fall at the cap. Synchronous, without
 * time and without a fiber: the owner commits a drop between `overflow` and `forget`, so a crash in between finds the
 * items where they are kept, still waiting. Exported to users by FollowupQueue.ts.
 */
import * as Arr from "effect/Array"

/**
 * How what waits becomes the next batch. `collect`: all of it. `followup`: one burst (see `opens`), by default one item.
 * `interrupt`: all of it, and an item that comes while something runs cuts that short.
 */
export type Mode = "collect" | "followup" | "interrupt"

/** What falls at the cap. `summarize`, `old`: the oldest that wait, with or without being told of; `new`: the item offered. */
export type Drop = "summarize" | "old" | "new"

/** The rules of a line. */
export interface Policy {
  /** Default `collect`. */
  readonly mode?: Mode | undefined
  /** How many counted items may wait. Default 20. */
  readonly cap?: number | undefined
  /** Default `summarize`. */
  readonly drop?: Drop | undefined
}

/** What a line needs to know about its items. Each function is called once per item, when it is pushed. */
export interface Items<A> {
  /** Whether the item begins a new burst; the mode `followup` takes a burst at a time. Default: each does. */
  readonly opens?: ((item: A) => boolean) | undefined
  /** Whether the item counts towards the cap, and may fall. Default: each does. */
  readonly counted?: ((item: A) => boolean) | undefined
  /** The item's size, in whatever unit `maxWeight` has (bytes, by its default). Default: 0. */
  readonly weight?: ((item: A) => number) | undefined
  /** How many items a batch has at most; the rest waits. Default 64. */
  readonly maxItems?: number | undefined
  /** How heavy a batch is at most, except that one item alone may be heavier. Default 262,144 (256 KiB). */
  readonly maxWeight?: number | undefined
}

/**
 * The items that wait for one key.
 *
 * **Gotchas**
 *
 * It has one owner and no time: nothing here is an Effect, so no other fiber can come between two calls. Items are told
 * apart by identity.
 */
export interface Line<in out A> {
  /** Mode, cap and drop policy may be changed at any time; they count from the next call on. */
  mode: Mode
  cap: number
  drop: Drop
  /** How many items wait. Those that have fallen are not among them. */
  readonly size: number
  /** Whether one more counted item would make something fall: with `drop` `new`, refuse it before it is committed. */
  readonly full: boolean
  /** How many more counted items may wait before something falls; not below 0. */
  readonly room: number
  /** Puts an item at the end. */
  readonly push: (item: A) => void
  /**
   * What falls by policy, oldest first; each item is returned once. Fallen items are not taken by `next` any more, but are
   * not forgotten either: commit the drop, then `forget` them, or `keep` them when it didn't succeed. The first `exempt`
   * items (default 0) neither count nor fall: those whose run is about to begin.
   */
  readonly overflow: (exempt?: number) => ReadonlyArray<A>
  /** The drop of these fallen items is committed. */
  readonly forget: (items: ReadonlyArray<A>) => void
  /** The drop of these fallen items did not succeed: they wait again, in their old places. */
  readonly keep: (items: ReadonlyArray<A>) => void
  /** The first of what `next` would return. */
  readonly head: A | undefined
  /** What `next` would return, left in place. */
  readonly peek: () => Arr.NonEmptyReadonlyArray<A> | undefined
  /** Takes the next batch by mode; `undefined` if nothing waits. */
  readonly next: () => Arr.NonEmptyReadonlyArray<A> | undefined
  /** Everything that waits, oldest first. */
  readonly items: () => ReadonlyArray<A>
  /** Takes out what waits (and matches), oldest first. Fallen items stay: their end is being committed already. */
  readonly clear: (predicate?: (item: A) => boolean) => ReadonlyArray<A>
}

/** An item with what its functions said about it when it was pushed. */
interface Waiting<A> {
  readonly item: A
  readonly counted: boolean
  readonly weight: number
  opens: boolean
  fallen: boolean
}

/** An empty line. */
export const make = <A>(options: Policy & Items<A> = {}): Line<A> => new ArrayLine(options)

class ArrayLine<A> implements Line<A> {
  mode: Mode
  cap: number
  drop: Drop
  size = 0
  #counted = 0
  #waiting: Array<Waiting<A>> = []
  readonly #options: Items<A>

  constructor(options: Policy & Items<A>) {
    this.mode = options.mode ?? "collect"
    this.cap = options.cap ?? 20
    this.drop = options.drop ?? "summarize"
    this.#options = options
  }

  get full() {
    return this.#counted >= this.cap
  }

  get room() {
    return Math.max(0, this.cap - this.#counted)
  }

  push(item: A) {
    const { opens, counted, weight } = this.#options
    const entry: Waiting<A> = {
      item,
      counted: counted?.(item) ?? true,
      weight: weight?.(item) ?? 0,
      opens: opens?.(item) ?? true,
      fallen: false
    }
    this.#waiting.push(entry)
    this.#tally(entry, 1)
  }

  overflow(exempt = 0) {
    if (this.#counted <= this.cap) return []
    const candidates = this.#waiting
      .filter((entry) => !entry.fallen)
      .slice(exempt)
      .filter((entry) => entry.counted)
    const over = Math.max(0, candidates.length - Math.max(0, this.cap))
    const fallen = this.drop === "new" ? candidates.slice(candidates.length - over) : candidates.slice(0, over)
    for (const entry of fallen) {
      entry.fallen = true
      this.#tally(entry, -1)
    }
    return fallen.map((entry) => entry.item)
  }

  forget(items: ReadonlyArray<A>) {
    this.#remove(this.#fallen(items))
  }

  keep(items: ReadonlyArray<A>) {
    for (const entry of this.#fallen(items)) {
      entry.fallen = false
      this.#tally(entry, 1)
    }
  }

  get head() {
    return this.#waiting.find((entry) => !entry.fallen)?.item
  }

  peek() {
    return nonEmpty(this.#batch().map((entry) => entry.item))
  }

  next() {
    const batch = this.#batch()
    this.#take(batch)
    return nonEmpty(batch.map((entry) => entry.item))
  }

  items() {
    return this.#waiting.filter((entry) => !entry.fallen).map((entry) => entry.item)
  }

  clear(predicate: (item: A) => boolean = () => true) {
    const cleared = this.#waiting.filter((entry) => !entry.fallen && predicate(entry.item))
    this.#take(cleared)
    return cleared.map((entry) => entry.item)
  }

  #tally(entry: Waiting<A>, by: 1 | -1) {
    this.size += by
    if (entry.counted) this.#counted += by
  }

  #batch() {
    const maxItems = this.#options.maxItems ?? 64
    const maxWeight = this.#options.maxWeight ?? 262_144
    const batch: Array<Waiting<A>> = []
    let weight = 0
    for (const entry of this.#waiting) {
      // A burst ends where the next one begins, even if the item that began it is just falling.
      if (batch.length > 0 && this.mode === "followup" && entry.opens) break
      if (entry.fallen) continue
      if (batch.length > 0 && (batch.length >= maxItems || weight + entry.weight > maxWeight)) break
      batch.push(entry)
      weight += entry.weight
    }
    return batch
  }

  #take(entries: ReadonlyArray<Waiting<A>>) {
    for (const entry of entries) this.#tally(entry, -1)
    this.#remove(new Set(entries))
  }

  #fallen(items: ReadonlyArray<A>) {
    const found = new Set<Waiting<A>>()
    for (const item of items) {
      const entry = this.#waiting.find((entry) => entry.fallen && entry.item === item && !found.has(entry))
      if (entry !== undefined) found.add(entry)
    }
    return found
  }

  /** When the item that began a burst goes, the next one of it begins it. */
  #remove(entries: ReadonlySet<Waiting<A>>) {
    if (entries.size === 0) return
    let begins = false
    this.#waiting = this.#waiting.filter((entry) => {
      if (entries.has(entry)) {
        begins ||= entry.opens
        return false
      }
      entry.opens ||= begins
      begins = false
      return true
    })
  }
}

const nonEmpty = <A>(items: ReadonlyArray<A>) => (Arr.isReadonlyArrayNonEmpty(items) ? items : undefined)
