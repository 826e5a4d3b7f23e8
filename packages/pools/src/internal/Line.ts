/**
 * Who waits, and who is next. Interactive requests go before batch ones, but one batch request in nine starts all the
 * same, so that none waits for ever. Within a priority the callers take turns by their key: who sends a thousand requests
 * delays himself, not the others. What was started already and goes elsewhere stands before all of them.
 */

export type Priority = "interactive" | "batch"

/** What can wait: extend it with what belongs to it. One entry is in one line at most. */
export abstract class Entry {
  readonly key: string
  readonly priority: Priority
  previous: Entry | undefined = undefined
  next: Entry | undefined = undefined
  chain: Chain | undefined = undefined

  constructor(key: string, priority: Priority) {
    this.key = key
    this.priority = priority
  }
}

/** A list that gives up any of its entries at once: a caller that leaves may stand anywhere. */
export class Chain {
  first: Entry | undefined
  last: Entry | undefined

  append(entry: Entry): void {
    entry.chain = this
    entry.previous = this.last
    if (this.last === undefined) this.first = entry
    else this.last.next = entry
    this.last = entry
  }

  remove(entry: Entry): void {
    if (entry.previous === undefined) this.first = entry.next
    else entry.previous.next = entry.next
    if (entry.next === undefined) this.last = entry.previous
    else entry.next.previous = entry.previous
    entry.chain = undefined
    entry.previous = undefined
    entry.next = undefined
  }
}

/** So many interactive requests start before a batch one that waits has its turn. */
const interactiveRun = 8

export class Line<E extends Entry> {
  readonly #again = new Chain()
  // A map is in the order of insertion: its first key is next, and goes to the end when it had its turn.
  readonly #keys: Record<Priority, Map<string, Chain>> = { interactive: new Map(), batch: new Map() }
  #size = 0
  #run = 0

  get size(): number {
    return this.#size
  }

  push(entry: E): void {
    const keys = this.#keys[entry.priority]
    let chain = keys.get(entry.key)
    if (chain === undefined) keys.set(entry.key, (chain = new Chain()))
    chain.append(entry)
    this.#size++
  }

  /** Puts an entry before all that were never started. */
  again(entry: E): void {
    this.#again.append(entry)
    this.#size++
  }

  /** Takes out the next one. */
  take(): E | undefined {
    const entry = this.#again.first ?? this.#turn()
    if (entry !== undefined) this.remove(entry as E)
    return entry as E | undefined
  }

  /** Takes the entry out, wherever it stands; false when it does not wait. */
  remove(entry: E): boolean {
    const { chain } = entry
    if (chain === undefined) return false
    chain.remove(entry)
    this.#size--
    if (chain !== this.#again && chain.first === undefined) this.#keys[entry.priority].delete(entry.key)
    return true
  }

  /** Takes out everybody, those that are next first. */
  clear(): ReadonlyArray<E> {
    const all: Array<E> = []
    for (let entry = this.take(); entry !== undefined; entry = this.take()) all.push(entry)
    return all
  }

  #turn(): Entry | undefined {
    const { batch, interactive } = this.#keys
    const batchFirst = batch.size > 0 && (interactive.size === 0 || this.#run >= interactiveRun)
    this.#run = batchFirst || batch.size === 0 ? 0 : this.#run + 1
    const keys = batchFirst ? batch : interactive
    const [turn] = keys
    if (turn === undefined) return undefined
    const [key, chain] = turn
    keys.delete(key)
    keys.set(key, chain)
    return chain.first
  }
}
