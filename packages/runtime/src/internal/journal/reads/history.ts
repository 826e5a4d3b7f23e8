/**
 * A session's past as its agent is given it: ended turns with their answers,
 * newest first. It ends where the session began, because a fresh start is a
 * session of its own; and where retention has let the texts go.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Query } from "../store/database.ts"
import { loadInbound } from "../store/load.ts"
import type { Row } from "../records.ts"
import { numbers, rowOf } from "../store/rows.ts"
import { ids } from "../store/statements.ts"

/** A turn that has ended with an answer. */
export interface Answered {
  readonly turn: number
  readonly rows: ReadonlyArray<Row>
  readonly answer: string
}

// A page of the longest turns would otherwise be half a gigabyte.
const mostTurns = 100

interface AnsweredTurn {
  readonly id: number
  readonly seqs: string
  readonly replies: string
}

const page = Effect.fnUntraced(function* (
  query: Query,
  session: number,
  before: number,
  limit: number
): Effect.fn.Return<{ readonly found: ReadonlyArray<Answered>; readonly next: number | undefined }, SqlError> {
  const turns = yield* query<AnsweredTurn>(
    `select id, seqs, replies from sluice_turns
     where session = ? and replies is not null and state = 'done' and id < ? order by id desc limit ?`,
    [session, before, limit]
  )
  const messages = yield* loadInbound(
    query,
    turns.flatMap(({ seqs }) => numbers(seqs))
  )
  const parts = yield* query<{ readonly id: number; readonly text: string; readonly whole: string | null }>(
    `select id, text, whole from sluice_replies where id in (select value from json_each(?)) and kind = 'answer'`,
    [ids(turns.flatMap(({ replies }) => numbers(replies)))]
  )
  const textOf = new Map(parts.map(({ id, text }) => [id, text]))
  const wholeOf = new Map(parts.flatMap(({ id, whole }) => (whole === null ? [] : [[id, whole] as const])))
  const found = turns.flatMap(({ id, replies, seqs }) => {
    const rows = numbers(seqs).flatMap((seq) => messages.get(seq) ?? [])
    // A channel cuts where a line ends if it can.
    const [whole] = numbers(replies).flatMap((reply) => wholeOf.get(reply) ?? [])
    const answer =
      whole ??
      numbers(replies)
        .flatMap((reply) => textOf.get(reply) || [])
        .join("\n")
    return answer === "" || rows.length === 0 ? [] : [{ turn: id, rows: rows.map(rowOf), answer }]
  })
  return { found, next: turns.length < limit ? undefined : turns.at(-1)?.id }
})

/** A page of answered turns, newest first, of those before the turn `before`. Empty only at the end. */
export const history = Effect.fnUntraced(function* (
  query: Query,
  session: number,
  before: number | undefined,
  limit: number
): Effect.fn.Return<ReadonlyArray<Answered>, SqlError> {
  // No number at all is the smallest page.
  const most = Math.min(Math.max(1, Math.trunc(limit) || 1), mostTurns)
  let next: number | undefined = before ?? Number.MAX_SAFE_INTEGER
  while (next !== undefined) {
    const { found, next: older }: Effect.Success<ReturnType<typeof page>> = yield* page(query, session, next, most)
    // The texts of a whole page may be gone while older ones are there.
    if (found.length > 0) return found
    next = older
  }
  return []
})
