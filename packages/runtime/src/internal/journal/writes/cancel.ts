/**
 * What `/stop`, `/new` and `/retry` do to a session: its waiting messages and its
 * open turn end as cancelled, or the messages of the turn that was set aside last
 * come back as new ones.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { writeCopies } from "./admit.ts"
import { loadInbound, loadReplies, loadTurns } from "../store/load.ts"
import { stopWaiting } from "../writer/memory.ts"
import { Placeholders } from "./placeholders.ts"
import type { CommandOutcome, Row } from "../records.ts"
import { loadNumbers } from "./replies.ts"
import type { Round } from "../writer/round.ts"
import { inboundColumns, type InboundRecord, numbers, rowOf, type SessionRecord } from "../store/rows.ts"
import { endMessages, leaveTurns } from "./settle.ts"

/** Ends what waits and runs in a session, as far as it came before `before`. */
export const cancelSession = Effect.fnUntraced(function* (
  round: Round,
  session: SessionRecord,
  before: number,
  by: string,
  placeholder: string | undefined
): Effect.fn.Return<Pick<CommandOutcome, "cancelled" | "turn">, SqlError> {
  const { query } = round
  const waiting = yield* query<InboundRecord>(
    `select ${inboundColumns} from sluice_inbound i join sluice_conversations c on c.id = i.conversation
     where i.turn is null and i.ending is null and i.command = 0 and i.session = ? and i.seq < ? order by i.seq`,
    [session.id, before]
  )
  const ended = { ending: "cancelled" as const, why: by }
  const seqs = waiting.map((row) => row.seq)
  yield* endMessages(round, [{ seqs, ended }])
  stopWaiting(round.memory, session.conversation, seqs, round.undo)
  const cancelled = waiting.map(rowOf)

  const turn = round.memory.turns.ofSession(session.id)?.turn
  if (turn === undefined || turn.last_seq > before) return { cancelled, turn: undefined }
  yield* query(
    `update sluice_turns set state = 'cancelled', ended_at = ?, wait_until = null, wait = null, trial = 0 where id = ?`,
    [round.now, turn.id]
  )
  const messages = numbers(turn.seqs)
  yield* endMessages(round, [{ seqs: messages, ended }])
  yield* leaveTurns(round, [{ id: turn.id, session: session.id, state: "cancelled" }])
  if (turn.placeholder !== null) {
    yield* loadNumbers(round, [session.conversation])
    const row = (yield* loadReplies(query, [turn.placeholder])).get(turn.placeholder)
    const placeholders = new Placeholders(round)
    placeholders.end(turn, row, placeholder)
    yield* placeholders.write
  }
  return { cancelled, turn: { id: turn.id, session: session.id, messages: messages.length } }
})

/** Copies the messages of the turn that was set aside last; nothing when there is none. */
export const retryTurn = Effect.fnUntraced(function* (
  round: Round,
  session: SessionRecord
): Effect.fn.Return<ReadonlyArray<Row>, SqlError> {
  const { query } = round
  if (session.set_aside === null) return []
  const turn = (yield* loadTurns(query, [session.set_aside])).get(session.set_aside)
  yield* query(`update sluice_sessions set set_aside = null where id = ?`, [session.id])
  if (turn === undefined) return []
  const stored = yield* loadInbound(query, numbers(turn.seqs))
  const originals = [...stored.values()].sort((a, b) => a.seq - b.seq)
  const copies = originals.map((original, index) => ({
    row: {
      ...rowOf(original),
      seq: ++round.counters.seq,
      id: `retry-${crypto.randomUUID()}`,
      session: session.id,
      epoch: round.epoch,
      opens: index === 0,
      closes: index === originals.length - 1,
      command: false,
      acceptedAt: round.now,
      replayOf: original.seq,
      asking: undefined,
      waits: true
    },
    attachments: original.attachments
  }))
  yield* writeCopies(round, copies)
  // What comes next follows the copies and joins nothing from before them.
  round.memory.conversations.cut(session.conversation, round.undo)
  return copies.map(({ row }) => row)
})
