/**
 * How all sessions come to their end: the last call of a drain, the cut, and the
 * end of the scope where there was no stop. Nothing here waits for an agent that
 * never lets go; what is left open is the next boot's.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { parseMarker } from "../../Agent.ts"
import type { Session } from "../../Session.ts"
import { within } from "../shutdown/Course.ts"
import type { Stop } from "../shutdown/Parts.ts"
import { waitsForResume } from "./next.ts"
import type { Roster } from "./Roster.ts"

/** How long the scope's end waits where no stop has set a deadline, milliseconds. */
const letGoWithin = 10_000

const lastCall = (roster: Roster, limit: { readonly seq: number; readonly at: number }): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { gate, now, stop, suspects } = roster.env
    gate.narrow(limit.seq)
    // Cut-off turns are the next boot's: none stands trial any more.
    suspects.shut()
    for (const session of roster.all()) {
      // A question is not waited for: the turn is cut, and asks again when it resumes.
      if (session.running?.pulse.waiting === true) session.cutOff({ _tag: "Interrupted", reason: stop.reason })
    }
    const look = Effect.sync(() => {
      roster.wakeAll()
      roster.changed()
    })
    const close = Effect.andThen(
      Effect.sync(() => gate.shut()),
      look
    )
    const left = limit.at - now()
    if (left <= 0) return close
    roster.background(Effect.andThen(Effect.sleep(left), close))
    return look
  })

const interrupt = (roster: Roster, reason: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    roster.env.gate.shut()
    roster.env.suspects.shut()
    for (const session of roster.all()) session.cutOff({ _tag: "Interrupted", reason })
    roster.wakeAll()
    roster.changed()
    return roster.live.empty
  })

/** The end of the scope waits for what was interrupted, but not for an agent that never lets go. */
export const end = Effect.fnUntraced(function* (roster: Roster) {
  const { now, stop } = roster.env
  const left = stop.by === Infinity ? letGoWithin : Math.max(0, stop.by - now()) + 1000
  const exit = yield* within(Effect.andThen(interrupt(roster, "close"), roster.live.close), left)
  if (Exit.isFailure(exit)) yield* Effect.logWarning("Agents that have not let go are left behind", exit.cause)
})

/** Most sessions that are named as late. */
const mostLate = 1000

/**
 * Somebody waits for an answer of it, and for nothing but this process: what is held, or waits for a resume by hand, is
 * late for another reason, and its people know. Who pulls is told by other means.
 */
const isLate = (session: Session): boolean => {
  const { env, row } = session
  if (session.held !== undefined || waitsForResume(session)) return false
  if (row !== undefined && env.outbox.route(row.address).pull) return false
  return session.running !== undefined || session.hasWork || session.arriving > 0
}

/** Those whose turn is cut first, then by their last activity. */
const late = (roster: Roster): ReadonlyArray<number> =>
  roster
    .all()
    .filter(isLate)
    .map((session) => ({
      id: session.id,
      cut: session.running !== undefined || session.open !== undefined ? 1 : 0,
      at: session.row?.lastActive ?? 0
    }))
    .sort((one, other) => other.cut - one.cut || other.at - one.at)
    .slice(0, mostLate)
    .map(({ id }) => id)

/** What the shutdown program asks of the sessions. */
export const stopping = (roster: Roster) => {
  const { env, live } = roster
  const excused = new Set<number>()
  return {
    begin: (stop: Stop) =>
      Effect.sync(() => {
        env.stop.roll = stop.roll
        env.stop.by = stop.deadline
        env.stop.reason = stop.reason
        for (const session of roster.all()) roster.enrol(session)
      }),
    lastCall: (limit: { readonly seq: number; readonly at: number }) => lastCall(roster, limit),
    narrowUnsafe: (lastSeq: number) => env.gate.narrow(lastSeq),
    drained: roster.until(() => env.gate.draining && live.onlyAsking(excused)),
    excuse: (turn: number) =>
      Effect.sync(() => {
        excused.add(turn)
        roster.changed()
      }),
    interrupt: (cut: { readonly reason: string; readonly until: number }) =>
      Effect.suspend(() => {
        env.stop.by = Math.min(env.stop.by, cut.until)
        return interrupt(roster, cut.reason)
      }),
    late: Effect.sync(() => late(roster)),
    turnOf: (text: string) =>
      Effect.sync(() => {
        const marker = parseMarker(text)
        if (marker?.instance !== env.instance || marker.epoch !== env.epoch) return undefined
        const turn = roster.get(marker.session)?.running?.claimed.turn.id
        return marker.turn === undefined || String(turn) === marker.turn ? turn : undefined
      })
  }
}
