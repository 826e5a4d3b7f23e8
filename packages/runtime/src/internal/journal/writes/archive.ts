/**
 * `/archive` in its transaction: a session that has nothing to do is set aside with
 * its export, and if it was the current one the conversation goes on in its main
 * session. What came in between the reading of the export and this commit makes the
 * session busy: nothing is ever archived that its file does not have.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { Attachment, mainSession } from "../../../Message.ts"
import { loadSessions } from "../store/load.ts"
import { makeCurrent, makeSession, named } from "./naming.ts"
import type { CommandAction, CommandOutcome } from "../records.ts"
import type { Round } from "../writer/round.ts"
import type { SessionRecord } from "../store/rows.ts"
import { isBusy } from "../reads/transcript.ts"
import { copyData } from "./values.ts"

/** What it found and did, with the session that is current now. */
export interface Archived extends Pick<CommandOutcome, "archived" | "busy" | "missing" | "created"> {
  readonly session: number
}

/** A name that is free in the conversation, for a main session that makes room for the next. */
const freeName = Effect.fnUntraced(function* (round: Round, conversation: number): Effect.fn.Return<string, SqlError> {
  const name = `${mainSession}-${new Date(round.now).toISOString().slice(0, 10)}`
  for (let number = 1; ; number++) {
    const tried = number === 1 ? name : `${name}-${number}`
    if ((yield* named(round, conversation, tried)) === undefined) return tried
  }
})

/** A main session in the place of one that has given its name away, with what the host knows of it. */
const freshMain = Effect.fnUntraced(function* (
  round: Round,
  before: SessionRecord
): Effect.fn.Return<number, SqlError> {
  const id = yield* makeSession(round, before, mainSession, before.persona)
  yield* copyData(round.query, before.id, id)
  return id
})

const calledLike = ({ hash, size, type }: Attachment, name: string) =>
  new Attachment({ hash, size, type, name: `${name}.md` })

/** See the header. `from` is the session of the command. */
export const archiveSession = Effect.fnUntraced(function* (
  round: Round,
  from: SessionRecord,
  action: Extract<CommandAction, { readonly _tag: "Archive" }>
): Effect.fn.Return<Archived, SqlError> {
  const nothing: Archived = { session: from.id, archived: undefined, busy: false, missing: false, created: false }
  const [kept] = yield* round.query(`select 1 as kept from sluice_sessions where id = ? and forgotten is null`, [
    action.session
  ])
  const target =
    kept === undefined ? undefined : (yield* loadSessions(round.query, [action.session])).get(action.session)
  if (target === undefined || target.conversation !== from.conversation) return { ...nothing, missing: true }
  if (yield* isBusy(round.query, target.id, action.upTo)) return { ...nothing, busy: true }
  const name = target.name === mainSession ? yield* freeName(round, target.conversation) : target.name
  yield* round.query(`update sluice_sessions set archived = 1, archived_at = ?, name = ? where id = ?`, [
    round.now,
    name,
    target.id
  ])
  round.memory.sessions.forget(target.id)
  const { file } = action
  const archived = { name, file: file === undefined ? undefined : calledLike(file, name) }
  const known = yield* named(round, target.conversation, mainSession)
  const main = known ?? (yield* freshMain(round, target))
  if (target.current_session !== target.id) return { ...nothing, archived }
  yield* makeCurrent(round, target.conversation, main)
  return { ...nothing, archived, session: main, created: known === undefined }
})
