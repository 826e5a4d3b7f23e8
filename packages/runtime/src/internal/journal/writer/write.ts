/**
 * Fills one transaction: kind after kind, each with its few statements, then the
 * boot's row, which carries the counters and is the fence: if another process
 * opened the store meanwhile, it is not the latest boot any more and nothing of
 * the round is committed.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { writeAdmits } from "../writes/admit.ts"
import { writeClaims } from "../writes/claim.ts"
import { writeCommands } from "../writes/commands.ts"
import type { Entry, Kind } from "./entries.ts"
import { writeForgets } from "../writes/forget.ts"
import { writeDiscards, writeNotices, writeReplays, writeThrottles } from "../writes/notices.ts"
import { writeAskeds, writeAsks, writeDrops, writeTools, writeUnasks } from "../writes/permissions.ts"
import { writePosts } from "../writes/posts.ts"
import { writeDrafts } from "../writes/replies.ts"
import { writeFarewells, writeReturns } from "../writes/restarts.ts"
import { writeResumes } from "../writes/resume.ts"
import type { Round, Writes } from "./round.ts"
import { writeSettles } from "../writes/settle.ts"
import { writeHands, writeSteers } from "../writes/steer.ts"
import { writeReserves, writeSteps } from "../writes/steps.ts"
import { writeCompactions, writePreMarks, writeReports, writeUpkeep } from "../writes/upkeep.ts"
import { writeSpends } from "../writes/usage.ts"
import { writeValues } from "../writes/values.ts"

/** Another process opened the store: nothing that this one writes counts any more. */
export class FencedOff extends Data.TaggedError("FencedOff")<{ readonly epoch: number }> {}

// The order within a round. Ends come before claims, claims before commands that may cancel them, intake last; what a
// caller waits for in between is in another round by then.
const order: ReadonlyArray<Kind> = [
  "premark",
  "settle",
  "spend",
  "resume",
  "claim",
  "tool",
  "steer",
  "hand",
  "keep",
  "ask",
  "unask",
  "asked",
  "drop",
  "command",
  "forget",
  "reserve",
  "step",
  "throttle",
  "notice",
  "farewell",
  "return",
  "replay",
  "discard",
  "report",
  "upkeep",
  "compact",
  "admit",
  "post"
]

const writers: { readonly [K in Kind]: Writes<K> } = {
  premark: writePreMarks,
  settle: writeSettles,
  spend: writeSpends,
  resume: writeResumes,
  claim: writeClaims,
  tool: writeTools,
  steer: writeSteers,
  hand: writeHands,
  keep: writeValues,
  ask: writeAsks,
  unask: writeUnasks,
  asked: writeAskeds,
  drop: writeDrops,
  command: writeCommands,
  forget: writeForgets,
  reserve: writeReserves,
  step: writeSteps,
  throttle: writeThrottles,
  notice: writeNotices,
  farewell: writeFarewells,
  return: writeReturns,
  replay: writeReplays,
  discard: writeDiscards,
  report: writeReports,
  upkeep: writeUpkeep,
  compact: writeCompactions,
  admit: writeAdmits,
  post: writePosts
}

// A group holds entries of its own kind only.
const writerOf = (kind: Kind) => writers[kind] as unknown as Writes<Kind>

/** The entries of a round by kind, in the order in which they are written. */
export const byKind = (entries: ReadonlyArray<Entry>): ReadonlyArray<readonly [Kind, ReadonlyArray<Entry>]> => {
  const [first] = entries
  if (first === undefined) return []
  // Most rounds are of one kind.
  if (entries.every(({ kind }) => kind === first.kind)) return [[first.kind, entries]]
  const groups = new Map<Kind, Array<Entry>>()
  for (const entry of entries) {
    const group = groups.get(entry.kind)
    if (group === undefined) groups.set(entry.kind, [entry])
    else group.push(entry)
  }
  return order.flatMap((kind) => {
    const group = groups.get(kind)
    return group === undefined ? [] : [[kind, group] as const]
  })
}

/** Everything between `begin` and `commit`. */
export const fill = Effect.fnUntraced(function* (
  round: Round,
  groups: ReadonlyArray<readonly [Kind, ReadonlyArray<Entry>]>,
  number: number
): Effect.fn.Return<void, SqlError | FencedOff> {
  for (const [kind, entries] of groups) yield* writerOf(kind)(round, entries)
  yield* writeDrafts(round)
  const changed = yield* round.query.change(
    `update sluice_boots set rounds = ?, counters = ?, uptime = ?
     where epoch = ? and epoch = (select max(epoch) from sluice_boots)`,
    [number, JSON.stringify(round.counters), round.uptime, round.epoch]
  )
  if (changed === 0) return yield* new FencedOff({ epoch: round.epoch })
})
