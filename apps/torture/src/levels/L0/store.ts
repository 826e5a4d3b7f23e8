/**
 * The disk of a simulation: one SQLite database in memory that outlives every
 * process which opens it. A process that dies leaves what it committed and nothing
 * else. The tables are made once and emptied between histories, and statements stay
 * prepared, which is most of what makes a history cheap.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { DatabaseSync, type StatementSync } from "node:sqlite"

/** What SQLite says when something goes wrong. */
export const resultCodes = { busy: 5, ioError: 10, full: 13, fsync: 1034 } as const

/** What happens instead of a statement, or after it: it fails with a code, or the process dies. */
export interface Mishap {
  readonly what: keyof typeof resultCodes | "crash"
  /** The statement takes effect, and nobody hears of it. */
  readonly after: boolean
}

/** The process that uses the connection. */
export interface User {
  readonly dead: () => boolean
  /** Looked at before each statement. */
  readonly mishap: (statement: string) => Mishap | undefined
  /** kill -9, from within. */
  readonly die: () => void
}

interface Prepared {
  readonly statement: StatementSync
  readonly reads: boolean
}

const failure = (cause: unknown): SqlError.SqlError =>
  new SqlError.SqlError({ reason: SqlError.classifySqliteError(cause, { message: "failed", operation: "execute" }) })

const injected = (what: keyof typeof resultCodes): SqlError.SqlError =>
  failure(Object.assign(new Error(`injected: ${what}`), { errcode: resultCodes[what], errno: resultCodes[what] }))

const nothing: ReadonlyArray<unknown> = []

export class Store {
  readonly #database = new DatabaseSync(":memory:")
  readonly #prepared = new Map<string, Prepared>()
  #empty: ReadonlyArray<StatementSync> = []
  /** Statements so far. */
  statements = 0

  /** Takes the tables as they are now for what every history begins with; `fill` makes each the same store. */
  keepTables(fill: string): void {
    const names = this.#database
      .prepare(
        `select name from sqlite_master where type = 'table' and name not in ('sqlite_sequence', 'sluice_migrations')`
      )
      .all()
    this.#empty = [...names.map(({ name }) => `delete from ${String(name)}`), fill].map((statement) =>
      this.#database.prepare(statement)
    )
  }

  /** An empty store, for the next history. */
  reset(): void {
    this.rollback()
    this.#database.exec("begin")
    for (const statement of this.#empty) statement.run()
    this.#database.exec("commit")
  }

  /** The last boot that began; 0 before the first one. */
  lastEpoch(): number {
    const row = this.#prepare(`select coalesce(max(epoch), 0) as epoch from sluice_boots`).statement.get()
    return Number(row?.["epoch"])
  }

  /** The word that a gateway leaves in a file beside the store, where the store itself can't be written: it failed. */
  noteFailureAfter(epoch: number): void {
    this.#prepare(`update sluice_boots set failed = 1 where epoch > ?`).statement.run(epoch)
  }

  /** What the kernel and SQLite make of a transaction whose process is gone. */
  rollback(): void {
    if (this.#database.isTransaction) this.#database.exec("rollback")
  }

  #prepare(text: string): Prepared {
    const known = this.#prepared.get(text)
    if (known !== undefined) return known
    const statement = this.#database.prepare(text)
    const reads = statement.columns().length > 0
    statement.setReadBigInts(!reads)
    const prepared = { statement, reads }
    this.#prepared.set(text, prepared)
    return prepared
  }

  #run(text: string, values: ReadonlyArray<unknown>, raw: boolean): unknown {
    this.statements++
    const { reads, statement } = this.#prepare(text)
    const given = values as ReadonlyArray<string | number | null>
    if (reads) return statement.all(...given)
    const result = statement.run(...given)
    return raw ? result : nothing
  }

  #connection(user: User): SqlConnection.Connection {
    const execute = (text: string, values: ReadonlyArray<unknown>, raw: boolean): Effect.Effect<never> =>
      Effect.suspend(() => {
        if (user.dead()) return Effect.never
        // Of a database in memory: it has no file, and its journal needs no choices.
        if (text.startsWith("pragma")) return Effect.succeed(nothing as never)
        const mishap = user.mishap(text)
        try {
          if (mishap === undefined) return Effect.succeed(this.#run(text, values, raw) as never)
          if (mishap.after) this.#run(text, values, raw)
        } catch (cause) {
          return Effect.fail(failure(cause)) as Effect.Effect<never>
        }
        if (mishap.what !== "crash") return Effect.fail(injected(mishap.what)) as Effect.Effect<never>
        user.die()
        return Effect.never
      })
    const values = (text: string, given: ReadonlyArray<unknown>) => execute(text, given, false)
    return {
      execute: values,
      executeRaw: (text, given) => execute(text, given, true),
      executeStream: () => Stream.die(new Error("not of a simulation")),
      executeValues: values,
      executeValuesUnprepared: values,
      executeUnprepared: values
    }
  }

  /** The client with which a journal opens it, once for each connection. */
  client(user: User): Layer.Layer<SqlClient.SqlClient> {
    const reserve = Effect.sync(() => this.#connection(user))
    const client = {
      driver: "sqlite-simulated",
      reserve,
      onDialectOrElse: (options: { readonly orElse: () => unknown; readonly sqlite?: () => unknown }) =>
        (options.sqlite ?? options.orElse)()
    }
    return Layer.effect(
      SqlClient.SqlClient,
      Effect.as(
        Effect.addFinalizer(() => Effect.sync(() => (user.dead() ? undefined : this.rollback()))),
        client as unknown as SqlClient.SqlClient
      )
    )
  }
}
