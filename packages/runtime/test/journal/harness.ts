/**
 * Journals over real SQLite for tests: in memory, or in a temporary folder that
 * goes with the scope; opened, closed and opened again as boots would.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { Journal, JournalError, type JournalShape } from "../../src/Journal.ts"
import type { Admit, Claimed, Draft, JournalOptions, ReplyRow, Route, Row, Settlement } from "../../src/Journal.ts"
import type { Conversation } from "../../src/Message.ts"

/** A folder that goes with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "sluice-journal-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

/** The name of a store in a folder of its own. */
export const storeFile = Effect.map(folder, (directory) => path.join(directory, "sluice.db"))

/** A SQLite client for a file. */
export const sqlite = (filename: string) => SqliteClient.layer({ filename })

/** One boot: a journal with what it rang, until `end`. */
export interface Boot {
  readonly journal: JournalShape
  readonly rows: Array<Row>
  readonly replies: Array<ReplyRow>
  readonly ended: Array<number>
  /** Closes the scope, as the end of a process would, without any courtesy. */
  readonly end: Effect.Effect<void>
}

/** The test's clock with a wall that can be moved on its own: monotonic time and timers stay. */
export const movableWall = Effect.map(Clock.Clock, (clock) => {
  let offset = 0
  const now = () => clock.currentTimeMillisUnsafe() + offset
  const shifted: Clock.Clock = Object.assign(Object.create(clock), {
    currentTimeMillisUnsafe: now,
    currentTimeMillis: Effect.sync(now)
  })
  return {
    clock: shifted,
    /** Jumps by so many milliseconds, either way. */
    jump: (millis: number) => {
      offset += millis
    }
  }
})

/** Opens a journal and listens to it. */
export const boot = (layer: Layer.Layer<Journal, unknown>): Effect.Effect<Boot, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const context = yield* Layer.buildWithMemoMap(layer, Layer.makeMemoMapUnsafe(), scope)
    const journal = Context.get(context, Journal)
    const boot: Boot = { journal, rows: [], replies: [], ended: [], end: Scope.close(scope, Exit.void) }
    journal.listen({
      rows: (rows) => boot.rows.push(...rows),
      replies: (replies) => boot.replies.push(...replies),
      ended: (seqs) => boot.ended.push(...seqs)
    })
    return boot
  })

/** Opens the store in this file. */
export const bootFile = (file: string, options: JournalOptions = {}) => boot(Journal.layer(sqlite(file), options))

/** Opens a store in memory. */
export const bootMemory = (options: JournalOptions = {}) => boot(Journal.layer(sqlite(":memory:"), options))

/** Looks at a store from outside, through a connection of its own. */
export const outside = (file: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(file)),
    (database) => Effect.sync(() => database.close())
  )

/** What a store says that can't be opened. */
export const refused = (file: string): Effect.Effect<JournalError, never, Scope.Scope> =>
  Effect.filterOrElse(
    Effect.orDie(Effect.flip(bootFile(file))),
    (error): error is JournalError => error instanceof JournalError,
    (error) => Effect.die(error)
  )

export const kim: Conversation = { channel: "http", account: "", peer: "kim", thread: "" }
export const lee: Conversation = { channel: "http", account: "", peer: "lee", thread: "" }

export const pull: Route = { pull: true, places: false }
export const push: Route = { pull: false, places: false }
export const places: Route = { pull: false, places: true }

/** A message, of kim unless said otherwise. */
export const message = (text: string, more: Partial<Admit> = {}): Admit => ({
  address: kim,
  id: undefined,
  sender: "kim",
  text,
  attachments: [],
  closes: false,
  command: false,
  quiet: 300,
  atMost: 1500,
  asking: undefined,
  ...more
})

export const answer = (...parts: ReadonlyArray<string>): Draft => ({ kind: "answer", parts })

export const done = (...parts: ReadonlyArray<string>): Settlement => ({
  _tag: "Done",
  replies: parts.length === 0 ? [] : [answer(...parts)]
})

/** Claims all these messages of the session of the last one that was rung. */
export const claim = (boot: Boot, seqs: ReadonlyArray<number>) =>
  boot.journal.claim({ session: boot.rows.at(-1)?.session ?? 1, seqs, agent: "main" })

/** A claim that must succeed. */
export const claimed = (boot: Boot, seqs: ReadonlyArray<number>): Effect.Effect<Claimed> =>
  Effect.orDie(Effect.flatMap(claim(boot, seqs), (found) => Effect.fromNullishOr(found)))

/** Ends the current attempt of a turn. */
export const settle = (boot: Boot, found: Claimed, settlement: Settlement, route: Route = pull) =>
  boot.journal.settle({ turn: found.turn.id, attempt: found.turn.attempt, settlement, route })
