/**
 * Intake: messages become rows. The row's own unique key tells repeats, so there
 * is no second truth about what was accepted; a repeat that arrives in the same
 * round shares the first one's fate. Sequence numbers are given out here, in the
 * order of the lane, and that order is the order of everything that follows.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { SqlError } from "effect/sql/SqlError"
import { Accepted, Conflict, type Conversation, conversationKey } from "../../../Message.ts"
import { resolve } from "./addresses.ts"
import { joins } from "./bursts.ts"
import type { Known, WaitingTail } from "../writer/conversations.ts"
import type { Value } from "../store/database.ts"
import { digest, utf8Bytes } from "../store/digest.ts"
import { type Entry, fail, succeed } from "../writer/entries.ts"
import type { Admit, Row } from "../records.ts"
import { type Newer, supersedeVersions } from "./replace.ts"
import type { Round } from "../writer/round.ts"
import { insert, insertAll } from "../store/statements.ts"

/** A message as it waits in the lane. */
export interface Prepared {
  readonly admit: Admit
  readonly key: string
  readonly id: string
  readonly sender: string
  readonly text: string
  readonly attachments: string | null
  /** UTF-8 bytes of the text. */
  readonly bytes: number
}

// SQLite stores UTF-8: half a surrogate pair would come back as another text than the one in memory.
const wellFormed = (text: string): string => (text.isWellFormed() ? text : text.toWellFormed())

/** What can be computed before the lane. */
export const prepare = (admit: Admit): Prepared => {
  const text = wellFormed(admit.text)
  return {
    admit,
    key: conversationKey(admit.address),
    id: admit.id === undefined ? crypto.randomUUID() : wellFormed(admit.id),
    sender: wellFormed(admit.sender),
    text,
    attachments: admit.attachments.length === 0 ? null : JSON.stringify(admit.attachments),
    bytes: utf8Bytes(text)
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

/** Facts of a row that memory has no use for. */
interface Facts {
  readonly previous: number | null
  readonly gap: number | null
  readonly since: number | null
  readonly attachments: string | null
}

const pushValues = (values: Array<Value>, round: Round, row: Row, facts: Facts): void => {
  values.push(row.seq, row.conversation, row.id, row.session, row.epoch, row.bytes)
  values.push(row.command ? 1 : 0, row.closes ? 1 : 0, facts.previous, facts.gap, facts.since, row.quiet, row.atMost)
  values.push(round.tick, row.acceptedAt, row.replayOf ?? null, row.asking ?? null, facts.attachments)
  values.push(row.sender, row.text)
}

/** Rows that are about to be written, in order, with what to take back if they are not. */
class Plan {
  readonly rows: Array<Row> = []
  readonly values: Array<Value> = []
  readonly #round: Round
  readonly #tails: Array<readonly [Known, WaitingTail | undefined]> = []

  constructor(round: Round) {
    this.#round = round
    round.undo.push(() => this.undo())
  }

  /** The bursts of their conversations as they were before. */
  undo(): void {
    for (const [known, tail] of this.#tails.splice(0).reverse()) known.tail = tail
  }

  add({ at, input }: Entry<"admit">, known: Known, seq: number): void {
    const { admit, attachments, bytes, id, sender, text } = input
    const { session, tail } = known
    const previous = tail !== undefined && tail.session === session && !admit.command ? tail : undefined
    const gap = previous === undefined ? undefined : Math.max(0, Math.round(at - previous.at))
    const since = joins(previous, gap)
    const quiet = Math.round(admit.quiet)
    const atMost = Math.round(admit.atMost)
    if (!admit.command) {
      this.#tails.push([known, tail])
      known.tail = { session, seq, at, quiet, atMost, closes: admit.closes, since: since ?? 0 }
    }
    const row: Row = {
      seq,
      id,
      conversation: known.id,
      conversationKey: known.key,
      session,
      epoch: this.#round.epoch,
      opens: since === undefined,
      closes: admit.closes,
      bytes,
      command: admit.command,
      sender,
      text,
      attachments: admit.attachments,
      acceptedAt: this.#round.now,
      quiet,
      atMost,
      replayOf: undefined,
      asking: admit.asking,
      waits: true
    }
    this.rows.push(row)
    pushValues(this.values, this.#round, row, {
      previous: previous?.seq ?? null,
      gap: gap ?? null,
      since: since ?? null,
      attachments
    })
  }
}

/** Names one message of one conversation; conversation numbers end at the first space. */
const keyOf = (conversation: number, id: string): string => `${conversation} ${id}`

// Its parts are ours: to decode them again would cost more than the rest of an admission.
const receipt = (seq: number, id: string, duplicate: boolean): Accepted =>
  Object.assign(Object.create(Accepted.prototype), { seq, id, duplicate })

/** An earlier version of a message: its body, or what stands for it. */
interface First {
  readonly seq: number
  readonly digest: number | null
  readonly sender: string
  readonly text: string
  readonly attachments: string | null
}

const hashesOf = (attachments: string | null): string =>
  attachments === null
    ? ""
    : (JSON.parse(attachments) as ReadonlyArray<{ readonly hash: string }>).map((file) => file.hash).join()

/** What stands for a body whose text is gone. */
export const bodyDigest = (body: Pick<First, "sender" | "text" | "attachments">): number =>
  digest([body.sender, hashesOf(body.attachments), body.text])

/** Stands for a body that was forgotten: nothing can be told from it, and every repeat is one. */
export const forgottenDigest = -1

const sameBody = (body: Pick<First, "sender" | "text" | "attachments">, first: First): boolean =>
  first.digest === null
    ? body.text === first.text &&
      body.sender === first.sender &&
      hashesOf(body.attachments) === hashesOf(first.attachments)
    : first.digest === forgottenDigest || bodyDigest(body) === first.digest

const answerRepeat = (entry: Entry<"admit">, first: First): void => {
  const { id } = entry.input
  if (sameBody(entry.input, first)) succeed(entry, receipt(first.seq, id, true))
  else fail(entry, new Conflict({ id, seq: first.seq }))
}

type Named = readonly [entry: Entry<"admit">, known: Known]

/** Rows of earlier rounds with the ids of these entries. */
const findStored = (round: Round, named: ReadonlyArray<Named>) =>
  Effect.map(
    round.query<First & { readonly conversation: number; readonly id: string }>(
      `select i.seq, i.digest, i.sender, i.text, i.attachments, i.conversation, i.id from json_each(?) j
       join sluice_inbound i on i.conversation = j.value->>0 and i.id = j.value->>1`,
      [JSON.stringify(named.map(([{ input }, known]) => [known.id, input.id]))]
    ),
    (rows) => new Map<string, First>(rows.map((row) => [keyOf(row.conversation, row.id), row]))
  )

/** Writes rows that are new; false, and nothing written, when some of them are not. */
const insertNew = Effect.fnUntraced(function* (
  round: Round,
  named: ReadonlyArray<Named>
): Effect.fn.Return<boolean, SqlError> {
  const from = round.counters.seq
  const plan = new Plan(round)
  for (const [entry, known] of named) plan.add(entry, known, ++round.counters.seq)
  const inserted = yield* insertAll(round.query, insertInbound, plan.values)
  if (inserted < named.length) {
    yield* round.query.change(`delete from sluice_inbound where seq > ?`, [from])
    plan.undo()
    round.counters.seq = from
    return false
  }
  const files: Array<Value> = []
  const newer: Array<Newer> = []
  plan.rows.forEach((row, index) => {
    const entry = named[index]?.[0]
    if (entry !== undefined) succeed(entry, receipt(row.seq, row.id, false))
    const { replaces, withdraws } = entry?.input.admit ?? {}
    if (replaces !== undefined) newer.push({ ...row, of: replaces, deleted: false })
    if (withdraws !== undefined) newer.push({ ...row, of: withdraws, deleted: true })
    for (const file of row.attachments) files.push(row.seq, file.hash, file.size)
    // The word of a deletion has its end with its commit: nobody has anything to do with it.
    if (withdraws === undefined) round.rows.push(row)
  })
  round.counters.accepted += plan.rows.length
  yield* insertAll(round.query, insertAttachments, files)
  yield* supersedeVersions(round, newer)
  return true
})

/** Some are repeats, of earlier rounds or of each other: they are told apart, and the new ones written without them. */
const writeWithRepeats = Effect.fnUntraced(function* (
  round: Round,
  named: ReadonlyArray<Named>
): Effect.fn.Return<void, SqlError> {
  const stored = yield* findStored(round, named)
  const fresh = new Map<string, Named>()
  const repeats: Array<readonly [entry: Entry<"admit">, first: Entry<"admit">]> = []
  for (const one of named) {
    const [entry, known] = one
    const key = keyOf(known.id, entry.input.id)
    const first = stored.get(key)
    const beside = fresh.get(key)
    if (first !== undefined) answerRepeat(entry, first)
    else if (beside === undefined) fresh.set(key, one)
    else repeats.push([entry, beside[0]])
  }
  if (fresh.size > 0 && !(yield* insertNew(round, [...fresh.values()]))) {
    return yield* Effect.die(new Error("messages that nobody stored are stored"))
  }
  for (const [entry, first] of repeats) {
    // It shares the fate of the first one.
    if (first.outcome !== undefined && Exit.isSuccess(first.outcome)) {
      answerRepeat(entry, { ...first.input, seq: first.outcome.value.seq, digest: null })
    }
  }
})

/** Writes a round's messages: as if all were new, and once more if some are not. */
export const writeAdmits = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"admit">>
): Effect.fn.Return<void, SqlError> {
  const { conversations } = round.memory
  const named: Array<Named> = []
  const unknown = new Map<string, Conversation>()
  for (const entry of entries) {
    const known = conversations.use(entry.input.key)
    if (known === undefined) unknown.set(entry.input.key, entry.input.admit.address)
    else named.push([entry, known])
  }
  if (unknown.size > 0) {
    yield* resolve(round, unknown, entries[0]?.at ?? 0)
    named.length = 0
    for (const entry of entries) {
      const known = conversations.peek(entry.input.key)
      // A round is never larger than the cache.
      if (known === undefined) return yield* Effect.die(new Error("a conversation was forgotten within its round"))
      named.push([entry, known])
    }
  }
  if (!(yield* insertNew(round, named))) yield* writeWithRepeats(round, named)
})

/** Writes copies of messages (`/retry`): rows of this epoch that open one burst together. */
export const writeCopies = Effect.fnUntraced(function* (
  round: Round,
  rows: ReadonlyArray<{ readonly row: Row; readonly attachments: string | null }>
): Effect.fn.Return<void, SqlError> {
  const values: Array<Value> = []
  const files: Array<Value> = []
  rows.forEach(({ attachments, row }, index) => {
    const first = index === 0
    pushValues(values, round, row, {
      previous: first ? null : row.seq - 1,
      gap: first ? null : 0,
      since: first ? null : 0,
      attachments
    })
    for (const file of row.attachments) files.push(row.seq, file.hash, file.size)
    round.rows.push(row)
  })
  yield* insertAll(round.query, insertInbound, values)
  yield* insertAll(round.query, insertAttachments, files)
  round.counters.accepted += rows.length
})
