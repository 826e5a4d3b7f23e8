/**
 * Claim and resume: from here on a crash finds the turn. The attempt is counted
 * in the same transaction that fixes the batch, before any agent hears of it. A
 * session never has two open turns; a turn that takes over from one that was cut
 * off ends it in the same transaction and inherits its crashes.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { SqlError } from "effect/sql/SqlError"
import { bump } from "./counters.ts"
import type { Value } from "./database.ts"
import { type Entry, succeed } from "./entries.ts"
import { loadInbound, loadOpenTurns, loadSessions, loadTurns } from "./load.ts"
import type { Claimed, Row } from "./records.ts"
import type { Round } from "./round.ts"
import { type InboundRecord, numbers, rowOf, type SessionRecord, sessionOf, type TurnRecord, turnOf } from "./rows.ts"
import { ids, insert, insertAll } from "./statements.ts"

/** Most messages and bytes of a turn; one message always fits. */
export const maxMessages = 64
export const maxBytes = 262_144

/** Crashes that make a turn a suspect: it is tried alone, and a crash then counts for it only. */
export const suspectAt = 2

const insertTurns = insert("sluice_turns", [
  "id",
  "session",
  "state",
  "epoch",
  "attempt",
  "crashes",
  "cuts",
  "errors",
  "agent",
  "trial",
  "tool",
  "cut_by",
  "first_seq",
  "last_seq",
  "seqs",
  "summary",
  "context",
  "placeholder",
  "started_at"
])

/** What the claims of a round look at. */
interface Desk {
  readonly sessions: ReadonlyMap<number, SessionRecord>
  readonly open: Map<number, TurnRecord>
  readonly inbound: ReadonlyMap<number, InboundRecord>
  readonly contexts: ReadonlyMap<number, TurnRecord>
  /** Messages dropped by `summarize` that nobody told of, by session. */
  readonly untold: ReadonlyMap<number, ReadonlyArray<number>>
  /** Oldest waiting message by session, where a claim supersedes. */
  readonly oldest: ReadonlyMap<number, number>
  readonly taken: Set<number>
}

const collect = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"claim">>
): Effect.fn.Return<Desk, SqlError> {
  const { query } = round
  const wanted = new Set(entries.map(({ input }) => input.session))
  const sessions = yield* loadSessions(query, wanted)
  const open = yield* loadOpenTurns(query, wanted)
  const superseding = entries.filter(({ input }) => input.supersedes !== undefined)
  const inherited = superseding.map(({ input }) => open.get(input.session)?.context ?? undefined)
  const contexts = yield* loadTurns(
    query,
    [...entries.map(({ input }) => input.context), ...inherited].filter((turn) => turn !== undefined)
  )
  const told = yield* query<{ readonly session: number; readonly seq: number }>(
    `select session, seq from sluice_untold where session in (select value from json_each(?)) order by seq`,
    [ids(wanted)]
  )
  const untold = new Map<number, Array<number>>()
  for (const { seq, session } of told) {
    const list = untold.get(session)
    if (list === undefined) untold.set(session, [seq])
    else list.push(seq)
  }
  const seqs = new Set<number>(told.map((row) => row.seq))
  for (const { input } of entries) for (const seq of input.seqs) seqs.add(seq)
  for (const turn of contexts.values()) for (const seq of numbers(turn.seqs)) seqs.add(seq)
  for (const { input } of superseding) {
    const old = open.get(input.session)
    for (const seq of [...numbers(old?.seqs ?? null), ...numbers(old?.summary ?? null)]) seqs.add(seq)
  }
  const oldest =
    superseding.length === 0
      ? []
      : yield* query<{ readonly session: number; readonly seq: number }>(
          `select session, min(seq) as seq from sluice_inbound
         where turn is null and ending is null and command = 0 and session in (select value from json_each(?))
         group by session`,
          [ids(superseding.map(({ input }) => input.session))]
        )
  return {
    sessions,
    open,
    inbound: yield* loadInbound(query, seqs),
    contexts,
    untold,
    oldest: new Map(oldest.map((row) => [row.session, row.seq])),
    taken: new Set()
  }
})

/** The waiting messages among `seqs`, in order, as many as a turn takes beside what it has. */
const batchOf = (desk: Desk, session: number, seqs: ReadonlyArray<number>, room: Room): Array<InboundRecord> => {
  const batch: Array<InboundRecord> = []
  let { bytes, messages } = room
  for (const seq of [...seqs].sort((a, b) => a - b)) {
    const row = desk.inbound.get(seq)
    const waits = row !== undefined && row.session === session && row.turn === null && row.ending === null
    if (!waits || row.command === 1 || desk.taken.has(seq)) continue
    if (batch.length > 0 && (messages < 1 || bytes < row.bytes)) break
    batch.push(row)
    messages--
    bytes -= row.bytes
  }
  return batch
}

interface Room {
  readonly messages: number
  readonly bytes: number
}

const rowsOf = (inbound: ReadonlyMap<number, InboundRecord>, seqs: ReadonlyArray<number>): ReadonlyArray<Row> =>
  seqs.flatMap((seq) => {
    const row = inbound.get(seq)
    return row === undefined ? [] : [rowOf(row)]
  })

/** What a claim will write. */
interface Fixed {
  readonly entry: Entry<"claim">
  readonly session: SessionRecord
  readonly turn: TurnRecord
  readonly old: TurnRecord | undefined
  /** Messages that it takes, beside those of `old`. */
  readonly fresh: ReadonlyArray<number>
}

const supersededBy = (desk: Desk, { input }: Entry<"claim">): TurnRecord | "refused" | undefined => {
  const turn = desk.open.get(input.session)
  if (turn === undefined) return undefined
  // Dispatched in this epoch: what it was to be superseded by waits behind it now.
  if (turn.id !== input.supersedes || turn.state === "running") return "refused"
  const oldest = desk.oldest.get(input.session)
  // An older message waits between: it must not be overtaken.
  return oldest !== undefined && !input.seqs.includes(oldest) ? "refused" : turn
}

const fix = (round: Round, desk: Desk, entry: Entry<"claim">): Fixed | undefined => {
  const { input } = entry
  const session = desk.sessions.get(input.session)
  const old = supersededBy(desk, entry)
  if (session === undefined || old === "refused") return undefined
  const kept = numbers(old?.seqs ?? null)
  const bytes = kept.reduce((sum, seq) => sum + (desk.inbound.get(seq)?.bytes ?? 0), 0)
  const batch = batchOf(desk, session.id, input.seqs, { messages: maxMessages - kept.length, bytes: maxBytes - bytes })
  if (batch.length === 0) return undefined
  const fresh = batch.map((row) => row.seq)
  for (const seq of fresh) desk.taken.add(seq)
  const seqs = [...kept, ...fresh].sort((a, b) => a - b)
  const told = [...numbers(old?.summary ?? null), ...(desk.untold.get(session.id) ?? [])]
  const crashes = old?.crashes ?? 0
  const turn: TurnRecord = {
    id: ++round.counters.turn,
    session: session.id,
    state: "running",
    epoch: round.epoch,
    attempt: 1,
    crashes,
    cuts: 0,
    errors: 0,
    agent: input.agent,
    trial: crashes >= suspectAt ? 1 : 0,
    tool: old?.tool ?? null,
    cut_by: old?.cut_by ?? null,
    wait_until: null,
    wait: null,
    first_seq: seqs[0] ?? 0,
    last_seq: seqs.at(-1) ?? 0,
    seqs: JSON.stringify(seqs),
    summary: told.length === 0 ? null : JSON.stringify(told),
    context: input.context ?? old?.context ?? null,
    placeholder: old?.placeholder ?? null,
    replies: null,
    undelivered: 0,
    worst: 0,
    started_at: round.now,
    ended_at: null
  }
  desk.open.set(session.id, turn)
  return { entry, session, turn, old, fresh }
}

const turnValues = (turn: TurnRecord): ReadonlyArray<Value> => [
  turn.id,
  turn.session,
  turn.state,
  turn.epoch,
  turn.attempt,
  turn.crashes,
  turn.cuts,
  turn.errors,
  turn.agent,
  turn.trial,
  turn.tool,
  turn.cut_by,
  turn.first_seq,
  turn.last_seq,
  turn.seqs,
  turn.summary,
  turn.context,
  turn.placeholder,
  turn.started_at
]

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
  yield* insertAll(
    query,
    insertTurns,
    fixed.flatMap(({ turn }) => turnValues(turn))
  )
  yield* query(
    `update sluice_inbound set turn = j.value->>1 from json_each(?) j where sluice_inbound.seq = j.value->>0`,
    [JSON.stringify(fixed.flatMap(({ turn }) => numbers(turn.seqs).map((seq) => [seq, turn.id])))]
  )
  yield* supersede(
    round,
    fixed.flatMap(({ old, turn }) => (old === undefined ? [] : [{ old, turn }]))
  )
  const nameless = fixed.filter(({ session }) => session.agent === "")
  if (nameless.length > 0) {
    yield* query(
      `update sluice_sessions set agent = j.value->>1 from json_each(?) j where sluice_sessions.id = j.value->>0`,
      [JSON.stringify(nameless.map(({ session, turn }) => [session.id, turn.agent]))]
    )
  }
  const telling = fixed.filter(({ turn }) => turn.summary !== null)
  if (telling.length > 0) {
    yield* query(`delete from sluice_untold where session in (select value from json_each(?))`, [
      ids(telling.map(({ session }) => session.id))
    ])
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
    const open = desk.open.get(entry.input.session)
    if (open !== undefined && entry.input.supersedes === undefined) {
      // Two turns of one session at a time is the one thing that must never happen.
      entry.outcome = Exit.die(new Error(`session ${entry.input.session} already has the open turn ${open.id}`))
      continue
    }
    const plan = fix(round, desk, entry)
    if (plan === undefined) succeed(entry, undefined)
    else fixed.push(plan)
  }
  if (fixed.length === 0) return
  yield* write(round, fixed)
  for (const { entry, fresh, session, turn } of fixed) {
    round.conversations.settled(session.conversation, new Set(fresh), round.undo)
    if (turn.trial === 1) round.trials.push({ turn: turn.id, attempt: turn.attempt })
    const context = turn.context === null ? undefined : desk.contexts.get(turn.context)
    succeed(entry, {
      turn: turnOf(turn),
      session: { ...sessionOf(session), agent: session.agent === "" ? turn.agent : session.agent },
      rows: rowsOf(desk.inbound, numbers(turn.seqs)),
      summary: rowsOf(desk.inbound, numbers(turn.summary)),
      context: context === undefined ? [] : rowsOf(desk.inbound, numbers(context.seqs))
    })
  }
})

/** Writes a round's resumes: the next attempt of each turn. */
export const writeResumes = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"resume">>
): Effect.fn.Return<void, SqlError> {
  const { query } = round
  const turns = yield* loadTurns(
    query,
    entries.map(({ input }) => input.turn)
  )
  const started: Array<readonly [Entry<"resume">, TurnRecord]> = []
  for (const entry of entries) {
    const turn = turns.get(entry.input.turn)
    if (turn === undefined || (turn.state !== "interrupted" && turn.state !== "waiting")) {
      succeed(entry, undefined)
      continue
    }
    const next: TurnRecord = {
      ...turn,
      state: "running",
      epoch: round.epoch,
      attempt: turn.attempt + 1,
      trial: turn.crashes >= suspectAt ? 1 : 0,
      wait_until: null,
      wait: null
    }
    turns.set(turn.id, next)
    started.push([entry, next])
  }
  if (started.length === 0) return
  yield* query(
    `update sluice_turns set state = 'running', epoch = ?, attempt = attempt + 1, trial = (crashes >= ?),
       wait_until = null, wait = null
     where id in (select value from json_each(?))`,
    [round.epoch, suspectAt, ids(started.map(([, turn]) => turn.id))]
  )
  const sessions = yield* loadSessions(
    query,
    started.map(([, turn]) => turn.session)
  )
  const contexts = yield* loadTurns(
    query,
    started.flatMap(([, turn]) => (turn.context === null ? [] : [turn.context]))
  )
  const lists = [...started.map(([, turn]) => turn), ...contexts.values()]
  const inbound = yield* loadInbound(
    query,
    lists.flatMap((turn) => [...numbers(turn.seqs), ...numbers(turn.summary)])
  )
  for (const [entry, turn] of started) {
    const session = sessions.get(turn.session)
    if (session === undefined) return yield* Effect.die(new Error(`turn ${turn.id} has no session`))
    if (turn.trial === 1) round.trials.push({ turn: turn.id, attempt: turn.attempt })
    const context = turn.context === null ? undefined : contexts.get(turn.context)
    const claimed: Claimed = {
      turn: turnOf(turn),
      session: sessionOf(session),
      rows: rowsOf(inbound, numbers(turn.seqs)),
      summary: rowsOf(inbound, numbers(turn.summary)),
      context: context === undefined ? [] : rowsOf(inbound, numbers(context.seqs))
    }
    succeed(entry, claimed)
  }
})
