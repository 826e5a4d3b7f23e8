/**
 * The end of an attempt, with its replies, in one transaction: a reply without
 * its settled turn, or the other way round, does not exist. The first end wins;
 * whoever comes second is told so and discards what it has.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Ended } from "../../Message.ts"
import { bump, countEnds } from "./counters.ts"
import { type Entry, succeed } from "./entries.ts"
import { loadReplies, loadSessions, loadTurns } from "./load.ts"
import type { Draft, Settle, Settlement, TurnState } from "./records.ts"
import { draftReplies, endPlaceholder, fillPlaceholder, isOpenPlaceholder, loadNumbers } from "./replies.ts"
import type { Round } from "./round.ts"
import { numbers, type ReplyRecord, type SessionRecord, type TurnRecord } from "./rows.ts"
import { ids } from "./statements.ts"

type Final = Exclude<Settlement, { readonly _tag: "Retry" | "Interrupted" }>

/** Whether an attempt can be ended this way by this settlement. */
const winner = (round: Round, turn: TurnRecord | undefined, { attempt, settlement }: Settle): boolean => {
  if (turn === undefined || turn.ended_at !== null || turn.attempt !== attempt || turn.epoch !== round.epoch) {
    return false
  }
  if (settlement._tag === "Retry") return turn.state === "running"
  return settlement._tag !== "Interrupted" || turn.state !== "interrupted"
}

const stateOf = (settlement: Final): TurnState => {
  switch (settlement._tag) {
    case "Done":
      return "done"
    case "Cancelled":
      return "cancelled"
    case "Suspended":
      return "suspended"
    case "Dropped":
      return "dropped"
  }
}

/** How the messages of a turn end; `undefined` while replies are on their way. */
const endOf = (settlement: Final, replies: number, pull: boolean): Ended | undefined => {
  switch (settlement._tag) {
    case "Done":
      return replies === 0 ? { ending: "no-reply", why: "" } : pull ? { ending: "replied", why: "" } : undefined
    case "Cancelled":
      return { ending: "cancelled", why: settlement.by }
    case "Suspended":
      return { ending: "suspended", why: settlement.why }
    case "Dropped":
      return { ending: "dropped", why: settlement.policy }
  }
}

/** Ends messages; they must be open. Rings and counts. */
export const endMessages = Effect.fnUntraced(function* (
  round: Round,
  ends: ReadonlyArray<{ readonly seqs: ReadonlyArray<number>; readonly ended: Ended }>
): Effect.fn.Return<void, SqlError> {
  const rows = ends.flatMap(({ ended, seqs }) => seqs.map((seq) => [seq, ended.ending, ended.why]))
  if (rows.length === 0) return
  yield* round.query(
    `update sluice_inbound set ending = j.value->>1, why = j.value->>2, ended_at = ? from json_each(?) j
     where sluice_inbound.seq = j.value->>0`,
    [round.now, JSON.stringify(rows)]
  )
  for (const { ended, seqs } of ends) {
    countEnds(round.counters, ended, seqs.length)
    for (const seq of seqs) round.ended.push(seq)
  }
})

/** What the settles of a round look at. */
interface Desk {
  readonly turns: Map<number, TurnRecord>
  readonly sessions: ReadonlyMap<number, SessionRecord>
  readonly placeholders: ReadonlyMap<number, ReplyRecord>
  readonly externalIds: ReadonlyMap<number, string>
}

const hasParts = (drafts: ReadonlyArray<Draft>): boolean => drafts.some((draft) => draft.parts.length > 0)

const draftsOf = (settlement: Settlement): ReadonlyArray<Draft> =>
  settlement._tag === "Retry" || settlement._tag === "Interrupted" ? [] : settlement.replies

const collect = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"settle">>
): Effect.fn.Return<Desk, SqlError> {
  const { query } = round
  const turns = yield* loadTurns(
    query,
    entries.map(({ input }) => input.turn)
  )
  const sessions = yield* loadSessions(query, new Set([...turns.values()].map((turn) => turn.session)))
  const placeholders = yield* loadReplies(
    query,
    [...turns.values()].flatMap((turn) => (turn.placeholder === null ? [] : [turn.placeholder]))
  )
  const answered = entries
    .filter(({ input }) => hasParts(draftsOf(input.settlement)))
    .flatMap(({ input }) => numbers(turns.get(input.turn)?.seqs ?? null))
  const externals =
    answered.length === 0
      ? []
      : yield* query<{ readonly seq: number; readonly id: string }>(
          `select seq, id from sluice_inbound where seq in (select value from json_each(?))`,
          [ids(answered)]
        )
  yield* loadNumbers(
    round,
    [...sessions.values()].map((session) => session.conversation)
  )
  return { turns, sessions, placeholders, externalIds: new Map(externals.map((row) => [row.seq, row.id])) }
})

/** Stores the replies of a turn that ends; its placeholder takes the first part. */
const reply = Effect.fnUntraced(function* (
  round: Round,
  desk: Desk,
  turn: TurnRecord,
  session: SessionRecord,
  { placeholder: leftover, route, settlement }: Settle
): Effect.fn.Return<ReadonlyArray<number>, SqlError> {
  const drafts = draftsOf(settlement).filter((draft) => draft.parts.length > 0)
  const placeholder = turn.placeholder === null ? undefined : desk.placeholders.get(turn.placeholder)
  const [head, ...tail] = drafts
  if (head === undefined) {
    yield* endPlaceholder(round, turn, placeholder, leftover)
    return []
  }
  const inReplyTo = numbers(turn.seqs).flatMap((seq) => desk.externalIds.get(seq) ?? [])
  const target = { ...session, id: session.conversation }
  const link = { turn: turn.id, post: null, replayOf: null, inReplyTo }
  if (!isOpenPlaceholder(placeholder)) {
    return draftReplies(round, target, drafts, route, link).map((record) => record.id)
  }
  const [first = "", ...parts] = head.parts
  const filled = yield* fillPlaceholder(round, placeholder, first, head.kind, inReplyTo)
  const rest = draftReplies(round, target, [{ ...head, parts }, ...tail], route, link)
  return [filled.id, ...rest.map((record) => record.id)]
})

/** A turn as it is written back. */
interface Written {
  readonly turn: TurnRecord
  readonly error: string | null
  readonly usage: string | null
}

const keepOpen = (round: Round, turn: TurnRecord, settlement: Exclude<Settlement, Final>): Written => {
  if (settlement._tag === "Retry") {
    return {
      turn: {
        ...turn,
        state: "waiting",
        errors: turn.errors + 1,
        trial: 0,
        cut_by: null,
        wait_until: round.now + Math.round(settlement.wait),
        wait: Math.round(settlement.wait)
      },
      error: settlement.error,
      usage: null
    }
  }
  // A backoff that a stop meets goes on after the boot: it is stored, and costs nothing.
  const state = turn.state === "waiting" ? "waiting" : "interrupted"
  const cuts = turn.cuts + (settlement.asked ? 1 : 0)
  return { turn: { ...turn, state, cuts, trial: 0, cut_by: settlement.reason }, error: null, usage: null }
}

/** Writes turns back with one statement. */
const writeTurns = (round: Round, written: ReadonlyArray<Written>) =>
  round.query(
    `update sluice_turns set state = j.value->>1, errors = j.value->>2, cuts = j.value->>3, cut_by = j.value->>4,
       wait_until = j.value->>5, wait = j.value->>6, replies = j.value->>7, undelivered = j.value->>8,
       ended_at = j.value->>9, error = coalesce(j.value->>10, error), usage = coalesce(j.value->>11, usage), trial = 0
     from json_each(?) j where sluice_turns.id = j.value->>0`,
    [
      JSON.stringify(
        written.map(({ error, turn, usage }) => [
          turn.id,
          turn.state,
          turn.errors,
          turn.cuts,
          turn.cut_by,
          turn.wait_until,
          turn.wait,
          turn.replies,
          turn.undelivered,
          turn.ended_at,
          error,
          usage
        ])
      )
    ]
  )

/** What ending turns does beside the turns themselves: sessions and open questions. */
export const leaveTurns = Effect.fnUntraced(function* (
  round: Round,
  turns: ReadonlyArray<Pick<TurnRecord, "id" | "session" | "state">>
): Effect.fn.Return<void, SqlError> {
  if (turns.length === 0) return
  for (const turn of turns) bump(round.counters.turns, turn.state, 1)
  yield* round.query(
    `update sluice_sessions set last_active = ?, set_aside = coalesce(j.value->>1, set_aside) from json_each(?) j
     where sluice_sessions.id = j.value->>0`,
    [
      round.now,
      JSON.stringify(
        turns.map(({ id, session, state }) => [session, state === "suspended" || state === "cancelled" ? id : null])
      )
    ]
  )
  yield* round.query(
    `update sluice_permissions set decision = 'cancelled', decided_at = ?
     where decision is null and turn in (select value from json_each(?))`,
    [round.now, ids(turns.map((turn) => turn.id))]
  )
})

/** Writes a round's settles. */
export const writeSettles = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"settle">>
): Effect.fn.Return<void, SqlError> {
  const desk = yield* collect(round, entries)
  const written = new Map<number, Written>()
  const ends: Array<{ readonly seqs: ReadonlyArray<number>; readonly ended: Ended }> = []
  for (const entry of entries) {
    const { input } = entry
    const turn = desk.turns.get(input.turn)
    const session = turn === undefined ? undefined : desk.sessions.get(turn.session)
    if (turn === undefined || session === undefined || !winner(round, turn, input)) {
      succeed(entry, false)
      continue
    }
    const { settlement } = input
    let next: Written
    if (settlement._tag === "Retry" || settlement._tag === "Interrupted") {
      next = keepOpen(round, turn, settlement)
    } else {
      const replies = yield* reply(round, desk, turn, session, input)
      const ended = endOf(settlement, replies.length, input.route.pull)
      if (ended !== undefined) ends.push({ seqs: numbers(turn.seqs), ended })
      next = {
        turn: {
          ...turn,
          state: stateOf(settlement),
          wait_until: null,
          wait: null,
          replies: replies.length === 0 ? null : JSON.stringify(replies),
          undelivered: ended === undefined ? replies.length : 0,
          ended_at: round.now
        },
        error: null,
        usage: settlement._tag === "Done" && settlement.usage !== undefined ? JSON.stringify(settlement.usage) : null
      }
    }
    desk.turns.set(turn.id, next.turn)
    written.set(turn.id, next)
    succeed(entry, true)
  }
  if (written.size === 0) return
  const list = [...written.values()]
  yield* writeTurns(round, list)
  yield* endMessages(round, ends)
  yield* leaveTurns(
    round,
    list.flatMap(({ turn }) => (turn.ended_at === null ? [] : [turn]))
  )
})
