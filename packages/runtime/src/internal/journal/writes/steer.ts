/**
 * Messages that wait behind a running turn and are handed to it (queue mode
 * `steer`). Which ones is stored before its agent hears of them: when the attempt
 * is cut off, nobody knows whether the agent has them, so the turn's next attempt
 * takes them along, and they are answered there and nowhere else. What the agent
 * says that it took is the turn's from that commit on. A turn that ended first
 * takes nothing, and they wait on.
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

/** Blanks and line ends that may stand before a command; `ltrim` alone knows of none but the space. */
const blanks = "char(9, 10, 11, 12, 13, 32, 160, 65279)"

/** The first `/stop` that has still to run: what was written behind it is not of the turn that it stops. */
const stopOf = (round: Round, session: number) =>
  Effect.map(
    round.query<{ readonly seq: number | null }>(
      `select min(seq) as seq from sluice_inbound
       where command = 1 and ending is null and session = ? and ltrim(text, ${blanks}) like '/stop%'`,
      [session]
    ),
    ([row]) => row?.seq ?? Infinity
  )

/** Those of the messages that still wait, as many as the turn takes beside its own. */
export const freshOf = Effect.fnUntraced(function* (
  round: Round,
  { turn }: OpenTurn,
  seqs: ReadonlyArray<number>
): Effect.fn.Return<ReadonlyArray<Row>, SqlError> {
  const own = numbers(turn.seqs)
  // What the agent said before that it took is among them, and has its room already.
  const others = seqs.filter((seq) => !own.includes(seq))
  const inbound = yield* loadInbound(round.query, [...own, ...others])
  const bytes = own.reduce((sum, seq) => sum + (inbound.get(seq)?.bytes ?? 0), 0)
  const room = { messages: maxMessages - own.length, bytes: maxBytes - bytes }
  if (room.messages < 1 || room.bytes < 1) return []
  const first = inbound.get(Math.min(...others))
  // One message always fits a turn that has none; this one has some.
  if (first !== undefined && first.bytes > room.bytes) return []
  const stop = yield* stopOf(round, turn.session)
  const before = others.filter((seq) => seq < stop)
  return batchOf({ rows: new Map(), inbound, taken: new Set() }, turn.session, before, room)
})

/** Makes messages that wait the turn's. */
export const join = Effect.fnUntraced(function* (
  round: Round,
  open: OpenTurn,
  rows: ReadonlyArray<Row>
): Effect.fn.Return<void, SqlError> {
  const [row] = rows
  if (row === undefined) return
  const { id } = open.turn
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
})

const isRunning = (round: Round, { turn }: OpenTurn, attempt: number): boolean =>
  turn.state === "running" && turn.attempt === attempt && turn.epoch === round.epoch

/** Writes what a round's turns took over, one after the other: each sees what the one before left. */
export const writeSteers = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"steer">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const { attempt, seqs, turn: id } = entry.input
    const open = round.memory.turns.get(id)
    if (open === undefined || !isRunning(round, open, attempt)) {
      succeed(entry, [])
      continue
    }
    const rows = seqs.length > 0 ? yield* freshOf(round, open, seqs) : []
    yield* join(round, open, rows)
    succeed(entry, rows)
  }
})

/** Writes what running turns are handed. */
export const writeHands = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"hand">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const { attempt, seqs, turn } = entry.input
    const open = round.memory.turns.get(turn)
    const runs = open !== undefined && isRunning(round, open, attempt)
    if (runs) yield* round.query(`update sluice_turns set handed = ? where id = ?`, [ids(seqs), turn])
    succeed(entry, runs)
  }
})

/** What attempts that did not come to an answer were handed, by turn. */
export const handedTo = Effect.fnUntraced(function* (
  round: Round,
  turns: ReadonlyArray<number>
): Effect.fn.Return<ReadonlyMap<number, ReadonlyArray<number>>, SqlError> {
  const rows = yield* round.query<{ readonly id: number; readonly handed: string }>(
    `select id, handed from sluice_turns where handed is not null and id in (select value from json_each(?))`,
    [ids(turns)]
  )
  return new Map(rows.map(({ handed, id }) => [id, numbers(handed)]))
})
