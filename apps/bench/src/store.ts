/**
 * Stores for benchmarks: a folder of their own on the disk that is measured, a
 * journal over a file in it, and the same file by `node:sqlite` alone as the limit.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { DatabaseSync } from "node:sqlite"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { Journal } from "@sluice/runtime/Journal"
import * as Effect from "effect/Effect"
import type { Admit } from "@sluice/runtime/Journal"

/** A folder that is gone afterwards, also after Ctrl-C. */
export const inFolder = async <A>(use: (folder: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(join(process.env["SLUICE_BENCH_DIR"] ?? tmpdir(), "sluice-bench-"))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  const interrupted = () => {
    remove()
    process.exit(130)
  }
  process.once("SIGINT", interrupted)
  try {
    return await use(folder)
  } finally {
    process.off("SIGINT", interrupted)
    remove()
  }
}

/** A journal over a file. */
export const journal = (filename: string) => Journal.layer(SqliteClient.layer({ filename }))

/** Runs with a journal, without doorbells. */
export const withJournal = <A>(
  filename: string,
  use: (journal: Journal["Service"]) => Effect.Effect<A, unknown>
): Promise<A> => Effect.runPromise(Effect.provide(Effect.flatMap(Journal, use), journal(filename)))

// The journal's own: a limit with SQLite's defaults would checkpoint four times as often.
const settings = [
  "journal_mode = wal",
  "synchronous = full",
  "journal_size_limit = 67108864",
  "temp_store = memory",
  "wal_autocheckpoint = 4000",
  "cache_size = -8000",
  "foreign_keys = off"
]

/** The same schema by the driver alone: same indexes, same durability, same settings. */
export const raw = async (filename: string): Promise<DatabaseSync> => {
  await withJournal(filename, () => Effect.void)
  const db = new DatabaseSync(filename)
  for (const setting of settings) db.exec(`pragma ${setting}`)
  return db
}

/** A message for a conversation. */
export const admission = (
  peer: string,
  id: string,
  text = "hello, this is a message of a usual length for a chat"
): Admit => ({
  address: { channel: "host", account: "", peer, thread: "" },
  id,
  sender: "kim",
  text,
  attachments: [],
  closes: false,
  command: false,
  quiet: 0,
  atMost: 0,
  asking: undefined
})

const columns =
  "seq, conversation, id, session, epoch, bytes, command, closes, quiet, at_most, digest, tick, accepted_at, sender, text"

/** A prepared insert of one message row, as the journal's own rows are. */
export const insertOne = (db: DatabaseSync) => {
  const statement = db.prepare(`insert into sluice_inbound (${columns}) values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`)
  return (seq: number, conversation: number, id: string) =>
    statement.run(
      seq,
      conversation,
      id,
      conversation,
      1,
      53,
      0,
      0,
      0,
      0,
      12_345,
      0,
      1_700_000_000_000,
      "kim",
      "hello, this is a message of a usual length for a chat"
    )
}
