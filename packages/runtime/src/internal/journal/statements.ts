/**
 * Statements over many rows at once. Inserts name each value (fastest, and the
 * text is the same for the same number of rows, so it is prepared once); lists of
 * ids and small updates travel as one JSON text, so their statements never change.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Query, Value } from "./database.ts"

// SQLite takes 32,766 values in a statement.
const maxValues = 30_000

const texts = new Map<string, string>()

const insertText = (head: string, columns: number, rows: number, tail: string): string => {
  const key = `${head}\n${rows}\n${tail}`
  const known = texts.get(key)
  if (known !== undefined) return known
  const row = `(${Array.from({ length: columns }, () => "?").join(",")})`
  const text = `${head} values ${Array.from({ length: rows }, () => row).join(",")}${tail}`
  // As many as the driver keeps prepared; a wild mix of sizes is built anew.
  if (texts.size >= 512) texts.clear()
  texts.set(key, text)
  return text
}

/** An insert with its columns, ready for any number of rows. */
export interface Insert {
  readonly head: string
  readonly columns: number
  readonly tail: string
}

/** Describes an insert; `tail` follows the values. */
export const insert = (table: string, columns: ReadonlyArray<string>, tail = ""): Insert => ({
  head: `insert into ${table} (${columns.join(",")})`,
  columns: columns.length,
  tail: tail === "" ? "" : ` ${tail}`
})

/** Inserts rows given as one flat list of values. Returns what `returning` in the tail returns. */
export const insertAll = <A extends object>(
  query: Query,
  statement: Insert,
  values: ReadonlyArray<Value>
): Effect.Effect<ReadonlyArray<A>, SqlError> => {
  const { columns, head, tail } = statement
  if (values.length === 0) return Effect.succeed([])
  if (values.length <= maxValues) {
    return query<A>(insertText(head, columns, values.length / columns, tail), values)
  }
  const step = Math.floor(maxValues / columns) * columns
  const pieces: Array<ReadonlyArray<Value>> = []
  for (let from = 0; from < values.length; from += step) pieces.push(values.slice(from, from + step))
  return Effect.map(
    Effect.forEach(pieces, (piece) => query<A>(insertText(head, columns, piece.length / columns, tail), piece)),
    (results) => results.flat()
  )
}

/** A list of ids as the one parameter of `in (select value from json_each(?))`. */
export const ids = (values: Iterable<number>): string => JSON.stringify([...values])
