/**
 * What a session may do next, from facts alone: begin a turn, wait for something
 * or a time, or end. One function, so that every way of being woken comes to the
 * same answer.
 */
import type { Session } from "../../Session.ts"
import { resolveAgent } from "../registry.ts"
import { holdText } from "./Spending.ts"

/** `Wait` without `millis` waits to be rung; `ends` says that the fiber ends when the time is over. */
export type Next =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Wait"; readonly millis: number | undefined; readonly ends: boolean }
  | { readonly _tag: "End" }

const ready: Next = { _tag: "Ready" }
const end: Next = { _tag: "End" }
const untilRung: Next = { _tag: "Wait", millis: undefined, ends: false }

/** Why nothing of the session can run: its agent or its channel is not configured, or there is no money left. */
const heldBy = (session: Session): string | undefined => {
  const { row, env } = session
  session.hold = undefined
  if (row === undefined) return undefined
  const { agent, name } = resolveAgent(env.registered.entries, row)
  if (agent === undefined) return `agent "${name}", which is not configured`
  if (!env.registered.entries.channels.has(row.address.channel)) {
    return `channel "${row.address.channel}", which is not configured`
  }
  session.hold = env.spending.hold()
  if (session.hold === undefined) return undefined
  env.broke(session.hold)
  return holdText(session.hold)
}

/** It has a cut-off turn that would go on if automatic resume were not paused. */
export const waitsForResume = ({ env, line, open, unpaused }: Session): boolean =>
  open !== undefined && open.fromBoot && env.paused() && !unpaused && line.size === 0

const openTurn = (session: Session): Next => {
  const { open, env } = session
  if (open === undefined) return end
  if (env.gate.draining) return end
  // A burst is arriving that may take the cut-off turn along: one owner, decided when it closes.
  if (open.fromBoot && !open.awaited && session.backlog === 0 && session.arriving > 0) return untilRung
  if (waitsForResume(session)) return end
  const left = open.notBefore - env.now()
  return left > 0 ? { _tag: "Wait", millis: left, ends: false } : ready
}

/** The session's next step. */
export const dispatchable = (session: Session): Next => {
  const { env } = session
  if (env.gate.isShut) return end
  session.held = session.hasWork ? heldBy(session) : undefined
  if (session.held !== undefined) return end
  if (session.open !== undefined) return openTurn(session)
  if (session.backlog > 0) return env.gate.draining && !env.gate.admits(session.backlogFrom) ? end : ready
  const { head } = session.line
  if (head !== undefined) return env.gate.admits(head.seq) ? ready : end
  if (env.gate.draining || session.evicted || session.agent === undefined) return end
  // Counted from its last turn: being woken for anything else keeps no agent any longer.
  const left = session.restedAt + (session.row?.idleTimeout ?? env.options.idleTimeout) - env.now()
  return left > 0 ? { _tag: "Wait", millis: left, ends: true } : end
}
