/**
 * A reply's life. Each step names the states that it leaves, so a step that lost
 * a race does nothing, and a reply that was under way when the process died is
 * found as exactly that. When the last reply of a turn has its end, the turn's
 * messages get theirs in the same transaction: the worst reply decides.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Ended, ReplyState } from "../../../Message.ts"
import type { Value } from "../store/database.ts"
import { type Entry, succeed } from "../writer/entries.ts"
import { loadReplies, loadTurns } from "../store/load.ts"
import type { ReplyStep } from "../records.ts"
import type { Round } from "../writer/round.ts"
import { numbers, replyOf, type ReplyRecord, type TurnRecord } from "../store/rows.ts"
import { endMessages } from "./settle.ts"
import { update, updateAll } from "../store/statements.ts"

const leaves: Readonly<Record<ReplyStep["_tag"], ReadonlyArray<ReplyState>>> = {
  Placing: ["reserved", "pending"],
  Placed: ["placing"],
  Sending: ["pending"],
  Sent: ["sending"],
  Later: ["placing", "sending", "pending"],
  Unknown: ["placing", "sending"],
  Dead: ["reserved", "placing", "placed", "pending", "sending"]
}

/** The end of a turn's messages by its worst reply. */
const worstEnds: ReadonlyArray<Ended> = [
  { ending: "replied", why: "" },
  { ending: "unknown", why: "" },
  { ending: "undeliverable", why: "" }
]

/** Rank of a reply's end: the highest one of a turn decides. */
const rankOf = (state: ReplyState): number => (state === "dead" ? 2 : state === "unknown" ? 1 : 0)

const isEnd = (state: ReplyState): boolean => state === "sent" || state === "unknown" || state === "dead"

/** The reply after a step, or `undefined` when it is not in a state that the step leaves. */
const stepped = (
  round: Pick<Round, "epoch" | "now">,
  row: ReplyRecord,
  step: ReplyStep,
  turnEnded: boolean
): ReplyRecord | undefined => {
  if (!leaves[step._tag].includes(row.state)) return undefined
  const end = { ended_at: round.now, not_before: null, wait: null }
  switch (step._tag) {
    case "Placing":
      if (row.remote_id !== null) return undefined
      return { ...row, state: "placing", epoch: round.epoch, tries: row.tries + 1 }
    case "Placed": {
      const placed = { ...row, remote_id: step.remoteId, tries: 0, not_before: null, wait: null }
      if (row.number !== null) return { ...placed, state: "pending" }
      // Its turn ended without a reply while it was being placed: it stays as it stands.
      return turnEnded ? { ...placed, ...end, state: "sent" } : { ...placed, state: "placed" }
    }
    case "Sending":
      return { ...row, state: "sending", epoch: round.epoch, tries: row.tries + 1 }
    case "Sent":
      return { ...row, ...end, state: "sent", remote_id: step.remoteId ?? row.remote_id }
    case "Later": {
      const wait = Math.max(0, Math.round(step.wait))
      return {
        ...row,
        state: row.number === null ? "reserved" : "pending",
        marked: step.marked ? 1 : row.marked,
        not_before: round.now + wait,
        wait
      }
    }
    case "Unknown":
      return { ...row, ...end, state: "unknown", error: step.error }
    case "Dead":
      return { ...row, ...end, state: "dead", error: step.error }
  }
}

const updateReplies = update(
  "sluice_replies",
  ["id", "state", "epoch", "tries", "marked", "remote_id", "not_before", "wait", "ended_at", "error"],
  { error: "coalesce(j.error, sluice_replies.error)" }
)

const writeReplies = (round: Round, rows: Iterable<ReplyRecord>) => {
  const values: Array<Value> = []
  for (const row of rows) {
    values.push(row.id, row.state, row.epoch, row.tries, row.marked, row.remote_id)
    values.push(row.not_before, row.wait, row.ended_at, row.error)
  }
  return updateAll(round.query, updateReplies, values)
}

const updateCounts = update("sluice_turns", ["id", "undelivered", "worst"])

/** Replies that ended: their turns and posts wait for one less. */
const countDown = Effect.fnUntraced(function* (
  round: Round,
  ended: ReadonlyArray<ReplyRecord>,
  turns: ReadonlyMap<number, TurnRecord>
): Effect.fn.Return<void, SqlError> {
  const touched = new Map<number, TurnRecord>()
  const posts = new Map<number, { count: number; worst: number }>()
  for (const row of ended) {
    const rank = rankOf(row.state)
    if (row.post !== null && row.replay_of === null) {
      const post = posts.get(row.post) ?? { count: 0, worst: 0 }
      posts.set(row.post, { count: post.count + 1, worst: Math.max(post.worst, rank) })
    }
    const turn = row.turn === null ? undefined : (touched.get(row.turn) ?? turns.get(row.turn))
    // A replay, a placeholder without a text and a notice beside the answer are nobody's last reply.
    if (turn === undefined || turn.undelivered === 0 || !numbers(turn.replies).includes(row.id)) continue
    touched.set(turn.id, { ...turn, undelivered: turn.undelivered - 1, worst: Math.max(turn.worst, rank) })
  }
  if (touched.size > 0) {
    const list = [...touched.values()]
    yield* updateAll(
      round.query,
      updateCounts,
      list.flatMap((turn) => [turn.id, turn.undelivered, turn.worst])
    )
    yield* endMessages(
      round,
      list.flatMap((turn) => {
        const ended = worstEnds[turn.worst]
        return turn.undelivered > 0 || ended === undefined ? [] : [{ seqs: numbers(turn.seqs), ended }]
      })
    )
  }
  for (const [post, { count, worst }] of posts) yield* countDownPost(round, post, count, worst)
})

const countDownPost = Effect.fnUntraced(function* (
  round: Round,
  post: number,
  count: number,
  worst: number
): Effect.fn.Return<void, SqlError> {
  const [row] = yield* round.query<{ readonly undelivered: number; readonly worst: number }>(
    `update sluice_posts set undelivered = undelivered - ?, worst = max(worst, ?) where id = ? and ended_at is null
     returning undelivered, worst`,
    [count, worst, post]
  )
  if (row === undefined || row.undelivered > 0) return
  yield* round.query(`update sluice_posts set ended_at = ? where id = ?`, [round.now, post])
  const { posts } = round.counters
  if (row.worst === 2) posts.undeliverable++
  else if (row.worst === 1) posts.unknown++
  else posts.sent++
})

/** Writes a round's steps. */
export const writeSteps = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"step">>
): Effect.fn.Return<void, SqlError> {
  const rows = yield* loadReplies(
    round.query,
    entries.map(({ input }) => input.reply)
  )
  const turns = yield* loadTurns(
    round.query,
    [...rows.values()].flatMap((row) => (row.turn === null ? [] : [row.turn]))
  )
  const changed = new Map<number, ReplyRecord>()
  const ended: Array<ReplyRecord> = []
  for (const entry of entries) {
    const row = rows.get(entry.input.reply)
    const turnEnded = row?.turn === undefined || row.turn === null || turns.get(row.turn)?.ended_at !== null
    const next = row === undefined ? undefined : stepped(round, row, entry.input, turnEnded)
    if (next === undefined) {
      succeed(entry, undefined)
      continue
    }
    rows.set(next.id, next)
    changed.set(next.id, next)
    if (isEnd(next.state)) ended.push(next)
    succeed(entry, replyOf(next, round))
  }
  if (changed.size > 0) yield* writeReplies(round, changed.values())
  if (ended.length > 0) yield* countDown(round, ended, turns)
})

/** Takes these steps in a round, without anybody who waits for them. */
export const endReplies = (round: Round, steps: ReadonlyArray<ReplyStep>): Effect.Effect<void, SqlError> =>
  writeSteps(
    round,
    steps.map((input) => ({ kind: "step", input, bytes: 0, at: 0, tell: () => {}, outcome: undefined }))
  )

/** Writes a round's reservations. */
export const writeReserves = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"reserve">>
): Effect.fn.Return<void, SqlError> {
  const { query } = round
  for (const entry of entries) {
    const turn = round.memory.turns.get(entry.input.turn)?.turn
    if (turn === undefined) {
      succeed(entry, undefined)
      continue
    }
    const placeholder = turn.placeholder ?? ++round.counters.reply
    if (turn.placeholder === null) {
      yield* query(
        `insert into sluice_replies (id, conversation, kind, turn, state, epoch, created_at, text)
         select ?, conversation, 'answer', ?, 'reserved', ?, ?, '' from sluice_sessions where id = ?`,
        [placeholder, turn.id, round.epoch, round.now, turn.session]
      )
      yield* query(`update sluice_turns set placeholder = ? where id = ?`, [placeholder, turn.id])
      round.memory.turns.patch(turn.id, { placeholder }, round.undo)
    }
    const row = (yield* loadReplies(query, [placeholder])).get(placeholder)
    succeed(entry, row === undefined ? undefined : replyOf(row, round))
  }
})
