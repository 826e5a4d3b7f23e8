/**
 * The word of the return, for those whom a stop has told that their answer is late:
 * with the first words of what goes on for them, or without any where nothing does,
 * because it was set aside, is held back, or was cancelled meanwhile.
 */
import * as Effect from "effect/Effect"
import type { Journal, JournalError, Told, TurnRow } from "../../Journal.ts"
import type { Outbox } from "../../Outbox.ts"

/** What a boot has found, by session. */
export interface Found {
  /** Turns that were cut off. */
  readonly open: ReadonlyMap<number, TurnRow>
  /** The first of the messages that wait. */
  readonly waiting: ReadonlyMap<number, number>
  /** Turns that were cut off are held back. */
  readonly paused: boolean
}

/** Tells them. */
export const comeBack = Effect.fnUntraced(function* (
  { journal, outbox }: { readonly journal: Journal["Service"]; readonly outbox: Outbox["Service"] },
  { open, paused, waiting }: Found
): Effect.fn.Return<void, JournalError> {
  const told = yield* journal.told
  if (told.length === 0) return
  const goesOn = ({ session }: Told) => (paused ? undefined : open.get(session)?.firstSeq) ?? waiting.get(session)
  const rows = yield* journal.rows(told.flatMap((who) => goesOn(who) ?? []))
  const texts = new Map(rows.map(({ seq, text }) => [seq, text]))
  yield* outbox.comeBack(told.map((who) => ({ who, words: texts.get(goesOn(who) ?? 0) ?? "" })))
})
