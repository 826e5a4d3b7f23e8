/**
 * The exclusive lock of a store: a second SQLite file beside it, held in an open
 * exclusive transaction for as long as the scope lives. The kernel frees it with
 * the process, also on kill -9, so nobody ever has to remove it by hand. Nothing
 * in this process may open that file by other means: closing it would drop the lock.
 */
import { DatabaseSync } from "node:sqlite"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { resultCode } from "../journal/store/faults.ts"
import { JournalError } from "../journal/records.ts"

const take = (file: string): DatabaseSync => {
  const lock = new DatabaseSync(`${file}.lock`)
  try {
    lock.exec("pragma busy_timeout = 0")
    // Nothing is ever written to it: no journal beside it either.
    lock.exec("pragma journal_mode = memory")
    lock.exec("begin exclusive")
    return lock
  } catch (cause) {
    lock.close()
    throw cause
  }
}

const explain = (file: string, cause: unknown): JournalError => {
  const code = resultCode(cause)
  const held = code !== undefined && (code & 0xff) === 5
  return held
    ? new JournalError({
        reason: "Locked",
        detail: `another gateway uses ${file}. Stop it first ("sluice stop"), or give this one its own state directory`,
        cause
      })
    : new JournalError({
        reason: "Unsupported",
        detail: `${file}.lock can't be locked; the state directory must be writable and on a local disk`,
        cause
      })
}

/** Holds the lock of a store for the life of the scope; fails at once when another process has it. */
export const storeLock = (file: string): Effect.Effect<void, JournalError, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(Effect.try({ try: () => take(file), catch: (cause) => explain(file, cause) }), (lock) =>
      Effect.sync(() => lock.close())
    )
  )
