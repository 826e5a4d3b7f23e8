/**
 * The journal's interface over its writer and its connection: writes are put in
 * a lane, questions are asked between rounds, and every failure is the journal's.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { JournalShape } from "../../Journal.ts"
import type { StoreFiles } from "../node/storeFiles.ts"
import { channels } from "./writes/addresses.ts"
import type { Database } from "./store/database.ts"
import { faultText } from "./store/faults.ts"
import { pendingForgets, scrub } from "./writes/forget.ts"
import { history } from "./reads/history.ts"
import { permissionColumns } from "./writes/permissions.ts"
import * as Pages from "./reads/pages.ts"
import * as Reads from "./reads/reads.ts"
import { JournalError, type SessionRow } from "./records.ts"
import type { JournalReads, Opening } from "./reads/reports.ts"
import { firstPlace, type Place } from "./writes/retention.ts"
import { type PermissionRecord, permissionOf } from "./store/rows.ts"
import { told } from "./writes/restarts.ts"
import { outline, said, sessionNamed } from "./reads/transcript.ts"
import { seqOf, versions } from "./reads/versions.ts"
import { usage } from "./writes/usage.ts"
import { uncounted } from "./reads/uncounted.ts"
import { valueAt } from "./writes/values.ts"
import type { Writer } from "./writer/writer.ts"

/** What an interface is made of. */
export interface Parts {
  readonly database: Database<unknown>
  readonly writer: Writer
  readonly opening: Opening
  readonly files: StoreFiles | undefined
}

/** A question's failure as the journal's. */
export const asJournalError = (cause: SqlError): JournalError =>
  new JournalError({ reason: "Storage", detail: faultText(cause), cause })

/** Asks between rounds. */
const asker =
  ({ database }: Pick<Parts, "database">) =>
  <A>(question: Effect.Effect<A, SqlError>): Effect.Effect<A, JournalError> =>
    Effect.mapError(database.read(question), asJournalError)

/** When a session was active last is known better than it is stored. */
const activeIn =
  (writer: Writer) =>
  <A extends SessionRow>(row: A): A => ({
    ...row,
    lastActive: Math.max(row.lastActive, writer.memory.sessions.get(row.id)?.last_active ?? 0)
  })

/** What waits is younger than what is stored of its session. */
const latestFirst = <A extends SessionRow>(rows: ReadonlyArray<A>): ReadonlyArray<A> =>
  rows.toSorted((a, b) => b.lastActive - a.lastActive || b.id - a.id)

const readsOf = (parts: Parts): JournalReads => {
  const ask = asker(parts)
  const { files, opening, writer } = parts
  const active = activeIn(writer)
  const { query } = parts.database
  return {
    sessions: (options) => Effect.map(ask(Reads.sessions(query, options)), (rows) => latestFirst(rows.map(active))),
    ledger: ask(Reads.ledger(query)),
    figures: Effect.map(ask(Reads.figures(query)), (figures) => ({
      ...figures,
      walBytes: files?.walBytes() ?? 0,
      writer: {
        rounds: writer.commits.rounds,
        entries: writer.commits.entries,
        retries: writer.commits.retries,
        waiting: writer.waiting,
        commitMillis: writer.commits.snapshot()
      }
    })),
    report: ask(Reads.report(query)),
    deadLetters: ({ limit }) => ask(Reads.deadLetters(query, opening, limit)),
    usage: (question) => ask(usage(query, question)),
    uncounted: (question) => ask(uncounted(query, question)),
    opening: ask(Reads.opening(query))
  }
}

type Questions =
  | "permissions"
  | "value"
  | "pendingForgets"
  | "history"
  | "outline"
  | "sessionNamed"
  | "said"
  | "backlog"
  | "waiting"
  | "queued"
  | "commands"
  | "rows"
  | "session"
  | "conversation"
  | "channels"
  | "seqOf"
  | "versions"
  | "owed"
  | "throttles"
  | "told"
  | "page"
  | "standing"
  | "attachments"
  | "reads"

const questions = (parts: Parts): Pick<JournalShape, Questions> => {
  const ask = asker(parts)
  const { opening, writer } = parts
  const active = activeIn(writer)
  const { query } = parts.database
  return {
    permissions: (session) =>
      ask(
        Effect.map(
          query<PermissionRecord>(
            `select ${permissionColumns} from sluice_permissions where decision is null and session = ? order by number`,
            [session]
          ),
          (rows) => rows.map(permissionOf)
        )
      ),
    value: (place, key) => ask(valueAt(query, place, key)),
    pendingForgets: ask(pendingForgets(query)),
    history: (session, { before, limit }) => ask(history(query, session, before, limit)),
    outline: (session) => ask(outline(query, session)),
    sessionNamed: (key, name) => ask(sessionNamed(query, key, name)),
    said: (seqs) => ask(said(query, seqs)),
    backlog: ask(Reads.backlog(query, opening.epoch)),
    waiting: (session, limit) => ask(Reads.waiting(query, opening.epoch, session, limit)),
    queued: (limit) => ask(Reads.queued(query, limit)),
    commands: ask(Reads.commands(query, opening.epoch)),
    rows: (seqs) => ask(Reads.rows(query, seqs)),
    session: (id) => Effect.map(ask(Reads.session(query, id)), (row) => (row === undefined ? undefined : active(row))),
    conversation: (key) => ask(Reads.conversation(query, key)),
    channels: ask(channels(query)),
    seqOf: (key, id) => ask(seqOf(query, key, id)),
    versions: (key, id) => ask(versions(query, key, id)),
    owed: (after, limit, conversation) => ask(Reads.owed(query, opening, after, limit, conversation)),
    told: ask(told(query)),
    throttles: ask(Effect.suspend(() => Reads.throttles(query, writer.wallClock()))),
    page: (key, after, limit, bytes) => ask(Pages.page(query, opening, key, after, limit, bytes)),
    standing: (seq) => ask(Reads.standing(query, opening, seq)),
    attachments: ask(Reads.attachments(query)),
    reads: readsOf(parts)
  }
}

type TurnWrites =
  | "admit"
  | "post"
  | "claim"
  | "resume"
  | "settle"
  | "spend"
  | "drop"
  | "tool"
  | "steer"
  | "hand"
  | "keep"
  | "command"
  | "forget"
  | "ask"
  | "unask"
  | "asked"

const turnWrites = ({ writer }: Parts): Pick<JournalShape, TurnWrites> => ({
  admit: (entry) => writer.admit(entry),
  post: (entry) => writer.post(entry),
  claim: (entry) => writer.submit("claim", entry),
  resume: (turn) => writer.submit("resume", { turn }),
  settle: (entry) => writer.submit("settle", entry),
  spend: (turn, spent) => writer.submit("spend", { turn, spent }),
  drop: (session, seqs, policy) => (seqs.length === 0 ? Effect.void : writer.submit("drop", { session, seqs, policy })),
  tool: (turn, attempt, name) => writer.submit("tool", { turn, attempt, name }),
  steer: (turn, attempt, seqs) => writer.submit("steer", { turn, attempt, seqs }),
  hand: (turn, attempt, seqs) => writer.submit("hand", { turn, attempt, seqs }),
  keep: (place, key, change) => writer.submit("keep", { place, key, change }),
  forget: (entry) => writer.submit("forget", entry),
  command: (seq, action, route, render, placeholder, why) =>
    writer.submit("command", { seq, action, route, render, placeholder, why }),
  ask: (turn, question, options) => writer.submit("ask", { turn, question, options }),
  unask: (permission, decision) => writer.submit("unask", { permission, decision }),
  asked: (turn, reason) => writer.submit("asked", { turn, reason })
})

type OtherWrites =
  | "reserve"
  | "step"
  | "throttle"
  | "notice"
  | "farewell"
  | "return"
  | "replay"
  | "discard"
  | "preMark"
  | "storeReport"
  | "healthy"
  | "compact"
  | "scrub"
  | "close"

/** One pass, a bounded round after the other: others write in between. */
const compactAll = (writer: Writer, place: Place, rows: number): Effect.Effect<number, JournalError> =>
  Effect.flatMap(writer.submit("compact", place), (piece) =>
    piece.next === undefined ? Effect.succeed(rows + piece.rows) : compactAll(writer, piece.next, rows + piece.rows)
  )

const otherWrites = ({ database, files, writer }: Parts): Pick<JournalShape, OtherWrites> => ({
  reserve: (turn) => writer.submit("reserve", { turn }),
  step: (step) => writer.submit("step", step),
  throttle: ({ channel, conversation }, wait) => writer.submit("throttle", { channel, conversation, wait }),
  notice: (entry) => writer.submit("notice", entry),
  farewell: (entry) => writer.submit("farewell", entry),
  return: (entries) => (entries.length === 0 ? Effect.succeed(0) : writer.submit("return", entries)),
  replay: (reply) => writer.submit("replay", { reply }),
  discard: (reply) => writer.submit("discard", { reply }),
  preMark: (reason) => writer.submit("premark", { reason }),
  storeReport: (report) => writer.submit("report", report),
  healthy: Effect.asVoid(writer.submit("upkeep", { _tag: "Healthy" })),
  compact: Effect.suspend(() => compactAll(writer, firstPlace, 0)),
  scrub: Effect.mapError(database.read(scrub(database.query)), asJournalError).pipe(
    Effect.tap(() => Effect.sync(() => files?.dropCopies()))
  ),
  close: Effect.suspend(() => {
    const checkpoint = database.file === undefined ? Effect.void : database.query("pragma wal_checkpoint(truncate)")
    return writer.submit("upkeep", { _tag: "Uptime" }).pipe(
      // A journal that has ended already has nothing to add.
      Effect.ignore,
      Effect.andThen(writer.close),
      Effect.andThen(Effect.mapError(database.read(checkpoint), asJournalError)),
      Effect.asVoid
    )
  })
})

/** See the header. */
export const shape = (parts: Parts): JournalShape => ({
  opening: parts.opening,
  listen: (doorbells) => parts.writer.listen(doorbells),
  failed: Deferred.await(parts.writer.failed),
  stopBy: (monotonicMillis) => parts.writer.stopBy(monotonicMillis),
  spentUnsafe: (from, to) => parts.writer.memory.spent.sum(from, to),
  currentUnsafe: (key) => parts.writer.memory.conversations.peek(key)?.session,
  ...turnWrites(parts),
  ...otherWrites(parts),
  ...questions(parts)
})
