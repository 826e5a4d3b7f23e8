/**
 * What a gateway is made of and may be told: agents, channels and personas by
 * name, the bounds of the pipeline, and the error that names a wrong one.
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type * as Agent from "../../Agent.ts"
import type * as Channel from "../../Channel.ts"
import type { OutboxOptions } from "../../Outbox.ts"
import type { Drain, DrainOptions } from "../../Shutdown.ts"
import type { ChannelState } from "../channels/states.ts"
import type { Persona } from "../registry.ts"
import type { SpendingOptions } from "../spending.ts"

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

/** What a running gateway can exchange as a whole: agents, personas and channels by name, and how spending is reckoned. */
export interface Registry<R = never> extends SpendingOptions {
  readonly agents: { readonly [name: string]: Agent.Agent<R> }
  readonly channels?: { readonly [name: string]: Channel.Channel<R> }
  readonly personas?: { readonly [name: string]: Persona }
}

/** Bounds and choices of the pipeline; every field has its default. */
export interface GatewayOptions<R = never> extends Registry<R> {
  /** Deliveries: concurrency, timeouts, backoff. */
  readonly outbox?: OutboxOptions
  /** Stop: one absolute deadline, how long queued work may start, and the host's own drains. */
  readonly drain?: DrainOptions
  /** As a function they are asked for when a stop begins, for a host that exchanges them. */
  readonly drains?: ReadonlyArray<Drain> | (() => ReadonlyArray<Drain>)
  /** Quiet period of a burst (300 ms; 0 for pull channels) and its cap (5x). */
  readonly debounce?: { readonly quiet?: Duration.Input; readonly atMost?: Duration.Input; readonly maxKeys?: number }
  /** What happens to messages behind a running turn (collect), how many wait (20), and what falls at the cap (summarize). */
  readonly queue?: {
    readonly mode?: "collect" | "followup" | "steer" | "interrupt"
    readonly cap?: number
    readonly drop?: "summarize" | "old" | "new"
  }
  readonly session?: {
    /** An agent without a turn for this long is closed (10 min; 1 to 120). */
    readonly idleTimeout?: Duration.Input
    /** Most live sessions; the least recently used idle one makes room (1,000). */
    readonly maxLive?: number
  }
  readonly questions?: {
    /** A question of an agent's that nobody answers for this long is not waited for (1 h; 0 = never). */
    readonly expireAfter?: Duration.Input
    /** What a stop does with open ones: `keep` (default) lets people answer them over a restart, `cancel` ends them. */
    readonly onStop?: "keep" | "cancel"
  }
  readonly notices?: {
    /** Whether people hear of a stop that makes their answer late, and of the return (true). A channel can say no for itself. */
    readonly restart?: boolean
  }
  readonly turns?: {
    /** Most turns at one time over all sessions (32), given out fairly. */
    readonly limit?: number
    /** Waits before the second and third try of a turn that failed (2 s, 10 s). */
    readonly backoff?: ReadonlyArray<Duration.Input>
  }
}

/** Whether everything that should run does, and what does not. */
export interface Readiness {
  readonly ready: boolean
  readonly problems: ReadonlyArray<string>
  /** What people should know although everything does: a budget that is used up. Absent without any. */
  readonly notes?: ReadonlyArray<string>
  /** How each channel is. */
  readonly channels: ReadonlyArray<ChannelState>
}
