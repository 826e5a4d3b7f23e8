/**
 * The way to one channel: its lanes, of which only so many run at once, its
 * requests, and what keeps all of them from running (a throttle of the whole
 * channel, refused credentials, no such channel). One that is held or throttled
 * stops nobody else.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import type { Channel } from "../../Channel.ts"
import * as Lanes from "../Lanes.ts"
import type { HeldChannel } from "../../Outbox.ts"
import { Alarm, type ConversationLane } from "./lane.ts"

export class Port {
  readonly name: string
  readonly lanes: Lanes.Lanes<never>
  readonly alarm: Alarm
  /** By conversation key. */
  readonly members = new Map<string, ConversationLane>()
  /** Requests that have not let go yet. */
  readonly requests = new Set<Fiber.Fiber<unknown, unknown>>()
  /** Why credentials were refused. */
  held: string | undefined = undefined
  /** Nothing is sent before this, in monotonic milliseconds. */
  notBefore = -Infinity
  /** It was said already that there is no such channel. */
  told = false
  readonly #find: () => Channel | undefined

  constructor(name: string, find: () => Channel | undefined, lanes: Lanes.Lanes<never>, due: () => void) {
    this.name = name
    this.#find = find
    this.lanes = lanes
    this.alarm = new Alarm(due)
  }

  /** The channel as it is configured now. */
  get channel(): Channel | undefined {
    return this.#find()
  }

  /** Nothing may be sent now. */
  blocked(now: number): boolean {
    return this.held !== undefined || this.notBefore > now || this.channel === undefined
  }

  /** Why nothing is delivered until somebody does something about it. */
  get hold(): HeldChannel | undefined {
    const conversations = [...this.members.values()].filter((lane) => lane.rows.length > 0 || lane.more).length
    if (this.held !== undefined) return { channel: this.name, why: "unauthorized", reason: this.held, conversations }
    if (conversations === 0 || this.channel !== undefined) return undefined
    return { channel: this.name, why: "unconfigured", reason: "no channel of this name is configured", conversations }
  }
}

/** Makes ports from synchronous code: a doorbell may be the first to need one. */
export const factory = (
  concurrency: number,
  find: (name: string) => Channel | undefined
): Effect.Effect<(name: string, due: (port: Port) => void) => Port> =>
  Effect.gen(function* () {
    const run = Effect.runSyncWith(yield* Effect.context<never>())
    // A synchronous run has a scheduler of its own, which ends with it: lanes live on with this one.
    const scheduler = yield* Scheduler.Scheduler
    return (name, due) => {
      const lanes = run(
        Lanes.make<never>("delivery lane", concurrency).pipe(Effect.provideService(Scheduler.Scheduler, scheduler))
      )
      const port: Port = new Port(
        name,
        () => find(name),
        lanes,
        () => due(port)
      )
      return port
    }
  })
