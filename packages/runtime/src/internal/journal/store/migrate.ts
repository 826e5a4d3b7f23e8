/**
 * Brings a store to this program's schema. Within a major version a store is
 * opened whatever newer steps it has, because steps only add; a store of a newer
 * major version is refused by name. Before a step changes a store that holds
 * something, a verified copy of it is made.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Database } from "./database.ts"
import { faultText } from "./faults.ts"
import { JournalError } from "../records.ts"
import { major, type Migration } from "./schema.ts"

const table = "sluice_migrations"

/** The newest step in the store, 0 for a store without any. */
const latestStep = (database: Database<unknown>): Effect.Effect<number, SqlError> =>
  Effect.gen(function* () {
    yield* database.query(
      `create table if not exists ${table} (
         migration_id integer primary key not null, name text not null, created_at bigint not null)`
    )
    const [row] = yield* database.query<{ readonly id: number | null }>(`select max(migration_id) as id from ${table}`)
    return row?.id ?? 0
  })

const tooNew = (database: Database<unknown>): Effect.Effect<JournalError, SqlError> =>
  Effect.map(
    database.query<{ readonly value: string }>(`select value from sluice_meta where key = 'version'`),
    ([row]) => {
      const version = row === undefined ? "a newer version" : `version ${row.value}`
      return new JournalError({
        reason: "TooNew",
        detail: `this store was written by Sluice ${version}; open it with that version or a newer one`
      })
    }
  )

const step = (database: Database<unknown>, migration: Migration, now: number) =>
  Effect.gen(function* () {
    for (const statement of migration.statements) yield* database.query(statement)
    yield* database.query(`insert into ${table} (migration_id, name, created_at) values (?,?,?)`, [
      migration.id,
      migration.name,
      now
    ])
  })

/** How a store is migrated. */
export interface MigrateOptions {
  readonly migrations: ReadonlyArray<Migration>
  readonly now: number
  /** Makes a verified copy that is named after the newest step of the store. */
  readonly copy: ((step: number) => Effect.Effect<void, Error>) | undefined
}

/** See the header. */
export const migrate = Effect.fnUntraced(function* (
  database: Database<unknown>,
  { copy, migrations, now }: MigrateOptions
): Effect.fn.Return<void, SqlError | JournalError> {
  const latest = yield* database.transaction(latestStep(database))
  if (Math.floor(latest / 1000) > major) return yield* yield* tooNew(database)
  const pending = migrations.filter((migration) => migration.id > latest)
  if (pending.length === 0) return
  if (latest > 0 && copy !== undefined) {
    yield* Effect.mapError(
      copy(latest),
      (cause) =>
        new JournalError({
          reason: "Storage",
          detail: `the store could not be copied before its upgrade, so it was left as it is: ${faultText(cause)}`,
          cause
        })
    )
  }
  yield* database.transaction(Effect.forEach(pending, (migration) => step(database, migration, now), { discard: true }))
})
