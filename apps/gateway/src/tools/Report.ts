/**
 * `sluice report`: the report of the last stop, from the running gateway, else
 * from the store, else from the file that the stop wrote beside it, which is
 * also there when the watchdog had to end the process.
 */
import type { JournalError } from "@sluice/runtime/Journal"
import { Report } from "@sluice/runtime/Shutdown"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Place } from "../configuration/Sources.ts"
import { codes, Ending } from "../process/Exit.ts"
import { escape } from "../LogEncoder.ts"
import type { ConfigurationError } from "../configuration/Problem.ts"
import { fileIn, readJson } from "../StateFolder.ts"
import { ask, type Refused, running, type Silent } from "./Ask.ts"
import * as Store from "./Store.ts"
import * as Words from "./Words.ts"

const decode = Schema.decodeUnknownOption(Report)

/** Number of the boot that a report is of. */
export const epochOf = (report: unknown): number | undefined =>
  typeof report === "object" && report !== null && "epoch" in report && typeof report.epoch === "number"
    ? report.epoch
    : undefined

/** Prints a report as a document or as text; what is no report (a watchdog's note) is printed as it is. */
export const print = (report: unknown, json: boolean): Effect.Effect<void> =>
  json
    ? Words.json(report)
    : Option.match(decode(report), {
        onNone: () => Words.json(report),
        onSome: (known) => Words.lines(Report.text(known).split("\n").map(escape))
      })

/** Number of the last boot that has ended; undefined when nothing says so. */
const lastEnded = (place: Place): Effect.Effect<number | undefined> => {
  const address = running(place)
  return address !== undefined
    ? Effect.succeed(address.epoch - 1)
    : Store.read(place, (reads) => reads.opening).pipe(
        Effect.map(({ epoch }) => epoch),
        // No store, or one that can't be read now: the report is all there is.
        Effect.orElseSucceed(() => undefined)
      )
}

/** `sluice report`. A boot that was killed leaves none: then it is said that the report is an older one. */
export const report = Effect.fnUntraced(function* (
  place: Place,
  json: boolean
): Effect.fn.Return<void, Silent | Refused | ConfigurationError | JournalError | Ending> {
  const found = yield* ask(place, { method: "GET", path: "/v1/report" }).pipe(
    Effect.map(({ body, status }) => (status === 200 ? body : undefined)),
    Effect.catchTags({
      Refused: (refused) => (refused.status === 404 ? Effect.void : Effect.fail(refused)),
      Silent: () => Store.read(place, (reads) => reads.report).pipe(Effect.catchTag("Silent", () => Effect.void))
    })
  )
  const written = readJson(fileIn(place.stateDirectory, "lastShutdown"))
  // The store's copy was written while its last phase still ran, and a stop that was killed has none: the file is newer.
  const stored = (epochOf(written) ?? 0) >= (epochOf(found) ?? 0) ? (written ?? found) : found
  if (stored === undefined || stored === null) {
    return yield* new Ending({ code: codes.failed, lines: ["no stop has left a report here yet"] })
  }
  const [epoch, last] = [epochOf(stored), yield* lastEnded(place)]
  const silent = epoch !== undefined && last !== undefined && last > epoch
  if (json) return yield* print(silent ? { ...stored, withoutReport: last } : stored, true)
  if (silent) {
    const line = `Boot ${last} has left no report: it was killed, or it crashed. The last stop with one was that of boot ${epoch}:`
    yield* Words.lines([line])
  }
  yield* print(stored, false)
})
