/**
 * The claim: from here on a crash finds the turn. The attempt is counted in the
 * same transaction that fixes the batch, before any agent hears of it. A session
 * never has two open turns; a turn that takes over from one that was cut off ends
 * it in the same transaction and inherits its crashes.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { SqlError } from "effect/sql/SqlError"
import { bump } from "../writer/counters.ts"
import type { Value } from "../store/database.ts"
import { batchOf, collect, type Desk, rowsOf } from "../writer/desk.ts"
import { type Entry, succeed } from "../writer/entries.ts"
import { nothingUntold, stopWaiting } from "../writer/memory.ts"
import type { Claim, Row } from "../records.ts"
import type { Round } from "../writer/round.ts"
import { numbers, type SessionRecord, sessionOf, type TurnRecord, turnOf } from "../store/rows.ts"
import { ids, insert, insertAll, update, updateAll } from "../store/statements.ts"

/** Most messages and bytes of a turn; one message always fits. */
export const maxMessages = 64
export const maxBytes = 262_144

/** Crashes that make a turn a suspect: it is tried alone, and a crash then counts for it only. */
export const suspectAt = 2

// A turn of its own, and what one can inherit or be told beside it.
const plainColumns = ["id", "session", "epoch", "agent", "started_at", "first_seq", "last_seq", "seqs"]
const inherited = ["crashes", "trial", "tool", "cut_by", "summary", "context", "placeholder"]
const fixed = { state: "'running'", attempt: "1", cuts: "0", errors: "0" }
const insertPlain = insert("sluice_turns", plainColumns, { fixed: { ...fixed, crashes: "0" } })
const insertInherited = insert("sluice_turns", [...plainColumns, ...inherited], { fixed })

const insertTurns = Effect.fnUntraced(function* (
  round: Round,
  turns: ReadonlyArray<Fixed>
): Effect.fn.Return<void, SqlError> {
  const plain: Array<Value> = []
  const others: Array<Value> = []
  for (const { old, turn } of turns) {
    const values = old === undefined && turn.summary === null && turn.context === null ? plain : others
    values.push(turn.id, turn.session, turn.epoch, turn.agent, turn.started_at)
    values.push(turn.first_seq, turn.last_seq, turn.seqs)
    if (values === plain) continue
    values.push(turn.crashes, turn.trial, turn.tool, turn.cut_by, turn.summary, turn.context, turn.placeholder)
  }
  yield* insertAll(round.query, insertPlain, plain)
  yield* insertAll(round.query, insertInherited, others)
})

/** What a claim will write. */
interface Fixed {
  readonly entry: Entry<"claim">
  readonly session: SessionRecord
  readonly turn: TurnRecord
  readonly old: TurnRecord | undefined
  /** All its messages, in order. */
  readonly rows: ReadonlyArray<Row>
  /** Those that waited, without those of `old`. */
  readonly fresh: ReadonlyArray<number>
}

const supersededBy = (round: Round, desk: Desk, { input }: Entry<"claim">): TurnRecord | "refused" | undefined => {
  const turn = round.memory.turns.ofSession(input.session)?.turn
  if (turn === undefined) return undefined
  // Dispatched in this epoch: what it was to be superseded by waits behind it now.
  if (turn.id !== input.supersedes || turn.state === "running") return "refused"
  const oldest = desk.oldest.get(input.session)
  // An older message waits between: it must not be overtaken.
  return oldest !== undefined && !input.seqs.includes(oldest) ? "refused" : turn
}

/** The record of a new turn, with what it inherits. */
const turnRecord = (
  round: Round,
  { agent, context, session }: Claim,
  rows: ReadonlyArray<Row>,
  told: ReadonlyArray<number>,
  old: TurnRecord | undefined
): TurnRecord => {
  const crashes = old?.crashes ?? 0
  return {
    id: ++round.counters.turn,
    session,
    state: "running",
    epoch: round.epoch,
    attempt: 1,
    crashes,
    cuts: 0,
    errors: 0,
    agent,
    trial: crashes >= suspectAt ? 1 : 0,
    tool: old?.tool ?? null,
    cut_by: old?.cut_by ?? null,
    wait_until: null,
    wait: null,
    first_seq: rows[0]?.seq ?? 0,
    last_seq: rows.at(-1)?.seq ?? 0,
    seqs: JSON.stringify(rows.map((row) => row.seq)),
    summary: told.length === 0 ? null : JSON.stringify(told),
    context: context ?? old?.context ?? null,
    placeholder: old?.placeholder ?? null,
    replies: null,
    undelivered: 0,
    worst: 0,
    started_at: round.now,
    ended_at: null
  }
}

const fix = (round: Round, desk: Desk, entry: Entry<"claim">): Fixed | undefined => {
  const { input } = entry
  const session = desk.sessions.get(input.session)
  const old = supersededBy(round, desk, entry)
  if (session === undefined || old === "refused") return undefined
  const kept = rowsOf(desk, numbers(old?.seqs ?? null))
  const bytes = kept.reduce((sum, row) => sum + row.bytes, 0)
  const batch = batchOf(desk, session.id, input.seqs, { messages: maxMessages - kept.length, bytes: maxBytes - bytes })
  if (batch.length === 0) return undefined
  for (const row of batch) desk.taken.add(row.seq)
  const rows = kept.length === 0 ? batch : [...kept, ...batch].sort((a, b) => a.seq - b.seq)
  const told = [...numbers(old?.summary ?? null), ...(desk.untold.get(session.id) ?? [])]
  const turn = turnRecord(round, input, rows, told, old)
  if (old !== undefined) round.memory.turns.end(old.id, round.undo)
  const target = { ...session, id: session.conversation }
  round.memory.turns.set({ turn, target, externalIds: rows.map((row) => row.id) }, round.undo)
  return { entry, session, turn, old, rows, fresh: batch.map((row) => row.seq) }
}

const takeMessages = update("sluice_inbound", ["seq", "turn"])
const nameSessions = update("sluice_sessions", ["id", "agent"])

const supersede = Effect.fnUntraced(function* (
  round: Round,
  pairs: ReadonlyArray<{ readonly old: TurnRecord; readonly turn: TurnRecord }>
): Effect.fn.Return<void, SqlError> {
  if (pairs.length === 0) return
  const list = JSON.stringify(pairs.map(({ old, turn }) => [old.id, turn.id]))
  yield* round.query(
    `update sluice_turns set state = 'superseded', superseded_by = j.value->>1, ended_at = ?, placeholder = null, trial = 0
     from json_each(?) j where sluice_turns.id = j.value->>0`,
    [round.now, list]
  )
  // A turn that asked for a stop must not ask again only because a message joined it.
  yield* round.query(
    `update sluice_turns set asked_epoch = o.asked_epoch, asked_reason = o.asked_reason
     from json_each(?) j join sluice_turns o on o.id = j.value->>0 where sluice_turns.id = j.value->>1`,
    [list]
  )
  // What it asked stands: the turn that takes over asks the same, and hears what was decided.
  yield* round.query(
    `update sluice_permissions set turn = j.value->>1 from json_each(?) j where sluice_permissions.turn = j.value->>0`,
    [list]
  )
  yield* round.query(
    `update sluice_replies set turn = j.value->>1 from json_each(?) j
     where sluice_replies.id = j.value->>0`,
    [JSON.stringify(pairs.flatMap(({ old, turn }) => (old.placeholder === null ? [] : [[old.placeholder, turn.id]])))]
  )
  bump(round.counters.turns, "superseded", pairs.length)
})

const write = Effect.fnUntraced(function* (
  round: Round,
  fixed: ReadonlyArray<Fixed>
): Effect.fn.Return<void, SqlError> {
  const { query } = round
  yield* insertTurns(round, fixed)
  const taken: Array<Value> = []
  for (const { rows, turn } of fixed) for (const row of rows) taken.push(row.seq, turn.id)
  yield* updateAll(query, takeMessages, taken)
  yield* supersede(
    round,
    fixed.flatMap(({ old, turn }) => (old === undefined ? [] : [{ old, turn }]))
  )
  const nameless = fixed.filter(({ session }) => session.agent === "")
  if (nameless.length > 0) {
    yield* updateAll(
      query,
      nameSessions,
      nameless.flatMap(({ session, turn }) => [session.id, turn.agent])
    )
    for (const { session, turn } of nameless) round.memory.sessions.keep({ ...session, agent: turn.agent })
  }
  const telling = fixed.filter(({ turn }) => turn.summary !== null)
  if (telling.length > 0) {
    const sessions = telling.map(({ session }) => session.id)
    yield* query(`delete from sluice_untold where session in (select value from json_each(?))`, [ids(sessions)])
    nothingUntold(round.memory, sessions, round.undo)
  }
})

/** Writes a round's claims. */
export const writeClaims = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"claim">>
): Effect.fn.Return<void, SqlError> {
  const desk = yield* collect(round, entries)
  const fixed: Array<Fixed> = []
  for (const entry of entries) {
    const open = round.memory.turns.ofSession(entry.input.session)
    if (open !== undefined && entry.input.supersedes === undefined) {
      // Two turns of one session at a time is the one thing that must never happen.
      entry.outcome = Exit.die(new Error(`session ${entry.input.session} already has the open turn ${open.turn.id}`))
      continue
    }
    const plan = fix(round, desk, entry)
    if (plan === undefined) succeed(entry, undefined)
    else fixed.push(plan)
  }
  if (fixed.length === 0) return
  yield* write(round, fixed)
  for (const { entry, fresh, rows, session, turn } of fixed) {
    stopWaiting(round.memory, session.conversation, fresh, round.undo)
    if (turn.trial === 1) round.trials.push({ turn: turn.id, attempt: turn.attempt })
    const context = turn.context === null ? undefined : desk.contexts.get(turn.context)
    succeed(entry, {
      turn: turnOf(turn),
      session: { ...sessionOf(session), agent: session.agent === "" ? turn.agent : session.agent },
      rows,
      summary: rowsOf(desk, numbers(turn.summary)),
      context: context === undefined ? [] : rowsOf(desk, numbers(context.seqs))
    })
  }
})
