/**
 * Reads files that agents are handed. Whoever calls knows their size; one that
 * is gone is no failure of a turn, its agent is told that it is missing.
 */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"

/** A file's bytes; `undefined` when it can't be read, with the reason in the log. */
export const readWhole = (path: string): Effect.Effect<Buffer | undefined> =>
  Effect.tryPromise(() => readFile(path)).pipe(
    Effect.catch((error) => Effect.as(Effect.logWarning("a file of a message could not be read", error), undefined))
  )
