/**
 * From stored rows to records. Every `select` that feeds a record names its
 * columns here, so that a column that a newer version added disturbs nobody.
 */
import { Attachment, type ReplyKind, type ReplyState } from "../../../Message.ts"
import { addressOf } from "../writes/addresses.ts"
import type { PermissionRow, ReplyRow, Row, SessionRow, TurnRow, TurnState } from "../records.ts"

/** Columns of a message; the table is `i`, its conversation `c`. */
export const inboundColumns = `i.seq, i.conversation, i.id, i.session, i.epoch, i.turn, i.ending, i.why, i.bytes,
  i.command, i.closes, i.prev, i.since, i.quiet, i.at_most, i.accepted_at, i.replay_of, i.asking, i.replies,
  i.attachments, i.sender, i.text, c.key`

/** A message as it is read. */
export interface InboundRecord {
  readonly seq: number
  readonly conversation: number
  readonly id: string
  readonly session: number
  readonly epoch: number
  readonly turn: number | null
  readonly ending: string | null
  readonly why: string | null
  readonly bytes: number
  readonly command: number
  readonly closes: number
  readonly prev: number | null
  readonly since: number | null
  readonly quiet: number
  readonly at_most: number
  readonly accepted_at: number
  readonly replay_of: number | null
  readonly asking: string | null
  readonly replies: string | null
  readonly attachments: string | null
  readonly sender: string
  readonly text: string
  readonly key: string
}

interface StoredAttachment {
  readonly hash: string
  readonly size: number
  readonly type: string
  readonly name?: string
  readonly path?: string
  readonly missing?: boolean
}

/** Files as they were stored. */
export const attachmentsOf = (text: string | null): ReadonlyArray<Attachment> =>
  text === null ? [] : (JSON.parse(text) as ReadonlyArray<StoredAttachment>).map((file) => new Attachment(file))

/** A message; `opens` as it was at its admission. */
export const rowOf = (row: InboundRecord): Row => ({
  seq: row.seq,
  id: row.id,
  conversation: row.conversation,
  conversationKey: row.key,
  session: row.session,
  epoch: row.epoch,
  opens: row.since === null,
  closes: row.closes === 1,
  bytes: row.bytes,
  command: row.command === 1,
  sender: row.sender,
  text: row.text,
  attachments: attachmentsOf(row.attachments),
  acceptedAt: row.accepted_at,
  quiet: row.quiet,
  atMost: row.at_most,
  replayOf: row.replay_of ?? undefined,
  asking: row.asking ?? undefined,
  waits: row.turn === null && row.ending === null
})

/** Columns of a session; the table is `s`, its conversation `c`. */
export const sessionColumns = `s.id, s.conversation, s.name, s.archived, s.agent, s.persona, s.idle_timeout,
  s.queue_mode, s.model, s.output_mode, s.last_active, s.last_active as stored_active, s.set_aside, c.key, c.channel, c.account, c.peer, c.thread, c.session as current_session`

/** The same of a store that the first version wrote. */
export const firstSessionColumns = sessionColumns.replace(
  "s.model, s.output_mode",
  "null as model, null as output_mode"
)

/** A session as it is read. */
export interface SessionRecord {
  readonly id: number
  readonly conversation: number
  readonly name: string
  readonly archived: number
  readonly agent: string
  readonly persona: string
  readonly idle_timeout: number | null
  readonly queue_mode: string | null
  readonly model: string | null
  readonly output_mode: string | null
  readonly last_active: number
  /** What the row says of it; memory knows it to the millisecond. */
  readonly stored_active: number
  readonly set_aside: number | null
  readonly key: string
  readonly channel: string
  readonly account: string
  readonly peer: string
  readonly thread: string
  readonly current_session: number
}

export const sessionOf = (row: SessionRecord): SessionRow => ({
  id: row.id,
  conversation: row.conversation,
  conversationKey: row.key,
  address: addressOf(row),
  name: row.name,
  current: row.current_session === row.id,
  archived: row.archived === 1,
  agent: row.agent,
  persona: row.persona,
  idleTimeout: row.idle_timeout ?? undefined,
  queueMode: row.queue_mode ?? undefined,
  model: row.model ?? undefined,
  outputMode: row.output_mode ?? undefined,
  lastActive: row.last_active
})

/** Columns of a turn; the table is `t`. */
export const turnColumns = `t.id, t.session, t.state, t.epoch, t.attempt, t.crashes, t.cuts, t.errors, t.agent, t.trial,
  t.tool, t.cut_by, t.wait_until, t.wait, t.first_seq, t.last_seq, t.seqs, t.summary, t.context, t.placeholder,
  t.replies, t.undelivered, t.worst, t.started_at, t.ended_at`

/** A turn as it is read. */
export interface TurnRecord {
  readonly id: number
  readonly session: number
  readonly state: TurnState
  readonly epoch: number
  readonly attempt: number
  readonly crashes: number
  readonly cuts: number
  readonly errors: number
  readonly agent: string
  readonly trial: number
  readonly tool: string | null
  readonly cut_by: string | null
  readonly wait_until: number | null
  readonly wait: number | null
  readonly first_seq: number
  readonly last_seq: number
  /** JSON list of its messages. */
  readonly seqs: string
  readonly summary: string | null
  readonly context: number | null
  readonly placeholder: number | null
  /** JSON list of its reply rows. */
  readonly replies: string | null
  readonly undelivered: number
  readonly worst: number
  readonly started_at: number
  readonly ended_at: number | null
}

export const turnOf = (row: TurnRecord): TurnRow => ({
  id: row.id,
  session: row.session,
  state: row.state,
  epoch: row.epoch,
  attempt: row.attempt,
  crashes: row.crashes,
  cuts: row.cuts,
  errors: row.errors,
  agent: row.agent,
  tool: row.tool ?? undefined,
  cutBy: row.cut_by ?? undefined,
  waitUntil: row.wait_until ?? undefined,
  firstSeq: row.first_seq,
  lastSeq: row.last_seq,
  startedAt: row.started_at
})

/** A list of numbers that was stored as JSON. */
export const numbers = (text: string | null): ReadonlyArray<number> =>
  text === null ? [] : (JSON.parse(text) as ReadonlyArray<number>)

/** Columns of a reply with this of its text; the table is `r`, its conversation `c`. */
export const replyColumnsWith = (
  text: string,
  attachments = "r.attachments",
  session = "r.session"
) => `r.id, r.conversation, r.number, r.kind, r.turn, r.post, r.state, r.epoch, r.tries, r.marked,
  r.remote_id, r.not_before, r.wait, r.expires_at, r.notice, r.replay_of, r.in_reply_to, r.created_at, r.ended_at,
  r.error, ${session} as session, ${text} as text, ${attachments} as attachments, c.key, c.channel, c.account, c.peer, c.thread`

/** The same with the whole text. */
export const replyColumns = replyColumnsWith("r.text")

/** A reply as it is read. */
export interface ReplyRecord {
  readonly id: number
  readonly conversation: number
  readonly number: number | null
  readonly kind: ReplyKind
  readonly turn: number | null
  readonly post: number | null
  readonly state: ReplyState
  readonly epoch: number
  readonly tries: number
  readonly marked: number
  readonly remote_id: string | null
  readonly not_before: number | null
  readonly wait: number | null
  readonly expires_at: number | null
  readonly notice: string | null
  readonly replay_of: number | null
  readonly in_reply_to: string | null
  readonly created_at: number
  readonly ended_at: number | null
  readonly error: string | null
  /** Name of its session, where it has to be told. */
  readonly session: string | null
  readonly text: string
  /** JSON list of its files. */
  readonly attachments: string | null
  /** Written and not read with the row: it is as long as an answer can be. */
  readonly whole?: string
  readonly key: string
  readonly channel: string
  readonly account: string
  readonly peer: string
  readonly thread: string
}

/** A reply, in the boot `epoch` of the store `instance`. */
export const replyOf = (row: ReplyRecord, store: { readonly epoch: number; readonly instance: string }): ReplyRow => ({
  id: row.id,
  reply: {
    id: `${store.instance}-${row.id}`,
    conversation: addressOf(row),
    number: row.number ?? 0,
    kind: row.kind,
    text: row.text,
    ...(row.turn === null ? {} : { turn: String(row.turn) }),
    ...(row.session === null ? {} : { session: row.session }),
    inReplyTo: row.in_reply_to === null ? [] : (JSON.parse(row.in_reply_to) as ReadonlyArray<string>),
    ...(row.attachments === null ? {} : { attachments: attachmentsOf(row.attachments) }),
    createdAt: row.created_at
  },
  conversation: row.conversation,
  state: row.state,
  tries: row.tries,
  remoteId: row.remote_id ?? undefined,
  notBefore: row.not_before ?? undefined,
  expiresAt: row.expires_at ?? undefined,
  marked: row.marked === 1,
  cut: (row.state === "placing" || row.state === "sending") && row.epoch < store.epoch
})

/** A question as it is read. */
export interface PermissionRecord {
  readonly id: number
  readonly number: number
  readonly turn: number
  readonly session: number
  readonly question: string
  readonly options: string
  readonly decision: string | null
}

export const permissionOf = (row: PermissionRecord): PermissionRow => ({
  id: row.id,
  number: row.number,
  turn: row.turn,
  session: row.session,
  question: row.question,
  options: JSON.parse(row.options) as ReadonlyArray<string>,
  decision: row.decision ?? undefined
})
