/**
 * Values of sessions: what an agent keeps, and the typed data of a host. Each
 * change reads and writes in one transaction of the writer, so that two that meet
 * are one after the other and none is lost; a crash leaves the old value or the
 * new one.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { SqlError } from "effect/sql/SqlError"
import { conversationKey } from "../../../Message.ts"
import { resolve } from "./addresses.ts"
import type { Query } from "../store/database.ts"
import { type Entry, succeed } from "../writer/entries.ts"
import type { ValuePlace } from "../records.ts"
import type { Round } from "../writer/round.ts"

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

/** A value by its place. */
export const valueAt = (query: Query, place: ValuePlace, key: string): Effect.Effect<string | undefined, SqlError> =>
  typeof place === "number"
    ? valueOf(query, place, key)
    : Effect.map(
        query<{ readonly value: string }>(
          `select v.value from sluice_conversations c join sluice_sessions s on s.conversation = c.id and s.name = ?
           join sluice_values v on v.session = s.id and v.key = ? where c.key = ?`,
          [place.name, key, conversationKey(place.address)]
        ),
        ([row]) => row?.value
      )

/** Gives a session the host's data of another one. */
export const copyData = (query: Query, from: number, to: number) =>
  query.change(
    `insert into sluice_values (session, key, value)
     select ?, key, value from sluice_values where session = ? and key >= 'data/' and key < 'data0'`,
    [to, from]
  )

/** The session of a place; a conversation that has not begun begins. */
const sessionAt = Effect.fnUntraced(function* (
  round: Round,
  { input: { place }, at }: Entry<"keep">
): Effect.fn.Return<number | undefined, SqlError> {
  if (typeof place !== "number") {
    const key = conversationKey(place.address)
    if (round.memory.conversations.use(key) === undefined) yield* resolve(round, new Map([[key, place.address]]), at)
  }
  const [found] = yield* typeof place === "number"
    ? round.query<{ readonly id: number }>(`select id from sluice_sessions where id = ? and forgotten is null`, [place])
    : round.query<{ readonly id: number }>(
        `select s.id from sluice_conversations c join sluice_sessions s on s.conversation = c.id and s.name = ?
         where c.key = ? and s.forgotten is null`,
        [place.name, conversationKey(place.address)]
      )
  return found?.id
})

const changed = ({ input }: Entry<"keep">, stored: string | undefined): Exit.Exit<string | undefined> => {
  try {
    return Exit.succeed(input.change(stored))
  } catch (defect) {
    return Exit.die(defect)
  }
}

/** Writes a round's values, one after the other: each sees what the one before left. */
export const writeValues = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"keep">>
): Effect.fn.Return<void, SqlError> {
  const { query } = round
  for (const entry of entries) {
    const { key } = entry.input
    const session = yield* sessionAt(round, entry)
    if (session === undefined) {
      succeed(entry, false)
      continue
    }
    const stored = yield* valueOf(query, session, key)
    const next = changed(entry, stored)
    if (Exit.isFailure(next)) {
      entry.outcome = Exit.failCause(next.cause)
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
    succeed(entry, true)
  }
})
