/**
 * The pipeline's debouncer: sessions as keys, committed rows as items. It holds
 * keys and facts only; the texts are in the journal.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Debouncer from "../Debouncer.ts"
import type { Row, RowKey } from "../Journal.ts"
import { Sessions } from "../Sessions.ts"

/** A row in a burst: its key, and the debounce that was in force for it (milliseconds). */
export interface BurstRow extends RowKey {
  readonly quiet: number
  readonly atMost: number
}

/** The one debouncer of a gateway. */
export class Bursts extends Context.Service<Bursts, Debouncer.Debouncer<number, BurstRow>>()(
  "@sluice/runtime/internal/Bursts"
) {}

/** What memory keeps of a row, without its text. */
export const burstRow = (row: Row): BurstRow => ({
  seq: row.seq,
  session: row.session,
  epoch: row.epoch,
  opens: row.opens,
  closes: row.closes,
  bytes: row.bytes,
  quiet: row.quiet,
  atMost: row.atMost
})

/** The debouncer in front of the sessions; released first, it flushes into them. */
export const burstsLayer = (options: { readonly quiet: number; readonly maxKeys: number }) =>
  Layer.effect(
    Bursts,
    Effect.flatMap(Sessions, (sessions) =>
      Debouncer.make<number, BurstRow>({
        quiet: options.quiet,
        maxKeys: options.maxKeys,
        windowOf: (row) => row,
        // Through when it returns: a fiber for each burst would cost more than what it does.
        flush: (session, rows) => {
          sessions.sendUnsafe(session, rows)
          return Effect.void
        }
      })
    )
  )
