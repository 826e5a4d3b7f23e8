/**
 * Replies become rows. A reply gets its number in the commit that makes it
 * visible, from its conversation's counter, so that whoever reads by number finds
 * no hole; what a round drafts is written together at its end.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { ConversationRecord } from "./addresses.ts"
import type { Value } from "../store/database.ts"
import type { Draft, Route } from "../records.ts"
import type { Round } from "../writer/round.ts"
import { attachmentsOf, replyOf, type ReplyRecord } from "../store/rows.ts"
import { ids, insert, insertAll, update, updateAll } from "../store/statements.ts"

/** Where a reply goes. */
export type Target = Pick<ConversationRecord, "id" | "key" | "channel" | "account" | "peer" | "thread">

/** What a reply belongs to. */
export interface Link {
  readonly turn: number | null
  readonly post: number | null
  readonly replayOf: number | null
  /** External ids of the messages that it answers. */
  readonly inReplyTo: ReadonlyArray<string>
}

/** Belongs to nothing. */
export const unlinked: Link = { turn: null, post: null, replayOf: null, inReplyTo: [] }

/** Reads the counters of conversations that are about to get replies. */
export const loadNumbers = Effect.fnUntraced(function* (
  round: Round,
  conversations: Iterable<number>
): Effect.fn.Return<void, SqlError> {
  const missing: Array<number> = []
  for (const id of new Set(conversations)) {
    const known = round.memory.conversations.byId(id)
    if (round.numbers.has(id)) continue
    if (known === undefined) missing.push(id)
    else round.numbers.set(id, { first: known.number, last: known.number })
  }
  if (missing.length === 0) return
  const rows = yield* round.query<{ readonly id: number; readonly number: number }>(
    `select id, number from sluice_conversations where id in (select value from json_each(?))`,
    [ids(missing)]
  )
  for (const row of rows) round.numbers.set(row.id, { first: row.number, last: row.number })
})

/** The next number of a conversation whose counter was loaded. */
export const nextNumber = (round: Round, conversation: number): number => {
  const counter = round.numbers.get(conversation)
  if (counter === undefined) throw new Error(`the counter of conversation ${conversation} was not loaded`)
  return ++counter.last
}

/** Files as they are stored with a reply. */
export const attachmentsText = (attachments: Draft["attachments"]): string | null =>
  attachments === undefined || attachments.length === 0 ? null : JSON.stringify(attachments)

/** A new visible reply: of a pull channel it is sent with that, else the outbox owes it. */
const visible = (
  round: Round,
  target: Target,
  draft: Pick<Draft, "kind" | "notice" | "expiresAt" | "attachments" | "whole" | "session"> & { readonly text: string },
  route: Route,
  link: Link
): ReplyRecord => ({
  id: ++round.counters.reply,
  conversation: target.id,
  number: nextNumber(round, target.id),
  kind: draft.kind,
  turn: link.turn,
  post: link.post,
  state: route.pull ? "sent" : "pending",
  epoch: round.epoch,
  tries: 0,
  marked: 0,
  remote_id: null,
  not_before: null,
  wait: null,
  expires_at: draft.expiresAt ?? null,
  notice: draft.notice ?? null,
  replay_of: link.replayOf,
  in_reply_to: link.inReplyTo.length === 0 ? null : JSON.stringify(link.inReplyTo),
  created_at: round.now,
  ended_at: route.pull ? round.now : null,
  error: null,
  session: draft.session ?? null,
  text: draft.text.isWellFormed() ? draft.text : draft.text.toWellFormed(),
  attachments: attachmentsText(draft.attachments),
  ...(draft.whole === undefined ? {} : { whole: draft.whole.toWellFormed() }),
  key: target.key,
  channel: target.channel,
  account: target.account,
  peer: target.peer,
  thread: target.thread
})

/** Drafts new replies, a row per part, in order. Needs the conversation's counter. */
export const draftReplies = (
  round: Round,
  target: Target,
  drafts: ReadonlyArray<Draft>,
  route: Route,
  link: Link
): ReadonlyArray<ReplyRecord> => {
  const records = drafts.flatMap(({ attachments, session, whole, ...draft }) =>
    draft.parts.map((text, index) => {
      const last = index === draft.parts.length - 1
      const files = last && attachments !== undefined ? { attachments } : {}
      const all = last && whole !== undefined ? { whole } : {}
      const whose = index === 0 && session !== undefined ? { session } : {}
      return visible(round, target, { ...draft, ...files, ...all, ...whose, text }, route, link)
    })
  )
  for (const record of records) {
    round.drafts.push(record)
    round.replies.push(replyOf(record, round))
  }
  return records
}

// An answer, and what a reply can be beside it.
const answerColumns = [
  "id",
  "conversation",
  "number",
  "kind",
  "turn",
  "state",
  "epoch",
  "in_reply_to",
  "created_at",
  "ended_at",
  "text"
]
const insertAnswers = insert("sluice_replies", answerColumns)
const insertOthers = insert("sluice_replies", [
  ...answerColumns,
  "post",
  "expires_at",
  "notice",
  "replay_of",
  "attachments",
  "whole",
  "session"
])
const insertClaims = insert("sluice_attachments", ["seq", "hash", "size"], { tail: "on conflict do nothing" })

const isAnswer = (row: ReplyRecord): boolean =>
  row.post === null &&
  row.expires_at === null &&
  row.notice === null &&
  row.replay_of === null &&
  row.attachments === null &&
  row.session === null &&
  row.whole === undefined

/** Claims the files of replies, so that the sweep leaves them. A reply's claims are under its negative number. */
export const claimFiles = Effect.fnUntraced(function* (
  { query }: Round,
  rows: ReadonlyArray<ReplyRecord>
): Effect.fn.Return<void, SqlError> {
  const values: Array<Value> = []
  for (const { attachments, id } of rows) {
    for (const { hash, size } of attachmentsOf(attachments)) values.push(-id, hash, size)
  }
  yield* insertAll(query, insertClaims, values)
})

const insertDrafts = Effect.fnUntraced(function* (round: Round): Effect.fn.Return<void, SqlError> {
  const answers: Array<Value> = []
  const others: Array<Value> = []
  for (const row of round.drafts) {
    const values = isAnswer(row) ? answers : others
    values.push(row.id, row.conversation, row.number, row.kind, row.turn, row.state, row.epoch)
    values.push(row.in_reply_to, row.created_at, row.ended_at, row.text)
    if (values === others)
      values.push(row.post, row.expires_at, row.notice, row.replay_of, row.attachments, row.whole ?? null, row.session)
  }
  yield* insertAll(round.query, insertAnswers, answers)
  if (others.length === 0) return
  yield* insertAll(round.query, insertOthers, others)
  yield* claimFiles(round, round.drafts)
})

const updateNumbers = update("sluice_conversations", ["id", "number"])

/** Writes what the round drafted, and the counters. Once, last. */
export const writeDrafts = Effect.fnUntraced(function* (round: Round): Effect.fn.Return<void, SqlError> {
  if (round.drafts.length > 0) yield* insertDrafts(round)
  const changed: Array<Value> = []
  for (const [conversation, { first, last }] of round.numbers) if (last > first) changed.push(conversation, last)
  if (changed.length > 0) yield* updateAll(round.query, updateNumbers, changed)
})
