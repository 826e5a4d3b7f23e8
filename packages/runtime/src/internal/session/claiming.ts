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
import type { Session } from "../../Session.ts"
import { resolveAgent } from "../registry.ts"

/** As many as one batch can take, and one more to see whether there is more. */
const window = 65

const agentName = (session: Session): string =>
  session.row === undefined ? "" : resolveAgent(session.env.registered.entries, session.row).name

const claim = (session: Session, rows: ReadonlyArray<RowKey>, supersedes: TurnRow | undefined) => {
  const context = session.context
  session.context = undefined
  return session.env.journal.claim({
    session: session.id,
    seqs: rows.map((row) => row.seq),
    agent: agentName(session),
    ...(supersedes === undefined ? {} : { supersedes: supersedes.id }),
    ...(context === undefined ? {} : { context })
  })
}

/** The next batch of an older boot's rows. They are fewer than a window at most once: then the line goes on. */
const fromBacklog = Effect.fnUntraced(function* (session: Session) {
  const keys = yield* session.env.journal.waiting(session.id, window)
  const line = makeLine<RowKey>({ mode: session.line.mode, opens: (row) => row.opens, weight: (row) => row.bytes })
  for (const key of keys) line.push(key)
  const batch = line.next()
  session.backlog =
    keys.length < window ? keys.length - (batch?.length ?? 0) : Math.max(1, session.backlog - (batch?.length ?? 0))
  if (batch === undefined) return undefined
  session.backlogFrom = (batch.at(-1)?.seq ?? session.backlogFrom) + 1
  return yield* claim(session, batch, undefined)
})

/** Commits the session's next attempt; `undefined` when there was nothing left to do. */
export const claimNext = Effect.fnUntraced(function* (
  session: Session
): Effect.fn.Return<Claimed | undefined, JournalError> {
  const { open } = session
  if (open !== undefined) {
    session.open = undefined
    const rows = open.fromBoot && session.backlog === 0 ? session.line.next() : undefined
    const claimed =
      rows === undefined ? yield* session.env.journal.resume(open.turn.id) : yield* claim(session, rows, open.turn)
    return claimed
  }
  if (session.backlog > 0) return yield* fromBacklog(session)
  const rows = session.line.next()
  return rows === undefined ? undefined : yield* claim(session, rows, undefined)
})

const message = (row: Claimed["rows"][number]): TurnMessage => ({
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
  ...(turn.cutBy === undefined
    ? {}
    : { interrupted: { by: turn.cutBy, ...(turn.tool === undefined ? {} : { tool: turn.tool }) } }),
  ...(summary.length === 0
    ? {}
    : { summary: { count: summary.length, lines: summary.slice(-100).map((row) => line(row.text)) } }),
  ...(context.length === 0 ? {} : { context: context.map(message) })
})
