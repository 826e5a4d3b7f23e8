/**
 * What the store lets go, a bounded piece a round. Four settings: the ledger's
 * rows, the text of archived sessions, the claim on attachments' files, and dead
 * letters. What a session needs to resume stays while it is not archived. The
 * totals were counted when the rows were written, so the ledger balances before
 * and after. A row that answers repeats goes only when 8 days have passed on the
 * wall and 8 ticks of 24 h in uptime, so that no jump of a clock forgets it.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { bodyDigest } from "./admit.ts"
import type { Query } from "../store/database.ts"
import type { Retention } from "../reads/reports.ts"
import type { Round } from "../writer/round.ts"
import { ids, update, updateAll } from "../store/statements.ts"

/** Days and ticks for which an id is recognised, whatever the settings say. */
export const dedupeDays = 8
/** Uptime of one tick, milliseconds. */
export const tickMillis = 86_400_000

/** The settings in milliseconds. */
export interface RetentionMillis {
  readonly ledger: number
  readonly transcript: number
  readonly attachments: number
  readonly deadLetters: number
}

const days = (count: number): number => count * 86_400_000

/** The settings, with their defaults: 90 days for the ledger and for texts, 30 for files and dead letters. */
export const retentionOf = (retention: Partial<Retention> | undefined): RetentionMillis => {
  const millis = (setting: Duration.Input | undefined, fallback: number): number =>
    setting === undefined ? fallback : Duration.toMillis(setting)
  return {
    ledger: millis(retention?.ledger, days(90)),
    transcript: millis(retention?.transcript, days(90)),
    attachments: millis(retention?.attachments, days(30)),
    deadLetters: millis(retention?.deadLetters, days(30))
  }
}

/** What a pass goes through, in this order: turns go after their messages, replies after their turns. */
const tables = [
  "sluice_inbound",
  "sluice_turns",
  "sluice_replies",
  "sluice_posts",
  "sluice_permissions",
  "sluice_notices",
  "sluice_sessions"
]

/** Where a pass stands: the table, and the last id that was looked at. */
export interface Place {
  readonly table: number
  readonly after: number
}

/** Where a pass begins. */
export const firstPlace: Place = { table: 0, after: 0 }

/** What one round let go, and where the next one goes on; `undefined` at the end of the pass. */
export interface Piece {
  readonly rows: number
  readonly next: Place | undefined
}

// Rows that one round looks at, and bytes of the messages among them, whose texts it may have to read.
const window = 2000
const windowBytes = 8 * 1024 * 1024

/** What the rules of a round are measured against. */
interface Limits {
  readonly after: number
  readonly upTo: number
  readonly ledger: number
  readonly transcript: number
  readonly attachments: number
  readonly deadLetters: number
  readonly dedupe: number
  readonly tick: number
}

// Ended messages that no session needs any more: those of archived ones, and those that never reached an agent.
const letGo = `i.ending is not null and (s.archived = 1 and coalesce(s.archived_at, 0) < ? or i.turn is null)
  and not exists (select 1 from sluice_untold u where u.session = i.session and u.seq = i.seq)`

const dropTexts = update("sluice_inbound", ["seq", "digest"], { text: "''", sender: "''" })

/** The text goes, its fingerprint stays: a repeat with another body is still told from a plain repeat. */
const letTextGo = Effect.fnUntraced(function* (query: Query, limits: Limits): Effect.fn.Return<number, SqlError> {
  const rows = yield* query<{
    readonly seq: number
    readonly sender: string
    readonly text: string
    readonly attachments: string | null
  }>(
    `select i.seq, i.sender, i.text, i.attachments from sluice_inbound i join sluice_sessions s on s.id = i.session
     where i.seq > ? and i.seq <= ? and ${letGo} and i.ended_at < ? and i.digest is null`,
    [limits.after, limits.upTo, limits.transcript, limits.transcript]
  )
  yield* updateAll(
    query,
    dropTexts,
    rows.flatMap((row) => [row.seq, bodyDigest(row)])
  )
  return rows.length
})

/** What fell at a cap is told with the next turn; an archived session whose texts go has none. */
const letUntoldGo = (query: Query, { transcript }: Limits) =>
  query.change(
    `delete from sluice_untold where (session, seq) in (
       select u.session, u.seq from sluice_untold u cross join sluice_sessions s on s.id = u.session
         cross join sluice_inbound i on i.seq = u.seq
       where s.archived = 1 and coalesce(s.archived_at, 0) < ? and i.ended_at < ?)`,
    [transcript, transcript]
  )

const messages = Effect.fnUntraced(function* (query: Query, limits: Limits): Effect.fn.Return<number, SqlError> {
  const { after, upTo } = limits
  yield* letUntoldGo(query, limits)
  const text = yield* letTextGo(query, limits)
  const files = yield* query.change(
    `delete from sluice_attachments where seq in (
       select seq from sluice_inbound where seq > ? and seq <= ? and ending is not null and ended_at < ?)`,
    [after, upTo, limits.attachments]
  )
  const gone = yield* query<{ readonly seq: number }>(
    `delete from sluice_inbound where seq in (
       select i.seq from sluice_inbound i join sluice_sessions s on s.id = i.session
       where i.seq > ? and i.seq <= ? and ${letGo} and i.ended_at < ? and i.accepted_at < ? and i.tick <= ?
         and not exists (select 1 from sluice_turns t where t.id = i.turn and (t.ended_at is null or t.undelivered > 0)))
     returning seq`,
    [after, upTo, limits.transcript, limits.ledger, limits.dedupe, limits.tick]
  )
  yield* query.change(`delete from sluice_attachments where seq in (select value from json_each(?))`, [
    ids(gone.map((row) => row.seq))
  ])
  return text + files + gone.length
})

const turns = (query: Query, limits: Limits) =>
  query.change(
    `delete from sluice_turns where id in (
       select t.id from sluice_turns t join sluice_sessions s on s.id = t.session
       where t.id > ? and t.id <= ? and t.ended_at < ? and t.undelivered = 0 and s.archived = 1
         and not exists (select 1 from sluice_inbound i where i.seq in (select value from json_each(t.seqs))))`,
    [limits.after, limits.upTo, limits.ledger]
  )

const replies = Effect.fnUntraced(function* (query: Query, limits: Limits): Effect.fn.Return<number, SqlError> {
  const { after, upTo } = limits
  const letters = yield* query.change(
    `update sluice_replies set state = 'unknown', text = '', attachments = null, whole = null, error = 'expired'
     where id > ? and id <= ? and state = 'dead' and ended_at < ?`,
    [after, upTo, limits.deadLetters]
  )
  const text = yield* query.change(
    `update sluice_replies set text = '', attachments = null, whole = null where id in (
       select r.id from sluice_replies r join sluice_turns t on t.id = r.turn join sluice_sessions s on s.id = t.session
       where r.id > ? and r.id <= ? and s.archived = 1 and coalesce(s.archived_at, 0) < ?
         and r.state in ('sent', 'unknown') and r.ended_at < ? and r.text <> '')`,
    [after, upTo, limits.transcript, limits.transcript]
  )
  // The reply of a turn goes after the turn; a command's, a notice's or a post's when it is old.
  const gone = yield* query.change(
    `delete from sluice_replies where id in (
       select r.id from sluice_replies r left join sluice_turns t on t.id = r.turn
       where r.id > ? and r.id <= ? and r.ended_at < ? and r.state in ('sent', 'unknown') and t.id is null)`,
    [after, upTo, limits.ledger]
  )
  // A dead letter keeps its files as long as its text: it may be sent again.
  const files = yield* query.change(
    `delete from sluice_attachments where seq >= ? and seq < ? and not exists (
       select 1 from sluice_replies r where r.id = -seq and r.attachments is not null
         and (r.ended_at is null or r.state = 'dead' or r.ended_at >= ?))`,
    [-upTo, -after, limits.attachments]
  )
  return letters + text + gone + files
})

const posts = (query: Query, limits: Limits) =>
  query.change(`delete from sluice_posts where id > ? and id <= ? and ended_at < ? and accepted_at < ? and tick <= ?`, [
    limits.after,
    limits.upTo,
    limits.ledger,
    limits.dedupe,
    limits.tick
  ])

const permissions = (query: Query, limits: Limits) =>
  query.change(`delete from sluice_permissions where id > ? and id <= ? and decided_at < ?`, [
    limits.after,
    limits.upTo,
    limits.ledger
  ])

const notices = (query: Query, limits: Limits) =>
  query.change(`delete from sluice_notices where id > ? and id <= ? and at < ?`, [
    limits.after,
    limits.upTo,
    limits.ledger
  ])

/** What was kept with a session goes with its texts: nothing of it can go on. */
const values = (query: Query, limits: Limits) =>
  query.change(
    `delete from sluice_values where session in (
       select id from sluice_sessions where id > ? and id <= ? and archived = 1 and forgotten is null and last_active < ?
         and coalesce(archived_at, 0) < ?)`,
    [limits.after, limits.upTo, limits.transcript, limits.transcript]
  )

const rules = [messages, turns, replies, posts, permissions, notices, values]

/** Sums of old days go with the ledger's rows, but the days of this month and the last one never: budgets need them. */
const usage = Effect.fnUntraced(function* ({ now, query, retention }: Round): Effect.fn.Return<number, SqlError> {
  const before = new Date(now - Math.max(retention.ledger, days(62))).toISOString().slice(0, 10)
  return yield* query.change(`delete from sluice_usage where day < ?`, [before])
})

/** Looks at the next window of a pass. */
export const compact = Effect.fnUntraced(function* (round: Round, place: Place): Effect.fn.Return<Piece, SqlError> {
  const { now, query, retention } = round
  const table = tables[place.table]
  const rule = rules[place.table]
  if (table === undefined || rule === undefined) return { rows: yield* usage(round), next: undefined }
  const columns = place.table === 0 ? "seq as id, bytes" : "id, 0 as bytes"
  const found = yield* query<{ readonly id: number; readonly bytes: number }>(
    `select ${columns} from ${table} where ${place.table === 0 ? "seq" : "id"} > ? order by 1 limit ?`,
    [place.after, window]
  )
  let room = windowBytes
  const over = found.findIndex(({ bytes }, index) => (room -= bytes) < 0 && index > 0)
  const upTo = found.at(over === -1 ? -1 : over - 1)?.id
  if (upTo === undefined) return { rows: 0, next: { table: place.table + 1, after: 0 } }
  const rows = yield* rule(query, {
    after: place.after,
    upTo,
    ledger: now - retention.ledger,
    transcript: now - retention.transcript,
    attachments: now - retention.attachments,
    deadLetters: now - retention.deadLetters,
    dedupe: now - days(dedupeDays),
    tick: round.tick - dedupeDays
  })
  return { rows, next: { table: place.table, after: upTo } }
})
