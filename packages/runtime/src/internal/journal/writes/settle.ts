/**
 * The end of an attempt, with its replies, in one transaction: a reply without
 * its settled turn, or the other way round, does not exist. The first end wins;
 * whoever comes second is told so and discards what it has.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { type Ended, endedText } from "../../../Message.ts"
import { bump, countEnds } from "../writer/counters.ts"
import type { Value } from "../store/database.ts"
import { type Entry, succeed } from "../writer/entries.ts"
import { loadInbound, loadReplies, loadSessions } from "../store/load.ts"
import type { OpenTurn } from "../writer/openTurns.ts"
import { currentSessions } from "./naming.ts"
import { isOpenPlaceholder, Placeholders } from "./placeholders.ts"
import type { Draft, Settle, Settlement, TurnState } from "../records.ts"
import { draftReplies, loadNumbers, type Target } from "./replies.ts"
import type { Round } from "../writer/round.ts"
import { numbers, type ReplyRecord, type TurnRecord } from "../store/rows.ts"
import { ids, update, updateAll } from "../store/statements.ts"
import { addUsage } from "./usage.ts"

type Final = Exclude<Settlement, { readonly _tag: "Retry" | "Interrupted" }>

/** Whether an attempt can be ended this way by this settlement. */
const winner = (round: Round, turn: TurnRecord, { attempt, settlement }: Settle): boolean => {
  if (turn.ended_at !== null || turn.attempt !== attempt || turn.epoch !== round.epoch) {
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
  const groups = new Map<string, { readonly ended: Ended; readonly seqs: Array<number> }>()
  for (const { ended, seqs } of ends) {
    if (seqs.length === 0) continue
    const key = endedText(ended)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { ended, seqs: [...seqs] })
    else group.seqs.push(...seqs)
    round.ended.push(...seqs)
  }
  for (const { ended, seqs } of groups.values()) {
    yield* round.query.change(
      `update sluice_inbound set ending = ?, why = ?, ended_at = ? where seq in (select value from json_each(?))`,
      [ended.ending, ended.why, round.now, ids(seqs)]
    )
    countEnds(round.counters, ended, seqs.length)
  }
})

/** What the settles of a round look at. */
interface Desk {
  readonly open: Map<number, CompleteTurn>
  /** Placeholders as they are stored, and what becomes of them. */
  readonly stored: ReadonlyMap<number, ReplyRecord>
  readonly placeholders: Placeholders
  /** The current session of each conversation. */
  readonly current: ReadonlyMap<number, number>
}

/** An open turn with everything that its end needs. */
interface CompleteTurn {
  readonly turn: TurnRecord
  readonly target: Target
  readonly externalIds: ReadonlyArray<string>
}

const draftsOf = (settlement: Settlement): ReadonlyArray<Draft> =>
  settlement._tag === "Retry" || settlement._tag === "Interrupted" ? [] : settlement.replies

/** Reads what memory does not have of turns that an earlier boot opened. */
const complete = Effect.fnUntraced(function* (
  round: Round,
  turns: ReadonlyArray<OpenTurn>
): Effect.fn.Return<Map<number, CompleteTurn>, SqlError> {
  const lacking = turns.filter(({ externalIds, target }) => externalIds === undefined || target === undefined)
  const sessions = yield* loadSessions(
    round.query,
    lacking.map(({ turn }) => turn.session)
  )
  const inbound = yield* loadInbound(
    round.query,
    lacking.flatMap(({ turn }) => numbers(turn.seqs))
  )
  const found = new Map<number, CompleteTurn>()
  for (const { externalIds, target, turn } of turns) {
    const session = sessions.get(turn.session)
    const where = target ?? (session === undefined ? undefined : { ...session, id: session.conversation })
    if (where === undefined) return yield* Effect.die(new Error(`turn ${turn.id} has no session`))
    const external = externalIds ?? numbers(turn.seqs).flatMap((seq) => inbound.get(seq)?.id ?? [])
    found.set(turn.id, { turn, target: where, externalIds: external })
  }
  return found
})

const collect = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"settle">>
): Effect.fn.Return<Desk, SqlError> {
  const turns = new Map<number, OpenTurn>()
  for (const { input } of entries) {
    const open = round.memory.turns.get(input.turn)
    if (open !== undefined) turns.set(input.turn, open)
  }
  const open = yield* complete(round, [...turns.values()])
  const stored = yield* loadReplies(
    round.query,
    [...open.values()].flatMap(({ turn }) => turn.placeholder ?? [])
  )
  yield* loadNumbers(
    round,
    [...open.values()].map(({ target }) => target.id)
  )
  const current = yield* currentSessions(
    round,
    [...open.values()].map(({ target }) => target.id)
  )
  return { open, stored, placeholders: new Placeholders(round), current }
})

/** Drafts the replies of a turn that ends; its placeholder takes the first part. Returns their rows. */
const reply = (
  round: Round,
  desk: Desk,
  { externalIds, target, turn }: CompleteTurn,
  { placeholder: leftover, route, settlement }: Settle
): ReadonlyArray<number> => {
  const isCurrent = (desk.current.get(target.id) ?? turn.session) === turn.session
  const drafts = draftsOf(settlement)
    .map(({ session, ...draft }): Draft => (isCurrent || session === undefined ? draft : { ...draft, session }))
    .filter((draft) => draft.parts.length > 0)
  const placeholder = turn.placeholder === null ? undefined : desk.stored.get(turn.placeholder)
  const [head, ...tail] = drafts
  if (head === undefined) {
    desk.placeholders.end(turn, placeholder, leftover)
    return []
  }
  const link = { turn: turn.id, post: null, replayOf: null, inReplyTo: externalIds }
  if (!isOpenPlaceholder(placeholder)) {
    return draftReplies(round, target, drafts, route, link).map((record) => record.id)
  }
  const [first = "", ...parts] = head.parts
  // Files belong to the last part, the name of the session to the first.
  const { attachments, session, whole, ...others } = head
  const whose = session === undefined ? {} : { session }
  const last = { ...(attachments === undefined ? {} : { attachments }), ...(whole === undefined ? {} : { whole }) }
  const more = { ...whose, ...(parts.length > 0 ? {} : last) }
  const filled = desk.placeholders.fill(placeholder, first, head.kind, externalIds, more)
  const rest = draftReplies(round, target, [{ ...others, ...last, parts }, ...tail], route, link)
  return [filled.id, ...rest.map((record) => record.id)]
}

/** A turn as it is written back. */
interface Written {
  readonly turn: TurnRecord
  readonly error: string | null
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
      error: settlement.error
    }
  }
  // A backoff that a stop meets goes on after the boot: it is stored, and costs nothing.
  const waits = turn.state === "waiting"
  const cut = {
    state: waits ? ("waiting" as const) : ("interrupted" as const),
    cuts: turn.cuts + (settlement.asked ? 1 : 0),
    cut_by: waits ? turn.cut_by : settlement.reason,
    trial: 0
  }
  return { turn: { ...turn, ...cut }, error: null }
}

const updateDone = update("sluice_turns", ["id", "replies", "undelivered"], {
  state: "'done'",
  trial: "0",
  wait_until: "null",
  wait: "null",
  ended_at: "?"
})

const updateTurns = update(
  "sluice_turns",
  ["id", "state", "errors", "cuts", "cut_by", "wait_until", "wait", "replies", "undelivered", "ended_at", "error"],
  { trial: "0", error: "coalesce(j.error, sluice_turns.error)" }
)

const writeTurns = Effect.fnUntraced(function* (
  round: Round,
  written: ReadonlyArray<Written>
): Effect.fn.Return<void, SqlError> {
  const done: Array<Value> = []
  const values: Array<Value> = []
  for (const { error, turn } of written) {
    if (turn.state === "done") {
      done.push(turn.id, turn.replies, turn.undelivered)
      continue
    }
    values.push(turn.id, turn.state, turn.errors, turn.cuts, turn.cut_by, turn.wait_until, turn.wait)
    values.push(turn.replies, turn.undelivered, turn.ended_at, error)
  }
  yield* updateAll(round.query, updateDone, done, [round.now])
  yield* updateAll(round.query, updateTurns, values)
})

const activeMillis = 30_000

const updateSessions = update("sluice_sessions", ["id", "set_aside"], {
  last_active: "?",
  set_aside: "coalesce(j.set_aside, sluice_sessions.set_aside)"
})

/** Open questions of turns have no answer any more. */
const endQuestions = (round: Round, turns: ReadonlyArray<number>, and = "") =>
  turns.length === 0
    ? Effect.void
    : round.query.change(
        `update sluice_permissions set decision = 'cancelled', decided_at = ?
         where decision is null and turn in (select value from json_each(?)) ${and}`,
        [round.now, ids(turns)]
      )

/** What ending turns does beside the turns themselves: sessions and open questions. */
export const leaveTurns = Effect.fnUntraced(function* (
  round: Round,
  turns: ReadonlyArray<Pick<TurnRecord, "id" | "session" | "state">>
): Effect.fn.Return<void, SqlError> {
  if (turns.length === 0) return
  const values: Array<Value> = []
  for (const { id, session, state } of turns) {
    bump(round.counters.turns, state, 1)
    round.memory.turns.end(id, round.undo)
    const known = round.memory.sessions.get(session)
    const aside = state === "suspended" || state === "cancelled" ? id : null
    // To the half minute is enough to say how long a session was idle, and saves a write for every turn.
    const recent = known !== undefined && Math.abs(round.now - known.stored_active) < activeMillis
    if (!recent || aside !== null) values.push(session, aside)
    if (known === undefined) continue
    round.memory.sessions.keep({
      ...known,
      last_active: round.now,
      stored_active: recent && aside === null ? known.stored_active : round.now,
      set_aside: aside ?? known.set_aside
    })
  }
  yield* updateAll(round.query, updateSessions, values, [round.now])
  yield* endQuestions(
    round,
    turns.map((turn) => turn.id)
  )
})

/** What one settle writes. */
const settled = (
  round: Round,
  desk: Desk,
  open: CompleteTurn,
  input: Settle
): { readonly written: Written; readonly ended: Ended | undefined } => {
  const { settlement } = input
  const { turn } = open
  if (settlement._tag === "Retry" || settlement._tag === "Interrupted") {
    return { written: keepOpen(round, turn, settlement), ended: undefined }
  }
  const replies = reply(round, desk, open, input)
  const ended = endOf(settlement, replies.length, input.route.pull)
  const written: Written = {
    turn: {
      ...turn,
      state: stateOf(settlement),
      trial: 0,
      wait_until: null,
      wait: null,
      replies: replies.length === 0 ? null : JSON.stringify(replies),
      undelivered: ended === undefined ? replies.length : 0,
      ended_at: round.now
    },
    error: null
  }
  return { written, ended }
}

/** Writes a round's settles. */
export const writeSettles = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"settle">>
): Effect.fn.Return<void, SqlError> {
  const desk = yield* collect(round, entries)
  const written = new Map<number, Written>()
  const ends: Array<{ readonly seqs: ReadonlyArray<number>; readonly ended: Ended }> = []
  for (const entry of entries) {
    const open = desk.open.get(entry.input.turn)
    if (open === undefined || !winner(round, open.turn, entry.input)) {
      succeed(entry, false)
      continue
    }
    const result = settled(round, desk, open, entry.input)
    const { turn } = result.written
    if (result.ended !== undefined) ends.push({ seqs: numbers(turn.seqs), ended: result.ended })
    desk.open.set(turn.id, { ...open, turn })
    written.set(turn.id, result.written)
    succeed(entry, true)
  }
  yield* addUsage(
    round,
    entries.flatMap(({ input: { spent, turn } }) => (spent === undefined ? [] : [{ turn, spent }]))
  )
  if (written.size === 0) return
  const list = [...written.values()]
  yield* writeTurns(round, list)
  yield* desk.placeholders.write
  yield* endMessages(round, ends)
  for (const { turn } of list) if (turn.ended_at === null) round.memory.turns.patch(turn.id, turn, round.undo)
  // An attempt that failed while its question was on its way never heard of it: nobody would hear the answer.
  yield* endQuestions(
    round,
    list.filter(({ turn }) => turn.state === "waiting").map(({ turn }) => turn.id),
    `and epoch = ${round.epoch}`
  )
  yield* leaveTurns(
    round,
    list.flatMap(({ turn }) => (turn.ended_at === null ? [] : [turn]))
  )
})
