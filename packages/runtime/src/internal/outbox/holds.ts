/**
 * Holds: credentials of a channel that were refused. Nothing is sent there but one
 * reply from time to time, to see whether they are accepted again: somebody may have
 * put it right on the other side, where nobody tells us. A reload, or a channel that
 * receives again, ends a hold at once.
 *
 *   free --refused--> held --30 s, doubled, at most 5 min--> one reply: accepted: free; else held
 */
import type * as Deadlines from "../Deadlines.ts"
import type { Alarm, ConversationLane } from "./lane.ts"
import type { Port } from "./port.ts"

/** Waits before refused credentials are tried again, milliseconds. */
const waits = { first: 30_000, longest: 300_000 }

/** What holds need of the dispatch. */
export interface Surroundings {
  readonly deadlines: Deadlines.Deadlines<Alarm>
  /** Epoch milliseconds. */
  readonly wallNow: () => number
  readonly isOpen: () => boolean
  readonly schedule: (lane: ConversationLane) => void
  readonly scheduleAll: (port: Port) => void
}

/** See the header. */
export const makeHolds = ({ deadlines, isOpen, schedule, scheduleAll, wallNow }: Surroundings) => {
  const hold = (port: Port, reason: string) => {
    const probes = port.held === undefined ? 0 : port.held.probes + 1
    const probeAt = deadlines.now() + Math.min(waits.longest, waits.first * 2 ** Math.min(probes, 10))
    port.held = { reason, since: port.held?.since ?? wallNow(), probes, probeAt, probe: undefined }
    deadlines.arm(port.probing, probeAt)
  }
  return {
    hold,
    /** Lets the first lane that owes something try; with nothing to send nobody can tell, and it is looked at later. */
    probe: (port: Port) => {
      const { held } = port
      if (held === undefined || !isOpen()) return
      const lane = [...port.members.values()].find(({ more, rows }) => rows.length > 0 || more)
      if (lane === undefined) return hold(port, held.reason)
      held.probe = lane
      schedule(lane)
    },
    release: (port: Port) => {
      const held = port.held !== undefined
      port.held = undefined
      deadlines.disarm(port.probing)
      scheduleAll(port)
      return held
    }
  }
}
