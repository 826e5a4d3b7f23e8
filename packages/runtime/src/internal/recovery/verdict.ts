/**
 * Whether a turn that an earlier boot left open may run again (C7, C8): not after
 * three crashes, not after ten planned cuts, and not unasked when its agent says
 * so. The sentence for the person is stored with the turn's end.
 */
import * as Effect from "effect/Effect"
import type { Agent } from "../../Agent.ts"
import type { Draft, SessionRow, Settlement, TurnRow } from "../../Journal.ts"
import { reference } from "../../Notices.ts"
import type { Outbox } from "../../Outbox.ts"

/** Crashes after which a turn is set aside, and cuts. */
const most = { crashes: 3, cuts: 10 }

const suspended = (why: "ask" | "crashed" | "cut", said: Draft): Settlement => ({
  _tag: "Suspended",
  why,
  replies: [said]
})

/** How the turn ends; `undefined` when it goes on. */
export const verdict = Effect.fnUntraced(function* (options: {
  readonly turn: TurnRow
  readonly session: SessionRow
  readonly agent: Agent | undefined
  readonly words: string
  readonly outbox: Outbox["Service"]
}): Effect.fn.Return<Settlement | undefined> {
  const { agent, outbox, turn, words } = options
  const { address } = options.session
  const ref = reference(turn.id)
  if (turn.crashes >= most.crashes) {
    return suspended("crashed", outbox.sentence(address, "setAsideCrashed", { words, count: turn.crashes, ref }))
  }
  if (turn.cuts >= most.cuts) {
    return suspended("cut", outbox.sentence(address, "setAsideCut", { words, count: turn.cuts, ref }))
  }
  // A turn that only waited for its next try was not cut off.
  if (turn.state !== "interrupted") return undefined
  if (agent?.resume === "ask") {
    return suspended(
      "ask",
      turn.tool === undefined
        ? outbox.sentence(address, "ask", { words })
        : outbox.sentence(address, "cutOff", { tool: turn.tool })
    )
  }
  if (agent?.resume === "drop-with-notice") {
    return { _tag: "Dropped", policy: "resume", replies: [outbox.sentence(address, "letGo", { words })] }
  }
  return undefined
})
