/**
 * How long a reply has been waiting. Its commit is stored as wall time, and the
 * wall clock may jump by an hour or a year; so jumps are noticed against the
 * monotonic clock and taken off the age of the rows that were committed before
 * them. (A jump while the process was down can't be told from a long pause: verdict.ts
 * gives nothing up for its age alone.)
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

export interface Ages {
  /** Called once with each reply as the journal hands it over, in the order of the commits. */
  readonly saw: (row: number) => void
  /** Milliseconds since the row's commit; never negative. */
  readonly of: (row: { readonly id: number; readonly reply: { readonly createdAt: number } }) => number
}

/** A difference between the clocks that is more than drift. */
const jumpAtLeast = 60_000
/** Jumps kept apart; older ones are merged, their rows are long gone. */
const kept = 16
/** Placeholders that got their text after a jump; the replies of older ones have long been sent. */
const keptFilled = 4096

export const make: Effect.Effect<Ages> = Effect.map(Clock.Clock, (clock) => {
  const offset = () => clock.currentTimeMillisUnsafe() - Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const jumps: Array<{ upTo: number; by: number }> = []
  /** Rows that are older than their text (placeholders), with the jumps before that: none of them is of their age. */
  const filled = new Map<number, number>()
  let known = offset()
  let newest = 0
  let total = 0

  const look = () => {
    const by = offset() - known
    if (Math.abs(by) < jumpAtLeast) return
    known += by
    total += by
    jumps.push({ upTo: newest, by })
    if (jumps.length > kept) {
      const [first, second] = jumps.splice(0, 2)
      if (first !== undefined && second !== undefined) {
        jumps.unshift({ upTo: second.upTo, by: first.by + second.by })
      }
    }
  }

  return {
    saw: (row) => {
      look()
      if (row > newest) newest = row
      else if (jumps.length > 0) {
        filled.set(row, total)
        const [oldest] = filled.keys()
        if (filled.size > keptFilled && oldest !== undefined) filled.delete(oldest)
      }
    },
    of: (row) => {
      look()
      const before = filled.get(row.id)
      const jumped =
        before === undefined
          ? jumps.reduce((sum, jump) => (row.id <= jump.upTo ? sum + jump.by : sum), 0)
          : total - before
      return Math.max(0, clock.currentTimeMillisUnsafe() - row.reply.createdAt - jumped)
    }
  }
})
