/**
 * What others are told of sessions in memory, and what a boot tells them of the
 * ones that an earlier boot left.
 */
import type * as Effect from "effect/Effect"
import type { PermissionRow, TurnRow } from "../../Journal.ts"
import type { SessionState } from "../../Message.ts"

/** What a session in memory is doing now. Times in milliseconds. */
export interface LiveSession {
  readonly id: number
  readonly key: string
  readonly state: SessionState
  /** Messages that wait in memory, and those of older boots that are still only in the journal. */
  readonly waiting: number
  readonly turn:
    | { readonly id: number; readonly attempt: number; readonly age: number; readonly quietFor: number }
    | undefined
  /** What it waits for, in words. */
  readonly waitsFor: string
  /** What is not configured, or which budget is used up: nothing of it runs until a reload, until `/new`, or until the period turns. */
  readonly held?: string
  /** Until the next try of a turn that failed. */
  readonly retryIn?: number
  /** What it has asked its person and was not told yet. */
  readonly asks?: ReadonlyArray<Pick<PermissionRow, "number" | "question" | "options">>
}

/** What a boot found for one session. */
export interface Left {
  readonly session: number
  readonly turn?: TurnRow
  /** Waiting messages of older epochs, and the lowest seq of them. */
  readonly waiting?: { readonly count: number; readonly firstSeq: number }
  /** Completes when the processes of its cut-off turn are gone. */
  readonly orphan?: Effect.Effect<void>
  /** They are awaited, because one of them may still come to an answer. */
  readonly awaited?: boolean
}
