/**
 * Values of sessions: what an agent keeps, and the typed data of a host. Each
 * change reads and writes in one transaction of the writer, so that two that meet
 * are one after the other and none is lost; a crash leaves the old value or the
 * new one.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { SqlError } from "effect/sql/SqlError"
import type { Query } from "./database.ts"
import { type Entry, succeed } from "./entries.ts"
import type { Round } from "./round.ts"

/** Key of what an agent keeps. */
export const keptKey = (agent: string): string => `kept/${agent}`

/** Key of a host's data. */
export const dataKey = (key: string): string => `data/${key}`

/** A session's value. */
export const valueOf = (query: Query, session: number, key: string): Effect.Effect<string | undefined, SqlError> =>
  Effect.map(
    query<{ readonly value: string }>(`select value from sluice_values where session = ? and key = ?`, [session, key]),
    ([row]) => row?.value
  )

const changed = ({ input }: Entry<"keep">, stored: string | undefined): Exit.Exit<string | undefined> => {
  try {
    return Exit.succeed(input.change(stored))
  } catch (defect) {
    return Exit.die(defect)
  }
}

/** Writes a round's values, one after the other: each sees what the one before left. */
export const writeValues = Effect.fnUntraced(function* (
  { query }: Round,
  entries: ReadonlyArray<Entry<"keep">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const { key, session } = entry.input
    const stored = yield* valueOf(query, session, key)
    const next = changed(entry, stored)
    if (Exit.isFailure(next)) {
      entry.outcome = next
      continue
    }
    const { value } = next
    if (value === undefined) {
      if (stored !== undefined) {
        yield* query.change(`delete from sluice_values where session = ? and key = ?`, [session, key])
      }
    } else if (value !== stored) {
      yield* query.change(
        `insert into sluice_values (session, key, value) values (?,?,?)
         on conflict (session, key) do update set value = excluded.value`,
        [session, key, value]
      )
    }
    succeed(entry, undefined)
  }
})
