/**
 * The tables. Everything that a crash must not take is in one of them. Ids are
 * handed out by the writer from counters in the boot's row, so they never come
 * again, also after a compaction. Within a major version migrations only add
 * (tables, nullable columns, indexes), so that the version before opens and
 * drains a store that this one wrote.
 */

/** One step of the schema; `id` = major version x 1000 + number. */
export interface Migration {
  readonly id: number
  readonly name: string
  readonly statements: ReadonlyArray<string>
}

/** Major version of the schema: a store with a higher one is too new. */
export const major = 1

const boots = `create table sluice_boots (
  epoch integer primary key not null,
  version text not null,
  opened_at bigint not null,
  chain integer not null,
  rounds integer not null,
  counters text not null,
  uptime bigint not null,
  healthy integer not null default 0,
  mark text,
  marked_at bigint,
  failed integer not null default 0,
  clean integer not null default 0,
  reason text,
  exit_code integer,
  millis bigint,
  ended_at bigint,
  open_turns integer,
  waiting integer,
  open_replies integer,
  report text
)`

const conversations = `create table sluice_conversations (
  id integer primary key not null,
  key text not null unique,
  channel text not null,
  account text not null,
  peer text not null,
  thread text not null,
  session integer not null,
  number integer not null,
  created_at bigint not null
)`

const sessions = `create table sluice_sessions (
  id integer primary key not null,
  conversation integer not null,
  name text not null,
  archived integer not null default 0,
  agent text not null default '',
  persona text not null default '',
  idle_timeout bigint,
  queue_mode text,
  last_active bigint not null,
  set_aside integer,
  unique (conversation, name)
)`

// `digest`: of the body, made when retention lets the text go, so that a repeat with another body is still told.
// `since`: milliseconds from the burst's first message to this one; null on a message that opened a burst.
const inbound = `create table sluice_inbound (
  seq integer primary key not null,
  conversation integer not null,
  id text not null,
  session integer not null,
  epoch integer not null,
  turn integer,
  ending text,
  why text,
  bytes integer not null,
  command integer not null,
  closes integer not null,
  prev integer,
  gap bigint,
  since bigint,
  quiet integer not null,
  at_most integer not null,
  digest bigint,
  tick integer not null,
  accepted_at bigint not null,
  ended_at bigint,
  replay_of integer,
  asking text,
  replies text,
  attachments text,
  sender text not null,
  text text not null,
  unique (conversation, id)
)`

const turns = `create table sluice_turns (
  id integer primary key not null,
  session integer not null,
  state text not null,
  epoch integer not null,
  attempt integer not null,
  crashes integer not null,
  cuts integer not null,
  errors integer not null,
  agent text not null,
  trial integer not null default 0,
  tool text,
  cut_by text,
  asked_epoch integer,
  asked_reason text,
  wait_until bigint,
  wait bigint,
  first_seq integer not null,
  last_seq integer not null,
  seqs text not null,
  summary text,
  context integer,
  superseded_by integer,
  placeholder integer,
  replies text,
  undelivered integer not null default 0,
  worst integer not null default 0,
  started_at bigint not null,
  ended_at bigint,
  error text,
  usage text
)`

const replies = `create table sluice_replies (
  id integer primary key not null,
  conversation integer not null,
  number integer,
  kind text not null,
  turn integer,
  post integer,
  state text not null,
  epoch integer not null,
  tries integer not null default 0,
  marked integer not null default 0,
  remote_id text,
  not_before bigint,
  wait bigint,
  expires_at bigint,
  notice text,
  replay_of integer,
  in_reply_to text,
  created_at bigint not null,
  ended_at bigint,
  error text,
  text text not null
)`

const posts = `create table sluice_posts (
  id integer primary key not null,
  conversation integer not null,
  external text not null,
  digest bigint not null,
  replies text not null,
  undelivered integer not null,
  worst integer not null default 0,
  tick integer not null,
  accepted_at bigint not null,
  ended_at bigint,
  unique (conversation, external)
)`

const permissions = `create table sluice_permissions (
  id integer primary key not null,
  number integer not null,
  turn integer not null,
  session integer not null,
  question text not null,
  options text not null,
  decision text,
  asked_at bigint not null,
  decided_at bigint
)`

const small = [
  `create table sluice_meta (key text primary key not null, value text not null)`,
  `create table sluice_throttles (
  channel text not null,
  conversation integer not null,
  until_at bigint not null,
  wait bigint not null,
  primary key (channel, conversation)
)`,
  // When which sentence went to which conversation, for the caps.
  `create table sluice_notices (
  id integer primary key not null,
  conversation integer not null,
  notice text not null,
  at bigint not null
)`,
  // Messages dropped by \`summarize\` that no turn has told of yet.
  `create table sluice_untold (session integer not null, seq integer not null, primary key (session, seq))`,
  `create table sluice_attachments (seq integer not null, hash text not null, size bigint not null, primary key (seq, hash))`
]

// Partial indexes hold what is open only: they stay small however large the history grows.
const indexes = [
  `create index sluice_inbound_waiting on sluice_inbound (session, seq, command, epoch)
    where turn is null and ending is null`,
  `create index sluice_inbound_commands on sluice_inbound (seq) where command = 1 and ending is null`,
  `create index sluice_turns_open on sluice_turns (session) where ended_at is null`,
  // Ended, with replies on their way: their messages are open until the last one has its end.
  `create index sluice_turns_delivering on sluice_turns (id) where undelivered > 0`,
  `create unique index sluice_replies_number on sluice_replies (conversation, number)`,
  `create index sluice_replies_open on sluice_replies (id, state) where ended_at is null`,
  `create index sluice_replies_lane on sluice_replies (conversation, id) where ended_at is null`,
  `create index sluice_replies_dead on sluice_replies (id) where state = 'dead'`,
  `create index sluice_posts_open on sluice_posts (id) where ended_at is null`,
  `create index sluice_permissions_open on sluice_permissions (session) where decision is null`,
  `create index sluice_notices_caps on sluice_notices (conversation, notice, at)`
]

// What agents and hosts keep with a session: `kept/<agent>`, `data/<key>`.
const values = `create table sluice_values (
  session integer not null,
  key text not null,
  value text not null,
  primary key (session, key)
)`

// Sums of a day in the configured time zone (`2026-11-21`). `cost` in billionths of a US dollar: whole numbers add up
// to the same sum whatever their order.
const usage = `create table sluice_usage (
  day text not null,
  session integer not null,
  agent text not null,
  model text not null,
  turns integer not null,
  input bigint not null,
  output bigint not null,
  cache_read bigint not null,
  cache_write bigint not null,
  cost bigint not null,
  primary key (day, session, agent, model)
) without rowid`

/** Every step, oldest first. */
export const migrations: ReadonlyArray<Migration> = [
  {
    id: 1001,
    name: "first",
    statements: [boots, conversations, sessions, inbound, turns, replies, posts, permissions, ...small, ...indexes]
  },
  {
    id: 1002,
    name: "sessions with agents",
    statements: [
      values,
      usage,
      `alter table sluice_sessions add column model text`,
      `alter table sluice_sessions add column output_mode text`,
      // Boot in which a question was asked last, and in which a person decided.
      `create index sluice_permissions_turn on sluice_permissions (turn)`,
      // A conversation's highest number.
      `create index sluice_permissions_number on sluice_permissions (session, number)`,
      `alter table sluice_permissions add column epoch integer`,
      `alter table sluice_permissions add column decided_epoch integer`,
      // When its conversation was forgotten: nothing is kept with it any more.
      `alter table sluice_sessions add column forgotten bigint`,
      // What a session's agent is given of its past.
      `create index sluice_turns_answered on sluice_turns (session, id) where replies is not null`
    ]
  },
  {
    id: 1003,
    name: "files of replies",
    statements: [
      // JSON, as on a message. Their claims are in `sluice_attachments` under the reply's negative number: the version
      // before sweeps every file that this table does not know.
      `alter table sluice_replies add column attachments text`,
      // When it was archived with `/archive`: what was said in it is kept from then on.
      `alter table sluice_sessions add column archived_at bigint`
    ]
  },
  {
    id: 1004,
    name: "answers in files",
    // On the last part of an answer that is sent short: all of it, for the agent's history and the transcript.
    statements: [`alter table sluice_replies add column whole text`]
  },
  {
    id: 1005,
    name: "answers of other sessions",
    // The name of the session, where the conversation was in another one when the answer was stored.
    statements: [`alter table sluice_replies add column session text`]
  },
  {
    id: 1006,
    name: "restart notices",
    // Who was told of a stop and not yet of the return, with the rows of the sentence and the session whose answer is late.
    statements: [
      `create table sluice_restarts (
  conversation integer primary key not null,
  session integer not null,
  first_reply integer not null,
  last_reply integer not null,
  at bigint not null
)`
    ]
  },
  {
    id: 1007,
    name: "chats without restart notices",
    // Conversations whose people said that they don't want to hear of restarts.
    statements: [`create table sluice_unnoticed (conversation integer primary key not null)`]
  },
  {
    id: 1008,
    name: "handed messages",
    // JSON list of the messages that the running attempt was handed (queue mode `steer`): its agent may have any of them.
    statements: [`alter table sluice_turns add column handed text`]
  }
]
