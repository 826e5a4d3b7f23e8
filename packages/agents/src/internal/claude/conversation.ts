/**
 * A session's conversation at the CLI, over all the processes that it has had: by
 * what name a new process is given it, under which id a turn is sent, and what
 * became of an attempt that was cut off. Everything is committed before the CLI
 * hears of it, so a crash at any point leaves nothing that can't be told.
 */
import type * as Agent from "@sluice/runtime/Agent"
import type { Turn } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Transcripts from "../node/transcripts.ts"
import { failed } from "../failure.ts"
import { ClaudeError, told } from "./failure.ts"
import * as Kept from "./kept.ts"
import type { Message } from "./lines.ts"
import { content, continuation } from "./prompt.ts"
import { type Found, find, hasConversation } from "./transcript.ts"

/** How a process is told which conversation it has: found again, or begun. */
export type Name = readonly ["--resume" | "--session-id", string]

/** What a turn is answered with: what the transcript has, or a message to the CLI. */
export type Plan =
  | { readonly _tag: "Adopt"; readonly events: ReadonlyArray<Agent.AgentEvent> }
  | { readonly _tag: "Send"; readonly uuid: string; readonly content: ReadonlyArray<Message> }

/** The conversation of a session. */
export interface Conversation {
  /** The name for a new process; committed when this returns. Fails when there was one and it can't be found. */
  readonly name: Effect.Effect<Name, Agent.AgentError>
  /** What to do for a turn. `knows` says whether the process that runs was sent a message. */
  readonly plan: (turn: Turn, knows: (uuid: string) => boolean) => Effect.Effect<Plan>
  /** A turn is about to be sent under this id; committed when this returns. */
  readonly sending: (turn: Turn, uuid: string) => Effect.Effect<void, Agent.AgentError>
  /** There is an answer: from now on the conversation is something that can be lost. */
  readonly answered: Effect.Effect<void, Agent.AgentError>
}

/** The conversation of a session, of which nothing is read or begun yet. `folder` is the CLI's configuration. */
export const open = Effect.fnUntraced(function* (
  session: Agent.AgentSession,
  options: { readonly program: string; readonly folder: string }
): Effect.fn.Return<Conversation, Agent.AgentError> {
  const { folder, program } = options
  let kept = yield* Kept.read(session, program)
  const keep = (next: Kept.Kept) => Effect.map(Kept.write(session, next), () => void (kept = next))

  const name = Effect.gen(function* (): Effect.fn.Return<Name, Agent.AgentError> {
    const path = yield* Transcripts.locate(folder, kept.conversation)
    if (path === undefined && kept.answered) {
      const problem = `has no transcript of the conversation "${kept.conversation}" below ${folder} any more`
      return yield* told(new ClaudeError({ kind: "HistoryGone", program, problem }))
    }
    if (path !== undefined && (kept.answered || hasConversation(yield* Transcripts.lines(path)))) {
      return ["--resume", kept.conversation]
    }
    if (path === undefined) {
      yield* keep(kept)
    } else {
      // Begun and cut off before anything was said: that id is taken, and there is nothing to find under it.
      yield* Effect.mapError(Transcripts.remove(folder, kept.conversation), failed)
      yield* keep({ ...kept, conversation: crypto.randomUUID() })
    }
    return ["--session-id", kept.conversation]
  })

  const became = Effect.fnUntraced(function* (
    sent: ReadonlyArray<string>,
    knows: (uuid: string) => boolean
  ): Effect.fn.Return<Found> {
    if (sent.length === 0) return { _tag: "Unknown" }
    const path = yield* Transcripts.locate(folder, kept.conversation)
    const found: Found = path === undefined ? { _tag: "Unknown" } : find(yield* Transcripts.lines(path), sent)
    // A process writes its transcript a moment later than it knows.
    return found._tag === "Unknown" && sent.some(knows) ? { _tag: "Asked" } : found
  })

  const plan = Effect.fnUntraced(function* (turn: Turn, knows: (uuid: string) => boolean): Effect.fn.Return<Plan> {
    const sent = turn.attempt > 1 ? Kept.sentBefore(kept, turn.id) : []
    const found = yield* became(sent, knows)
    switch (found._tag) {
      case "Answered":
        yield* Effect.logInfo("The answer of an attempt that was cut off was found and is delivered").pipe(
          Effect.annotateLogs({ session: session.key, turn: turn.id })
        )
        return { _tag: "Adopt", events: found.events }
      case "Asked": {
        const said = yield* continuation(turn, kept.turn?.messages ?? 0)
        return { _tag: "Send", uuid: crypto.randomUUID(), content: said }
      }
      case "Unknown":
        // Never arrived: under the id that it had, so that it can't be there twice.
        return { _tag: "Send", uuid: sent.at(-1) ?? crypto.randomUUID(), content: yield* content(turn) }
    }
  })

  return {
    name,
    plan,
    sending: ({ id, messages }, uuid) =>
      Effect.suspend(() => keep(Kept.withSent(kept, { id, messages: messages.length }, uuid))),
    answered: Effect.suspend(() => (kept.answered ? Effect.void : keep({ ...kept, answered: true })))
  }
})

/** Deletes what the CLI has stored of a session, by what was kept with it. */
export const forget = (folder: string, kept: string | undefined): Effect.Effect<void, Agent.AgentError> => {
  const conversation = Kept.conversationOf(kept)
  return conversation === undefined ? Effect.void : Effect.mapError(Transcripts.remove(folder, conversation), failed)
}
