/**
 * The counters of the store: the last id of each kind, and the ledger's totals.
 * They are written with the boot's row in every round, in the transaction of
 * what they count, so they can't disagree with it after a crash, and they stand
 * when the counted rows are compacted away.
 */
import { endings, type Ended, endedText, type Ending } from "../../../Message.ts"

/** Last ids handed out, and what was counted since the store was made. */
export interface Counters {
  seq: number
  conversation: number
  session: number
  turn: number
  reply: number
  post: number
  permission: number
  notice: number
  accepted: number
  /** Ended messages by ending with its reason, for example `dropped(old)`. */
  readonly ends: Record<string, number>
  readonly posts: { accepted: number; sent: number; undeliverable: number; unknown: number }
  /** Ended turns by state. */
  readonly turns: Record<string, number>
  /** Boots by how the one before ended. */
  readonly boots: Record<string, number>
}

/** The counters of an empty store. */
export const empty = (): Counters => ({
  seq: 0,
  conversation: 0,
  session: 0,
  turn: 0,
  reply: 0,
  post: 0,
  permission: 0,
  notice: 0,
  accepted: 0,
  ends: {},
  posts: { accepted: 0, sent: 0, undeliverable: 0, unknown: 0 },
  turns: {},
  boots: {}
})

/** A copy to work on: a round that fails leaves the original as it was. */
export const copy = (counters: Counters): Counters => ({
  ...counters,
  ends: { ...counters.ends },
  posts: { ...counters.posts },
  turns: { ...counters.turns },
  boots: { ...counters.boots }
})

/** Reads what `JSON.stringify` wrote; fields that an older version did not write are zero. */
export const decode = (text: string): Counters => ({ ...empty(), ...(JSON.parse(text) as Partial<Counters>) })

// Reasons come from callers: more of them than this share the ending's own line.
const maxDetails = 256

/** Counts `count` more of a key. */
export const bump = (record: Record<string, number>, key: string, count: number): void => {
  record[key] = (record[key] ?? 0) + count
}

/** Counts messages that ended. */
export const countEnds = (counters: Counters, ended: Ended, count: number): void => {
  const key = endedText(ended)
  const known = key in counters.ends || Object.keys(counters.ends).length < maxDetails
  bump(counters.ends, known ? key : ended.ending, count)
}

/** The ends by ending alone. */
export const endsByEnding = (detail: Readonly<Record<string, number>>): Record<Ending, number> => {
  const sums = Object.fromEntries(endings.map((ending) => [ending, 0])) as Record<Ending, number>
  for (const [key, count] of Object.entries(detail)) {
    const bracket = key.indexOf("(")
    const ending = (bracket === -1 ? key : key.slice(0, bracket)) as Ending
    sums[ending] = (sums[ending] ?? 0) + count
  }
  return sums
}
