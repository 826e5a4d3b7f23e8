/**
 * One conversation's lane: which of its replies are owed, in which order, and
 * from when on. It holds a few rows as a cache over the journal and reads on from
 * there; a conversation to which nothing is owed has no lane. Synchronous.
 */
import type * as Effect from "effect/Effect"
import type { ReplyRow } from "../../Journal.ts"
import type { Conversation } from "../../Message.ts"
import { Deadline } from "../Deadlines.ts"
import { Lane } from "../Lanes.ts"
import type { Port } from "./port.ts"

/** Most rows, and UTF-16 code units of text, that a lane keeps in memory; one row may be longer. */
export const cacheRows = 16
const cacheLength = 131_072

/** A deadline that calls back. */
export class Alarm extends Deadline {
  readonly fire: () => void
  constructor(fire: () => void) {
    super()
    this.fire = fire
  }
}

/** What stands in the place of a running turn's answer, and what is to be shown in it. */
export interface Placeholder {
  readonly turn: number
  row: ReplyRow
  text: string | undefined
  /** The other side refused it, or its turn's row is gone: nothing is shown. */
  lost: boolean
  /** Its attempt is over and another follows: what is shown now is all, until that one begins. */
  readonly over: boolean
}

/** What a lane does next. */
export type Task =
  | { readonly _tag: "Reply"; readonly row: ReplyRow }
  | { readonly _tag: "Place"; readonly placeholder: Placeholder }
  | { readonly _tag: "Show"; readonly placeholder: Placeholder; readonly text: string; readonly remoteId: string }
  | { readonly _tag: "Read" }

/** What the outbox does with a lane; see {@link Lane}. */
export interface Driver {
  readonly granted: (lane: ConversationLane) => boolean
  readonly begin: (lane: ConversationLane) => Effect.Effect<void>
  readonly ended: (lane: ConversationLane) => void
  readonly due: (lane: ConversationLane) => void
}

export class ConversationLane extends Lane<never> {
  readonly key: string
  readonly conversation: number
  readonly address: Conversation
  readonly port: Port
  readonly alarm: Alarm
  /** Owed rows by id, from the first one on; all of them unless `more`. */
  rows: Array<ReplyRow> = []
  /** The journal may owe rows that are not in `rows`. */
  more = false
  /** Placeholders of running turns by the number of their row. */
  readonly placeholders = new Map<number, Placeholder>()
  /** Nothing is sent before this, in monotonic milliseconds: a backoff or a throttle. */
  notBefore = -Infinity
  /** The row whose stored wait is `notBefore` already. */
  waitsFor: number | undefined = undefined
  /** The row whose marks went ahead of it. */
  announced: number | undefined = undefined
  /** Tries that failed in a row. */
  failures = 0
  /** When the first try failed since something last got through, in monotonic milliseconds. */
  failingSince: number | undefined = undefined
  /** When a running turn's text was last shown. */
  shownAt = -Infinity
  readonly #driver: Driver

  constructor(key: string, conversation: number, address: Conversation, port: Port, driver: Driver) {
    super()
    this.key = key
    this.conversation = conversation
    this.address = address
    this.port = port
    this.#driver = driver
    this.alarm = new Alarm(() => driver.due(this))
  }

  granted() {
    return this.#driver.granted(this)
  }

  begin() {
    return this.#driver.begin(this)
  }

  ended() {
    this.#driver.ended(this)
  }

  /** The row became visible or due. A row that is known already is replaced. */
  offer(row: ReplyRow) {
    this.placeholders.delete(row.id)
    if (this.replace(row)) return
    const last = this.rows.at(-1)
    if (this.more && (last === undefined || row.id > last.id)) return
    const at = this.rows.findIndex((other) => other.id > row.id)
    this.rows.splice(at === -1 ? this.rows.length : at, 0, row)
    let length = this.rows.reduce((sum, other) => sum + other.reply.text.length, 0)
    while (this.rows.length > cacheRows || (length > cacheLength && this.rows.length > 1)) {
      length -= this.rows.pop()?.reply.text.length ?? 0
      this.more = true
    }
  }

  /** The first owed rows as the journal has them, and what was rung while they were being read. */
  refill(page: ReadonlyArray<ReplyRow>) {
    const { rows: rung, more } = this
    this.rows = []
    this.more = false
    for (const row of page) this.offer(row)
    this.more ||= more || page.length === cacheRows
    for (const row of rung) this.offer(row)
  }

  /** The row as it is now; `false` when the lane doesn't hold it. */
  replace(row: ReplyRow): boolean {
    const placeholder = this.placeholders.get(row.id)
    if (placeholder !== undefined) placeholder.row = row
    const at = this.rows.findIndex((other) => other.id === row.id)
    if (at !== -1) this.rows[at] = row
    return at !== -1 || placeholder !== undefined
  }

  /** The row is not owed any more. */
  remove(row: number) {
    this.rows = this.rows.filter((other) => other.id !== row)
    if (this.announced === row) this.announced = undefined
    if (this.waitsFor === row) this.waitsFor = undefined
  }

  /** What comes next, in the order of the rows; what is only shown comes last. */
  next(now: number, showEvery: number): Task | undefined {
    const head = this.rows[0]
    if (head === undefined && this.more) return { _tag: "Read" }
    const placeholder = this.#unplaced()
    if (placeholder !== undefined && (head === undefined || placeholder.row.id < head.id)) {
      return { _tag: "Place", placeholder }
    }
    if (head !== undefined) return { _tag: "Reply", row: head }
    return now < this.shownAt + showEvery ? undefined : this.#shown()
  }

  /** When there is something to do, in monotonic milliseconds; infinite when there is nothing. */
  due(showEvery: number): number {
    if (this.rows.length > 0 || this.more || this.#unplaced() !== undefined) return this.notBefore
    return this.#shown() === undefined ? Infinity : Math.max(this.notBefore, this.shownAt + showEvery)
  }

  /** Nothing is owed, shown or remembered. */
  empty(now: number): boolean {
    return this.rows.length === 0 && !this.more && this.placeholders.size === 0 && this.notBefore <= now
  }

  #unplaced(): Placeholder | undefined {
    let first: Placeholder | undefined
    for (const placeholder of this.placeholders.values()) {
      if (placeholder.lost || placeholder.row.remoteId !== undefined) continue
      if (first === undefined || placeholder.row.id < first.row.id) first = placeholder
    }
    return first
  }

  #shown(): Task | undefined {
    for (const placeholder of this.placeholders.values()) {
      const { text, row } = placeholder
      if (text !== undefined && row.remoteId !== undefined && !placeholder.lost) {
        return { _tag: "Show", placeholder, text, remoteId: row.remoteId }
      }
    }
    return undefined
  }
}
