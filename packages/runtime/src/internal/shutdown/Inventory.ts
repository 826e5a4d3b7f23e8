/**
 * What is there at the end of a stop: the ledger, what waits for the next boot, and the replies. Each is a question that
 * may fail or hang by itself; what has no answer is left out of the report, which says so.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { JournalError, Ledger } from "../../Journal.ts"
import type { Parts } from "./Parts.ts"

/** Most conversations that a report names. */
const maxConversations = 100

interface Replies {
  readonly sent: number
  readonly pending: number
  readonly unknown: number
}

export class Inventory {
  readonly #parts: Parts
  #before: Fiber.Fiber<Replies, JournalError> | undefined
  #ledger: Ledger | undefined
  #queued: ReadonlyArray<{ readonly conversation: string; readonly waiting: number }> = []
  #moreQueued = 0
  #replies: Replies | undefined

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Reads how many replies were sent before the stop, without making it wait. */
  get begin(): Effect.Effect<void> {
    return Effect.map(Effect.forkDetach(this.#parts.outbox.figures), (fiber) => {
      this.#before = fiber
    })
  }

  /** Asks all questions; fails when one does, with the answers of the others kept. */
  get take(): Effect.Effect<void, JournalError> {
    const { journal, outbox } = this.#parts
    const ledger = Effect.map(journal.ledger, (ledger) => {
      this.#ledger = ledger
    })
    const queued = Effect.map(journal.waiting(maxConversations), ({ more, rows }) => {
      this.#queued = rows
      this.#moreQueued = more
    })
    const replies = Effect.map(outbox.figures, (after) => {
      const before = this.#before?.pollUnsafe()
      const sent = before?._tag === "Success" ? after.sent - before.value.sent : after.sent
      this.#replies = { ...after, sent: Math.max(0, sent) }
    })
    return Effect.forEach([ledger, queued, replies], Effect.exit, { concurrency: "unbounded" }).pipe(
      Effect.flatMap((exits) => Effect.all(exits, { discard: true }))
    )
  }

  get balanced(): boolean {
    return this.#ledger?.balanced ?? true
  }

  /** The answers as the report has them. */
  rows() {
    const ledger = this.#ledger
    return {
      queued: this.#queued,
      moreQueued: this.#moreQueued,
      ...(this.#replies === undefined ? {} : { replies: this.#replies }),
      ...(ledger === undefined
        ? {}
        : {
            ledger: {
              accepted: ledger.accepted,
              open: ledger.open,
              ends: { ...ledger.ends },
              balanced: ledger.balanced
            }
          })
    }
  }
}
