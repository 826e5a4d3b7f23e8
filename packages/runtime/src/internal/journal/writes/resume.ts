/**
 * The next attempt of a turn that was cut off or waits after an error. Counted in
 * its commit, before any agent hears of it, like a first one. What the attempt
 * before was handed and did not say a word about goes along: its agent may have it.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { suspectAt } from "./claim.ts"
import { rowsOf, sessionsOf } from "../writer/desk.ts"
import { type Entry, succeed } from "../writer/entries.ts"
import { loadInbound, loadTurns } from "../store/load.ts"
import type { Claimed } from "../records.ts"
import type { Round } from "../writer/round.ts"
import { freshOf, handedTo, join } from "./steer.ts"
import { numbers, sessionOf, type TurnRecord, turnOf } from "../store/rows.ts"
import { ids } from "../store/statements.ts"

/** Starts the next attempt of open turns. */
const startAgain = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"resume">>
): Effect.fn.Return<ReadonlyArray<readonly [Entry<"resume">, TurnRecord]>, SqlError> {
  const started: Array<readonly [Entry<"resume">, TurnRecord]> = []
  const handed = yield* handedTo(
    round,
    entries.map(({ input }) => input.turn)
  )
  for (const entry of entries) {
    const open = round.memory.turns.get(entry.input.turn)
    if (open === undefined || (open.turn.state !== "interrupted" && open.turn.state !== "waiting")) {
      succeed(entry, undefined)
      continue
    }
    const seqs = handed.get(open.turn.id) ?? []
    if (seqs.length > 0) yield* join(round, open, yield* freshOf(round, open, seqs))
    const { turn } = round.memory.turns.get(open.turn.id) ?? open
    const next: TurnRecord = {
      ...turn,
      state: "running",
      epoch: round.epoch,
      attempt: turn.attempt + 1,
      trial: turn.crashes >= suspectAt ? 1 : 0,
      wait_until: null,
      wait: null
    }
    round.memory.turns.patch(turn.id, next, round.undo)
    started.push([entry, next])
  }
  if (started.length === 0) return started
  yield* round.query.change(
    `update sluice_turns set state = 'running', epoch = ?, attempt = attempt + 1, trial = (crashes >= ?),
       wait_until = null, wait = null, handed = null
     where id in (select value from json_each(?))`,
    [round.epoch, suspectAt, ids(started.map(([, turn]) => turn.id))]
  )
  return started
})

/** Writes a round's resumes: the next attempt of each turn. */
export const writeResumes = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"resume">>
): Effect.fn.Return<void, SqlError> {
  const { query } = round
  const started = yield* startAgain(round, entries)
  if (started.length === 0) return
  const sessions = yield* sessionsOf(
    round,
    started.map(([, turn]) => turn.session)
  )
  const contexts = yield* loadTurns(
    query,
    started.flatMap(([, turn]) => turn.context ?? [])
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
      rows: rowsOf({ inbound }, numbers(turn.seqs)),
      summary: rowsOf({ inbound }, numbers(turn.summary)),
      context: context === undefined ? [] : rowsOf({ inbound }, numbers(context.seqs))
    }
    succeed(entry, claimed)
  }
})
