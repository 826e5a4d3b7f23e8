/**
 * Queue mode `steer`: what comes while a turn runs is handed to it. The messages
 * wait in the line until the agent says that it took them, which makes them the
 * turn's, in a commit. That they are with the agent is committed before it hears of
 * them: an attempt that is cut off leaves them to its turn's next attempt, not to
 * another turn. Nothing more is handed over until what was is taken: an agent may not
 * take it, and what it took behind that would be answered here and in its place.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { AgentEvent, OpenAgent } from "../../Agent.ts"
import type { Claimed, JournalError, RowKey } from "../../Journal.ts"
import type { Running, Session } from "../../Session.ts"
import { maxBytes, maxMessages } from "../journal/writes/claim.ts"
import { message } from "./claiming.ts"

/** What was handed to a running turn. */
export class Handed {
  /** Numbers of the messages by their ids, in the order in which they were handed over. */
  readonly seqs = new Map<string, number>()
  /** Those that the agent took over. One waits here while an older one is not taken: nothing is overtaken. */
  readonly taken = new Set<number>()
  /** The store left the turn without something that the agent took over: it is handed nothing more. */
  closed = false
  /** The agent has been given the turn. */
  open = false
  /** The last one that was looked at: what comes later has not been handed over. */
  upTo = 0
  bytes = 0
  #rung = false
  #told: (() => void) | undefined = undefined

  /** Whether more can be handed over: nothing that was is still with the agent. */
  get isFree(): boolean {
    return !this.closed && this.taken.size === this.seqs.size
  }

  /** More waits that can be handed over. Synchronous. */
  ring() {
    this.#rung = true
    this.#told?.()
  }

  /** Completes when it was rung since the last time. */
  readonly rung: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const answer = () => {
      this.#rung = false
      this.#told = undefined
      resume(Effect.void)
    }
    if (this.#rung) return answer()
    this.#told = answer
  })
}

/** Whether what comes now can be handed to the turn that runs. It overtakes nothing that an earlier boot left waiting. */
export const canSteer = (session: Session): boolean =>
  session.steers &&
  session.backlog === 0 &&
  session.running?.handed.open === true &&
  !session.env.gate.draining &&
  session.agent?.open.steer !== undefined

/** How many of the line were handed over: its first ones, and never more than a turn takes. */
export const handedOf = (waiting: ReadonlyArray<RowKey>, { upTo }: Handed): number => {
  const behind = upTo === 0 ? 0 : waiting.findIndex(({ seq }) => seq > upTo)
  return behind === -1 ? waiting.length : behind
}

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

/** Hands over what waits, as soon as what was handed over before is taken. */
const hand = Effect.fnUntraced(function* (session: Session, running: Running): Effect.fn.Return<void, JournalError> {
  const { claimed, handed } = running
  const { journal } = session.env
  while (session.running === running && canSteer(session) && handed.isFree) {
    const keys = next(session, running)
    const last = keys.at(-1)
    if (last === undefined) return
    handed.upTo = last.seq
    const found = yield* journal.rows(keys.map(({ seq }) => seq))
    // What was edited while it waited has its end; the newer version stands behind it.
    const over = new Set(found.flatMap(({ seq, waits }) => (waits ? [] : [seq])))
    if (over.size > 0) {
      session.line.clear(({ seq }) => over.has(seq))
      session.env.changed()
    }
    const rows = found.filter(({ waits }) => waits)
    if (rows.length === 0) continue
    // handed: from here on the turn's next attempt takes them along, if this one does not come to an answer
    const seqs = [...handed.seqs.values(), ...rows.map(({ seq }) => seq)]
    const runs = yield* journal.hand(claimed.turn.id, claimed.turn.attempt, seqs)
    const open = session.agent?.open
    if (!runs || session.running !== running || open?.steer === undefined) return
    for (const row of rows) handed.seqs.set(row.id, row.seq)
    handed.bytes += rows.reduce((sum, row) => sum + row.bytes, 0)
    yield* open.steer(yield* session.env.files.ofMessages(rows.map(message)))
  }
})

/**
 * Hands over whatever comes while the attempt runs. It belongs to the attempt: what an agent is still doing with messages
 * when its turn is over is let go of with the turn.
 */
const handing = (session: Session, running: Running): Effect.Effect<never> =>
  hand(session, running).pipe(
    // What was not handed over waits for the next turn, and nothing overtakes it.
    Effect.catchCause((cause) => {
      running.handed.closed = true
      return Effect.annotateLogs(Effect.logError("Messages could not be handed to a running turn", cause), {
        session: session.key
      })
    }),
    Effect.andThen(running.handed.rung),
    Effect.forever
  )

/** The agent as a turn that can be steered is given to it: what came before it began is handed over at once. */
export const steered = (session: Session, running: Running, open: OpenAgent): OpenAgent => {
  if (open.steer === undefined) return open
  return {
    answer: (turn) =>
      Stream.unwrap(
        Effect.suspend(() => {
          running.handed.open = true
          return Effect.as(Effect.forkChild(handing(session, running)), open.answer(turn))
        })
      )
  }
}

/** Commits what became the turn's, and takes it out of the line; returns the messages. */
const commit = Effect.fnUntraced(function* (
  session: Session,
  { turn }: Claimed,
  seqs: ReadonlyArray<number>
): Effect.fn.Return<ReadonlySet<number>, JournalError> {
  const rows = yield* session.env.journal.steer(turn.id, turn.attempt, seqs)
  const gone = new Set(rows.map(({ seq }) => seq))
  session.line.clear(({ seq }) => gone.has(seq))
  session.env.changed()
  return gone
})

/** The agent took messages over: with all that were handed over before them they become the turn's. */
export const taken = Effect.fnUntraced(function* (
  session: Session,
  running: Running,
  { ids, joined }: Extract<AgentEvent, { readonly _tag: "Steered" }>
): Effect.fn.Return<void, JournalError> {
  const { claimed, handed } = running
  for (const id of ids) {
    const seq = handed.seqs.get(id)
    if (seq !== undefined) handed.taken.add(seq)
  }
  const waiting = session.line.items()
  const gap = waiting.findIndex(({ seq }) => !handed.taken.has(seq))
  const seqs = (gap === -1 ? waiting : waiting.slice(0, gap)).map(({ seq }) => seq)
  if (seqs.length === 0) {
    joined?.([])
    // What was taken has been edited meanwhile: the newer version can be handed over.
    if (handed.isFree) handed.ring()
    return
  }
  // An attempt that is cut off now still hears of it: else the next one would be handed what its turn has already.
  const gone = yield* Effect.uninterruptible(commit(session, claimed, seqs))
  joined?.(ids.filter((id) => gone.has(handed.seqs.get(id) ?? -1)))
  if (gone.size < seqs.length) handed.closed = true
  handed.ring()
})
