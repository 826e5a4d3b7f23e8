/**
 * Newer versions of messages: what was edited while it waited is not said twice. The
 * older version ends in the transaction that stores the newer one, so that a crash
 * leaves either or both in one piece; one that a turn has taken stays as it is.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { stopWaiting } from "../writer/memory.ts"
import type { Round } from "../writer/round.ts"
import { endMessages } from "./settle.ts"

/** A message that is a newer version of another one. */
export interface Newer {
  readonly seq: number
  readonly conversation: number
  readonly replaces: string
  readonly sender: string
}

/** Versions have the message's id, or begin with it and a slash; `0` comes right behind the slash. */
const waitingVersions = `select i.seq, i.conversation from json_each(?) j join sluice_inbound i
  on i.conversation = j.value->>1
  and (i.id = j.value->>2 or (i.id > j.value->>2 || '/' and i.id < j.value->>2 || '0'))
  where i.seq < j.value->>0 and i.sender = j.value->>3 and i.turn is null and i.ending is null and i.command = 0`

/** Ends what still waits of the older versions. */
export const supersedeVersions = Effect.fnUntraced(function* (
  round: Round,
  newer: ReadonlyArray<Newer>
): Effect.fn.Return<void, SqlError> {
  if (newer.length === 0) return
  const older = yield* round.query<{ readonly seq: number; readonly conversation: number }>(waitingVersions, [
    JSON.stringify(newer.map(({ conversation, replaces, sender, seq }) => [seq, conversation, replaces, sender]))
  ])
  // Two versions of one round may both replace the one before.
  const seqs = [...new Set(older.map(({ seq }) => seq))]
  yield* endMessages(round, [{ seqs, ended: { ending: "superseded", why: "edit" } }])
  for (const [conversation, rows] of Map.groupBy(older, (row) => row.conversation)) {
    stopWaiting(
      round.memory,
      conversation,
      rows.map(({ seq }) => seq),
      round.undo
    )
  }
})
