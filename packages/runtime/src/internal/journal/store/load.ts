/**
 * The rows that a round works with, read with one statement a table. The writer
 * is alone in its transaction, so what is read here stands until the commit.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Query } from "./database.ts"
import {
  inboundColumns,
  type InboundRecord,
  replyColumns,
  type ReplyRecord,
  sessionColumns,
  type SessionRecord,
  turnColumns,
  type TurnRecord
} from "./rows.ts"
import { ids } from "./statements.ts"

type Loaded<A> = Effect.Effect<Map<number, A>, SqlError>

const among = <A extends object>(
  query: Query,
  statement: string,
  keys: Iterable<number>,
  keyOf: (row: A) => number
): Loaded<A> => {
  const list = ids(keys)
  return list === "[]"
    ? Effect.sync(() => new Map<number, A>())
    : Effect.map(query<A>(statement, [list]), (rows) => new Map(rows.map((row) => [keyOf(row), row])))
}

/** Messages by seq. */
export const loadInbound = (query: Query, seqs: Iterable<number>): Loaded<InboundRecord> =>
  among<InboundRecord>(
    query,
    `select ${inboundColumns} from sluice_inbound i join sluice_conversations c on c.id = i.conversation
     where i.seq in (select value from json_each(?))`,
    seqs,
    (row) => row.seq
  )

/** Sessions by number. */
export const loadSessions = (query: Query, sessions: Iterable<number>): Loaded<SessionRecord> =>
  among<SessionRecord>(
    query,
    `select ${sessionColumns} from sluice_sessions s join sluice_conversations c on c.id = s.conversation
     where s.id in (select value from json_each(?))`,
    sessions,
    (row) => row.id
  )

/** Turns by number. */
export const loadTurns = (query: Query, turns: Iterable<number>): Loaded<TurnRecord> =>
  among<TurnRecord>(
    query,
    `select ${turnColumns} from sluice_turns t where t.id in (select value from json_each(?))`,
    turns,
    (row) => row.id
  )

/** The open turn of each of these sessions. */
export const loadOpenTurns = (query: Query, sessions: Iterable<number>): Loaded<TurnRecord> =>
  among<TurnRecord>(
    query,
    `select ${turnColumns} from sluice_turns t
     where t.ended_at is null and t.session in (select value from json_each(?))`,
    sessions,
    (row) => row.session
  )

/** Replies by row. */
export const loadReplies = (query: Query, replies: Iterable<number>): Loaded<ReplyRecord> =>
  among<ReplyRecord>(
    query,
    `select ${replyColumns} from sluice_replies r join sluice_conversations c on c.id = r.conversation
     where r.id in (select value from json_each(?))`,
    replies,
    (row) => row.id
  )
