/**
 * Writes about the boot itself: the mark of a stop that begins, the report of one
 * that ended, health, uptime, and the end of a suspect's trial.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { type Entry, succeed, type Upkeep } from "../writer/entries.ts"
import { compact } from "./retention.ts"
import type { Round } from "../writer/round.ts"

interface OpenWork {
  readonly turns: number
  readonly sessions: number
}

/**
 * Marks the boot, and with it every turn that is open or will be claimed in it:
 * a mark counts only for its own epoch, and a turn that ends has no state left to
 * carry one, so the one row says it for all, however many there are.
 */
export const writePreMarks = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"premark">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    yield* round.query(
      `update sluice_boots set mark = coalesce(mark, ?), marked_at = coalesce(marked_at, ?) where epoch = ?`,
      [entry.input.reason, round.now, round.epoch]
    )
    const [open] = yield* round.query<OpenWork>(
      `select (select count(*) from sluice_turns where ended_at is null) as turns,
         (select count(*) from (
           select session from sluice_inbound where turn is null and ending is null
           union select session from sluice_turns where ended_at is null)) as sessions`
    )
    succeed(entry, open ?? { turns: 0, sessions: 0 })
  }
})

/** Stores the report of a stop. */
export const writeReports = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"report">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    const { clean, exitCode, json, millis, reason } = entry.input
    yield* round.query(
      `update sluice_boots set reason = ?, exit_code = ?, millis = ?, clean = ?, ended_at = ?, report = ?,
         failed = max(failed, ?) where epoch = ?`,
      [
        reason,
        exitCode,
        Math.round(millis),
        clean ? 1 : 0,
        round.now,
        JSON.stringify(json ?? null),
        exitCode === 74 ? 1 : 0,
        round.epoch
      ]
    )
    succeed(entry, undefined)
  }
})

const upkeep = (round: Round, input: Upkeep): Effect.Effect<number, SqlError> => {
  const { epoch, query } = round
  switch (input._tag) {
    case "Healthy":
      return query.change(`update sluice_boots set healthy = 1, chain = 0 where epoch = ?`, [epoch])
    case "TrialOver":
      round.memory.turns.patch(input.turn, { trial: 0 }, round.undo)
      return query.change(`update sluice_turns set trial = 0 where id = ? and attempt = ? and epoch = ?`, [
        input.turn,
        input.attempt,
        epoch
      ])
    case "Uptime":
      return Effect.succeed(0)
  }
}

/** Does a round's housekeeping. */
export const writeUpkeep = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"upkeep">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) {
    yield* upkeep(round, entry.input)
    succeed(entry, undefined)
  }
})

/** Lets pieces go. */
export const writeCompactions = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"compact">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) succeed(entry, yield* compact(round, entry.input))
})
