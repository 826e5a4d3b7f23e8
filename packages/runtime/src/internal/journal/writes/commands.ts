/**
 * Commands are admitted rows. Effect, end and reply are one transaction, and the
 * effect reaches only messages that came before the command: a retried or
 * redelivered `/stop` finds its row ended and cancels nothing that came after.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { archiveSession } from "./archive.ts"
import { cancelSession, retryTurn } from "./cancel.ts"
import { forgetConversation } from "./forget.ts"
import { type Entry, type CommandEntry, succeed } from "../writer/entries.ts"
import { history } from "../reads/history.ts"
import { loadInbound, loadSessions } from "../store/load.ts"
import { makeCurrent, makeSession, named } from "./naming.ts"
import { optionOf, permissionColumns, siblings } from "./permissions.ts"
import type { CommandOutcome, PermissionRow } from "../records.ts"
import { draftReplies, loadNumbers } from "./replies.ts"
import { noticed } from "./restarts.ts"
import type { Round } from "../writer/round.ts"
import {
  type InboundRecord,
  type PermissionRecord,
  permissionOf,
  type SessionRecord,
  sessionOf
} from "../store/rows.ts"
import { endMessages } from "./settle.ts"
import { copyData } from "./values.ts"

type Effects = Omit<CommandOutcome, "session"> & { readonly session: number }

const nothing = (session: number): Effects => ({
  session,
  cancelled: [],
  turn: undefined,
  created: false,
  missing: false,
  emptied: false,
  keeps: undefined,
  archived: undefined,
  busy: false,
  copies: [],
  noticed: true,
  permission: undefined,
  forgotten: undefined
})

/** `/new` without a name: what waits and runs is cancelled, the session is archived, a fresh one takes its name. */
const startOver = Effect.fnUntraced(function* (
  round: Round,
  session: SessionRecord,
  row: InboundRecord,
  persona: string | undefined,
  placeholder: string | undefined
): Effect.fn.Return<Effects, SqlError> {
  const cancelled = yield* cancelSession(round, session, row.seq, "new", placeholder)
  yield* round.query(`update sluice_sessions set archived = 1, name = ? where id = ?`, [
    `${session.name}~${session.id}`,
    session.id
  ])
  const fresh = yield* makeSession(round, session, session.name, persona ?? session.persona)
  // What the host knows of it is not the conversation's past.
  yield* copyData(round.query, session.id, fresh)
  yield* makeCurrent(round, session.conversation, fresh)
  return { ...nothing(fresh), ...cancelled, created: true }
})

/** `/session`: an archived one comes back; whether anything of what was said in it is still there is told. */
const switchTo = Effect.fnUntraced(function* (
  round: Round,
  session: SessionRecord,
  name: string
): Effect.fn.Return<Effects, SqlError> {
  const id = yield* named(round, session.conversation, name)
  if (id === undefined) return { ...nothing(session.id), missing: true }
  const [old] = yield* round.query(
    `select 1 as old from sluice_sessions
     where id = ? and archived = 1 and last_active < ? and coalesce(archived_at, 0) < ?`,
    [id, round.now - round.retention.transcript, round.now - round.retention.transcript]
  )
  const emptied = old !== undefined && (yield* history(round.query, id, undefined, 1)).length === 0
  yield* makeCurrent(round, session.conversation, id)
  return { ...nothing(id), emptied }
})

/**
 * Gives a session that is there already another persona. Its conversation is its agent's: a persona with another agent
 * does not take it over, and its prompt without that agent is nobody's wish. The agent that it keeps is told then.
 */
const repersonate = Effect.fnUntraced(function* (
  round: Round,
  id: number,
  persona: string,
  agent: string | undefined
): Effect.fn.Return<string | undefined, SqlError> {
  const [known] = yield* round.query<{ readonly agent: string }>(`select agent from sluice_sessions where id = ?`, [id])
  if (known !== undefined && known.agent !== "" && agent !== undefined && known.agent !== agent) return known.agent
  yield* round.query(`update sluice_sessions set persona = ? where id = ?`, [persona, id])
  return undefined
})

/** `/new` with a name: a further session, or the one that has this name. */
const startNamed = Effect.fnUntraced(function* (
  round: Round,
  session: SessionRecord,
  name: string,
  { agent, persona }: { readonly agent?: string; readonly persona: string | undefined }
): Effect.fn.Return<Effects, SqlError> {
  const known = yield* named(round, session.conversation, name)
  if (known !== undefined) {
    const keeps = persona === undefined ? undefined : yield* repersonate(round, known, persona, agent)
    return { ...(yield* switchTo(round, session, name)), keeps }
  }
  const id = yield* makeSession(round, session, name, persona ?? session.persona)
  yield* makeCurrent(round, session.conversation, id)
  return { ...nothing(id), created: true }
})

const decide = Effect.fnUntraced(function* (
  round: Round,
  session: number,
  number: number | undefined,
  option: string
): Effect.fn.Return<PermissionRow | undefined, SqlError> {
  // By words a person answers the session that they are in, by number whoever asked. Words go to what was asked last over
  // boots: an older question may never be asked again.
  const open = yield* round.query<PermissionRecord>(
    `select ${permissionColumns} from sluice_permissions
     where decision is null and session ${number === undefined ? "= ?" : `in (${siblings})`} order by epoch desc, number`,
    [session]
  )
  const asked = open
    .map(permissionOf)
    .find((row) => (number === undefined ? row.options.includes(option) : row.number === number))
  const decision = asked === undefined ? undefined : optionOf(asked, option)
  if (asked === undefined || decision === undefined) return undefined
  yield* round.query(`update sluice_permissions set decision = ?, decided_at = ?, decided_epoch = ? where id = ?`, [
    decision,
    round.now,
    round.epoch,
    asked.id
  ])
  return { ...asked, decision }
})

/** Does what a command does, to rows before its own. */
const act = Effect.fnUntraced(function* (
  round: Round,
  session: SessionRecord,
  row: InboundRecord,
  { action, placeholder }: CommandEntry
): Effect.fn.Return<Effects, SqlError> {
  const { query } = round
  const none = nothing(session.id)
  switch (action._tag) {
    case "None":
      return none
    case "Stop":
      return { ...none, ...(yield* cancelSession(round, session, row.seq, "stop", placeholder)) }
    case "New":
      return action.name === undefined
        ? yield* startOver(round, session, row, action.persona, placeholder)
        : yield* startNamed(round, session, action.name, action)
    case "Switch":
      return yield* switchTo(round, session, action.name)
    case "Archive":
      return { ...none, ...(yield* archiveSession(round, session, action)) }
    case "Timeout":
      yield* query(`update sluice_sessions set idle_timeout = ? where id = ?`, [Math.round(action.millis), session.id])
      return none
    case "Queue":
      yield* query(`update sluice_sessions set queue_mode = ? where id = ?`, [action.mode, session.id])
      return none
    case "Model":
      yield* query(`update sluice_sessions set model = ? where id = ?`, [action.model ?? null, session.id])
      return none
    case "Output":
      yield* query(`update sluice_sessions set output_mode = ? where id = ?`, [action.mode, session.id])
      return none
    case "Notices":
      return { ...none, noticed: yield* noticed(round, session.conversation, action.on) }
    case "Retry":
      return { ...none, copies: yield* retryTurn(round, session) }
    case "Forget": {
      const forgotten = yield* forgetConversation(round, session.conversation, row.seq, placeholder)
      if (forgotten === undefined) return none
      return { ...nothing(forgotten.fresh), cancelled: forgotten.cancelled, forgotten }
    }
    case "Allow":
      return { ...none, permission: yield* decide(round, session.id, action.number, action.option) }
  }
})

const run = Effect.fnUntraced(function* (round: Round, entry: Entry<"command">): Effect.fn.Return<void, SqlError> {
  const { input } = entry
  const row = (yield* loadInbound(round.query, [input.seq])).get(input.seq)
  const session = row === undefined ? undefined : (yield* loadSessions(round.query, [row.session])).get(row.session)
  if (row === undefined || session === undefined || row.command !== 1 || row.ending !== null) {
    succeed(entry, undefined)
    return
  }
  const { session: current, ...effects } = yield* act(round, session, row, input)
  round.memory.sessions.forget(session.id)
  const after = (yield* loadSessions(round.query, [current])).get(current)
  if (after === undefined) return yield* Effect.die(new Error(`session ${current} is gone`))
  const outcome: CommandOutcome = { ...effects, session: sessionOf(after) }
  yield* loadNumbers(round, [row.conversation])
  const link = { turn: null, post: null, replayOf: null, inReplyTo: [row.id] }
  const target = { ...session, id: row.conversation }
  const file = outcome.archived?.file
  const draft = {
    kind: "command" as const,
    parts: input.render(outcome),
    ...(file === undefined ? {} : { attachments: [file] })
  }
  const replies = draftReplies(round, target, [draft], input.route, link)
  yield* round.query(`update sluice_inbound set replies = ? where seq = ?`, [
    JSON.stringify(replies.map((reply) => reply.id)),
    row.seq
  ])
  yield* endMessages(round, [{ seqs: [row.seq], ended: { ending: "command", why: input.why?.(outcome) ?? "" } }])
  succeed(entry, outcome)
})

/** Writes a round's commands, one after the other: each sees what the one before did. */
export const writeCommands = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"command">>
): Effect.fn.Return<void, SqlError> {
  for (const entry of entries) yield* run(round, entry)
})
