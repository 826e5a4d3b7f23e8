/**
 * The questions of tools over a store that a gateway may be using right now, or
 * that nobody uses. Nothing is written, nothing is locked, and no question holds
 * a snapshot for longer than it takes.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { JournalReader } from "../../../Journal.ts"
import { storeFiles } from "../../node/storeFiles.ts"
import { type Database, open } from "../store/database.ts"
import { explained } from "../store/explain.ts"
import * as Reads from "./reads.ts"
import { JournalError } from "../records.ts"
import type { JournalReads } from "./reports.ts"
import { major } from "../store/schema.ts"
import { firstSessionColumns } from "../store/rows.ts"
import { asJournalError } from "../shape.ts"
import { usage } from "../writes/usage.ts"
import { uncounted } from "./uncounted.ts"

/** The newest step of a store that this version can read: one that no gateway has opened since an upgrade lacks some. */
const check = Effect.fnUntraced(function* (database: Database<unknown>) {
  const tables = yield* database.query(`select 1 as found from sqlite_master where name = 'sluice_migrations'`)
  if (tables.length === 0) {
    return yield* new JournalError({ reason: "Unsupported", detail: "there is no store here" })
  }
  const [row] = yield* database.query<{ readonly id: number | null }>(
    `select max(migration_id) as id from sluice_migrations`
  )
  const [meta] = yield* database.query<{ readonly value: string }>(
    `select value from sluice_meta where key = 'version'`
  )
  if (Math.floor((row?.id ?? 0) / 1000) > major) {
    return yield* new JournalError({
      reason: "TooNew",
      detail: `this store was written by Sluice version ${meta?.value ?? "unknown"}; read it with that version or a newer one`
    })
  }
  return row?.id ?? 0
})

/** The reader as a layer; see {@link makeJournal} for `tag`. */
export const makeReader = <E, R>(
  tag: Context.Key<JournalReader, JournalReads>,
  client: Layer.Layer<SqlClient.SqlClient, E, R>
): Layer.Layer<JournalReader, E | JournalError, R> =>
  Layer.effect(
    tag,
    Effect.gen(function* () {
      const database = yield* explained(open(client, { write: false }))
      yield* Effect.addFinalizer(() => database.close)
      const step = yield* explained(check(database))
      const { query } = database
      const ask = <A>(question: Effect.Effect<A, SqlError>): Effect.Effect<A, JournalError> =>
        Effect.mapError(database.snapshot(question), asJournalError)
      const store = yield* explained(Reads.opening(query))
      const files = database.file === undefined ? undefined : storeFiles(database.file)
      return {
        sessions: (options) =>
          ask(step < 1002 ? Reads.sessions(query, options, firstSessionColumns, "") : Reads.sessions(query, options)),
        ledger: ask(Reads.ledger(query)),
        figures: Effect.map(ask(Reads.figures(query)), (figures) => ({
          ...figures,
          walBytes: files?.walBytes() ?? 0,
          writer: { rounds: 0, entries: 0, retries: 0, waiting: 0, commitMillis: { bounds: [], counts: [], sum: 0 } }
        })),
        report: ask(Reads.report(query)),
        deadLetters: ({ limit }) =>
          ask(
            Reads.deadLetters(query, store, limit, {
              ...(step < 1003 ? { attachments: "null" } : {}),
              ...(step < 1005 ? { session: "null" } : {})
            })
          ),
        usage: (question) => (step < 1002 ? Effect.succeed([]) : ask(usage(query, question))),
        uncounted: (question) => ask(uncounted(query, question)),
        opening: ask(Reads.opening(query))
      } satisfies JournalReads
    })
  ) as Layer.Layer<JournalReader, E | JournalError, R>
