/**
 * The store without a gateway: opened read-only for one question and closed
 * again, because a reader that stays keeps the write-ahead log from shrinking.
 * Never inside the gateway's own process, where closing a second connection
 * would drop its lock.
 */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { Journal, type JournalError, JournalReader, type JournalReads } from "@sluice/runtime/Journal"
import * as Effect from "effect/Effect"
import type { Place } from "../configuration/Sources.ts"
import { escape } from "../LogEncoder.ts"
import { exists, fileIn } from "../StateFolder.ts"
import { howToStart, Silent } from "./Ask.ts"

/** How long a tool may hold the store open. */
const longest = "2 seconds"

/** Asks the store. Fails with `Silent` when there is none. */
export const read = <A, E>(
  place: Place,
  question: (reads: JournalReads) => Effect.Effect<A, JournalError | E>
): Effect.Effect<A, JournalError | Silent | E> =>
  Effect.suspend(() => {
    const filename = fileIn(place.stateDirectory, "store")
    if (!exists(filename)) {
      const detail = `there is no store in ${escape(place.stateDirectory)}: no gateway has run on it; ${howToStart}`
      return new Silent({ why: "none", detail })
    }
    const reader = Journal.reader(SqliteClient.layer({ filename, readonly: true, disableWAL: true }))
    return JournalReader.use(question).pipe(
      Effect.provide(reader),
      Effect.timeoutOrElse({
        duration: longest,
        orElse: () =>
          new Silent({ why: "blocked", detail: `the store in ${escape(place.stateDirectory)} can't be read now` })
      })
    )
  })
