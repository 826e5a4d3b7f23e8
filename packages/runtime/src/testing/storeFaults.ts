/**
 * A SQLite client that fails on demand: the n-th statement that matches, before
 * it runs (a full disk, a locked file, a bad row) or after it (a commit that is on
 * disk although the driver says that it failed). Everything else goes to the real
 * client, so what a test sees afterwards is what is really stored.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"

/** SQLite's result codes by what they mean to a journal. */
export const resultCodes = {
  busy: 5,
  ioError: 10,
  corrupt: 11,
  full: 13,
  tooBig: 18,
  constraint: 19,
  fsync: 1034
} as const

/** What goes wrong. */
export interface Fault {
  /** Which statement: a piece of its text, any letter case, or a test of it and its values. */
  readonly on: string | ((statement: string, values: ReadonlyArray<unknown>) => boolean)
  readonly code: keyof typeof resultCodes
  /** How many matching statements pass before (0). */
  readonly skip?: number
  /** How many fail then (1); `Infinity` until it is cleared. */
  readonly times?: number
  /** The statement runs and is reported as failed all the same (false). */
  readonly after?: boolean
}

/** Faults of one store. */
export interface StoreFaults {
  /** The client with its faults; also every later connection of it. */
  readonly wrap: <E, R>(client: Layer.Layer<SqlClient.SqlClient, E, R>) => Layer.Layer<SqlClient.SqlClient, E, R>
  /** Arms a fault. Several can be armed; the first that matches counts. */
  readonly arm: (fault: Fault) => void
  /** Disarms all. */
  readonly clear: () => void
  /** Statements that failed so far. */
  readonly hits: () => number
}

interface Armed {
  readonly fault: Fault
  skip: number
  left: number
}

const errorOf = (code: keyof typeof resultCodes): SqlError.SqlError => {
  const cause = Object.assign(new Error(`injected: ${code}`), { errcode: resultCodes[code], errno: resultCodes[code] })
  return new SqlError.SqlError({
    reason: SqlError.classifySqliteError(cause, { message: cause.message, operation: "execute" })
  })
}

/** Makes the faults of one store; none is armed. */
export const make = (): StoreFaults => {
  let armed: Array<Armed> = []
  let hits = 0

  const matches = ({ fault }: Armed, statement: string, values: ReadonlyArray<unknown>): boolean =>
    typeof fault.on === "string"
      ? statement.toLowerCase().includes(fault.on.toLowerCase())
      : fault.on(statement, values)

  const next = (statement: string, values: ReadonlyArray<unknown>): Fault | undefined => {
    const found = armed.find((candidate) => matches(candidate, statement, values))
    if (found === undefined) return undefined
    if (found.skip > 0) {
      found.skip--
      return undefined
    }
    found.left--
    if (found.left <= 0) armed = armed.filter((candidate) => candidate !== found)
    hits++
    return found.fault
  }

  const guard = <A>(
    statement: string,
    values: ReadonlyArray<unknown>,
    run: Effect.Effect<A, SqlError.SqlError>
  ): Effect.Effect<A, SqlError.SqlError> =>
    Effect.suspend(() => {
      const fault = next(statement, values)
      if (fault === undefined) return run
      const failure = Effect.fail(errorOf(fault.code))
      return fault.after === true ? Effect.andThen(run, failure) : failure
    })

  const guardConnection = (connection: SqlConnection.Connection): SqlConnection.Connection => ({
    ...connection,
    execute: (statement, values, transform) =>
      guard(statement, values, connection.execute(statement, values, transform)),
    executeRaw: (statement, values) => guard(statement, values, connection.executeRaw(statement, values))
  })

  return {
    wrap: (client) =>
      Layer.effect(
        SqlClient.SqlClient,
        Effect.map(SqlClient.SqlClient, (sql) => {
          const reserve = Effect.map(sql.reserve, guardConnection)
          return new Proxy(sql, {
            get: (target, key, receiver) => (key === "reserve" ? reserve : Reflect.get(target, key, receiver))
          })
        })
      ).pipe(Layer.provide(client)),
    arm: (fault) => {
      armed.push({ fault, skip: fault.skip ?? 0, left: fault.times ?? 1 })
    },
    clear: () => {
      armed = []
    },
    hits: () => hits
  }
}
