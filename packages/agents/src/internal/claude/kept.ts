/**
 * What is kept with a session: the conversation's id, chosen here and committed
 * before the CLI ever hears it, whether it has an answer that could be lost, and
 * under which ids the last turn's message was sent, and what was handed to it while
 * it ran. With that, what a crash left in the transcript can be told from what never
 * arrived.
 */
import type * as Agent from "@sluice/runtime/Agent"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ClaudeError, told } from "./failure.ts"

const Kept = Schema.Struct({
  /** Id of the conversation at the CLI. */
  conversation: Schema.String,
  answered: Schema.Boolean,
  /** The last turn that was sent. */
  turn: Schema.optionalKey(
    Schema.Struct({
      id: Schema.String,
      /** Ids of the messages in which it was sent, oldest first. */
      sent: Schema.Array(Schema.String),
      /** How many of its messages the first of them had. */
      messages: Schema.Int,
      /** What was handed to it while it ran: under which id, and the numbers of the messages. */
      handed: Schema.optionalKey(Schema.Array(Schema.Struct({ uuid: Schema.String, seqs: Schema.Array(Schema.Int) })))
    })
  )
})

/** What is kept with a session. */
export type Kept = typeof Kept.Type

const encode = Schema.encodeSync(Schema.fromJsonString(Kept))
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Kept))

/** Ids of a turn's messages that are remembered: attempts are few. */
const mostSent = 32

/** What was kept, or a conversation that is about to begin. */
export const read = Effect.fnUntraced(function* (session: Agent.AgentSession, program: string) {
  const kept = yield* session.kept
  if (kept === undefined) return { conversation: crypto.randomUUID(), answered: false } satisfies Kept
  const found = decode(kept)
  if (Option.isSome(found)) return found.value
  const problem = "can't tell which conversation this was: what was kept of it can't be read any more"
  return yield* told(new ClaudeError({ kind: "HistoryGone", program, problem }))
})

/** The conversation that something kept names, if it names one. */
export const conversationOf = (kept: string | undefined): string | undefined =>
  kept === undefined ? undefined : Option.getOrUndefined(decode(kept))?.conversation

/** Keeps it; committed when this returns. */
export const write = (session: Agent.AgentSession, kept: Kept): Effect.Effect<Kept, Agent.AgentError> =>
  Effect.as(session.keep(encode(kept)), kept)

/** The ids under which a turn was sent before; none when another turn was the last. */
export const sentBefore = ({ turn }: Kept, id: string): ReadonlyArray<string> => (turn?.id === id ? turn.sent : [])

/** What was handed to a turn while it ran. */
export const handedBefore = ({ turn }: Kept, id: string): NonNullable<NonNullable<Kept["turn"]>["handed"]> =>
  turn?.id === id ? (turn.handed ?? []) : []

/** With messages that the turn is handed under an id. */
export const withHanded = (kept: Kept, uuid: string, seqs: ReadonlyArray<number>): Kept => {
  const { turn } = kept
  if (turn === undefined) return kept
  return { ...kept, turn: { ...turn, handed: [...(turn.handed ?? []), { uuid, seqs }].slice(-mostSent) } }
}

/** With a further id under which the turn is sent. */
export const withSent = (kept: Kept, turn: { readonly id: string; readonly messages: number }, uuid: string): Kept => {
  const before = kept.turn?.id === turn.id ? kept.turn : { id: turn.id, sent: [], messages: turn.messages }
  // Under the same id the whole turn is sent again.
  return before.sent.includes(uuid)
    ? { ...kept, turn: { ...before, messages: turn.messages } }
    : { ...kept, turn: { ...before, sent: [...before.sent, uuid].slice(-mostSent) } }
}
