/**
 * Questions over the store. They run between rounds on the journal's own
 * connection, or on a reader's, never see what is not committed, and read what is
 * open through its own small indexes, so that a scrape costs the same on a large
 * history as on a small one.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Ended, Ending, Reply } from "../../../Message.ts"
import { joins, type Tail } from "../writes/bursts.ts"
import { decode, endsByEnding } from "../writer/counters.ts"
import type { Query } from "../store/database.ts"
import { loadInbound, loadOpenTurns, loadReplies, loadTurns } from "../store/load.ts"
import { type BootRecord, bootColumns, countOpen, postMortemOf } from "../writes/opening.ts"
import type { ReplyRow, Row, RowKey } from "../records.ts"
import type { DeadLetter, Figures, Ledger, Opening, SessionSummary } from "./reports.ts"
import {
  inboundColumns,
  type InboundRecord,
  numbers,
  replyColumns,
  replyColumnsWith,
  replyOf,
  type ReplyRecord,
  rowOf,
  sessionColumns,
  sessionOf,
  type SessionRecord,
  turnOf
} from "../store/rows.ts"
import { ids } from "../store/statements.ts"

type Asked<A> = Effect.Effect<A, SqlError>

/** The store's identity, as replies are named by it. */
export type Store = Pick<Opening, "epoch" | "instance">

/** The latest boot. */
export const latestBoot = (query: Query): Asked<BootRecord | undefined> =>
  Effect.map(
    query<BootRecord>(`select ${bootColumns} from sluice_boots order by epoch desc limit 1`),
    (rows) => rows[0]
  )

interface Count {
  readonly count: number
}

const one = (query: Query, statement: string): Asked<number> =>
  Effect.map(query<Count>(statement), ([row]) => row?.count ?? 0)

/**
 * Messages without an end: those that wait, those of open turns, and those whose
 * replies are on their way. Counted from rows, so that a message that is in none
 * of the three and has no end shows as an imbalance.
 */
const openMessages = `select (select count(*) from sluice_inbound where turn is null and ending is null)
  + (select coalesce(sum(json_array_length(seqs)), 0) from sluice_turns where ended_at is null)
  + (select coalesce(sum(json_array_length(seqs)), 0) from sluice_turns where undelivered > 0) as count`

/** See {@link Ledger}. */
export const ledger = Effect.fnUntraced(function* (query: Query): Effect.fn.Return<Ledger, SqlError> {
  const boot = yield* latestBoot(query)
  const counters = decode(boot?.counters ?? "{}")
  const open = yield* one(query, openMessages)
  const openPosts = yield* one(query, `select count(*) as count from sluice_posts where ended_at is null`)
  const ends = endsByEnding(counters.ends)
  const sum = Object.values(ends).reduce((total, count) => total + count, 0)
  const { accepted, sent, undeliverable, unknown } = counters.posts
  return {
    accepted: counters.accepted,
    open,
    ends,
    detail: counters.ends,
    posts: { accepted, open: openPosts, sent, undeliverable, unknown },
    balanced: counters.accepted === sum + open && accepted === openPosts + sent + undeliverable + unknown
  }
})

interface Grouped {
  readonly state: string
  readonly count: number
}

const grouped = (query: Query, statement: string): Asked<Record<string, number>> =>
  Effect.map(query<Grouped>(statement), (rows) => Object.fromEntries(rows.map((row) => [row.state, row.count])))

/** What the store knows of {@link Figures}. */
export const figures = Effect.fnUntraced(function* (
  query: Query
): Effect.fn.Return<Omit<Figures, "walBytes" | "writer">, SqlError> {
  const boot = yield* latestBoot(query)
  const counters = decode(boot?.counters ?? "{}")
  // `+seq`: for the least of a primary key SQLite walks through the whole history instead of the small index of what waits.
  const [oldest] = yield* query<{ readonly at: number }>(
    `select accepted_at as at from sluice_inbound where seq = (select min(seq) from (
       select min(+seq) as seq from sluice_inbound where turn is null and ending is null
       union all select min(first_seq) from sluice_turns where ended_at is null
       union all select min(first_seq) from sluice_turns where undelivered > 0))`
  )
  const openReplies = yield* grouped(
    query,
    `select state, count(*) as count from sluice_replies where ended_at is null group by state`
  )
  const dead = yield* one(query, `select count(*) as count from sluice_replies where state = 'dead'`)
  const openTurns = yield* grouped(
    query,
    `select state, count(*) as count from sluice_turns where ended_at is null group by state`
  )
  return {
    oldestOpen: oldest?.at,
    waiting: yield* one(
      query,
      `select count(*) as count from sluice_inbound where turn is null and ending is null and command = 0`
    ),
    accepted: counters.accepted,
    ends: endsByEnding(counters.ends),
    openTurns,
    turns: counters.turns,
    replies: { ...openReplies, ...(dead === 0 ? {} : { dead }) },
    boots: counters.boots
  }
})

/** Lists sessions, with what waits in them, by last activity. */
export const sessions = Effect.fnUntraced(function* (
  query: Query,
  options: { readonly conversation?: number; readonly key?: string; readonly limit?: number },
  columns = sessionColumns,
  hidden = "and s.forgotten is null"
): Effect.fn.Return<ReadonlyArray<SessionSummary>, SqlError> {
  const { conversation, key } = options
  const rows = yield* query<SessionRecord>(
    `select ${columns} from sluice_sessions s join sluice_conversations c on c.id = s.conversation
     where true ${hidden} ${conversation === undefined ? "" : "and s.conversation = ?"}
       ${key === undefined ? "" : "and c.key = ?"} order by s.last_active desc, s.id desc limit ?`,
    [
      ...(conversation === undefined ? [] : [conversation]),
      ...(key === undefined ? [] : [key]),
      Math.min(options.limit ?? 1000, 10_000)
    ]
  )
  const list = ids(rows.map((row) => row.id))
  const waiting = yield* query<{ readonly session: number; readonly count: number; readonly latest: number }>(
    `select w.session, w.count, i.accepted_at as latest from (
       select session, count(*) as count, max(seq) as seq from sluice_inbound
       where turn is null and ending is null and command = 0 and session in (select value from json_each(?))
       group by session) w join sluice_inbound i on i.seq = w.seq`,
    [list]
  )
  const waitingOf = new Map(waiting.map((row) => [row.session, row]))
  const turns = yield* loadOpenTurns(
    query,
    rows.map((row) => row.id)
  )
  return rows.map((row) => {
    const open = waitingOf.get(row.id)
    const turn = turns.get(row.id)
    return {
      ...sessionOf(row),
      // A turn that runs is stored as activity at its end.
      lastActive: Math.max(row.last_active, open?.latest ?? 0, turn?.started_at ?? 0),
      waiting: open?.count ?? 0,
      turn: turn === undefined ? undefined : turnOf(turn)
    }
  })
})

/** One session. */
export const session = (query: Query, id: number) =>
  Effect.map(
    query<SessionRecord>(
      `select ${sessionColumns} from sluice_sessions s join sluice_conversations c on c.id = s.conversation
       where s.id = ?`,
      [id]
    ),
    ([row]) => (row === undefined ? undefined : sessionOf(row))
  )

/** The stored report of the last stop. */
export const report = (query: Query): Asked<unknown> =>
  Effect.map(
    query<{ readonly report: string }>(
      `select report from sluice_boots where report is not null order by epoch desc limit 1`
    ),
    ([row]) => (row === undefined ? undefined : (JSON.parse(row.report) as unknown))
  )

// A thousand letters of the longest text would be a gigabyte.
const letterLength = 1000

/** Replies that could not be delivered, newest first, with the beginnings of their texts. */
export const deadLetters = (
  query: Query,
  store: Store,
  limit: number,
  columns: { readonly attachments?: string; readonly session?: string } = {}
): Asked<ReadonlyArray<DeadLetter>> =>
  Effect.map(
    query<ReplyRecord & { readonly length: number }>(
      `select ${replyColumnsWith(`substr(r.text, 1, ${letterLength})`, columns.attachments, columns.session)}, length(r.text) as length
       from sluice_replies r join sluice_conversations c on c.id = r.conversation
       where r.state = 'dead' and r.number is not null order by r.id desc limit ?`,
      [limit]
    ),
    (rows) =>
      rows.map((row) => ({
        row: replyOf(row, store),
        conversationKey: row.key,
        length: row.length,
        error: row.error ?? "",
        diedAt: row.ended_at ?? row.created_at
      }))
  )

/** How the last boot began and what it found. */
export const opening = Effect.fnUntraced(function* (query: Query) {
  const boots = yield* query<BootRecord>(`select ${bootColumns} from sluice_boots order by epoch desc limit 2`)
  const [meta] = yield* query<{ readonly value: string }>(`select value from sluice_meta where key = 'instance'`)
  const [boot, last] = boots
  return {
    epoch: boot?.epoch ?? 0,
    instance: meta?.value ?? "",
    version: boot?.version ?? "",
    postMortem: postMortemOf(
      last,
      { openTurns: boot?.open_turns ?? 0, waiting: boot?.waiting ?? 0, openReplies: boot?.open_replies ?? 0 },
      boot?.opened_at ?? 0
    ),
    ended: postMortemOf(boot, yield* countOpen(query), boot?.ended_at ?? 0)
  }
})

interface KeyRecord {
  readonly seq: number
  readonly session: number
  readonly epoch: number
  readonly prev: number | null
  readonly gap: number | null
  readonly since: number | null
  readonly quiet: number
  readonly at_most: number
  readonly closes: number
  readonly bytes: number
}

/** Sessions with waiting messages of older epochs. */
export const backlog = (query: Query, epoch: number) =>
  query<{ readonly session: number; readonly waiting: number; readonly firstSeq: number }>(
    `select session, count(*) as waiting, min(seq) as firstSeq from sluice_inbound
     where turn is null and ending is null and command = 0 and epoch < ? group by session order by min(seq)`,
    [epoch]
  )

/** The next waiting messages of older epochs of a session: keys, with bursts as the stored facts have them. */
export const waiting = Effect.fnUntraced(function* (
  query: Query,
  epoch: number,
  session: number,
  limit: number
): Effect.fn.Return<ReadonlyArray<RowKey>, SqlError> {
  const rows = yield* query<KeyRecord>(
    `select seq, session, epoch, prev, gap, since, quiet, at_most, closes, bytes from sluice_inbound
     where turn is null and ending is null and session = ? and command = 0 and epoch < ? order by seq limit ?`,
    [session, epoch, limit]
  )
  // By the rule of the admission. Who does not wait any more is nobody's predecessor: what follows opens a burst.
  const tails = new Map<number, Tail>()
  return rows.map((row) => {
    const since = joins(row.prev === null ? undefined : tails.get(row.prev), row.gap ?? undefined)
    const closes = row.closes === 1
    tails.set(row.seq, { since: row.since ?? 0, quiet: row.quiet, atMost: row.at_most, closes })
    const { bytes, epoch, seq, session } = row
    return { seq, session, epoch, opens: since === undefined, closes, bytes }
  })
})

/** Waiting messages by conversation, the longest line first. */
export const queued = Effect.fnUntraced(function* (query: Query, limit: number) {
  const lines = `select s.conversation, sum(w.count) as waiting from (
      select session, count(*) as count from sluice_inbound
      where turn is null and ending is null and command = 0 group by session) w
    join sluice_sessions s on s.id = w.session group by s.conversation`
  const rows = yield* query<{ readonly conversation: string; readonly waiting: number }>(
    `select c.key as conversation, l.waiting from (${lines}) l join sluice_conversations c on c.id = l.conversation
     order by l.waiting desc, l.conversation limit ?`,
    [limit]
  )
  if (rows.length < limit) return { rows, more: 0 }
  const all = yield* one(
    query,
    `select count(*) as count from sluice_inbound where turn is null and ending is null and command = 0`
  )
  return { rows, more: all - rows.reduce((sum, row) => sum + row.waiting, 0) }
})

/** Commands of older epochs that did not run. */
export const commands = (query: Query, epoch: number): Asked<ReadonlyArray<Row>> =>
  Effect.map(
    query<InboundRecord>(
      `select ${inboundColumns} from sluice_inbound i join sluice_conversations c on c.id = i.conversation
       where i.command = 1 and i.ending is null and i.epoch < ? order by i.seq`,
      [epoch]
    ),
    (rows) => rows.map(rowOf)
  )

/** Messages by seq, in order. */
export const rows = (query: Query, seqs: ReadonlyArray<number>): Asked<ReadonlyArray<Row>> =>
  Effect.map(loadInbound(query, seqs), (found) => [...found.values()].sort((a, b) => a.seq - b.seq).map(rowOf))

/** A conversation by its key. */
export const conversation = (query: Query, key: string) =>
  Effect.map(
    query<{ readonly id: number; readonly session: number }>(
      `select id, session from sluice_conversations where key = ?`,
      [key]
    ),
    ([row]) => (row === undefined ? undefined : { id: row.id, session: row.session })
  )

/** Replies that the outbox owes, of everybody or of one conversation. A placeholder without a text is not owed to anybody. */
export const owed = (
  query: Query,
  store: Store,
  after: number,
  limit: number,
  conversation?: number
): Asked<ReadonlyArray<ReplyRow>> =>
  Effect.map(
    query<ReplyRecord>(
      `select ${replyColumns} from sluice_replies r join sluice_conversations c on c.id = r.conversation
       where r.ended_at is null and r.id > ? and r.number is not null and r.state in ('pending', 'sending', 'placing')
       ${conversation === undefined ? "" : "and r.conversation = ?"} order by r.id limit ?`,
      [after, ...(conversation === undefined ? [] : [conversation]), limit]
    ),
    (rows) => rows.map((row) => replyOf(row, store))
  )

/** Waits that still last. */
export const throttles = (query: Query, now: number) =>
  Effect.map(
    query<{
      readonly channel: string
      readonly conversation: number
      readonly until_at: number
      readonly wait: number
    }>(`select channel, conversation, until_at, wait from sluice_throttles`),
    (rows) =>
      rows
        .map((row) => ({
          channel: row.channel,
          conversation: row.conversation === 0 ? undefined : row.conversation,
          left: Math.min(row.until_at - now, row.wait)
        }))
        .filter(({ left }) => left > 0)
  )

/** How one message stands. */
export const standing = Effect.fnUntraced(function* (
  query: Query,
  store: Store,
  seq: number
): Effect.fn.Return<
  { readonly row: Row; readonly ended: Ended | undefined; readonly replies: ReadonlyArray<Reply> } | undefined,
  SqlError
> {
  const [found] = yield* query<InboundRecord>(
    `select ${inboundColumns} from sluice_inbound i join sluice_conversations c on c.id = i.conversation where i.seq = ?`,
    [seq]
  )
  if (found === undefined) return undefined
  const turn = found.turn === null ? undefined : (yield* loadTurns(query, [found.turn])).get(found.turn)
  const list = turn === undefined ? numbers(found.replies) : numbers(turn.replies)
  const replies = [...(yield* loadReplies(query, list)).values()].sort((a, b) => a.id - b.id)
  return {
    row: rowOf(found),
    ended: found.ending === null ? undefined : { ending: found.ending as Ending, why: found.why ?? "" },
    replies: replies.map((row) => replyOf(row, store).reply)
  }
})

/** Hashes of files that a message or a reply refers to. */
export const attachments = (query: Query): Asked<ReadonlySet<string>> =>
  Effect.map(
    query<{ readonly hash: string }>(`select distinct hash from sluice_attachments`),
    (rows) => new Set(rows.map((row) => row.hash))
  )
