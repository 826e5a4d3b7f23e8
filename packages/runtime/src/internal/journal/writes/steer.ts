/**
 * A running turn took over messages that waited behind it (queue mode `steer`).
 * From this commit on they are the turn's: its end is theirs, and a crash runs it
 * again with them. A turn that ended first takes nothing, and they wait on.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Value } from "../store/database.ts"
import { maxBytes, maxMessages } from "./claim.ts"
import { batchOf } from "../writer/desk.ts"
import { type Entry, succeed } from "../writer/entries.ts"
import { loadInbound } from "../store/load.ts"
import { stopWaiting } from "../writer/memory.ts"
import type { OpenTurn } from "../writer/openTurns.ts"
import type { Row } from "../records.ts"
import type { Round } from "../writer/round.ts"
import { numbers } from "../store/rows.ts"
import { ids, update, updateAll } from "../store/statements.ts"

const takeMessages = update("sluice_inbound", ["seq", "turn"])

/** The first `/stop` that has still to run: what was written behind it is not of the turn that it stops. */
const stopOf = (round: Round, session: number) =>
  Effect.map(
    round.query<{ readonly seq: number | null }>(
      `select min(seq) as seq from sluice_inbound
       where command = 1 and ending is null and session = ? and ltrim(text) like '/stop%'`,
      [session]
    ),
    ([row]) => row?.seq ?? Infinity
  )

/** Those of the messages that still wait, as many as the turn takes beside its own. */
const fresh = Effect.fnUntraced(function* (
  round: Round,
  { turn }: OpenTurn,
  seqs: ReadonlyArray<number>
): Effect.fn.Return<ReadonlyArray<Row>, SqlError> {
  const own = numbers(turn.seqs)
  const inbound = yield* loadInbound(round.query, [...own, ...seqs])
  const bytes = own.reduce((sum, seq) => sum + (inbound.get(seq)?.bytes ?? 0), 0)
  const room = { messages: maxMessages - own.length, bytes: maxBytes - bytes }
  if (room.messages < 1 || room.bytes < 1) return []
  const first = inbound.get(Math.min(...seqs))
  // One message always fits a turn that has none; this one has some.
  if (first !== undefined && first.bytes > room.bytes) return []
  const stop = yield* stopOf(round, turn.session)
  const before = seqs.filter((seq) => seq < stop)
  return batchOf({ rows: new Map(), inbound, taken: new Set() }, turn.session, before, room)
})

/** Writes what a round's turns took over, one after the other: each sees what the one before left. */
export const writeSteers = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"steer">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const { attempt, seqs, turn: id } = entry.input
    const open = round.memory.turns.get(id)
    const runs = open?.turn.state === "running" && open.turn.attempt === attempt && open.turn.epoch === round.epoch
    const rows = runs && seqs.length > 0 ? yield* fresh(round, open, seqs) : []
    succeed(entry, rows)
    const [row] = rows
    if (!runs || row === undefined) continue
    const taken: Array<Value> = []
    for (const { seq } of rows) taken.push(seq, id)
    yield* updateAll(round.query, takeMessages, taken)
    const all = [...numbers(open.turn.seqs), ...rows.map(({ seq }) => seq)].sort((a, b) => a - b)
    const facts = { seqs: ids(all), first_seq: all[0] ?? row.seq, last_seq: all.at(-1) ?? row.seq }
    yield* round.query(`update sluice_turns set seqs = ?, first_seq = ?, last_seq = ? where id = ?`, [
      facts.seqs,
      facts.first_seq,
      facts.last_seq,
      id
    ])
    const { externalIds } = open
    const joined = externalIds === undefined ? undefined : [...externalIds, ...rows.map((taken) => taken.id)]
    round.memory.turns.set({ ...open, turn: { ...open.turn, ...facts }, externalIds: joined }, round.undo)
    stopWaiting(
      round.memory,
      row.conversation,
      rows.map(({ seq }) => seq),
      round.undo
    )
  }
})
