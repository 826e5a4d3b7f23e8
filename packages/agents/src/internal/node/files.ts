/** Reads files that agents are handed: small ones, whole, and never one that is not there. */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"

/** A file's bytes; `undefined` when it can't be read, with the reason in the log. */
export const readWhole = (path: string): Effect.Effect<Buffer | undefined> =>
  Effect.tryPromise(() => readFile(path)).pipe(
    Effect.catch((error) => Effect.as(Effect.logWarning("a file of a message could not be read", error), undefined))
  )
