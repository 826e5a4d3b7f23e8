/**
 * Reads the file of an image for a model. The file may be gone: what a turn
 * refers to outlives the time for which attachments are kept.
 */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"

/** The file in base64; `undefined` when it can't be read. */
export const imageFile = (path: string): Effect.Effect<string | undefined> =>
  Effect.tryPromise((signal) => readFile(path, { encoding: "base64", signal })).pipe(
    Effect.catch((error) =>
      Effect.as(Effect.logWarning("an image can't be read and is left out", error.cause), undefined)
    )
  )
