/**
 * Newer versions of messages, and messages that were deleted: what was edited while it
 * waited is not said twice, and what was deleted not at all. The older version ends in
 * the transaction that stores the newer one, or the word of the deletion, so that a
 * crash leaves either or both in one piece; one that a turn has taken stays as it is.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { stopWaiting } from "../writer/memory.ts"
import type { Round } from "../writer/round.ts"
import { endMessages } from "./settle.ts"

/** A message that is a newer version of another one, or the word that it was deleted. */
export interface Newer {
  readonly seq: number
  readonly conversation: number
  readonly of: string
  readonly sender: string
  readonly deleted: boolean
}

/** Versions have the message's id, or begin with it and a slash; `0` comes right behind the slash. */
const waitingVersions = `select i.seq, i.conversation, j.value->>0 as by from json_each(?) j join sluice_inbound i
  on i.conversation = j.value->>1
  and (i.id = j.value->>2 or (i.id > j.value->>2 || '/' and i.id < j.value->>2 || '0'))
  where i.seq < j.value->>0 and i.sender = j.value->>3 and i.turn is null and i.ending is null and i.command = 0`

/** A version that waits, and what ends it. */
interface Older {
  readonly seq: number
  readonly conversation: number
  readonly by: number
}

/** Ends what still waits of the older versions. */
export const supersedeVersions = Effect.fnUntraced(function* (
  round: Round,
  newer: ReadonlyArray<Newer>
): Effect.fn.Return<void, SqlError> {
  if (newer.length === 0) return
  const older = yield* round.query<Older>(waitingVersions, [
    JSON.stringify(newer.map(({ conversation, of, sender, seq }) => [seq, conversation, of, sender]))
  ])
  const words = new Set(newer.filter(({ deleted }) => deleted).map(({ seq }) => seq))
  // Two versions of one round may both replace the one before; what was deleted besides is gone.
  const gone = new Set(older.filter(({ by }) => words.has(by)).map(({ seq }) => seq))
  const edited = new Set(older.filter(({ seq }) => !gone.has(seq)).map(({ seq }) => seq))
  yield* endMessages(round, [
    { seqs: [...edited], ended: { ending: "superseded", why: "edit" } },
    { seqs: [...gone], ended: { ending: "cancelled", why: "deleted" } },
    { seqs: [...words], ended: { ending: "command", why: "deleted" } }
  ])
  for (const [conversation, rows] of Map.groupBy(older, (row) => row.conversation)) {
    stopWaiting(
      round.memory,
      conversation,
      rows.map(({ seq }) => seq),
      round.undo
    )
  }
})
