/**
 * What falls at the cap: ended in the journal before memory forgets it, then told to
 * the person. A drop that could not be committed leaves the messages where they were.
 */
import * as Effect from "effect/Effect"
import type { JournalError, RowKey } from "../../Journal.ts"
import type { Session } from "../../Session.ts"

/** Ends the messages that fell out of the session's line. */
export const drop = Effect.fnUntraced(function* (
  session: Session,
  fallen: ReadonlyArray<RowKey>
): Effect.fn.Return<void, JournalError> {
  const { journal, outbox } = session.env
  const policy = session.line.drop
  const seqs = fallen.map((row) => row.seq)
  yield* Effect.tapError(journal.drop(session.id, seqs, policy), () => Effect.sync(() => session.line.keep(fallen)))
  session.line.forget(fallen)
  const { row } = session
  if (row === undefined) return
  const to = { conversation: row.conversation, address: row.address }
  const kept = session.line.cap
  if (policy === "summarize") return yield* outbox.notify(to, "tooMany", { kept, summarized: fallen.length })
  if (policy === "old") return yield* outbox.notify(to, "tooManyDropped", { kept, dropped: fallen.length })
  for (const { text } of yield* journal.rows(seqs)) yield* outbox.notify(to, "tooManyRefused", { words: text })
})
