/**
 * What was said in a session, oldest first: every message that is no command, with
 * how it ended, and each answer after the last message that it answers. The numbers
 * of the messages are read at once and their texts in pages, so that a long session
 * neither holds up everybody else nor stands in memory whole.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Attachment, Ended, Ending } from "../../../Message.ts"
import type { Query } from "../store/database.ts"
import { loadInbound, loadReplies, loadSessions, loadTurns } from "../store/load.ts"
import type { Row, SessionRow } from "../records.ts"
import { attachmentsOf, numbers, rowOf, sessionOf } from "../store/rows.ts"
import { ids } from "../store/statements.ts"

/** The messages of a session by their numbers. */
export interface Outline {
  readonly session: SessionRow
  /** In order; the newest ones where there are more than an outline holds. */
  readonly seqs: ReadonlyArray<number>
  readonly isCut: boolean
  /** Something runs or waits in it: there is more to come. */
  readonly busy: boolean
  /** The highest number of any message of the store. */
  readonly upTo: number
}

/** One message, and the answer that followed it. */
export interface Said {
  readonly row: Row
  readonly ended: Ended | undefined
  readonly answer:
    | { readonly text: string; readonly at: number; readonly attachments: ReadonlyArray<Attachment> }
    | undefined
}

/** Messages of one outline: more would take long to look up, and nobody reads them. */
const most = 100_000

/** The outline of a session; `undefined` when there is none, or when it was forgotten. */
export const outline = Effect.fnUntraced(function* (
  query: Query,
  id: number,
  limit = most
): Effect.fn.Return<Outline | undefined, SqlError> {
  const [kept] = yield* query(`select 1 as kept from sluice_sessions where id = ? and forgotten is null`, [id])
  const session = kept === undefined ? undefined : (yield* loadSessions(query, [id])).get(id)
  if (session === undefined) return undefined
  // By the index of the conversation: its rows, and no text of any.
  const found = yield* query<{ readonly seq: number }>(
    `select seq from sluice_inbound where conversation = ? and session = ? and command = 0 order by seq desc limit ?`,
    [session.conversation, id, limit + 1]
  )
  const [at] = yield* query<{ readonly seq: number | null; readonly busy: number }>(
    `select max(seq) as seq,
       exists (select 1 from sluice_turns where session = ? and ended_at is null)
       or exists (select 1 from sluice_inbound where session = ? and turn is null and ending is null and command = 0)
       as busy from sluice_inbound`,
    [id, id]
  )
  const seqs = found.map(({ seq }) => seq).slice(0, limit)
  return {
    session: sessionOf(session),
    seqs: seqs.reverse(),
    isCut: found.length > limit,
    busy: at?.busy === 1,
    upTo: at?.seq ?? 0
  }
})

/** The number of a session by its name in a conversation; without a name that of the current one. */
export const sessionNamed = (query: Query, key: string, name: string | undefined) =>
  Effect.map(
    query<{ readonly id: number }>(
      `select s.id from sluice_conversations c join sluice_sessions s on s.conversation = c.id
       where c.key = ? and s.forgotten is null and ${name === undefined ? "s.id = c.session" : "s.name = ?"}`,
      name === undefined ? [key] : [key, name]
    ),
    ([row]) => row?.id
  )

/** Whether anything runs, waits, or came after `upTo` in a session. */
export const isBusy = Effect.fnUntraced(function* (
  query: Query,
  session: number,
  upTo: number
): Effect.fn.Return<boolean, SqlError> {
  const rows = yield* query(
    `select 1 as busy from sluice_turns where session = ? and ended_at is null
     union all select 1 from sluice_inbound where session = ? and turn is null and ending is null and command = 0
     union all select 1 from sluice_inbound where seq > ? and +session = ? and command = 0 limit 1`,
    [session, session, upTo, session]
  )
  return rows.length > 0
})

/** These messages with their answers, in order. */
export const said = Effect.fnUntraced(function* (
  query: Query,
  seqs: ReadonlyArray<number>
): Effect.fn.Return<ReadonlyArray<Said>, SqlError> {
  const messages = yield* loadInbound(query, seqs)
  const turns = yield* loadTurns(
    query,
    [...messages.values()].flatMap(({ turn }) => turn ?? [])
  )
  const last = new Map([...turns.values()].map((turn) => [Math.max(...numbers(turn.seqs)), turn]))
  const ending = seqs.flatMap((seq) => last.get(seq) ?? [])
  const replies = yield* loadReplies(
    query,
    ending.flatMap((turn) => numbers(turn.replies))
  )
  const wholes = new Map(
    (yield* query<{ readonly id: number; readonly whole: string }>(
      `select id, whole from sluice_replies where id in (select value from json_each(?)) and whole is not null`,
      [ids(replies.keys())]
    )).map(({ id, whole }) => [id, whole])
  )
  return seqs.flatMap((seq): ReadonlyArray<Said> => {
    const row = messages.get(seq)
    if (row === undefined) return []
    const turn = last.get(seq)
    const parts = numbers(turn?.replies ?? null).flatMap((id) => {
      const part = replies.get(id)
      return part === undefined || part.kind !== "answer" ? [] : [part]
    })
    const [whole] = parts.flatMap(({ id }) => wholes.get(id) ?? [])
    const texts = parts.map((part) => part.text).filter((part) => part !== "")
    const text = whole ?? texts.join("\n")
    const attachments = parts.flatMap((part) => attachmentsOf(part.attachments))
    const answered = text !== "" || attachments.length > 0
    return [
      {
        row: rowOf(row),
        ended: row.ending === null ? undefined : { ending: row.ending as Ending, why: row.why ?? "" },
        answer: answered ? { text, at: parts[0]?.created_at ?? row.accepted_at, attachments } : undefined
      }
    ]
  })
})
