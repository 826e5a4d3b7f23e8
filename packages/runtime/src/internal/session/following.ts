/**
 * Memory follows what was committed: what a boot found open, what a command
 * cancelled, ended or decided. The journal has said it already; a session that is
 * not in memory has nothing to be told.
 */
import * as Effect from "effect/Effect"
import type { PermissionRow, SessionRow } from "../../Journal.ts"
import { decided } from "./questions.ts"
import { waitsForResume } from "./next.ts"
import type { Left } from "./records.ts"
import type { Roster } from "./Roster.ts"

const enter = (roster: Roster, { awaited = false, orphan, session: id, turn, waiting }: Left) => {
  const { now, wallNow } = roster.env
  const session = roster.of(id)
  if (turn !== undefined) {
    const wait = turn.waitUntil === undefined ? 0 : turn.waitUntil - wallNow()
    const fromBoot = turn.state === "interrupted"
    session.open = { turn, fromBoot, awaited, notBefore: now() + Math.max(0, wait) }
  }
  session.backlog = waiting?.count ?? 0
  session.backlogFrom = waiting?.firstSeq ?? 0
  // Last: one that is gone already wakes the session at once, which would forget it if it had nothing to do yet.
  if (orphan !== undefined) {
    session.orphan = orphan
    const gone = Effect.sync(() => {
      session.orphan = undefined
      roster.wake(session)
    })
    roster.background(Effect.andThen(orphan, gone))
  }
  roster.wake(session)
}

/** What boot, commands and reloads tell the sessions. */
export const following = (roster: Roster) => ({
  recover: (left: ReadonlyArray<Left>) => Effect.sync(() => left.forEach((one) => enter(roster, one))),
  open: Effect.sync(() => {
    roster.env.gate.open()
    roster.env.suspects.open()
  }),
  pause: (paused: boolean) =>
    Effect.sync(() => {
      roster.paused = paused
      roster.wakeAll()
    }),
  heldBack: Effect.sync(
    () => roster.all().filter((session) => session.held === undefined && waitsForResume(session)).length
  ),
  reloaded: Effect.sync(() => {
    for (const session of roster.all()) session.toldHeld = false
    roster.wakeAll()
  }),
  cancelled: (id: number, seqs: ReadonlyArray<number>) =>
    roster.with(id, (session) => {
      const gone = new Set(seqs)
      session.line.clear((row) => gone.has(row.seq))
      // Who cancels what waits starts afresh.
      session.context = undefined
    }),
  ended: (id: number, turn: number, by: string) =>
    roster.with(id, (session) => {
      if (session.open?.turn.id === turn) session.open = undefined
      if (session.running?.claimed.turn.id === turn) session.cutOff({ _tag: "Cancelled", by })
      else session.endedEarly = { turn, by }
    }),
  configured: (row: SessionRow) => roster.with(row.id, (session) => session.configure(row)),
  decided: (permission: PermissionRow) =>
    Effect.sync(() => {
      const session = roster.get(permission.session)
      // The place may take a while to come: the command that decided is not kept waiting.
      if (session !== undefined) roster.background(decided(session, permission))
    }),
  letGo: (id: number) =>
    Effect.suspend(() => {
      const session = roster.get(id)
      if (session === undefined) return Effect.void
      session.evicted = true
      roster.wake(session)
      return roster.until(() => !roster.live.has(session))
    }),
  unpause: (id: number) =>
    roster.with(id, (session) => {
      session.unpaused = true
    })
})
