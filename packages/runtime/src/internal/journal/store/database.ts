/**
 * The journal's own connection, reserved for the life of the journal. Statements
 * go straight to it: no span, no template and no pool per query. A read never
 * runs inside a round, because both take the same permit: what is not committed
 * is seen by nobody. After an I/O error the connection is replaced once and the
 * old one is never used again.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"

/** A value that a statement takes. */
export type Value = string | number | null

/** Runs one prepared statement. The caller names the shape of its rows. */
export interface Query {
  <A extends object = Record<string, Value>>(
    statement: string,
    values?: ReadonlyArray<Value>
  ): Effect.Effect<ReadonlyArray<A>, SqlError.SqlError>
  /** Runs a statement that returns no rows: how many rows it changed. */
  readonly change: (statement: string, values?: ReadonlyArray<Value>) => Effect.Effect<number, SqlError.SqlError>
}

/** The connection; see the header. */
export interface Database<E> {
  /** Name of the driver, for example `sqlite-node`. */
  readonly driver: string
  /** The main database's file, or `undefined` in memory or elsewhere. */
  readonly file: string | undefined
  /** One statement, by whoever holds the permit. */
  readonly query: Query
  /** All or nothing. Takes the permit. */
  readonly transaction: <A, X>(body: Effect.Effect<A, X>) => Effect.Effect<A, X | SqlError.SqlError>
  /** Questions, between rounds. */
  readonly read: <A, X>(body: Effect.Effect<A, X>) => Effect.Effect<A, X>
  /** Questions that must agree with each other although another process writes: one short snapshot. */
  readonly snapshot: <A, X>(body: Effect.Effect<A, X>) => Effect.Effect<A, X | SqlError.SqlError>
  /** Closes the connection and opens a new one; what that reads is on the disk. */
  readonly reopen: Effect.Effect<void, E | SqlError.SqlError>
  /** Closes the connection. */
  readonly close: Effect.Effect<void>
}

/** The dialect's way to begin a transaction that will write. */
const begin = (driver: string): string => (driver.startsWith("sqlite") ? "begin immediate" : "begin")

const isSqlite = (client: SqlClient.SqlClient): boolean =>
  client.onDialectOrElse({ sqlite: () => true, orElse: () => false })

// 50 ms: a longer wait in the driver would block the whole process, signals too.
const pragmas = [
  "pragma busy_timeout = 50",
  "pragma journal_mode = wal",
  "pragma synchronous = full",
  "pragma journal_size_limit = 67108864",
  "pragma temp_store = memory",
  // What is freed is overwritten, always: what was let go or moved long before it is forgotten must not stay in the file.
  "pragma secure_delete = on",
  // 16 MiB: the same pages are written again and again, and a checkpoint writes each of them once.
  "pragma wal_autocheckpoint = 4000",
  "pragma cache_size = -8000",
  "pragma foreign_keys = off"
]

// Each driver has a name for it: SQLite's, Postgres', MySQL's.
const changeNames = ["changes", "rowCount", "affectedRows"] as const

const changesOf = (result: unknown): number => {
  for (const name of changeNames) {
    if (Predicate.hasProperty(result, name)) return Number(result[name])
  }
  return 0
}

interface Handle {
  readonly scope: Scope.Closeable
  readonly client: SqlClient.SqlClient
  readonly connection: SqlConnection.Connection
}

/** Builds the client anew, apart from every memo map, and prepares its connection. */
const connect = <E, R>(
  client: Layer.Layer<SqlClient.SqlClient, E, R>,
  prepare: ReadonlyArray<string>
): Effect.Effect<Handle, E | SqlError.SqlError, R> =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    return yield* Effect.gen(function* () {
      const context = yield* Layer.buildWithMemoMap(Layer.fresh(client), Layer.makeMemoMapUnsafe(), scope)
      const sql = yield* Effect.provide(SqlClient.SqlClient, context)
      const connection = yield* Scope.provide(sql.reserve, scope)
      if (isSqlite(sql)) {
        for (const pragma of prepare) yield* connection.execute(pragma, [], undefined)
      }
      return { scope, client: sql, connection }
    }).pipe(Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))))
  })

const fileOf = (handle: Handle): Effect.Effect<string | undefined, SqlError.SqlError> =>
  isSqlite(handle.client)
    ? Effect.map(handle.connection.execute("pragma database_list", [], undefined), (rows) => {
        const main = (rows as ReadonlyArray<{ readonly name: string; readonly file: string }>).find(
          (row) => row.name === "main"
        )
        return main === undefined || main.file === "" ? undefined : main.file
      })
    : Effect.as(Effect.void, undefined)

/**
 * Puts the log into the database and both onto the disk. A commit whose sync failed can be read by the next connection
 * and be nowhere but in the kernel's memory: what is found after a failure counts only once this has gone well.
 */
const flush = (connection: SqlConnection.Connection): Effect.Effect<void, SqlError.SqlError> =>
  Effect.flatMap(connection.execute("pragma wal_checkpoint(passive)", [], undefined), (rows) => {
    const [{ checkpointed, log } = { checkpointed: -1, log: 0 }] = rows as ReadonlyArray<{
      readonly log: number
      readonly checkpointed: number
    }>
    if (log === checkpointed) return Effect.void
    const cause = new Error(
      "another process reads an older state of the store, so that the log could not be written back"
    )
    const reason = SqlError.classifySqliteError(cause, { message: cause.message, operation: "checkpoint" })
    return Effect.fail(new SqlError.SqlError({ reason }))
  })

/** Opens the connection of a journal, or (`write: false`) of a reader. Whoever opens closes. */
export const open = <E, R>(
  client: Layer.Layer<SqlClient.SqlClient, E, R>,
  options: { readonly write: boolean }
): Effect.Effect<Database<E>, E | SqlError.SqlError, R> =>
  Effect.gen(function* () {
    const prepare = options.write ? pragmas : ["pragma busy_timeout = 50"]
    const context = yield* Effect.context<R>()
    const permit = Semaphore.makeUnsafe(1)
    let handle = yield* connect(client, prepare)
    const file = yield* fileOf(handle)
    const driver = handle.client.driver

    // Suspended: a question that was asked once and is run again later must meet the connection of that time.
    const query: Query = Object.assign(
      <A extends object>(statement: string, values?: ReadonlyArray<Value>) =>
        Effect.suspend(
          () =>
            handle.connection.execute(statement, values ?? [], undefined) as Effect.Effect<
              ReadonlyArray<A>,
              SqlError.SqlError
            >
        ),
      {
        change: (statement: string, values?: ReadonlyArray<Value>) =>
          Effect.suspend(() => Effect.map(handle.connection.executeRaw(statement, values ?? []), changesOf))
      }
    )

    const within =
      (beginning: string) =>
      <A, X>(body: Effect.Effect<A, X>): Effect.Effect<A, X | SqlError.SqlError> =>
        permit.withPermit(
          Effect.flatMap(query(beginning), () =>
            Effect.matchCauseEffect(
              Effect.flatMap(body, (value) => Effect.as(query("commit"), value)),
              {
                onSuccess: Effect.succeed,
                // A failed commit may have ended the transaction already; the first cause is the one to report.
                onFailure: (cause) => Effect.andThen(Effect.exit(query("rollback")), Effect.failCause(cause))
              }
            )
          )
        )

    const end = Effect.suspend(() => Scope.close(handle.scope, Exit.void))
    const reopen = permit.withPermit(
      Effect.gen(function* () {
        yield* Effect.exit(end)
        handle = yield* connect(client, prepare)
        if (isSqlite(handle.client)) yield* flush(handle.connection)
      })
    )

    return {
      driver,
      file,
      query,
      transaction: within(begin(driver)),
      snapshot: within("begin"),
      read: (body) => permit.withPermit(body),
      reopen: Effect.provide(reopen, context),
      close: permit.withPermit(end)
    }
  })
