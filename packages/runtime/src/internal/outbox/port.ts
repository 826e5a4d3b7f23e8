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

/** Credentials that were refused, in epoch milliseconds and monotonic ones. */
export interface Hold {
  readonly reason: string
  readonly since: number
  /** How often one reply was sent to see whether they are accepted again. */
  readonly probes: number
  readonly probeAt: number
  /** The lane that may send one, when it is time. */
  probe: ConversationLane | undefined
}

export class Port {
  readonly name: string
  readonly lanes: Lanes.Lanes<never>
  readonly alarm: Alarm
  /** Rings when a hold is to be tried. */
  readonly probing: Alarm
  /** By conversation key. */
  readonly members = new Map<string, ConversationLane>()
  /** Requests that have not let go yet. */
  readonly requests = new Set<Fiber.Fiber<unknown, unknown>>()
  /** That credentials were refused. */
  held: Hold | undefined = undefined
  /** Nothing is sent: somebody stopped the channel, at this time. */
  pausedAt: number | undefined = undefined
  /** Nothing is sent before this, in monotonic milliseconds. */
  notBefore = -Infinity
  /** It was said already that there is no such channel. */
  told = false
  /** It was said already that it does not let go of its requests. */
  stuck = false
  readonly #find: () => Channel | undefined

  constructor(
    name: string,
    find: () => Channel | undefined,
    lanes: Lanes.Lanes<never>,
    rings: { readonly due: () => void; readonly probe: () => void }
  ) {
    this.name = name
    this.#find = find
    this.lanes = lanes
    this.alarm = new Alarm(rings.due)
    this.probing = new Alarm(rings.probe)
  }

  /** The channel as it is configured now. */
  get channel(): Channel | undefined {
    return this.#find()
  }

  /** Nothing may be sent now; of a hold only the lane that tries it may. */
  blocked(now: number, lane: ConversationLane): boolean {
    const held = this.held !== undefined && this.held.probe !== lane
    return held || this.pausedAt !== undefined || this.notBefore > now || this.channel === undefined
  }

  /** Why nothing is delivered. */
  hold(now: number): HeldChannel | undefined {
    const { held, name: channel, pausedAt } = this
    const conversations = [...this.members.values()].filter((lane) => lane.rows.length > 0 || lane.more).length
    if (pausedAt !== undefined) {
      return { channel, why: "stopped", reason: "it was stopped by hand", since: pausedAt, conversations }
    }
    if (held !== undefined) {
      const { probeAt, reason, since } = held
      return { channel, why: "unauthorized", reason, since, retryIn: Math.max(0, probeAt - now), conversations }
    }
    if (conversations === 0 || this.channel !== undefined) return undefined
    const reason = "no channel of this name is configured"
    return { channel, why: "unconfigured", reason, since: 0, conversations }
  }
}

/** Makes ports from synchronous code: a doorbell may be the first to need one. */
export const factory = (
  concurrency: number,
  find: (name: string) => Channel | undefined
): Effect.Effect<
  (name: string, rings: { readonly due: (port: Port) => void; readonly probe: (port: Port) => void }) => Port
> =>
  Effect.gen(function* () {
    const run = Effect.runSyncWith(yield* Effect.context<never>())
    // A synchronous run has a scheduler of its own, which ends with it: lanes live on with this one.
    const scheduler = yield* Scheduler.Scheduler
    return (name, rings) => {
      const lanes = run(
        Lanes.make<never>("delivery lane", concurrency).pipe(Effect.provideService(Scheduler.Scheduler, scheduler))
      )
      const port: Port = new Port(name, () => find(name), lanes, {
        due: () => rings.due(port),
        probe: () => rings.probe(port)
      })
      return port
    }
  })
