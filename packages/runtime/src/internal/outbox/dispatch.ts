/**
 * Which lanes exist and which of them run. A lane runs when something is due, its
 * channel may be used and a place is free; it waits on one shared timer, and goes
 * when nothing is left. Synchronous, so the doorbell can call it and there is no
 * tick in which a reply could be missed.
 *
 *   closed --open (after recovery)--> open --stop--> closed
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Channel } from "../../Channel.ts"
import { type Conversation, conversationKey } from "../../Message.ts"
import * as Deadlines from "../Deadlines.ts"
import * as Doorbell from "../Doorbell.ts"
import { makeHolds } from "./holds.ts"
import { type Alarm, ConversationLane, type Driver } from "./lane.ts"
import { factory, type Port } from "./port.ts"

export interface Dispatch {
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly port: (name: string) => Port
  readonly ports: () => Iterable<Port>
  readonly lane: (conversation: number, address: Conversation) => ConversationLane
  readonly find: (key: string) => ConversationLane | undefined
  /** Looks at a lane again: something about it changed. */
  readonly schedule: (lane: ConversationLane) => void
  /** The same for all lanes of a channel. */
  readonly scheduleAll: (port: Port) => void
  /** Whether the lane may send now. */
  readonly may: (lane: ConversationLane) => boolean
  /** Nothing is sent to the conversation, or the channel, for so many milliseconds. */
  readonly delay: (lane: ConversationLane, wait: number) => void
  readonly delayPort: (port: Port, wait: number) => void
  /** Credentials were refused: nothing is sent but one reply from time to time, to see whether they are accepted again. */
  readonly hold: (port: Port, reason: string) => void
  /** They are accepted again, or the channel is another one. `false` when nothing held it. */
  readonly release: (port: Port) => boolean
  /** A wait of a conversation that has no lane yet. */
  readonly remember: (conversation: number, wait: number) => void
  readonly open: () => void
  readonly isOpen: () => boolean
  /** Nothing starts any more; what runs is interrupted. */
  readonly stop: () => void
  /** How many lanes there are. */
  readonly size: () => number
  /** Completes when the lane neither runs nor stands in line. */
  readonly rest: (lane: ConversationLane) => Effect.Effect<void>
  /** The same for all lanes. */
  readonly quiet: Effect.Effect<void>
}

/** The lanes that run or stand in line, and who waits for them to come to rest. */
const makeActivity = Effect.gen(function* () {
  const lanes = new Set<ConversationLane>()
  let waiting: Array<{ readonly met: () => boolean; readonly done: Deferred.Deferred<void> }> = []
  // In the next turn: who waits must not run inside a change of the lanes, let alone in the journal's hand-over.
  const bell = yield* Doorbell.make(() => {
    const met = waiting.filter((entry) => entry.met())
    waiting = waiting.filter((entry) => !met.includes(entry))
    for (const { done } of met) Deferred.doneUnsafe(done, Effect.void)
  })
  return {
    lanes,
    rests: (lane: ConversationLane) => {
      lanes.delete(lane)
      if (waiting.length > 0) bell.ring()
    },
    until: (met: () => boolean) =>
      Effect.suspend(() => {
        if (met()) return Effect.void
        const entry = { met, done: Deferred.makeUnsafe<void>() }
        waiting.push(entry)
        return Effect.onInterrupt(Deferred.await(entry.done), () =>
          Effect.sync(() => {
            waiting = waiting.filter((other) => other !== entry)
          })
        )
      })
  }
})

/** Waits that backoff and the other side ask for; those of a conversation without a lane until it has one. */
const makeDelays = (deadlines: Deadlines.Deadlines<Alarm>) => {
  const waits = new Map<number, number>()
  return {
    delay: (lane: ConversationLane, wait: number) => {
      lane.notBefore = Math.max(lane.notBefore, deadlines.now() + wait)
    },
    delayPort: (port: Port, wait: number) => {
      port.notBefore = Math.max(port.notBefore, deadlines.now() + wait)
      deadlines.arm(port.alarm, port.notBefore)
    },
    remember: (conversation: number, wait: number) => {
      waits.set(conversation, deadlines.now() + wait)
    },
    /** When the conversation's wait is over; it is its lane's from now on. */
    taken: (conversation: number): number => {
      const until = waits.get(conversation) ?? -Infinity
      waits.delete(conversation)
      return until
    }
  }
}

/** What a lane calls. */
const driverOf = (
  isDue: (lane: ConversationLane) => boolean,
  schedule: (lane: ConversationLane) => void,
  run: (lane: ConversationLane) => Effect.Effect<void>
): Driver => ({
  granted: (lane) => {
    const runs = isDue(lane)
    if (!runs) schedule(lane)
    return runs
  },
  begin: run,
  ended: schedule,
  due: schedule
})

export const make = Effect.fnUntraced(function* (options: {
  readonly concurrency: number
  readonly showEvery: number
  readonly find: (name: string) => Channel | undefined
  /** Epoch milliseconds. */
  readonly wallNow: () => number
  /** What a lane does while it runs. */
  readonly run: (lane: ConversationLane) => Effect.Effect<void>
}): Effect.fn.Return<Dispatch, never, Scope.Scope> {
  const deadlines = yield* Deadlines.make<Alarm>((alarm) => alarm.fire())
  const newPort = yield* factory(options.concurrency, options.find)
  const ports = new Map<string, Port>()
  const lanes = new Map<string, ConversationLane>()
  const { taken, ...delays } = makeDelays(deadlines)
  const active = yield* makeActivity
  let open = false

  const forget = (lane: ConversationLane) => {
    deadlines.disarm(lane.alarm)
    // A turn that lets go late looks at the lane that it began with; the conversation may have another one by now.
    if (lanes.get(lane.key) !== lane) return
    lanes.delete(lane.key)
    lane.port.members.delete(lane.key)
  }

  const may = (lane: ConversationLane) => {
    const now = deadlines.now()
    return open && lane.notBefore <= now && !lane.port.blocked(now, lane)
  }

  const schedule = (lane: ConversationLane) => {
    if (lane.state !== "resting") return
    const now = deadlines.now()
    const due = lane.due(options.showEvery)
    if (due <= now && open && !lane.port.blocked(now, lane)) {
      active.lanes.add(lane)
      lane.port.lanes.wake(lane)
      return
    }
    if (lane.empty(now)) forget(lane)
    // A lane without work stays until its wait is over, so that a new reply is held to it.
    else if (open && due > now) arm(lane.alarm, due === Infinity ? lane.notBefore : due, now)
    active.rests(lane)
  }

  const arm = (alarm: Alarm, due: number, now: number) => {
    if (due > now && due < Infinity) deadlines.arm(alarm, due)
  }

  const isDue = (lane: ConversationLane) => may(lane) && lane.due(options.showEvery) <= deadlines.now()
  const driver = driverOf(isDue, schedule, options.run)

  const scheduleAll = (port: Port) => {
    for (const lane of port.members.values()) schedule(lane)
  }

  const { wallNow } = options
  const { hold, probe, release } = makeHolds({ deadlines, wallNow, isOpen: () => open, schedule, scheduleAll })

  const portOf = (name: string) => {
    const known = ports.get(name)
    if (known !== undefined) return known
    const port = newPort(name, { due: scheduleAll, probe })
    ports.set(name, port)
    return port
  }

  const stop = () => {
    open = false
    // Those that stand in line or are about to start find out when their turn comes.
    for (const lane of active.lanes) lane.port.lanes.interrupt(lane)
  }

  return {
    now: deadlines.now,
    port: portOf,
    ports: () => ports.values(),
    lane: (conversation, address) => {
      const key = conversationKey(address)
      const known = lanes.get(key)
      if (known !== undefined) return known
      const lane = new ConversationLane(key, conversation, address, portOf(address.channel), driver)
      lane.notBefore = taken(conversation)
      lanes.set(key, lane)
      lane.port.members.set(key, lane)
      return lane
    },
    find: (key) => lanes.get(key),
    schedule,
    scheduleAll,
    may,
    ...delays,
    hold,
    release,
    open: () => {
      open = true
      for (const lane of lanes.values()) schedule(lane)
    },
    isOpen: () => open,
    size: () => lanes.size,
    stop,
    rest: (lane) => active.until(() => lane.state === "resting"),
    quiet: active.until(() => active.lanes.size === 0)
  }
})
