/**
 * A session's conversation at the CLI, over all the processes that it has had: by
 * what name a new process is given it, under which id a turn is sent, and what
 * became of an attempt that was cut off. Everything is committed before the CLI
 * hears of it, so a crash at any point leaves nothing that can't be told.
 */
import type * as Agent from "@sluice/runtime/Agent"
import type { Turn, TurnMessage } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import * as Transcripts from "../node/transcripts.ts"
import { failed } from "../failure.ts"
import { type People, peopleOf } from "../prompt.ts"
import { ClaudeError, told } from "./failure.ts"
import * as Kept from "./kept.ts"
import type { Message } from "./lines.ts"
import { content, continuation, further, perhapsSeen } from "./prompt.ts"
import { type Found, find, hasConversation, known } from "./transcript.ts"

/** How a process is told which conversation it has: found again, or begun. */
export type Name = readonly ["--resume" | "--session-id", string]

/** What a turn is answered with: what the transcript has, then a message to the CLI; one of them or both. */
export interface Plan {
  readonly found: ReadonlyArray<Agent.AgentEvent>
  readonly send: Sending | undefined
}

/** A message to the CLI. */
export interface Sending {
  readonly uuid: string
  readonly content: ReadonlyArray<Message>
  /** The turn begins with it, or begins anew; else what was said before it is a part of the same answer. */
  readonly begins: boolean
  /** Numbers of messages in it that were handed to the turn while it ran. */
  readonly seqs: ReadonlyArray<number>
}

/** What a turn goes on with whose CLI said nothing of these messages. */
export const goingOnWith = (messages: ReadonlyArray<TurnMessage>, people: People): Effect.Effect<Sending> =>
  Effect.map(perhapsSeen(messages, people), (content) => ({
    uuid: crypto.randomUUID(),
    content,
    begins: false,
    seqs: seqsOf(messages)
  }))

const seqsOf = (messages: ReadonlyArray<TurnMessage>) => messages.map(({ seq }) => seq)

/** The conversation of a session. */
export interface Conversation {
  /** Who writes in it. */
  readonly people: People
  /** The name for a new process; committed when this returns. Fails when there was one and it can't be found. */
  readonly name: Effect.Effect<Name, Agent.AgentError>
  /** What to do for a turn. `knows` says whether the process that runs was sent a message. */
  readonly plan: (turn: Turn, knows: (uuid: string) => boolean) => Effect.Effect<Plan>
  /** This is about to be sent for a turn; committed when this returns. */
  readonly sending: (turn: Turn, sending: Sending) => Effect.Effect<void, Agent.AgentError>
  /** Messages are about to be sent under this id that belong to the turn that was sent last; committed when this returns. */
  readonly handing: (uuid: string, seqs: ReadonlyArray<number>) => Effect.Effect<void, Agent.AgentError>
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
  const people = yield* peopleOf(session)
  // One after the other: what is handed to a turn may be kept while its answer is.
  const oneByOne = Semaphore.makeUnsafe(1)
  const change = (next: (kept: Kept.Kept) => Kept.Kept) =>
    oneByOne.withPermit(
      Effect.suspend(() => {
        const changed = next(kept)
        return changed === kept ? Effect.void : Effect.map(Kept.write(session, changed), () => void (kept = changed))
      })
    )
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
    handed: ReadonlyArray<string>,
    knows: (uuid: string) => boolean
  ): Effect.fn.Return<{ readonly found: Found; readonly seen: ReadonlySet<string> }> {
    const nothing = new Set<string>()
    if (sent.length === 0) return { found: { _tag: "Unknown" }, seen: nothing }
    const path = yield* Transcripts.locate(folder, kept.conversation)
    const lines = path === undefined ? [] : yield* Transcripts.lines(path)
    const seen = known(lines, handed)
    const found = find(lines, sent, seen)
    // A process writes its transcript a moment later than it knows.
    return found._tag === "Unknown" && sent.some(knows) ? { found: { _tag: "Asked" }, seen } : { found, seen }
  })

  const plan = Effect.fnUntraced(function* (turn: Turn, knows: (uuid: string) => boolean): Effect.fn.Return<Plan> {
    const again = turn.attempt > 1
    const sent = again ? Kept.sentBefore(kept, turn.id) : []
    const handed = again ? Kept.handedBefore(kept, turn.id) : []
    const uuids = handed.map(({ uuid }) => uuid)
    const { found, seen } = yield* became(sent, uuids, knows)
    switch (found._tag) {
      case "Answered": {
        yield* Effect.logInfo("The answer of an attempt that was cut off was found and is delivered").pipe(
          Effect.annotateLogs({ session: session.key, turn: turn.id })
        )
        // What was handed to that attempt and stands nowhere was never taken, and its process is gone.
        const answered = new Set(handed.flatMap(({ seqs, uuid }) => (seen.has(uuid) ? seqs : [])))
        const more = turn.messages.slice(kept.turn?.messages ?? 0).filter(({ seq }) => !answered.has(seq))
        if (more.length === 0) return { found: found.events, send: undefined }
        const said = yield* further(more, people)
        const send = { uuid: crypto.randomUUID(), content: said, begins: false, seqs: seqsOf(more) }
        return { found: found.events, send }
      }
      case "Asked": {
        const first = kept.turn?.messages ?? 0
        const said = yield* continuation(turn, first, people)
        const seqs = seqsOf(turn.messages.slice(first))
        return { found: [], send: { uuid: crypto.randomUUID(), content: said, begins: true, seqs } }
      }
      case "Unknown": {
        // Never arrived: under the id that it had, so that it can't be there twice.
        const uuid = sent.at(-1) ?? crypto.randomUUID()
        return { found: [], send: { uuid, content: yield* content(turn, people), begins: true, seqs: [] } }
      }
    }
  })

  return {
    people,
    name,
    plan,
    sending: ({ id, messages }, { begins, seqs, uuid }) =>
      change((kept) => {
        const sent = begins ? Kept.withSent(kept, { id, messages: messages.length }, uuid) : kept
        return seqs.length === 0 ? sent : Kept.withHanded(sent, uuid, seqs)
      }),
    handing: (uuid, seqs) => change((kept) => Kept.withHanded(kept, uuid, seqs)),
    answered: change((kept) => (kept.answered ? kept : { ...kept, answered: true }))
  }
})

/** Deletes what the CLI has stored of a session, by what was kept with it. */
export const forget = (folder: string, kept: string | undefined): Effect.Effect<void, Agent.AgentError> => {
  const conversation = Kept.conversationOf(kept)
  return conversation === undefined ? Effect.void : Effect.mapError(Transcripts.remove(folder, conversation), failed)
}
