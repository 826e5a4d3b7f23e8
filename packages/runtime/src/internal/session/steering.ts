/**
 * Queue mode `steer`: what comes while a turn runs is handed to it. The messages
 * wait in the line all the while, and only the agent's word that it took them over
 * makes them the turn's, in a commit of its own: an agent that never says so, a
 * turn that ends first and a crash all leave them to the next turn.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { OpenAgent } from "../../Agent.ts"
import type { JournalError } from "../../Journal.ts"
import type { Running, Session } from "../../Session.ts"
import { maxBytes, maxMessages } from "../journal/claim.ts"
import { message } from "./claiming.ts"

/** What was handed to a running turn. */
export class Handed {
  /** Numbers of the messages by their ids, in the order in which they were handed over. */
  readonly seqs = new Map<string, number>()
  /** Those that the agent took over. One waits here while an older one is not taken: nothing is overtaken. */
  readonly taken = new Set<number>()
  /** The agent has been given the turn. */
  open = false
  /** The last one that was looked at: what comes later has not been handed over. */
  upTo = 0
  bytes = 0
  /** Somebody is handing over right now, and looks again when he is through. */
  busy = false
}

/** Whether what comes now can be handed to the turn that runs. */
export const canSteer = (session: Session): boolean =>
  session.steers &&
  session.running?.handed.open === true &&
  !session.env.gate.draining &&
  session.agent?.open.steer !== undefined

/** The next messages of the line that the turn has room for. */
const next = (session: Session, { claimed, handed }: Running) => {
  const used = claimed.rows.reduce((sum, row) => sum + row.bytes, handed.bytes)
  let bytes = maxBytes - used
  let messages = maxMessages - claimed.rows.length - handed.seqs.size
  const rows = session.line.items().filter((row) => row.seq > handed.upTo)
  const fitting = rows.findIndex((row) => {
    bytes -= row.bytes
    messages--
    return bytes < 0 || messages < 0
  })
  return fitting === -1 ? rows : rows.slice(0, fitting)
}

/** Hands over what waits, until nothing does that was not handed over before. */
export const hand = (session: Session, running: Running): Effect.Effect<void, JournalError> =>
  Effect.suspend(() => {
    const { handed } = running
    if (handed.busy) return Effect.void
    handed.busy = true
    const done = Effect.sync(() => {
      handed.busy = false
    })
    return Effect.ensuring(handAll(session, running), done)
  })

const handAll = Effect.fnUntraced(function* (session: Session, running: Running): Effect.fn.Return<void, JournalError> {
  const { handed } = running
  while (session.running === running && canSteer(session)) {
    const keys = next(session, running)
    const last = keys.at(-1)
    if (last === undefined) return
    handed.upTo = last.seq
    const rows = yield* session.env.journal.rows(keys.map(({ seq }) => seq))
    const open = session.agent?.open
    if (session.running !== running || open?.steer === undefined) return
    for (const row of rows) handed.seqs.set(row.id, row.seq)
    handed.bytes += rows.reduce((sum, row) => sum + row.bytes, 0)
    yield* open.steer(yield* session.env.files.ofMessages(rows.map(message)))
  }
})

/** The agent as a turn that can be steered is given to it: what came before it began is handed over at once. */
export const steered = (session: Session, running: Running, open: OpenAgent): OpenAgent => {
  if (open.steer === undefined) return open
  return {
    answer: (turn) =>
      Stream.unwrap(
        Effect.suspend(() => {
          running.handed.open = true
          return Effect.as(Effect.forkChild(hand(session, running)), open.answer(turn))
        })
      )
  }
}

/** The agent took messages over: with all that were handed over before them they become the turn's. */
export const taken = Effect.fnUntraced(function* (
  session: Session,
  running: Running,
  ids: ReadonlyArray<string>
): Effect.fn.Return<void, JournalError> {
  const { claimed, handed } = running
  for (const id of ids) {
    const seq = handed.seqs.get(id)
    if (seq !== undefined) handed.taken.add(seq)
  }
  const waiting = session.line.items()
  const gap = waiting.findIndex(({ seq }) => !handed.taken.has(seq))
  const seqs = (gap === -1 ? waiting : waiting.slice(0, gap)).map(({ seq }) => seq)
  if (seqs.length === 0) return
  const rows = yield* session.env.journal.steer(claimed.turn.id, claimed.turn.attempt, seqs)
  const gone = new Set(rows.map(({ seq }) => seq))
  session.line.clear(({ seq }) => gone.has(seq))
  session.env.changed()
})
