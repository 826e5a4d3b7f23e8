/**
 * Restart notices: who was told that an answer will be late because of a stop, and
 * is owed a word at the return. Both words are rows of the outbox; what pairs them
 * is a row here, so a kill between any two rounds leaves no half of a pair: one
 * that was never sent is dropped, with its return, and one that may have been seen
 * gets it at the next boot.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { type Entry, succeed } from "../writer/entries.ts"
import { addressOf, type ConversationRecord } from "./addresses.ts"
import type { Route } from "../records.ts"
import type { Conversation } from "../../../Message.ts"
import { draftReplies, loadNumbers, unlinked } from "./replies.ts"
import type { Round } from "../writer/round.ts"
import type { Query } from "../store/database.ts"
import { ids } from "../store/statements.ts"

/** A sentence as a channel carries it. */
export interface Spoken {
  readonly parts: ReadonlyArray<string>
  readonly route: Route
}

/** Says of a stop to those whose answers it makes late, each with the promise of a word at the return. */
export interface Farewell {
  /** Sessions with work that is left, the first ones first; conversations of a channel beyond `most` are not told. */
  readonly sessions: ReadonlyArray<number>
  readonly most: number
  /** By channel; whoever is on another one is not told. */
  readonly channels: Readonly<Record<string, Spoken>>
  readonly expiresAt: number | undefined
  /** Nobody who heard of a stop, or of a return, in the last so many milliseconds. */
  readonly within: number
}

/** Somebody who was told of a stop, and not yet of the return. */
export interface Told {
  readonly conversation: number
  readonly address: Conversation
  /** The session whose answer is late. */
  readonly session: number
}

/** Says of the return to one of {@link Told}; with nothing to say, or when the stop was not heard of, it is only over. */
export interface Return {
  readonly conversation: number
  readonly spoken: Spoken | undefined
  readonly expiresAt: number | undefined
}

const stop = "goingDown"
const back = "back"

interface Waiting extends ConversationRecord {
  readonly late: number
}

/** Whether a conversation hears of restarts from now on, and whether it does. Those that said nothing do. */
export const noticed = Effect.fnUntraced(function* (
  { query }: Pick<Round, "query">,
  conversation: number,
  on: boolean | undefined
): Effect.fn.Return<boolean, SqlError> {
  if (on === true) yield* query(`delete from sluice_unnoticed where conversation = ?`, [conversation])
  if (on === false) yield* query(`insert or ignore into sluice_unnoticed (conversation) values (?)`, [conversation])
  return (yield* query(`select 1 from sluice_unnoticed where conversation = ?`, [conversation])).length === 0
})

/** The conversations of these sessions, each once, in the order of the sessions, that a channel can tell and that want it. */
const reachable = Effect.fnUntraced(function* (round: Round, { channels, sessions }: Farewell) {
  const rows = yield* round.query<Waiting>(
    `select s.id as late, c.id, c.key, c.channel, c.account, c.peer, c.thread, c.session, c.number
     from json_each(?) wanted join sluice_sessions s on s.id = wanted.value
       join sluice_conversations c on c.id = s.conversation
     where not exists (select 1 from sluice_unnoticed u where u.conversation = c.id)
     order by wanted.key`,
    [JSON.stringify(sessions)]
  )
  const found = new Map<number, Waiting>()
  for (const row of rows) if (row.channel in channels && !found.has(row.id)) found.set(row.id, row)
  return found
})

/** A stop, or a return, was heard of lately: a restart loop tells nobody again. */
const heard = Effect.fnUntraced(function* (round: Round, conversations: Iterable<number>, within: number) {
  const rows = yield* round.query<{ readonly conversation: number }>(
    `select distinct conversation from sluice_notices
     where conversation in (select value from json_each(?)) and notice in (?, ?) and at > ?`,
    [ids(conversations), stop, back, round.now - within]
  )
  return new Set(rows.map(({ conversation }) => conversation))
})

const note = (round: Round, conversation: number, notice: string) =>
  round.query(`insert into sluice_notices (id, conversation, notice, at) values (?,?,?,?)`, [
    ++round.counters.notice,
    conversation,
    notice,
    round.now
  ])

/** Writes the words of a stop. */
export const writeFarewells = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"farewell">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const { channels, expiresAt, most, within } = entry.input
    const found = yield* reachable(round, entry.input)
    const deaf = yield* heard(round, found.keys(), within)
    const hearing = [...found.values()].filter(({ id }) => !deaf.has(id))
    const told = [...Map.groupBy(hearing, ({ channel }) => channel).values()].flatMap((chats) => chats.slice(0, most))
    yield* loadNumbers(
      round,
      told.map(({ id }) => id)
    )
    let count = 0
    for (const target of told) {
      const spoken = channels[target.channel]
      if (spoken === undefined) continue
      const draft = {
        kind: "notice" as const,
        parts: spoken.parts,
        notice: stop,
        ...(expiresAt === undefined ? {} : { expiresAt })
      }
      const rows = draftReplies(round, target, [draft], spoken.route, unlinked)
      const [first, last] = [rows[0]?.id, rows.at(-1)?.id]
      if (first === undefined || last === undefined) continue
      yield* note(round, target.id, stop)
      yield* round.query(
        `insert or replace into sluice_restarts (conversation, session, first_reply, last_reply, at) values (?,?,?,?,?)`,
        [target.id, target.late, first, last, round.now]
      )
      count++
    }
    succeed(entry, count)
  }
})

/** Whom a stop told, and nobody of the return. Few: who has been told of both has no row any more. */
export const told = (query: Query): Effect.Effect<ReadonlyArray<Told>, SqlError> =>
  Effect.map(
    query<ConversationRecord & { readonly late: number }>(
      `select d.session as late, c.id, c.key, c.channel, c.account, c.peer, c.thread, c.session, c.number
       from sluice_restarts d join sluice_conversations c on c.id = d.conversation order by d.conversation`
    ),
    (rows) => rows.map((row) => ({ conversation: row.id, address: addressOf(row), session: row.late }))
  )

interface Word {
  readonly id: number
  readonly state: string
  readonly ended_at: number | null
  readonly remote_id: string | null
}

/**
 * What became of the word of the stop. `seen`: somebody may have read it. `standing`: it has a place in the chat already
 * and is not in it yet, or nobody knows: what stands there must not stay a placeholder.
 */
const fateOf = (words: ReadonlyArray<Word>) => ({
  seen: words.some(({ state }) => state === "sent" || state === "unknown" || state === "sending"),
  standing: words.length === 1 ? words.find((row) => row.ended_at === null && row.remote_id !== null) : undefined,
  open: words.filter(({ ended_at }) => ended_at === null)
})

const dropped = "dropped: it was not sent before the gateway was back"

const comeBack = Effect.fnUntraced(function* (
  round: Round,
  target: ConversationRecord,
  words: ReadonlyArray<Word>,
  { expiresAt, spoken }: Return
): Effect.fn.Return<boolean, SqlError> {
  const { open, seen, standing } = fateOf(words)
  const [only] = spoken?.parts ?? []
  if (standing !== undefined && spoken?.parts.length === 1 && only !== undefined) {
    yield* round.query(`update sluice_replies set notice = ?, text = ?, expires_at = ? where id = ?`, [
      back,
      only,
      expiresAt ?? null,
      standing.id
    ])
    return true
  }
  yield* round.query(
    `update sluice_replies set state = 'unknown', ended_at = ?, error = ?
     where id in (select value from json_each(?)) and ended_at is null`,
    [round.now, dropped, ids(open.map(({ id }) => id))]
  )
  if (!seen || spoken === undefined) return false
  const draft = {
    kind: "notice" as const,
    parts: spoken.parts,
    notice: back,
    ...(expiresAt === undefined ? {} : { expiresAt })
  }
  return draftReplies(round, target, [draft], spoken.route, unlinked).length > 0
})

/** Writes the words of the return, and takes back those of a stop that nobody can have seen. */
export const writeReturns = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"return">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const wanted = new Map(entry.input.map((one) => [one.conversation, one]))
    const targets = yield* round.query<
      ConversationRecord & { readonly first_reply: number; readonly last_reply: number }
    >(
      `select d.first_reply, d.last_reply, c.id, c.key, c.channel, c.account, c.peer, c.thread, c.session, c.number
       from sluice_restarts d join sluice_conversations c on c.id = d.conversation
       where d.conversation in (select value from json_each(?)) order by d.conversation`,
      [ids(wanted.keys())]
    )
    yield* loadNumbers(
      round,
      targets.map(({ id }) => id)
    )
    let count = 0
    for (const target of targets) {
      const input = wanted.get(target.id)
      if (input === undefined) continue
      const words = yield* round.query<Word>(
        `select id, state, ended_at, remote_id from sluice_replies where conversation = ? and notice = ? and id between ? and ?`,
        [target.id, stop, target.first_reply, target.last_reply]
      )
      if (yield* comeBack(round, target, words, input)) {
        yield* note(round, target.id, back)
        count++
      }
    }
    yield* round.query(`delete from sluice_restarts where conversation in (select value from json_each(?))`, [
      ids(targets.map(({ id }) => id))
    ])
    succeed(entry, count)
  }
})
