/**
 * What the claims of a round look at: sessions, messages that wait, messages of
 * turns that are taken over or told of. From memory where it has them, else read
 * with one statement a table.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Entry } from "./entries.ts"
import { loadInbound, loadSessions, loadTurns } from "../store/load.ts"
import type { Row } from "../records.ts"
import type { Round } from "./round.ts"
import { type InboundRecord, numbers, rowOf, type SessionRecord, type TurnRecord } from "../store/rows.ts"
import { ids } from "../store/statements.ts"

/** See the header. */
export interface Desk {
  readonly sessions: ReadonlyMap<number, SessionRecord>
  /** Messages that wait, and those of turns that are taken over. */
  readonly rows: Map<number, Row>
  /** What is not in memory. */
  readonly inbound: ReadonlyMap<number, InboundRecord>
  readonly contexts: ReadonlyMap<number, TurnRecord>
  /** Messages dropped by `summarize` that nobody told of, by session. */
  readonly untold: ReadonlyMap<number, ReadonlyArray<number>>
  /** Oldest waiting message by session, where a claim supersedes. */
  readonly oldest: ReadonlyMap<number, number>
  readonly taken: Set<number>
}

/** Sessions, from memory as far as it has them. */
export const sessionsOf = Effect.fnUntraced(function* (
  round: Round,
  wanted: Iterable<number>
): Effect.fn.Return<Map<number, SessionRecord>, SqlError> {
  const found = new Map<number, SessionRecord>()
  const missing: Array<number> = []
  for (const id of new Set(wanted)) {
    const known = round.memory.sessions.get(id)
    if (known === undefined) missing.push(id)
    else found.set(id, known)
  }
  for (const session of (yield* loadSessions(round.query, missing)).values()) {
    found.set(session.id, session)
    round.memory.sessions.keep(session)
  }
  return found
})

const untoldOf = Effect.fnUntraced(function* (
  round: Round,
  wanted: ReadonlySet<number>
): Effect.fn.Return<Map<number, Array<number>>, SqlError> {
  const untold = new Map<number, Array<number>>()
  const sessions = [...wanted].filter((session) => round.memory.untold.has(session))
  if (sessions.length === 0) return untold
  const rows = yield* round.query<{ readonly session: number; readonly seq: number }>(
    `select session, seq from sluice_untold where session in (select value from json_each(?)) order by seq`,
    [ids(sessions)]
  )
  for (const { seq, session } of rows) {
    const list = untold.get(session)
    if (list === undefined) untold.set(session, [seq])
    else list.push(seq)
  }
  return untold
})

const oldestOf = Effect.fnUntraced(function* (
  round: Round,
  sessions: ReadonlyArray<number>
): Effect.fn.Return<Map<number, number>, SqlError> {
  if (sessions.length === 0) return new Map()
  const rows = yield* round.query<{ readonly session: number; readonly seq: number }>(
    `select session, min(seq) as seq from sluice_inbound
     where turn is null and ending is null and command = 0 and session in (select value from json_each(?))
     group by session`,
    [ids(sessions)]
  )
  return new Map(rows.map((row) => [row.session, row.seq]))
})

/** Reads what the claims of a round need, as far as memory does not have it. */
export const collect = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"claim">>
): Effect.fn.Return<Desk, SqlError> {
  const { memory, query } = round
  const wanted = new Set(entries.map(({ input }) => input.session))
  const taken = entries
    .filter(({ input }) => input.supersedes !== undefined)
    .flatMap(({ input }) => memory.turns.ofSession(input.session)?.turn ?? [])
  const contexts = yield* loadTurns(query, [
    ...entries.flatMap(({ input }) => input.context ?? []),
    ...taken.flatMap((turn) => turn.context ?? [])
  ])
  const untold = yield* untoldOf(round, wanted)
  const rows = new Map<number, Row>()
  const missing = new Set([...untold.values()].flat())
  for (const { input } of entries) {
    for (const seq of input.seqs) {
      const row = memory.rows.get(seq)
      if (row === undefined) missing.add(seq)
      else rows.set(seq, row)
    }
  }
  for (const turn of [...contexts.values(), ...taken]) {
    for (const seq of [...numbers(turn.seqs), ...numbers(turn.summary)]) missing.add(seq)
  }
  return {
    sessions: yield* sessionsOf(round, wanted),
    rows,
    inbound: yield* loadInbound(query, missing),
    contexts,
    untold,
    oldest: yield* oldestOf(
      round,
      taken.map((turn) => turn.session)
    ),
    taken: new Set()
  }
})

type Waiting = Pick<Desk, "rows" | "inbound" | "taken">

/** A message that can be claimed. */
const waitingRow = (desk: Waiting, seq: number): Row | undefined => {
  const row = desk.rows.get(seq)
  if (row !== undefined) return row
  const stored = desk.inbound.get(seq)
  return stored === undefined || stored.turn !== null || stored.ending !== null ? undefined : rowOf(stored)
}

/** What a turn still takes. */
interface Room {
  readonly messages: number
  readonly bytes: number
}

/** The waiting messages among `seqs`, in order, as many as a turn takes beside what it has. */
export const batchOf = (
  desk: Waiting,
  session: number,
  seqs: ReadonlyArray<number>,
  room: Room
): ReadonlyArray<Row> => {
  const batch: Array<Row> = []
  let { bytes, messages } = room
  for (const seq of [...new Set(seqs)].sort((a, b) => a - b)) {
    const row = waitingRow(desk, seq)
    if (row === undefined || row.session !== session || row.command || desk.taken.has(seq)) continue
    if (batch.length > 0 && (messages < 1 || bytes < row.bytes)) break
    batch.push(row)
    messages--
    bytes -= row.bytes
  }
  return batch
}

/** Messages by seq, in the order given. */
export const rowsOf = (desk: Pick<Desk, "inbound">, seqs: ReadonlyArray<number>): ReadonlyArray<Row> =>
  seqs.flatMap((seq) => {
    const row = desk.inbound.get(seq)
    return row === undefined ? [] : [rowOf(row)]
  })
