/**
 * The pipeline as one layer, and its options. Data goes from the channels to the
 * sink and back; the layers are built from the sink to the source and therefore
 * released from the source to the sink. Nothing else composes.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type * as Agent from "./Agent.ts"
import type * as Channel from "./Channel.ts"
import type { DeadLetter, Figures, JournalError, Ledger, SessionSummary } from "./Journal.ts"
import type { Accepted, AcceptError, Inbound, Progress, Reply, SessionState, Transient } from "./Message.ts"
import type { Drain, DrainOptions, Report, StopRequest } from "./Shutdown.ts"

/** The gateway can't start or can't take a new registry. Names the field, the value and the remedy. */
export class GatewayError extends Schema.TaggedError<GatewayError>()("GatewayError", {
  field: Schema.String,
  value: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.field} ${this.value}: ${this.remedy}`
  }
}

/** A way of speaking for an agent: which one, and what it is told about itself. */
export interface Persona {
  readonly agent: string
  readonly systemPrompt?: string
}

/** What a running gateway can exchange as a whole: agents, personas and channels by name. */
export interface Registry<R = never> {
  readonly agents: { readonly [name: string]: Agent.Agent<R> }
  readonly channels?: { readonly [name: string]: Channel.Channel<R> }
  readonly personas?: { readonly [name: string]: Persona }
}

/** Bounds and choices of the pipeline; every field has its default. */
export interface GatewayOptions<R = never> extends Registry<R> {
  /** Stop: one absolute deadline, how long queued work may start, and the host's own drains. */
  readonly drain?: DrainOptions
  readonly drains?: ReadonlyArray<Drain>
  /** Quiet period of a burst (300 ms; 0 for pull channels) and its cap (5x). */
  readonly debounce?: { readonly quiet?: Duration.Input; readonly atMost?: Duration.Input; readonly maxKeys?: number }
  /** What happens to messages behind a running turn (collect), how many wait (20), and what falls at the cap (summarize). */
  readonly queue?: {
    readonly mode?: "collect" | "followup" | "interrupt"
    readonly cap?: number
    readonly drop?: "summarize" | "old" | "new"
  }
  readonly session?: {
    /** An agent without a turn for this long is closed (10 min; 1 to 120). */
    readonly idleTimeout?: Duration.Input
    /** Most live sessions; the least recently used idle one makes room (1,000). */
    readonly maxLive?: number
  }
  readonly turns?: {
    /** Most turns at one time over all sessions (32), given out fairly. */
    readonly limit?: number
    /** Waits before the second and third try of a turn that failed (2 s, 10 s). */
    readonly backoff?: ReadonlyArray<Duration.Input>
  }
}

/** What a session is doing now, for status pages and SIGQUIT. Times in milliseconds. */
export interface LiveSession {
  readonly id: number
  readonly key: string
  readonly state: SessionState
  readonly waiting: number
  readonly turn: { readonly id: number; readonly attempt: number; readonly age: number; readonly quietFor: number } | undefined
  /** What it waits for, in words. */
  readonly waitsFor: string
}

/** Whether everything that should run does, and what does not. */
export interface Readiness {
  readonly ready: boolean
  readonly problems: ReadonlyArray<string>
}

/** The running gateway. */
export class Gateway extends Context.Service<Gateway, {
  /** Stores a message of the host's own (channel `host`); success = committed. */
  readonly accept: (inbound: Inbound) => Effect.Effect<Accepted, AcceptError>
  /** Stores an outbound message without a turn, idempotent by `id`. `conversation` is a key such as `http/kim`. */
  readonly post: (conversation: string, post: { readonly id?: string; readonly text: string }) => Effect.Effect<Accepted, AcceptError>
  /** Replies of a conversation above a number: stored ones, then each as it comes. A bare name means a conversation of the host. */
  readonly replies: (conversation: string, after?: number) => Stream.Stream<Reply, Transient>
  /** What happens in the conversation's running turns from now on. */
  readonly progress: (conversation: string) => Stream.Stream<Progress>
  /** Sessions as the journal has them, by last activity. */
  readonly sessions: Effect.Effect<ReadonlyArray<SessionSummary & { readonly live: LiveSession | undefined }>, JournalError>
  /** The sessions in memory and what each waits for. Never waits. */
  readonly live: Effect.Effect<ReadonlyArray<LiveSession>>
  /** The ledger; it must balance. */
  readonly audit: Effect.Effect<Ledger, JournalError>
  readonly figures: Effect.Effect<Figures, JournalError>
  readonly readiness: Effect.Effect<Readiness>
  readonly deadLetters: {
    readonly list: Effect.Effect<ReadonlyArray<DeadLetter>, JournalError>
    /** `false` when there is no such dead letter. */
    readonly replay: (reply: number) => Effect.Effect<boolean, JournalError>
    readonly discard: (reply: number) => Effect.Effect<boolean, JournalError>
  }
  /** Exchanges agents, personas and channels as section Reload of docs/operations.md says. */
  readonly reload: (registry: Registry) => Effect.Effect<ReadonlyArray<string>, GatewayError>
  /** Ends the pause of automatic resume after a chain of unclean boots. */
  readonly resume: Effect.Effect<void>
  /** Runs the shutdown program once; later callers join it. Returns its report. */
  readonly stop: (request: StopRequest) => Effect.Effect<Report>
  /** The report of the stop, whenever it comes. */
  readonly stopped: Effect.Effect<Report>
  /** Completes when the conversation owes nothing: no message, turn or reply is open that could go on now. For tests. */
  readonly settled: (conversation: string) => Effect.Effect<void>
  /** Facts of this boot: epoch, instance, one line about the last stop. */
  readonly boot: { readonly epoch: number; readonly instance: string; readonly postMortem: string }
}>()("@sluice/runtime/Gateway") {}
