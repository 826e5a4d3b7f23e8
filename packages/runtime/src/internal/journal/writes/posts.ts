/**
 * Outbound messages without a turn: alerts, results of jobs. They have an id
 * space and a ledger column of their own; a repeat gets the first one's receipt.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { Accepted, Conflict, type Conversation, conversationKey } from "../../../Message.ts"
import { resolve } from "./addresses.ts"
import { forgottenDigest } from "./admit.ts"
import { digest, utf8Bytes } from "../store/digest.ts"
import { type Entry, fail, succeed } from "../writer/entries.ts"
import type { Post } from "../records.ts"
import { draftReplies, loadNumbers } from "./replies.ts"
import type { Round } from "../writer/round.ts"

/** A post as it waits in the lane. */
export interface PreparedPost {
  readonly post: Post
  readonly key: string
  readonly id: string
  readonly digest: number
  readonly bytes: number
}

/** What can be computed before the lane. */
export const preparePost = (post: Post): PreparedPost => ({
  post,
  key: conversationKey(post.address),
  id: post.id === undefined ? crypto.randomUUID() : post.id.toWellFormed(),
  digest: digest([post.text]),
  bytes: post.parts.reduce((sum, part) => sum + utf8Bytes(part), 0)
})

interface Stored {
  readonly seq: number
  readonly digest: number
}

/** Writes a round's posts. */
export const writePosts = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"post">>
): Effect.fn.Return<void, SqlError> {
  const {
    counters,
    memory: { conversations }
  } = round
  const unknown = new Map<string, Conversation>()
  for (const { input } of entries) {
    if (conversations.use(input.key) === undefined) unknown.set(input.key, input.post.address)
  }
  if (unknown.size > 0) yield* resolve(round, unknown, entries[0]?.at ?? 0)
  const targets = entries.map(({ input }) => conversations.peek(input.key))
  yield* loadNumbers(
    round,
    targets.flatMap((known) => (known === undefined ? [] : [known.id]))
  )
  for (const entry of entries) {
    const { digest, id, key, post } = entry.input
    const known = conversations.peek(key)
    if (known === undefined) return yield* Effect.die(new Error("the conversation cache is smaller than a round"))
    const [first] = yield* round.query<Stored>(
      `select id as seq, digest from sluice_posts where conversation = ? and external = ?`,
      [known.id, id]
    )
    if (first !== undefined) {
      if (first.digest === digest || first.digest === forgottenDigest)
        succeed(entry, new Accepted({ seq: first.seq, id, duplicate: true }))
      else fail(entry, new Conflict({ id, seq: first.seq }))
      continue
    }
    const seq = ++counters.post
    const target = { ...known.address, id: known.id, key }
    const link = { turn: null, post: seq, replayOf: null, inReplyTo: [] }
    const rows = draftReplies(round, target, [{ kind: "post", parts: post.parts }], post.route, link)
    const ended = post.route.pull || rows.length === 0
    yield* round.query(
      `insert into sluice_posts (id, conversation, external, digest, replies, undelivered, tick, accepted_at, ended_at)
       values (?,?,?,?,?,?,?,?,?)`,
      [
        seq,
        known.id,
        id,
        digest,
        JSON.stringify(rows.map((row) => row.id)),
        ended ? 0 : rows.length,
        round.tick,
        round.now,
        ended ? round.now : null
      ]
    )
    counters.posts.accepted++
    if (ended) counters.posts.sent++
    succeed(entry, new Accepted({ seq, id, duplicate: false }))
  }
})
