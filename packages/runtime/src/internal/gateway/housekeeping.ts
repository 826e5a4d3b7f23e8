/**
 * What has to be done from time to time and is in nobody's way: retention lets go
 * of old rows a bounded piece at a time, and files that no row knows are swept.
 */
import * as Effect from "effect/Effect"
import { Attachments } from "../../Attachments.ts"
import { Journal } from "../../Journal.ts"

const sweep = Effect.gen(function* () {
  const journal = yield* Journal
  const attachments = yield* Effect.serviceOption(Attachments)
  const deleted = yield* journal.compact
  const files = attachments._tag === "Some" ? yield* attachments.value.sweep(yield* journal.attachments) : []
  if (deleted > 0 || files.length > 0) {
    yield* Effect.logInfo("Retention").pipe(Effect.annotateLogs({ rows: deleted, files: files.length }))
  }
})

/** Sweeps every hour, first an hour after the start; what was to be forgotten is looked for at once as well. Never ends. */
export const housekeeping = (forget: Effect.Effect<void>): Effect.Effect<never, never, Journal> =>
  Effect.forever(
    forget.pipe(
      Effect.andThen(Effect.sleep("1 hour")),
      Effect.andThen(
        Effect.catchCause(sweep, (cause) => Effect.logWarning("Retention failed and is tried again in an hour", cause))
      )
    )
  )
