/**
 * What a writer is made with: its connection, what the opening found, its bounds,
 * and what it can do beside the store when the disk lets it down.
 */
import type * as Clock from "effect/Clock"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Label } from "../../boundary.ts"
import type { Counters } from "./counters.ts"
import type { Database } from "../store/database.ts"
import type { RetentionMillis } from "../writes/retention.ts"
import type { Died } from "./trouble.ts"
import type { TurnRecord } from "../store/rows.ts"

/** What the writer is made with. */
export interface WriterOptions {
  readonly database: Database<unknown>
  readonly clock: Clock.Clock
  readonly scope: Scope.Scope
  readonly epoch: number
  readonly instance: string
  readonly counters: Counters
  /** Open turns, and sessions with messages that no turn has told of. */
  readonly turns: ReadonlyArray<TurnRecord>
  readonly untold: ReadonlyArray<number>
  /** What the last days cost. */
  readonly spent: ReadonlyArray<readonly [day: string, cost: number]>
  /** Milliseconds of uptime of all earlier boots. */
  readonly uptime: number
  readonly retention: RetentionMillis
  readonly conversations: number
  readonly laneEntries: number
  readonly laneBytes: number
  readonly boundary: ((label: Label) => Effect.Effect<void>) | undefined
  /** Fails when the store's file is not where it was. */
  readonly inPlace: Effect.Effect<void, Died>
  /** Frees the space that is kept for a full disk. */
  readonly freeReserve: Effect.Effect<void>
  /** Leaves word beside the store that this epoch ended in a storage failure. */
  readonly leaveWord: Effect.Effect<void>
}
