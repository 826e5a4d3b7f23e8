/**
 * The conversations that memory knows: id, current session, and the last message
 * that still waits (what decides whether the next one joins its burst). A bounded
 * cache over rows: a conversation that is not here is read again, and one whose
 * burst is still open is the last to be forgotten.
 */
import type { Conversation } from "../../../Message.ts"
import type { Tail } from "../writes/bursts.ts"

/** The last message of a session, while it waits. */
export interface WaitingTail extends Tail {
  readonly session: number
  readonly seq: number
  /** Monotonic milliseconds of its arrival. */
  readonly at: number
}

/** One conversation. */
export interface Known {
  readonly id: number
  readonly key: string
  readonly address: Conversation
  /** Its current session. */
  session: number
  /** Last number of its replies. */
  number: number
  tail: WaitingTail | undefined
}

/**
 * How far a map may grow over its limit before what is too much is forgotten, all of it at once: a map keeps the places
 * of what was deleted for a while, and each search for its oldest entry walks over all of them.
 */
export const slackOf = (limit: number): number => Math.max(64, limit >> 4)

/** See the header. */
export class Conversations {
  readonly #byKey = new Map<string, Known>()
  readonly #byId = new Map<number, Known>()
  readonly #limit: number
  /** At this size some are forgotten. */
  #fullAt: number

  constructor(limit: number) {
    this.#limit = limit
    this.#fullAt = limit + slackOf(limit)
  }

  get size(): number {
    return this.#byKey.size
  }

  /** By key, without counting as a use. */
  peek(key: string): Known | undefined {
    return this.#byKey.get(key)
  }

  /** By number, without counting as a use. */
  byId(id: number): Known | undefined {
    return this.#byId.get(id)
  }

  /** By key; it becomes the most recently used one. */
  use(key: string): Known | undefined {
    const known = this.#byKey.get(key)
    if (known !== undefined && this.#byKey.size >= this.#limit / 2) {
      this.#byKey.delete(key)
      this.#byKey.set(key, known)
    }
    return known
  }

  /** Keeps a conversation; forgets others when they are too many. `at`: monotonic milliseconds. */
  keep(known: Known, at: number): void {
    this.#byKey.set(known.key, known)
    this.#byId.set(known.id, known)
    if (this.#byKey.size > this.#fullAt) this.#shrink(at)
  }

  /** Forgets a conversation. */
  forget(known: Known): void {
    this.#byKey.delete(known.key)
    this.#byId.delete(known.id)
  }

  /** Messages of a session stopped waiting: the next one opens a burst if the last was among them. */
  settled(conversation: number, seqs: ReadonlySet<number>, undo: Array<() => void>): void {
    const tail = this.#byId.get(conversation)?.tail
    if (tail !== undefined && seqs.has(tail.seq)) this.cut(conversation, undo)
  }

  /** The next message of a conversation opens a burst. */
  cut(conversation: number, undo: Array<() => void>): void {
    const known = this.#byId.get(conversation)
    const tail = known?.tail
    if (known === undefined || tail === undefined) return
    known.tail = undefined
    undo.push(() => {
      known.tail = tail
    })
  }

  #shrink(at: number): void {
    // Oldest first. An open burst is kept as long as there are not five times too many.
    const most = this.#limit * 5
    const slack = slackOf(this.#limit)
    let looked = 0
    for (const known of this.#byKey.values()) {
      if (this.#byKey.size <= this.#limit || ++looked > 2 * slack) break
      const { tail } = known
      const open = tail !== undefined && at - tail.at < Math.min(tail.quiet, tail.atMost)
      if (!open || this.#byKey.size > most) this.forget(known)
    }
    this.#fullAt = Math.max(this.#limit, this.#byKey.size) + slack
  }
}
