/**
 * Sentences of Sluice's own, waits that the other side asked for, and what people
 * do with dead letters. A sentence is capped per conversation, so that a restart
 * loop does not become a flood.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { ConversationRecord } from "./addresses.ts"
import { type Entry, succeed } from "../writer/entries.ts"
import { loadReplies } from "../store/load.ts"
import type { Notice, Route } from "../records.ts"
import { draftReplies, loadNumbers, unlinked } from "./replies.ts"
import type { Round } from "../writer/round.ts"
import { attachmentsOf, replyOf } from "../store/rows.ts"
import { ids } from "../store/statements.ts"

const withinCap = Effect.fnUntraced(function* (round: Round, input: Notice): Effect.fn.Return<boolean, SqlError> {
  const { cap, since } = input
  const count = Effect.fnUntraced(function* (after: number) {
    const [row] = yield* round.query<{ readonly count: number }>(
      `select count(*) as count from sluice_notices where conversation = ? and notice = ? and at > ?`,
      [input.conversation, input.notice, after]
    )
    return row?.count ?? 0
  })
  if (since !== undefined && (yield* count(since - 1)) > 0) return false
  return cap === undefined || (yield* count(round.now - cap.within)) < cap.count
})

/** Writes a round's notices. */
export const writeNotices = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"notice">>
): Effect.fn.Return<void, SqlError> {
  const wanted = new Set(entries.map(({ input }) => input.conversation))
  const targets = new Map(
    (yield* round.query<ConversationRecord>(
      `select id, key, channel, account, peer, thread, session, number from sluice_conversations
       where id in (select value from json_each(?))`,
      [ids(wanted)]
    )).map((row) => [row.id, row])
  )
  yield* loadNumbers(round, targets.keys())
  for (const entry of entries) {
    const { input } = entry
    const target = targets.get(input.conversation)
    if (target === undefined || !(yield* withinCap(round, input))) {
      succeed(entry, undefined)
      continue
    }
    yield* round.query(`insert into sluice_notices (id, conversation, notice, at) values (?,?,?,?)`, [
      ++round.counters.notice,
      input.conversation,
      input.notice,
      round.now
    ])
    const draft = {
      kind: "notice" as const,
      parts: input.parts,
      notice: input.notice,
      ...(input.expiresAt === undefined ? {} : { expiresAt: input.expiresAt })
    }
    const [first] = draftReplies(round, target, [draft], input.route, unlinked)
    succeed(entry, first === undefined ? undefined : replyOf(first, round))
  }
})

/** Stores waits, with their length: at boot the rest of one is clamped to it. */
export const writeThrottles = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"throttle">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const { channel, conversation, wait } = entry.input
    const length = Math.max(0, Math.round(wait))
    yield* round.query(
      `insert into sluice_throttles (channel, conversation, until_at, wait) values (?,?,?,?)
       on conflict (channel, conversation) do update set until_at = excluded.until_at, wait = excluded.wait`,
      [channel, conversation ?? 0, round.now + length, length]
    )
    succeed(entry, undefined)
  }
})

const push: Route = { pull: false, places: false }

/** Sends dead letters once more, each as a new row. */
export const writeReplays = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"replay">>
): Effect.fn.Return<void, SqlError> {
  const rows = yield* loadReplies(
    round.query,
    entries.map(({ input }) => input.reply)
  )
  yield* loadNumbers(
    round,
    [...rows.values()].map((row) => row.conversation)
  )
  for (const entry of entries) {
    const dead = rows.get(entry.input.reply)
    if (dead === undefined || dead.state !== "dead" || dead.number === null) {
      succeed(entry, undefined)
      continue
    }
    // Only once: the letter is no longer dead, its new row is what counts.
    rows.set(dead.id, { ...dead, state: "unknown" })
    yield* round.query(`update sluice_replies set state = 'unknown' where id = ?`, [dead.id])
    const link = {
      turn: dead.turn,
      post: dead.post,
      replayOf: dead.id,
      inReplyTo: dead.in_reply_to === null ? [] : (JSON.parse(dead.in_reply_to) as ReadonlyArray<string>)
    }
    const target = { ...dead, id: dead.conversation }
    const whose = dead.session === null ? {} : { session: dead.session }
    const draft = { kind: dead.kind, parts: [dead.text], attachments: attachmentsOf(dead.attachments), ...whose }
    const [fresh] = draftReplies(round, target, [draft], push, link)
    succeed(entry, fresh === undefined ? undefined : replyOf(fresh, round))
  }
})

/** Forgets the payload of dead letters. */
export const writeDiscards = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"discard">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const rows = yield* round.query(
      `update sluice_replies set state = 'unknown', text = '', attachments = null, whole = null, error = 'discarded' where id = ? and state = 'dead'
       returning id`,
      [entry.input.reply]
    )
    if (rows.length > 0) yield* round.query.change(`delete from sluice_attachments where seq = ?`, [-entry.input.reply])
    succeed(entry, rows.length > 0)
  }
})
