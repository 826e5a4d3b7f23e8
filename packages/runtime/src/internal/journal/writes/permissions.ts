/**
 * Questions of running turns, marks of running tools, and rows that a queue
 * drops: the small writes beside a turn's claim and its end.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Value } from "../store/database.ts"
import { type Entry, succeed } from "../writer/entries.ts"
import { loadInbound } from "../store/load.ts"
import { stopWaiting } from "../writer/memory.ts"
import type { PermissionRow } from "../records.ts"
import type { Round } from "../writer/round.ts"
import { type PermissionRecord, permissionOf } from "../store/rows.ts"
import { endMessages } from "./settle.ts"
import { insert, insertAll, update, updateAll } from "../store/statements.ts"

const insertUntold = insert("sluice_untold", ["session", "seq"], { tail: "on conflict do nothing" })

/** Columns of a question. */
export const permissionColumns = "id, number, turn, session, question, options, decision"

/** The option of a question that a text names: by its words, whatever their case, or by its place. */
export const optionOf = ({ options }: PermissionRow, text: string): string | undefined => {
  const said = text.trim().toLowerCase()
  const words = options.find((option) => option.toLowerCase() === said)
  return words ?? (/^[1-9]\d?$/.test(said) ? options[Number(said) - 1] : undefined)
}

/** The sessions of a session's conversation. */
export const siblings = `select id from sluice_sessions where conversation =
  (select conversation from sluice_sessions where id = ?)`

/**
 * The same question of the same turn, asked by an earlier boot: open, or decided in this one while nobody listened. What
 * was decided before that has been acted upon, perhaps, and is asked again.
 */
const askedBefore = Effect.fnUntraced(function* (
  round: Round,
  turn: number,
  question: string,
  options: string
): Effect.fn.Return<PermissionRow | undefined, SqlError> {
  const [row] = yield* round.query<PermissionRecord>(
    `select ${permissionColumns}
     from sluice_permissions
     where turn = ? and question = ? and options = ? and epoch < ? and (decision is null or decided_epoch = ?)
     order by id limit 1`,
    [turn, question, options, round.epoch, round.epoch]
  )
  if (row === undefined) return undefined
  yield* round.query(`update sluice_permissions set epoch = ? where id = ?`, [round.epoch, row.id])
  return permissionOf(row)
})

/** Writes a round's questions. */
export const writeAsks = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"ask">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const turn = round.memory.turns.get(entry.input.turn)?.turn
    if (turn === undefined || turn.state !== "running") {
      succeed(entry, undefined)
      continue
    }
    // Sessions of one conversation ask in one chat: an answer by number means one of them.
    const question = entry.input.question.toWellFormed()
    const options = JSON.stringify(entry.input.options.map((option) => option.toWellFormed()))
    const before = yield* askedBefore(round, turn.id, question, options)
    if (before !== undefined) {
      succeed(entry, before)
      continue
    }
    // A late answer to an earlier question must not decide this one: its number is not given again.
    const [highest] = yield* round.query<{ readonly number: number | null }>(
      `select max(number) as number from sluice_permissions where session in (${siblings})`,
      [turn.session]
    )
    const row: PermissionRecord = {
      id: ++round.counters.permission,
      number: (highest?.number ?? 0) + 1,
      turn: turn.id,
      session: turn.session,
      question,
      options,
      decision: null
    }
    yield* round.query(
      `insert into sluice_permissions (id, number, turn, session, question, options, epoch, asked_at)
       values (?,?,?,?,?,?,?,?)`,
      [row.id, row.number, row.turn, row.session, row.question, row.options, round.epoch, round.now]
    )
    succeed(entry, permissionOf(row))
  }
})

/** Ends questions without a person. */
export const writeUnasks = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"unask">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const changed = yield* round.query.change(
      `update sluice_permissions set decision = ?, decided_at = ? where id = ? and decision is null`,
      [entry.input.decision, round.now, entry.input.permission]
    )
    succeed(entry, changed > 0)
  }
})

const updateTools = update("sluice_turns", ["id", "tool"])

/** Writes a round's tool marks. */
export const writeTools = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"tool">>
): Effect.fn.Return<void, SqlError> {
  const last = new Map<number, string | null>()
  for (const { input } of entries) {
    const turn = round.memory.turns.get(input.turn)?.turn
    if (turn?.state === "running" && turn.attempt === input.attempt) last.set(input.turn, input.name ?? null)
  }
  for (const [turn, tool] of last) round.memory.turns.patch(turn, { tool }, round.undo)
  if (last.size > 0) yield* updateAll(round.query, updateTools, [...last].flat())
  for (const entry of entries) succeed(entry, undefined)
})

interface StoredRequest {
  readonly asked_epoch: number | null
  readonly asked_reason: string | null
  readonly report: string | null
}

/** Stores that turns asked for a stop; a turn that did so in an earlier boot hears what came of it. */
export const writeAskeds = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"asked">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const { reason, turn } = entry.input
    const [found] = yield* round.query<StoredRequest>(
      `select t.asked_epoch, t.asked_reason, b.report from sluice_turns t
       left join sluice_boots b on b.epoch = t.asked_epoch where t.id = ?`,
      [turn]
    )
    const epoch = found?.asked_epoch ?? undefined
    if (epoch === undefined) {
      yield* round.query(`update sluice_turns set asked_epoch = ?, asked_reason = ? where id = ?`, [
        round.epoch,
        reason,
        turn
      ])
    }
    const earlier = epoch !== undefined && epoch < round.epoch
    const report = found?.report ?? null
    succeed(
      entry,
      earlier
        ? { reason: found?.asked_reason ?? "", epoch, report: report === null ? undefined : JSON.parse(report) }
        : undefined
    )
  }
})

/** Ends waiting rows by a queue's policy; what `summarize` drops is told with the next turn. */
export const writeDrops = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"drop">>
): Effect.fn.Return<void, SqlError> {
  const rows = yield* loadInbound(
    round.query,
    entries.flatMap(({ input }) => input.seqs)
  )
  const untold: Array<Value> = []
  const conversationOf = new Map([...rows.values()].map((row) => [row.session, row.conversation]))
  const ends = entries.flatMap((entry) => {
    const { policy, seqs, session } = entry.input
    const open = seqs.filter((seq) => {
      const row = rows.get(seq)
      // Each row once, however many entries name it.
      return (
        row !== undefined && row.session === session && row.turn === null && row.ending === null && rows.delete(seq)
      )
    })
    if (policy === "summarize" && open.length > 0) {
      round.memory.untold.add(session)
      for (const seq of open) untold.push(session, seq)
    }
    return [{ seqs: open, ended: { ending: "dropped" as const, why: policy }, entry }]
  })
  yield* endMessages(round, ends)
  yield* insertAll(round.query, insertUntold, untold)
  for (const { entry, seqs } of ends) {
    const conversation = conversationOf.get(entry.input.session)
    if (conversation !== undefined) stopWaiting(round.memory, conversation, seqs, round.undo)
    succeed(entry, undefined)
  }
})
