/**
 * What a running turn was handed, and what its agent has said of it. A request is
 * made in the process's scope, so it is answered although nobody waits for it any
 * more; one that is not answered, or with something that decides nothing, leaves
 * its messages with the agent, and only the end of the process changes that.
 */
import type * as Agent from "@sluice/runtime/Agent"
import type { TurnMessage } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type { Connection } from "./connection.ts"
import type { AcpError } from "./failure.ts"

/** What an agent says of messages that it was handed. */
export type Word = "taken" | "not taken" | "unknown"

/** See the header. */
export interface Handed {
  /** Hands messages over; `ask` is how the agent is asked to take them. Does not wait for its word. */
  readonly hand: (messages: ReadonlyArray<TurnMessage>, ask: Effect.Effect<Word, AcpError>) => Effect.Effect<void>
  /** Nothing is with the agent whose fate is not known. */
  readonly isClear: () => boolean
  /** Those messages whose fate is not known. */
  readonly unanswered: () => ReadonlyArray<TurnMessage>
  /** Completes when every request has come to an end. */
  readonly answered: Effect.Effect<void>
  /** From here on nothing is handed over any more: the turn is over, and it could reach the next one. */
  readonly close: () => void
}

/**
 * Errors of the protocol with which an agent refuses before it does anything: no such method, wrong parameters, no such
 * session, a login. Any other may come after it has taken what it was handed.
 */
const refusals = new Set([-32601, -32602, -32002, -32000])

/** Nothing is handed so far. Requests live in `scope`; what is taken is told by `push`. */
export const handing = (push: (event: Agent.AgentEvent) => void, scope: Scope.Scope): Handed => {
  const open = new Set<ReadonlyArray<TurnMessage>>()
  const answered = Latch.makeUnsafe(true)
  let waiting = 0
  let isClosed = false

  const settle = (messages: ReadonlyArray<TurnMessage>, word: Word) => {
    if (word !== "unknown") open.delete(messages)
    if (word === "taken") push({ _tag: "Steered", ids: messages.map(({ id }) => id) })
    if (--waiting === 0) answered.openUnsafe()
  }

  return {
    hand: (messages, ask) =>
      Effect.suspend(() => {
        if (isClosed) return Effect.void
        open.add(messages)
        waiting++
        answered.closeUnsafe()
        return ask.pipe(
          Effect.catch((error) => {
            const word: Word = error.code !== undefined && refusals.has(error.code) ? "not taken" : "unknown"
            return Effect.as(Effect.logWarning("Messages could not be handed to the running turn", error), word)
          }),
          Effect.onExit((exit) => Effect.sync(() => settle(messages, Exit.isSuccess(exit) ? exit.value : "unknown"))),
          Effect.exit,
          Effect.forkIn(scope, { startImmediately: true }),
          Effect.asVoid
        )
      }),
    isClear: () => open.size === 0,
    unanswered: () => [...open].flat(),
    answered: answered.await,
    close: () => void (isClosed = true)
  }
}

/** Asks the agent to take messages into the turn that runs, by the extension that agents which can do it advertise. */
export const asking = Effect.fnUntraced(function* (
  connection: Connection,
  sessionId: string,
  prompt: ReadonlyArray<unknown>
): Effect.fn.Return<Word, AcpError> {
  const response = yield* connection.request<{ readonly outcome?: unknown } | null>("_session/steering", {
    sessionId,
    prompt,
    // A turn that has ended meanwhile takes nothing: then they are the next turn's.
    _meta: { steering: { idleBehavior: "promptRequired" } }
  })
  switch (response?.outcome) {
    case "injected":
      return "taken"
    case "promptRequired":
      return "not taken"
    default:
      return "unknown"
  }
})
