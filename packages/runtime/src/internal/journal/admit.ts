/**
 * Intake: messages become rows. The row's own unique key tells repeats, so there
 * is no second truth about what was accepted; a repeat that arrives in the same
 * round shares the first one's fate. Sequence numbers are given out here, in the
 * order of the lane, and that order is the order of everything that follows.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { SqlError } from "effect/sql/SqlError"
import { Accepted, Conflict, type Conversation, conversationKey } from "../../Message.ts"
import { resolve } from "./addresses.ts"
import { joins } from "./bursts.ts"
import type { Known } from "./conversations.ts"
import type { Value } from "./database.ts"
import { digest } from "./digest.ts"
import { type Entry, fail, succeed } from "./entries.ts"
import type { Admit, Row } from "./records.ts"
import type { Round } from "./round.ts"
import { insert, insertAll } from "./statements.ts"

/** A message as it waits in the lane. */
export interface Prepared {
  readonly admit: Admit
  readonly key: string
  readonly id: string
  readonly sender: string
  readonly text: string
  readonly attachments: string | null
  readonly digest: number
  /** UTF-8 bytes of the text. */
  readonly bytes: number
}

// SQLite stores UTF-8: half a surrogate pair would come back as another text than the one in memory.
const wellFormed = (text: string): string => (text.isWellFormed() ? text : text.toWellFormed())

/** What can be computed before the lane. */
export const prepare = (admit: Admit): Prepared => {
  const text = wellFormed(admit.text)
  const sender = wellFormed(admit.sender)
  const attachments = admit.attachments.length === 0 ? null : JSON.stringify(admit.attachments)
  const { bytes, hash } = digest([sender, admit.attachments.map((file) => file.hash).join(), text])
  return {
    admit,
    key: conversationKey(admit.address),
    id: admit.id === undefined ? crypto.randomUUID() : wellFormed(admit.id),
    sender,
    text,
    attachments,
    digest: hash,
    bytes
  }
}

const columns = [
  "seq",
  "conversation",
  "id",
  "session",
  "epoch",
  "bytes",
  "command",
  "closes",
  "prev",
  "gap",
  "since",
  "quiet",
  "at_most",
  "digest",
  "tick",
  "accepted_at",
  "replay_of",
  "asking",
  "attachments",
  "sender",
  "text"
]

const insertInbound = insert("sluice_inbound", columns, {
  tail: "on conflict (conversation, id) do nothing"
})
const insertAttachments = insert("sluice_attachments", ["seq", "hash", "size"], { tail: "on conflict do nothing" })

/** A row about to be written. */
interface Planned {
  readonly entry: Entry<"admit">
  readonly known: Known
  readonly row: Row
  readonly values: ReadonlyArray<Value>
}

const plan = (round: Round, entry: Entry<"admit">, known: Known, seq: number): Planned => {
  const { admit, attachments, bytes, digest, id, sender, text } = entry.input
  const { at } = entry
  const { session, tail } = known
  const previous = tail !== undefined && tail.session === session && !admit.command ? tail : undefined
  const gap = previous === undefined ? undefined : Math.max(0, Math.round(at - previous.at))
  const since = joins(previous, gap)
  const quiet = Math.round(admit.quiet)
  const atMost = Math.round(admit.atMost)
  if (!admit.command) {
    known.tail = { session, seq, at, quiet, atMost, closes: admit.closes, since: since ?? 0 }
    round.undo.push(() => {
      known.tail = tail
    })
  }
  const row: Row = {
    seq,
    id,
    conversation: known.id,
    conversationKey: known.key,
    session,
    epoch: round.epoch,
    opens: since === undefined,
    closes: admit.closes,
    bytes,
    command: admit.command,
    sender,
    text,
    attachments: admit.attachments,
    acceptedAt: round.now,
    quiet,
    atMost,
    replayOf: undefined,
    asking: admit.asking
  }
  return {
    entry,
    known,
    row,
    values: valuesOf(round, row, { previous: previous?.seq, gap, since, digest, attachments })
  }
}

/** Facts of a row that memory has no use for. */
interface Facts {
  readonly previous: number | undefined
  readonly gap: number | undefined
  readonly since: number | undefined
  readonly digest: number
  readonly attachments: string | null
}

const valuesOf = (round: Round, row: Row, facts: Facts): ReadonlyArray<Value> => [
  row.seq,
  row.conversation,
  row.id,
  row.session,
  row.epoch,
  row.bytes,
  row.command ? 1 : 0,
  row.closes ? 1 : 0,
  facts.previous ?? null,
  facts.gap ?? null,
  facts.since ?? null,
  row.quiet,
  row.atMost,
  facts.digest,
  round.tick,
  row.acceptedAt,
  row.replayOf ?? null,
  row.asking ?? null,
  facts.attachments,
  row.sender,
  row.text
]

/** Names one message of one conversation; conversation numbers end at the first space. */
const keyOf = (conversation: number, id: string): string => `${conversation} ${id}`

/** An earlier version of a message. */
interface First {
  readonly seq: number
  readonly digest: number
}

const answerRepeat = (entry: Entry<"admit">, first: First): void => {
  const { digest, id } = entry.input
  if (first.digest === digest) succeed(entry, new Accepted({ seq: first.seq, id, duplicate: true }))
  else fail(entry, new Conflict({ id, seq: first.seq }))
}

/** The stored rows of these keys. */
const findStored = (round: Round, keys: ReadonlyArray<{ readonly conversation: number; readonly id: string }>) =>
  Effect.map(
    round.query<First & { readonly conversation: number; readonly id: string }>(
      `select i.seq, i.digest, i.conversation, i.id from json_each(?) j
       join sluice_inbound i on i.conversation = j.value->>0 and i.id = j.value->>1`,
      [JSON.stringify(keys.map(({ conversation, id }) => [conversation, id]))]
    ),
    (rows) => new Map(rows.map((row) => [keyOf(row.conversation, row.id), row]))
  )

const keepRows = Effect.fnUntraced(function* (
  round: Round,
  planned: ReadonlyArray<Planned>
): Effect.fn.Return<void, SqlError> {
  const files: Array<Value> = []
  for (const { entry, row } of planned) {
    round.counters.accepted++
    round.rows.push(row)
    for (const file of row.attachments) files.push(row.seq, file.hash, file.size)
    succeed(entry, new Accepted({ seq: row.seq, id: row.id, duplicate: false }))
  }
  yield* insertAll(round.query, insertAttachments, files)
})

/** Stores rows; if some are repeats, once more without them: what follows a repeat must not join its burst. */
const store = Effect.fnUntraced(function* (
  round: Round,
  firsts: ReadonlyArray<readonly [Entry<"admit">, Known]>
): Effect.fn.Return<void, SqlError> {
  const from = round.counters.seq
  const unwind = round.undo.length
  const planned = firsts.map(([entry, known]) => plan(round, entry, known, ++round.counters.seq))
  const values: Array<Value> = []
  for (const plan of planned) for (const value of plan.values) values.push(value)
  const inserted = yield* insertAll(round.query, insertInbound, values)
  if (inserted === planned.length) return yield* keepRows(round, planned)

  const stored = yield* findStored(
    round,
    planned.map(({ row }) => row)
  )
  const fresh: Array<readonly [Entry<"admit">, Known]> = []
  for (const { entry, known, row } of planned) {
    const first = stored.get(keyOf(row.conversation, row.id))
    if (first === undefined || first.seq > from) fresh.push([entry, known])
    else answerRepeat(entry, first)
  }
  yield* round.query(`delete from sluice_inbound where seq > ?`, [from])
  for (const undo of round.undo.splice(unwind).reverse()) undo()
  round.counters.seq = from
  if (fresh.length > 0) yield* store(round, fresh)
})

/** Writes a round's messages. */
export const writeAdmits = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"admit">>
): Effect.fn.Return<void, SqlError> {
  const { conversations } = round.memory
  const unknown = new Map<string, Conversation>()
  for (const { input } of entries) {
    if (conversations.use(input.key) === undefined) unknown.set(input.key, input.admit.address)
  }
  if (unknown.size > 0) yield* resolve(round, unknown, entries[0]?.at ?? 0)

  const firsts = new Map<string, readonly [Entry<"admit">, Known]>()
  const repeats: Array<readonly [Entry<"admit">, Entry<"admit">]> = []
  for (const entry of entries) {
    const known = conversations.peek(entry.input.key)
    // A cache smaller than one round has forgotten it again.
    if (known === undefined) return yield* Effect.die(new Error("the conversation cache is smaller than a round"))
    const key = keyOf(known.id, entry.input.id)
    const first = firsts.get(key)
    if (first === undefined) firsts.set(key, [entry, known])
    else repeats.push([entry, first[0]])
  }
  yield* store(round, [...firsts.values()])
  for (const [entry, first] of repeats) {
    const { outcome } = first
    if (outcome !== undefined && Exit.isSuccess(outcome)) {
      answerRepeat(entry, { seq: outcome.value.seq, digest: first.input.digest })
    } else if (entry.input.digest === first.input.digest) {
      entry.outcome = outcome
    } else {
      // The first one was refused as another body than the stored one; this one may be the stored one.
      const id = conversations.peek(entry.input.key)?.id ?? 0
      const stored = (yield* findStored(round, [{ conversation: id, id: entry.input.id }])).get(
        keyOf(id, entry.input.id)
      )
      if (stored !== undefined) answerRepeat(entry, stored)
    }
  }
})

/** Writes copies of messages (`/retry`): rows of this epoch that open one burst together. */
export const writeCopies = Effect.fnUntraced(function* (
  round: Round,
  rows: ReadonlyArray<{ readonly row: Row; readonly digest: number; readonly attachments: string | null }>
): Effect.fn.Return<void, SqlError> {
  yield* insertAll(
    round.query,
    insertInbound,
    rows.flatMap(({ attachments, digest, row }, index) =>
      valuesOf(round, row, {
        previous: index === 0 ? undefined : row.seq - 1,
        gap: index === 0 ? undefined : 0,
        since: index === 0 ? undefined : 0,
        digest,
        attachments
      })
    )
  )
  const files = rows.flatMap(({ row }) => row.attachments.flatMap((file) => [row.seq, file.hash, file.size]))
  yield* insertAll(round.query, insertAttachments, files)
  round.counters.accepted += rows.length
  round.rows.push(...rows.map(({ row }) => row))
})
