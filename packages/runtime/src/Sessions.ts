/**
 * The live sessions and the turn limit. A session is an object only while there
 * is something to do for it, and a fiber only while it does it or keeps an agent
 * warm. Rows come in by a doorbell that never waits; a fiber that is closing when
 * they come is waited for and then started again, so one session never has two.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type { Registered } from "./internal/registry.ts"
import type { SessionOptions } from "./internal/session/Environment.ts"
import { makeSessions } from "./internal/session/make.ts"
import type { Left, LiveSession } from "./internal/session/records.ts"
import type { SpendingState } from "./internal/session/Spending.ts"
import type { Stop } from "./internal/shutdown/Parts.ts"
import type { Journal, PermissionRow, RowKey, SessionRow } from "./Journal.ts"
import type { Progress } from "./Message.ts"
import type { Outbox } from "./Outbox.ts"

export type { SessionOptions } from "./internal/session/Environment.ts"
export type { Left, LiveSession } from "./internal/session/records.ts"

/** The live sessions of one gateway. */
export class Sessions extends Context.Service<
  Sessions,
  {
    /** A message was committed for the session and is in a burst. Synchronous. */
    readonly arrivingUnsafe: (session: number) => void
    /** That many messages of the burst were taken back. Synchronous. */
    readonly withdrawnUnsafe: (session: number, count: number) => void
    /** Among these are messages whose newer versions were stored: they don't wait any more. Synchronous. */
    readonly supersededUnsafe: (seqs: ReadonlyArray<number>) => void
    /** A burst closed: its messages wait for the session. Synchronous, in seq order; never loses any. */
    readonly sendUnsafe: (session: number, rows: ReadonlyArray<RowKey>) => void
    /** How many more messages may come before one would fall at once (`drop` `new`): refuse others before they are committed. */
    readonly roomUnsafe: (session: number) => number
    /** Whether any session has an open question or a full line: then it matters which session a message is of. */
    readonly mindfulUnsafe: () => boolean
    /** The option of an open question that a text names, by its words or (with one question open) its place; else `undefined`. */
    readonly answerUnsafe: (session: number, text: string) => string | undefined
    /** The open question with this number, of whichever of the conversation's sessions: its number stands beside it. */
    readonly questionUnsafe: (conversation: number, number: number) => PermissionRow | undefined
    /** Settings that hold where a session has none of its own; milliseconds. */
    readonly idleTimeout: number
    readonly queueMode: string
    /** Questions of agents outlive a restart. */
    readonly keepsQuestions: boolean

    /** Enters what an earlier boot left; nothing starts before `open`. */
    readonly recover: (left: ReadonlyArray<Left>) => Effect.Effect<void>
    /** Turns may start. */
    readonly open: Effect.Effect<void>
    /** Automatic resume of cut-off turns is held, or goes on. New work is not concerned. */
    readonly pause: (paused: boolean) => Effect.Effect<void>
    /** How many cut-off turns wait for that pause to end. */
    readonly heldBack: Effect.Effect<number>
    /** Agents or channels were exchanged: what was held looks again. */
    readonly reloaded: Effect.Effect<void>

    /** Memory follows a committed command: rows that were cancelled, a turn that was ended, settings, a decision. */
    readonly cancelled: (session: number, seqs: ReadonlyArray<number>) => Effect.Effect<void>
    readonly ended: (session: number, turn: number, by: string) => Effect.Effect<void>
    readonly configured: (row: SessionRow) => Effect.Effect<void>
    readonly decided: (permission: PermissionRow) => Effect.Effect<void>
    /** Closes the session's agent, as soon as nothing runs; completes when it has let go. */
    readonly letGo: (session: number) => Effect.Effect<void>
    /** A person came back to the session: it resumes even while automatic resume is paused. */
    readonly unpause: (session: number) => Effect.Effect<void>

    /** The stop, as `Parts.sessions` of the shutdown program says. */
    readonly begin: (stop: Stop) => Effect.Effect<void>
    /** Phase 3: messages after this one don't start any more, they are only stored. Synchronous. */
    readonly narrowUnsafe: (lastSeq: number) => void
    readonly lastCall: (limit: { readonly seq: number; readonly at: number }) => Effect.Effect<void>
    readonly excuse: (turn: number) => Effect.Effect<void>
    readonly drained: Effect.Effect<void>
    readonly interrupt: (cut: { readonly reason: string; readonly until: number }) => Effect.Effect<void>
    readonly turnOf: (marker: string) => Effect.Effect<number | undefined>
    /** After `interrupt`: sessions of people who are written to and whose answers are late because of the stop, those with a cut turn first. */
    readonly late: Effect.Effect<ReadonlyArray<number>>

    /** Completes with the cause when a session ended as none should: the gateway stops. */
    readonly failed: Effect.Effect<unknown>
    /** What was spent, what may be, and whether turns are held for it. Never waits. */
    readonly spending: Effect.Effect<SpendingState>
    /** The sessions in memory. Never waits. */
    readonly live: Effect.Effect<ReadonlyArray<LiveSession>>
    /** What happens in the conversation's turns from now on. */
    readonly watch: (conversationKey: string) => Stream.Stream<Progress>
    /** Completes when no session of the conversation has anything to do that could go on now. For tests. */
    readonly quiet: (conversationKey: string) => Effect.Effect<void>
  }
>()("@sluice/runtime/Sessions") {
  /** The sessions over the journal and the outbox; the layer's release interrupts what runs and waits until it let go. */
  static readonly layer = (options: SessionOptions): Layer.Layer<Sessions, never, Journal | Outbox | Registered> =>
    Layer.effect(Sessions, makeSessions(options))
}
