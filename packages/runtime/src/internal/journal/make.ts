/**
 * Builds a journal: its own connection, the lock, the schema, the opening
 * transaction, then the writer. Each is undone in the opposite order, so the lock
 * outlives the connection and nobody else opens the store before it is closed.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as SqlClient from "effect/sql/SqlClient"
import * as SqlError from "effect/sql/SqlError"
import type { Journal, JournalShape } from "../../Journal.ts"
import { Boundary } from "../boundary.ts"
import { storeCopy } from "../node/storeCopy.ts"
import { type StoreFiles, storeFiles } from "../node/storeFiles.ts"
import { storeLock } from "../node/storeLock.ts"
import { type Database, open } from "./store/database.ts"
import { explained } from "./store/explain.ts"
import { classify, faultText } from "./store/faults.ts"
import { migrate } from "./store/migrate.ts"
import { openStore } from "./writes/opening.ts"
import { JournalError } from "./records.ts"
import type { JournalOptions } from "./reads/reports.ts"
import { retentionOf } from "./writes/retention.ts"
import { migrations } from "./store/schema.ts"
import { shape } from "./shape.ts"
import { type Died, moved } from "./writer/trouble.ts"
import { Writer } from "./writer/writer.ts"

/** How long an opening tries again while somebody else holds the store; nanoseconds. */
const patience = 2_000_000_000n

const isBusy = (error: unknown): boolean =>
  SqlError.isSqlError(error) ? classify(error) === "busy" : error instanceof JournalError && error.reason === "Locked"

/** Somebody may write for a moment while this boot begins (a tool, the host): two seconds at most. */
const patiently = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Clock.monotonicTimeNanos, (begun) =>
    Effect.retry(effect, {
      schedule: Schedule.spaced("100 millis"),
      while: (error) =>
        isBusy(error) ? Effect.map(Clock.monotonicTimeNanos, (now) => now - begun < patience) : Effect.succeed(false)
    })
  )

/** Opens the connection under the lock, so that it is closed before the lock is freed. */
const openLocked = <E, R>(client: Layer.Layer<SqlClient.SqlClient, E, R>, options: JournalOptions) =>
  Effect.gen(function* () {
    // The switch to the write-ahead log fails at once, whatever the driver's own timeout is.
    const database = yield* patiently(explained(open(client, { write: true })))
    const lock = options.lock === undefined ? undefined : Layer.build(options.lock)
    const { file } = database
    const locked = lock ?? (file === undefined ? Effect.void : storeLock(file))
    yield* Effect.onExit(Effect.asVoid(locked), (exit) => (Exit.isSuccess(exit) ? Effect.void : database.close))
    yield* Effect.addFinalizer(() => database.close)
    return database
  })

/** Best effort beside the store: what fails is said and does not stop anybody. */
const beside = (what: string, action: (() => void) | undefined): Effect.Effect<void> =>
  action === undefined
    ? Effect.void
    : Effect.sync(action).pipe(Effect.catchDefect((defect) => Effect.logWarning(`${what} failed`, defect)))

const checkFileSystem = (files: StoreFiles | undefined, options: JournalOptions) =>
  Effect.suspend(() => {
    const network = options.networkFileSystem === true ? undefined : files?.networkFileSystem()
    return network === undefined
      ? Effect.void
      : Effect.fail(
          new JournalError({
            reason: "Unsupported",
            detail: `the store is on a network file system (${network}), where locks and flushes can't be trusted; use a local disk, or allow it by configuration`
          })
        )
  })

/** A word that can't be read may say that the last boot lost something: a start that passed over it would say that it did not. */
const failedEpoch = (files: StoreFiles | undefined): Effect.Effect<number | undefined, JournalError> =>
  Effect.try({
    try: () => files?.failedEpoch(),
    catch: (cause) =>
      new JournalError({
        reason: "Unsupported",
        detail: `${files?.word ?? ""}, the word of an earlier storage failure, can't be read (${faultText(cause)}); make it a file that this user can read, or move it away`,
        cause
      })
  })

const copyOf = (file: string | undefined) =>
  file === undefined ? undefined : (step: number) => storeCopy(file, `${file}.before-${step}`)

const opened = Effect.fnUntraced(function* (
  database: Database<unknown>,
  files: StoreFiles | undefined,
  options: JournalOptions
) {
  const clock = yield* Clock.Clock
  const boundary = yield* Boundary
  const now = clock.currentTimeMillisUnsafe()
  yield* checkFileSystem(files, options)
  yield* patiently(migrate(database, { migrations, now, copy: copyOf(database.file) }))
  const cross = (label: "before:open" | "inside:open" | "after:open") =>
    boundary === undefined ? Effect.void : boundary(label)
  const version = options.version ?? "0.0.0"
  const boot = { version, now, failedEpoch: yield* failedEpoch(files) }
  yield* cross("before:open")
  const found = yield* patiently(
    database.transaction(Effect.tap(openStore(database.query, boot), () => cross("inside:open")))
  )
  yield* cross("after:open")
  yield* beside("Clearing the word of an earlier failure", files?.clearWord)
  yield* beside("Keeping space back for a full disk", files?.keepReserve)
  yield* beside("Protecting the store's files", files?.protect)
  return { ...found, clock, boundary, version }
})

/** Asked after each commit, before anybody is told of it. */
const inPlace = (files: StoreFiles | undefined): Effect.Effect<void, Died> => {
  if (files === undefined) return Effect.void
  const isInPlace = files.watchPlace()
  return Effect.suspend(() => (isInPlace() ? Effect.void : Effect.fail(moved)))
}

// A boot in which nobody writes loses at most so much of its uptime in a crash.
const uptimeEvery = "1 hour"

const keepUptime = (writer: Writer) =>
  Effect.sleep(uptimeEvery).pipe(
    Effect.andThen(writer.submit("upkeep", { _tag: "Uptime" })),
    Effect.forever,
    // The journal has ended, and has said so.
    Effect.ignore
  )

/** The journal as a layer; `tag` is the service, given so that this module needs nothing of it but its type. */
export const makeJournal = <E, R>(
  tag: Context.Key<Journal, JournalShape>,
  client: Layer.Layer<SqlClient.SqlClient, E, R>,
  options: JournalOptions
): Layer.Layer<Journal, E | JournalError, R> =>
  Layer.effect(
    tag,
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const database = yield* openLocked(client, options)
      const files = database.file === undefined ? undefined : storeFiles(database.file)
      const { boundary, clock, counters, opening, spent, turns, untold, uptime } = yield* explained(
        opened(database, files, options)
      )
      const writer = new Writer({
        database,
        clock,
        scope,
        epoch: opening.epoch,
        instance: opening.instance,
        counters,
        turns,
        untold,
        spent,
        uptime,
        retention: retentionOf(options.retention),
        conversations: options.conversations ?? 20_000,
        laneEntries: options.laneEntries ?? 4096,
        laneBytes: options.laneBytes ?? 64 * 1024 * 1024,
        boundary,
        inPlace: inPlace(files),
        freeReserve: beside("Freeing the reserve", files?.freeReserve),
        leaveWord: beside("Noting the failure", files === undefined ? undefined : () => files.leaveWord(opening.epoch))
      })
      const fiber = yield* Effect.forkDetach(writer.run)
      yield* Effect.addFinalizer(() => Fiber.interrupt(fiber))
      yield* Effect.forkScoped(keepUptime(writer))
      return shape({ database, writer, opening, files })
    })
  ) as Layer.Layer<Journal, E | JournalError, R>
