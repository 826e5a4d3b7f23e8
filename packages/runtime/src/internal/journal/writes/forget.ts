/**
 * Forgetting a conversation: in one transaction its work is cancelled and what
 * anybody wrote goes out of its rows. What stays are numbers: ids that recognise a
 * repeat, ends, times, usage, so that the ledger balances as before. What an agent
 * keeps stays until that agent has forgotten, too, and a note of it stays until the
 * files are clean, so that a crash in between leaves work and not text.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { type Conversation, conversationKey, mainSession, sessionKey } from "../../../Message.ts"
import { forgottenDigest } from "./admit.ts"
import { cancelSession } from "./cancel.ts"
import type { Query } from "../store/database.ts"
import { type Entry, succeed } from "../writer/entries.ts"
import { makeCurrent, makeSession } from "./naming.ts"
import { nothingUntold } from "../writer/memory.ts"
import type { Forgotten, PendingForget } from "../records.ts"
import { writeDrafts } from "./replies.ts"
import type { Round } from "../writer/round.ts"
import { sessionColumns, sessionOf, type SessionRecord } from "../store/rows.ts"
import { ids } from "../store/statements.ts"
import { endReplies } from "./steps.ts"

/** Its note in the store: something is still to be cleaned up. */
const note = "forgetting"

/** Replies on their way are given up; placeholders without a text get their end with their turn. */
const giveUp = Effect.fnUntraced(function* (round: Round, conversation: number): Effect.fn.Return<void, SqlError> {
  const open = yield* round.query<{ readonly id: number }>(
    `select id from sluice_replies where conversation = ? and ended_at is null and number is not null`,
    [conversation]
  )
  yield* endReplies(
    round,
    open.map(({ id }) => ({ _tag: "Dead", reply: id, error: "forgotten" }))
  )
})

/** Files that no message and no reply refers to any more. */
const letFilesGo = Effect.fnUntraced(function* (
  query: Query,
  conversation: number,
  before: number
): Effect.fn.Return<ReadonlyArray<string>, SqlError> {
  const dropped = yield* query<{ readonly hash: string }>(
    `delete from sluice_attachments where seq in (
       select seq from sluice_inbound where conversation = ? and seq < ?
       union all select -id from sluice_replies where conversation = ? and ended_at is not null)
     returning hash`,
    [conversation, before, conversation]
  )
  const hashes = [...new Set(dropped.map(({ hash }) => hash))]
  const kept = yield* query<{ readonly hash: string }>(
    `select distinct hash from sluice_attachments where hash in (select value from json_each(?))`,
    [JSON.stringify(hashes)]
  )
  const others = new Set(kept.map(({ hash }) => hash))
  return hashes.filter((hash) => !others.has(hash))
})

/** Everything that somebody wrote goes; all of it has its end. */
const letTextsGo = Effect.fnUntraced(function* (
  query: Query,
  conversation: number,
  sessions: string,
  before: number
): Effect.fn.Return<void, SqlError> {
  yield* query.change(
    `update sluice_inbound set text = '', sender = '', attachments = null, asking = null, digest = ?
     where conversation = ? and seq < ? and ending is not null`,
    [forgottenDigest, conversation, before]
  )
  yield* query.change(`delete from sluice_replies where conversation = ? and ended_at is not null`, [conversation])
  yield* query.change(`update sluice_posts set digest = ? where conversation = ?`, [forgottenDigest, conversation])
  yield* query.change(`delete from sluice_notices where conversation = ?`, [conversation])
  yield* query.change(
    `update sluice_turns set error = null, tool = null, asked_reason = null
     where session in (select value from json_each(?)) and ended_at is not null`,
    [sessions]
  )
  for (const table of ["sluice_permissions", "sluice_untold"]) {
    yield* query.change(`delete from ${table} where session in (select value from json_each(?))`, [sessions])
  }
})

/** Values go, but for what agents keep: they need it to find what they have stored themselves. */
const letValuesGo = Effect.fnUntraced(function* (query: Query, sessions: string): Effect.fn.Return<void, SqlError> {
  yield* query.change(
    `delete from sluice_values where session in (select value from json_each(?)) and not (key >= 'kept/' and key < 'kept0')`,
    [sessions]
  )
  // An agent that keeps nothing may have stored something all the same.
  yield* query.change(
    `insert into sluice_values (session, key, value)
     select id, 'kept/' || agent, '' from sluice_sessions where id in (select value from json_each(?)) and agent <> ''
     on conflict do nothing`,
    [sessions]
  )
})

/** Reports of stops name sessions. */
const letNamesGo = Effect.fnUntraced(function* (
  query: Query,
  sessions: ReadonlyArray<SessionRecord>
): Effect.fn.Return<void, SqlError> {
  for (const { id, key, name } of sessions) {
    if (name === mainSession || name === `~${id}`) continue
    const [before, after] = [sessionKey(key, name), sessionKey(key, `~${id}`)].map((text) => JSON.stringify(text))
    yield* query.change(`update sluice_boots set report = replace(report, ?, ?) where instr(report, ?) > 0`, [
      before ?? "",
      after ?? "",
      before ?? ""
    ])
  }
})

/** The sessions are nobody's any more: their names may say what they were about. */
const letSessionsGo = Effect.fnUntraced(function* (
  round: Round,
  [first, ...others]: readonly [SessionRecord, ...ReadonlyArray<SessionRecord>],
  sessions: string
): Effect.fn.Return<number, SqlError> {
  yield* round.query.change(
    `update sluice_sessions set archived = 1, forgotten = ?, name = '~' || id, persona = '', model = null,
       output_mode = null, queue_mode = null, set_aside = null where id in (select value from json_each(?))`,
    [round.now, sessions]
  )
  const fresh = yield* makeSession(round, first, mainSession, "")
  yield* makeCurrent(round, first.conversation, fresh)
  const all = [first.id, ...others.map(({ id }) => id)]
  for (const id of all) round.memory.sessions.forget(id)
  nothingUntold(round.memory, all, round.undo)
  round.memory.conversations.cut(first.conversation, round.undo)
  return fresh
})

const isSome = <A>(list: ReadonlyArray<A>): list is readonly [A, ...ReadonlyArray<A>] => list.length > 0

/** Forgets what came before `before` in a conversation; `undefined` when there is nothing. */
export const forgetConversation = Effect.fnUntraced(function* (
  round: Round,
  conversation: number,
  before: number,
  placeholder: string | undefined
): Effect.fn.Return<Forgotten | undefined, SqlError> {
  const { query } = round
  const found = yield* query<SessionRecord>(
    `select ${sessionColumns} from sluice_sessions s join sluice_conversations c on c.id = s.conversation
     where s.conversation = ? and s.forgotten is null order by s.id`,
    [conversation]
  )
  if (!isSome(found)) return undefined
  const list = ids(found.map(({ id }) => id))
  // A turn that runs goes as a whole, also with what was handed to it since.
  const upTo = found.reduce(
    (highest, { id }) => Math.max(highest, (round.memory.turns.ofSession(id)?.turn.last_seq ?? 0) + 1),
    before
  )
  // What this round has drafted before is a reply like any other.
  yield* writeDrafts(round)
  round.drafts.length = 0
  yield* giveUp(round, conversation)
  const cancelled: Array<Forgotten["cancelled"][number]> = []
  const turns: Array<Forgotten["turns"][number]> = []
  for (const session of found) {
    const ended = yield* cancelSession(round, session, upTo, "forget", placeholder)
    cancelled.push(...ended.cancelled)
    if (ended.turn !== undefined) turns.push(ended.turn)
  }
  const files = yield* letFilesGo(query, conversation, upTo)
  yield* letTextsGo(query, conversation, list, upTo)
  yield* letValuesGo(query, list)
  yield* letNamesGo(query, found)
  const fresh = yield* letSessionsGo(round, found, list)
  yield* query(`insert into sluice_meta (key, value) values (?, '1') on conflict do nothing`, [note])
  return { sessions: found.map(sessionOf), fresh, cancelled, turns, files }
})

/** What a forgetting is about: a conversation, or what an agent kept with one of its sessions and has let go now. */
export type ForgetEntry =
  | { readonly _tag: "Conversation"; readonly address: Conversation; readonly placeholder: string | undefined }
  | { readonly _tag: "Agent"; readonly session: number; readonly agent: string }

/** Writes a round's forgettings. */
export const writeForgets = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"forget">>
): Effect.fn.Return<void, SqlError> {
  const { query } = round
  for (const entry of entries) {
    const { input } = entry
    if (input._tag === "Agent") {
      yield* query.change(`delete from sluice_values where session = ? and key = ?`, [
        input.session,
        `kept/${input.agent}`
      ])
      succeed(entry, undefined)
      continue
    }
    const [row] = yield* query<{ readonly id: number }>(`select id from sluice_conversations where key = ?`, [
      conversationKey(input.address)
    ])
    const before = round.counters.seq + 1
    succeed(entry, row === undefined ? undefined : yield* forgetConversation(round, row.id, before, input.placeholder))
  }
})

interface PendingRecord extends SessionRecord {
  readonly key_of: string
  readonly value: string
}

/** What agents have still to forget; `undefined` when nothing at all is left to be cleaned up. */
export const pendingForgets = Effect.fnUntraced(function* (
  query: Query
): Effect.fn.Return<ReadonlyArray<PendingForget> | undefined, SqlError> {
  const [noted] = yield* query(`select 1 as noted from sluice_meta where key = ?`, [note])
  if (noted === undefined) return undefined
  const rows = yield* query<PendingRecord>(
    `select ${sessionColumns}, v.key as key_of, v.value from sluice_sessions s
     join sluice_conversations c on c.id = s.conversation
     join sluice_values v on v.session = s.id and v.key >= 'kept/' and v.key < 'kept0' where s.forgotten is not null`
  )
  return rows.map((row) => ({
    session: sessionOf(row),
    agent: row.key_of.slice("kept/".length),
    kept: row.value === "" ? undefined : row.value
  }))
})

/** Rewrites a store whose pages may hold what earlier versions freed, once. */
const rewrite = Effect.fnUntraced(function* (query: Query): Effect.fn.Return<void, SqlError> {
  const [clean] = yield* query(`select 1 as clean from sluice_meta where key = 'clean'`)
  if (clean !== undefined) return
  // In a file: the whole store would else be built up in memory.
  yield* query(`pragma temp_store = default`)
  yield* query(`vacuum`)
  yield* query(`pragma temp_store = memory`)
  yield* query(`insert into sluice_meta (key, value) values ('clean', '1') on conflict do nothing`)
})

/**
 * Takes what was forgotten out of the log as well. Between rounds, on the writer's own connection. `false` when somebody
 * reads an older state: then it is done later.
 */
export const scrub = Effect.fnUntraced(function* (query: Query): Effect.fn.Return<boolean, SqlError> {
  yield* rewrite(query)
  const truncate = query<{ readonly busy: number }>(`pragma wal_checkpoint(truncate)`)
  const [result] = yield* truncate
  if (result?.busy !== 0) return false
  yield* query(
    `delete from sluice_meta where key = ? and not exists (
       select 1 from sluice_sessions s join sluice_values v on v.session = s.id and v.key >= 'kept/' and v.key < 'kept0'
       where s.forgotten is not null)`,
    [note]
  )
  return true
})
