/**
 * Sessions of a conversation by their names: found, made, and made the current one.
 * Memory follows at once, so that a message of the same round is of the new one.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Round } from "../writer/round.ts"
import type { SessionRecord } from "../store/rows.ts"
import { ids } from "../store/statements.ts"

interface Named {
  readonly id: number
}

/** The session of a conversation that has this name. */
export const named = (round: Round, conversation: number, name: string) =>
  Effect.map(
    round.query<Named>(`select id from sluice_sessions where conversation = ? and name = ? and forgotten is null`, [
      conversation,
      name
    ]),
    (rows) => rows[0]?.id
  )

/** The current sessions of conversations; memory has those of most. */
export const currentSessions = Effect.fnUntraced(function* (
  round: Round,
  conversations: Iterable<number>
): Effect.fn.Return<ReadonlyMap<number, number>, SqlError> {
  const found = new Map<number, number>()
  const missing = new Set<number>()
  for (const id of conversations) {
    const known = round.memory.conversations.byId(id)
    if (known === undefined) missing.add(id)
    else found.set(id, known.session)
  }
  if (missing.size === 0) return found
  const rows = yield* round.query<{ readonly id: number; readonly session: number }>(
    `select id, session from sluice_conversations where id in (select value from json_each(?))`,
    [ids(missing)]
  )
  for (const { id, session } of rows) found.set(id, session)
  return found
})

/** A session beside another one of its conversation. */
export const makeSession = Effect.fnUntraced(function* (
  round: Round,
  like: SessionRecord,
  name: string,
  persona: string
): Effect.fn.Return<number, SqlError> {
  const id = ++round.counters.session
  yield* round.query(`insert into sluice_sessions (id, conversation, name, persona, last_active) values (?,?,?,?,?)`, [
    id,
    like.conversation,
    name,
    persona,
    round.now
  ])
  return id
})

/** From now on what is said in the conversation is of this session. */
export const makeCurrent = Effect.fnUntraced(function* (
  round: Round,
  conversation: number,
  session: number
): Effect.fn.Return<void, SqlError> {
  const [row] = yield* round.query<{ readonly session: number }>(
    `select session from sluice_conversations where id = ?`,
    [conversation]
  )
  yield* round.query(`update sluice_conversations set session = ? where id = ?`, [session, conversation])
  yield* round.query(`update sluice_sessions set archived = 0, archived_at = null where id = ?`, [session])
  round.memory.sessions.forget(session)
  if (row !== undefined) round.memory.sessions.forget(row.session)
  const known = round.memory.conversations.byId(conversation)
  if (known === undefined) return
  const before = known.session
  known.session = session
  round.undo.push(() => {
    known.session = before
  })
})
