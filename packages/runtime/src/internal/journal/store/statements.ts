/**
 * Statements over many rows at once. Every value is bound, and the number of rows
 * is rounded so that a handful of texts a statement stays prepared; lists of ids
 * travel as one JSON text.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Query, Value } from "./database.ts"

// SQLite takes 32,766 values in a statement.
const maxValues = 30_000
// An insert of more rows than this goes in multiples of it, and one for the rest.
const insertStep = 16
// More rows in one statement save nothing, and each further text has to be prepared once: 1 ms for 256 rows.
const maxRows = 64

// A statement that fails leaves the rows before it, and the round takes all of them back. SQLite's own way (`abort`)
// takes them back itself, for which it copies every page before it changes it: twice the work of the insert.
const orFail = "or fail"

const texts = new Map<string, string>()

const cached = (key: string, make: () => string): string => {
  const known = texts.get(key)
  if (known !== undefined) return known
  const text = make()
  if (texts.size >= 1024) texts.clear()
  texts.set(key, text)
  return text
}

// Plain question marks only: the driver looks numbered ones up by name, one after the other.
const tuples = (columns: number, fixed: string, rows: number): string => {
  const tuple = `(${Array.from({ length: columns }, () => "?").join(",")}${fixed})`
  return Array.from({ length: rows }, () => tuple).join(",")
}

/** Sizes of the statements that together insert `rows` rows. */
const insertSizes = (rows: number, columns: number): ReadonlyArray<number> => {
  if (rows <= insertStep) return [rows]
  const most = Math.min(maxRows, Math.floor(maxValues / columns / insertStep) * insertStep)
  const sizes: Array<number> = []
  let left = rows
  while (left > insertStep) {
    const size = Math.min(most, left - (left % insertStep))
    sizes.push(size)
    left -= size
  }
  return left === 0 ? sizes : [...sizes, left]
}

/** An insert with its columns, ready for any number of rows. */
export interface Insert {
  readonly head: string
  readonly columns: number
  /** Values that are the same in every statement, as SQL. */
  readonly fixed: string
  readonly tail: string
}

/** Describes an insert: columns that each row has a value for, and those whose value is always the same. */
export const insert = (
  table: string,
  columns: ReadonlyArray<string>,
  more: {
    readonly fixed?: Readonly<Record<string, string>>
    /** Follows the values. */
    readonly tail?: string
  } = {}
): Insert => {
  const { fixed = {}, tail } = more
  return {
    head: `insert ${orFail} into ${table} (${[...columns, ...Object.keys(fixed)].join(",")}) values `,
    columns: columns.length,
    fixed: Object.values(fixed)
      .map((value) => `,${value}`)
      .join(""),
    tail: tail === undefined ? "" : ` ${tail}`
  }
}

/** Inserts rows given as one flat list of values; returns how many were inserted. */
export const insertAll = Effect.fnUntraced(function* (
  query: Query,
  { columns, fixed, head, tail }: Insert,
  values: ReadonlyArray<Value>
): Effect.fn.Return<number, SqlError> {
  if (values.length === 0) return 0
  const sizes = insertSizes(values.length / columns, columns)
  let from = 0
  let inserted = 0
  for (const size of sizes) {
    const text = cached(`${head}${fixed}${tail}${size}`, () => head + tuples(columns, fixed, size) + tail)
    const part = sizes.length === 1 ? values : values.slice(from, from + size * columns)
    inserted += yield* query.change(text, part)
    from += part.length
  }
  return inserted
})

/** An update of many rows by their key, each with values of its own. */
export interface Update {
  readonly names: string
  readonly columns: number
  readonly tail: string
}

/**
 * Describes an update: the first column is the table's key, the others are set.
 * `sets` gives expressions for columns: `j.<column>` is a row's own new value, `?`
 * a value that all rows share, in the order of these expressions.
 */
export const update = (
  table: string,
  [key, ...columns]: readonly [string, ...ReadonlyArray<string>],
  sets: Readonly<Record<string, string>> = {}
): Update => {
  const own = columns.filter((name) => !(name in sets)).map((name) => `${name} = j.${name}`)
  const others = Object.entries(sets).map(([name, expression]) => `${name} = ${expression}`)
  return {
    names: [key, ...columns].join(","),
    columns: columns.length + 1,
    tail: ` update ${orFail} ${table} set ${[...own, ...others].join(", ")} from j where ${table}.${key} = j.${key}`
  }
}

/** Updates rows given as one flat list of values, the key first. Each key once. */
export const updateAll = Effect.fnUntraced(function* (
  query: Query,
  { columns, names, tail }: Update,
  values: ReadonlyArray<Value>,
  shared: ReadonlyArray<Value> = []
): Effect.fn.Return<void, SqlError> {
  const most = Math.min(maxRows, 2 ** Math.floor(Math.log2(maxValues / columns))) * columns
  for (let from = 0; from < values.length; from += most) {
    const part = values.slice(from, from + most)
    const rows = part.length / columns
    const size = 2 ** Math.ceil(Math.log2(rows))
    // The last row fills the text up: setting it again changes nothing.
    const last = part.slice(-columns)
    for (let row = rows; row < size; row++) part.push(...last)
    part.push(...shared)
    const text = cached(`${tail}${size}`, () => `with j (${names}) as (values ${tuples(columns, "", size)})${tail}`)
    yield* query.change(text, part)
  }
})

/** A list of ids as the one parameter of `in (select value from json_each(?))`. */
export const ids = (values: Iterable<number>): string => JSON.stringify([...values])
