/**
 * Chooses a session's next work once it has its permit, and commits it: from the
 * claim on a crash resumes the turn. A cut-off turn comes first, unless a message
 * of this boot takes it along (C6); then the rows of older boots, read from the
 * journal by seq; then the line.
 */
import * as Effect from "effect/Effect"
import { makeLine } from "../../FollowupQueue.ts"
import type { Claimed, JournalError, RowKey, TurnRow } from "../../Journal.ts"
import type { Turn, TurnMessage } from "../../Message.ts"
import { sessionKey } from "../../Message.ts"
import type { OpenTurn, Session } from "../../Session.ts"
import { resolveAgent } from "../registry.ts"

/** As many as one batch can take, and one more to see whether there is more. */
const window = 65

const agentName = (session: Session): string =>
  session.row === undefined ? "" : resolveAgent(session.env.registered.entries, session.row).name

/** Commits the batch; what memory knows of it changes only afterwards, so that a session in between still has work. */
const claim = Effect.fnUntraced(function* (session: Session, rows: ReadonlyArray<RowKey>, supersedes?: TurnRow) {
  const { context } = session
  const claimed = yield* session.env.journal.claim({
    session: session.id,
    seqs: rows.map((row) => row.seq),
    agent: agentName(session),
    ...(supersedes === undefined ? {} : { supersedes: supersedes.id }),
    ...(context === undefined ? {} : { context })
  })
  if (claimed !== undefined) session.context = undefined
  return claimed
})

/** The next batch of the line. What didn't fit beside the messages of a cut-off turn waits on in its place. */
const fromLine = Effect.fnUntraced(function* (session: Session, supersedes?: TurnRow) {
  const rows = session.line.peek()
  if (rows === undefined) return undefined
  const claimed = yield* claim(session, rows, supersedes)
  if (claimed !== undefined) session.line.clear((row) => row.seq <= claimed.turn.lastSeq)
  // Nothing of it waits any more: a command was faster.
  else if (supersedes === undefined) session.line.clear((row) => rows.includes(row))
  return claimed
})

/** The next batch of an older boot's rows. They are fewer than a window at most once: then the line goes on. */
const fromBacklog = Effect.fnUntraced(function* (session: Session) {
  const keys = yield* session.env.journal.waiting(session.id, window)
  const line = makeLine<RowKey>({ mode: session.line.mode, opens: (row) => row.opens, weight: (row) => row.bytes })
  for (const key of keys) line.push(key)
  const batch = line.next()
  const claimed = batch === undefined ? undefined : yield* claim(session, batch)
  const taken = batch?.length ?? 0
  session.backlog = keys.length < window ? keys.length - taken : Math.max(1, session.backlog - taken)
  session.backlogFrom = (batch?.at(-1)?.seq ?? session.backlogFrom) + 1
  return claimed
})

/** What the attempt before had been handed is the turn's now, and waits no more: neither in the line nor in the journal. */
const joined = (session: Session, before: TurnRow, { rows }: Claimed) => {
  const seqs = new Set(rows.map(({ seq }) => seq))
  session.line.clear(({ seq }) => seqs.has(seq))
  if (session.backlog === 0) return
  const from = Math.max(before.lastSeq + 1, session.backlogFrom)
  const older = rows.filter(({ epoch, seq }) => seq >= from && epoch < session.env.epoch)
  session.backlog = Math.max(0, session.backlog - older.length)
}

/** A cut-off turn goes on, or (C6) as part of the turn of a newer message that no older one stands before. */
const fromOpen = Effect.fnUntraced(function* (session: Session, { awaited, fromBoot, turn }: OpenTurn) {
  const first = fromBoot && !awaited && session.backlog === 0
  const superseding = first ? yield* fromLine(session, turn) : undefined
  if (superseding !== undefined) {
    session.open = undefined
    return superseding
  }
  const claimed = yield* session.env.journal.resume(turn.id)
  if (claimed !== undefined) joined(session, turn, claimed)
  session.open = undefined
  return claimed
})

/** Commits the session's next attempt; `undefined` when there was nothing left to do. */
export const claimNext = (session: Session): Effect.Effect<Claimed | undefined, JournalError> => {
  if (session.open !== undefined) return fromOpen(session, session.open)
  return session.backlog > 0 ? fromBacklog(session) : fromLine(session)
}

/** A message as agents are given it. */
export const message = (row: Claimed["rows"][number]): TurnMessage => ({
  seq: row.seq,
  id: row.id,
  sender: row.sender,
  text: row.text,
  attachments: row.attachments,
  acceptedAt: row.acceptedAt
})

/** The first 160 characters of a dropped message, on one line. */
const line = (text: string): string => {
  const flat = text.replaceAll(/\s+/g, " ").trim()
  const short = Array.from(flat.slice(0, 320)).slice(0, 160).join("")
  return short.length < flat.length ? `${short}…` : short
}

/** The turn as its agent is given it. */
export const toTurn = ({ turn, session, rows, summary, context }: Claimed): Turn => ({
  id: String(turn.id),
  session: sessionKey(session.conversationKey, session.name),
  conversation: session.conversationKey,
  attempt: turn.attempt,
  messages: rows.map(message),
  text: rows.map((row) => row.text).join("\n"),
  ...(turn.cutBy === undefined && turn.tool === undefined
    ? {}
    : { interrupted: { by: turn.cutBy ?? "failure", ...(turn.tool === undefined ? {} : { tool: turn.tool }) } }),
  ...(summary.length === 0
    ? {}
    : { summary: { count: summary.length, lines: summary.slice(-100).map((row) => line(row.text)) } }),
  ...(context.length === 0 ? {} : { context: context.map(message) })
})
