/**
 * Pages of a conversation's replies, for those who pull. Bounded by number and by
 * size: a history of long replies must neither hold up everybody else while it is
 * read, nor stand in memory whole for each of its readers.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Query } from "../store/database.ts"
import type { Store } from "./reads.ts"
import type { Page } from "./reports.ts"
import { replyColumns, replyOf, type ReplyRecord } from "../store/rows.ts"

/** The texts of one page have at most so many bytes unless less is asked for, or its first reply alone has more. */
const pageBytes = 1_048_576

/** The last number of a page within its bounds. Sizes stand in the rows' headers: no text is read for them. */
const lastOfPage = Effect.fnUntraced(function* (
  query: Query,
  conversation: number,
  after: number,
  limit: number,
  most: number
) {
  const sizes = yield* query<{ readonly number: number; readonly bytes: number }>(
    `select number, octet_length(text) as bytes from sluice_replies
     where conversation = ? and number > ? order by number limit ?`,
    [conversation, after, limit]
  )
  let room = most
  const over = sizes.findIndex(({ bytes }, index) => (room -= bytes) < 0 && index > 0)
  return sizes.at(over === -1 ? -1 : over - 1)?.number ?? after
})

/** A page of a conversation's replies, by number: fewer than asked for when they are long. */
export const page = Effect.fnUntraced(function* (
  query: Query,
  store: Store,
  key: string,
  after: number,
  limit: number,
  most = pageBytes
): Effect.fn.Return<Page, SqlError> {
  const [found] = yield* query<{ readonly id: number; readonly number: number }>(
    `select id, number from sluice_conversations where key = ?`,
    [key]
  )
  if (found === undefined || found.number <= after) return { replies: [], latest: found?.number ?? 0 }
  const last = yield* lastOfPage(query, found.id, after, limit, most)
  const rows = yield* query<ReplyRecord>(
    `select ${replyColumns} from sluice_replies r join sluice_conversations c on c.id = r.conversation
     where r.conversation = ? and r.number > ? and r.number <= ? order by r.number`,
    [found.id, after, last]
  )
  return { replies: rows.map((row) => replyOf(row, store).reply), latest: found.number }
})
