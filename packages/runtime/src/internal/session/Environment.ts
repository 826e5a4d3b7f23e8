/**
 * What all sessions of one gateway share: the services that they use, the gate
 * that lets turns start, and the pause that a chain of crashes puts on resuming.
 */
import type * as Effect from "effect/Effect"
import type { Journal } from "../../Journal.ts"
import type { Outbox } from "../../Outbox.ts"
import type { Running, Session } from "../../Session.ts"
import type { Drop, Mode } from "../../FollowupQueue.ts"
import { Deadline, type Deadlines } from "../Deadlines.ts"
import type { Registered } from "../registry.ts"
import type { Roll } from "../shutdown/Roll.ts"
import type { Outcome } from "./attempt.ts"
import type { Files } from "./files.ts"
import type { Gate } from "./Gate.ts"
import type { Hold, Spending } from "./Spending.ts"
import type { Watchers } from "./Watchers.ts"

/** Choices of the pipeline that concern sessions. Times in milliseconds. */
export interface SessionOptions {
  readonly queue: { readonly mode: Mode | "steer"; readonly cap: number; readonly drop: Drop }
  readonly idleTimeout: number
  readonly maxLive: number
  readonly turnLimit: number
  /** Milliseconds after which a question is not waited for (0 = never), and whether questions outlive a restart. */
  readonly questions: { readonly expireAfter: number; readonly keep: boolean }
  /** Waits before the second try, the third, and so on; one more try than waits. */
  readonly backoff: ReadonlyArray<number>
}

/** A time that a session waits for. All of them share one timer: a sleeping fiber each would be most of what an idle session weighs. */
export class Alarm extends Deadline {
  readonly ring: () => void

  constructor(ring: () => void) {
    super()
    this.ring = ring
  }
}

/** The surroundings of a session. */
export interface Environment {
  readonly journal: Journal["Service"]
  readonly outbox: Outbox["Service"]
  readonly registered: Registered["Service"]
  readonly files: Files
  readonly options: SessionOptions
  readonly instance: string
  readonly epoch: number
  /** Monotonic and wall milliseconds. */
  readonly now: () => number
  readonly wallNow: () => number
  readonly alarms: Deadlines<Alarm>
  readonly gate: Gate
  /** Turns in whose runs the process died twice are tried one at a time. */
  readonly suspects: Gate
  readonly watchers: Watchers
  readonly spending: Spending
  /** Runs a small task that no session's fiber should wait for. */
  readonly background: (effect: Effect.Effect<unknown, unknown>) => void
  /** A budget is used up: everybody is woken when that may have changed. Synchronous. */
  readonly broke: (hold: Hold) => void
  /** Automatic resume is paused after a chain of crashes. */
  readonly paused: () => boolean
  /** The running stop, if there is one: who ran in it, and when it must be over (monotonic milliseconds). */
  readonly stop: { roll: Roll | undefined; by: number; reason: string }
  /** Four characters by which an operator finds a turn's error in the log. */
  readonly reference: (turn: number) => string
  /** An attempt was committed and begins; it is over and its end is committed. Synchronous. */
  readonly started: (session: Session) => void
  /** A session rests, or something else changed that somebody may wait for. Synchronous. */
  readonly changed: () => void
  readonly ended: (session: Session, running: Running, outcome: Outcome) => void
}
