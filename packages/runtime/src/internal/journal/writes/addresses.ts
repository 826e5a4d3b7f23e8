/**
 * From addresses to conversations: those that memory knows, those that the store
 * knows, and new ones, which get their main session with them.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { type Conversation, mainSession } from "../../../Message.ts"
import type { Known } from "../writer/conversations.ts"
import type { Query, Value } from "../store/database.ts"
import type { Round } from "../writer/round.ts"
import { insert, insertAll } from "../store/statements.ts"

/** A conversation's row, as it is read. */
export interface ConversationRecord {
  readonly id: number
  readonly key: string
  readonly channel: string
  readonly account: string
  readonly peer: string
  readonly thread: string
  readonly session: number
  readonly number: number
}

/** The address in a conversation's row. */
export const addressOf = (row: Pick<ConversationRecord, "channel" | "account" | "peer" | "thread">): Conversation => ({
  channel: row.channel,
  account: row.account,
  peer: row.peer,
  thread: row.thread
})

const insertConversations = insert("sluice_conversations", [
  "id",
  "key",
  "channel",
  "account",
  "peer",
  "thread",
  "session",
  "number",
  "created_at"
])

const insertSessions = insert("sluice_sessions", ["id", "conversation", "name", "last_active"])

/** Makes the conversations of these addresses known to the round's memory; at most a few statements in all. */
export const resolve = Effect.fnUntraced(function* (
  round: Round,
  wanted: ReadonlyMap<string, Conversation>,
  at: number
): Effect.fn.Return<void, SqlError> {
  const {
    counters,
    memory: { conversations }
  } = round
  const missing = new Map(wanted)
  const stored = yield* round.query<ConversationRecord>(
    `select id, key, channel, account, peer, thread, session, number from sluice_conversations
     where key in (select value from json_each(?))`,
    [JSON.stringify([...wanted.keys()])]
  )
  for (const row of stored) {
    missing.delete(row.key)
    conversations.keep(
      { id: row.id, key: row.key, address: addressOf(row), session: row.session, number: row.number, tail: undefined },
      at
    )
  }
  if (missing.size === 0) return
  const rows: Array<Value> = []
  const mains: Array<Value> = []
  for (const [key, address] of missing) {
    const known: Known = {
      id: ++counters.conversation,
      key,
      address,
      session: ++counters.session,
      number: 0,
      tail: undefined
    }
    rows.push(
      known.id,
      key,
      address.channel,
      address.account,
      address.peer,
      address.thread,
      known.session,
      0,
      round.now
    )
    mains.push(known.session, known.id, mainSession, round.now)
    conversations.keep(known, at)
    round.undo.push(() => conversations.forget(known))
  }
  yield* insertAll(round.query, insertConversations, rows)
  yield* insertAll(round.query, insertSessions, mains)
})

const firstChannel = (query: Query, from: string) =>
  Effect.map(
    query<{ readonly key: string }>(`select key from sluice_conversations where key >= ? order by key limit 1`, [from]),
    ([row]) => {
      // `http/kim`, `mail@team/kim`
      const at = row?.key.search(/[/@]/) ?? -1
      if (row === undefined || at < 0) return undefined
      const name = row.key.slice(0, at)
      return { name, behind: name + String.fromCharCode(row.key.charCodeAt(at) + 1) }
    }
  )

/** Names of the channels that have conversations: a look or two at the index of keys for each, however many they have. */
export const channels = Effect.fnUntraced(function* (query: Query): Effect.fn.Return<ReadonlySet<string>, SqlError> {
  const names = new Set<string>()
  for (
    let found = yield* firstChannel(query, "");
    found !== undefined;
    found = yield* firstChannel(query, found.behind)
  ) {
    names.add(found.name)
  }
  return names
})
