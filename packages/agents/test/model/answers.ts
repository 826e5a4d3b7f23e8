/**
 * What the model's tests share: an agent of an address, a session that keeps what
 * it is given, and an answer with everything that was told on the way.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type * as Agent from "@sluice/runtime/Agent"
import type { Attachment, TurnMessage } from "@sluice/runtime/Message"
import { answerText, sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Model from "../../src/Model.ts"

export { answerText, sessionOf, turnOf }

export const client = NodeHttpClient.layerNodeHttp

/** An opened agent of that address, for as long as the scope is open. */
export const opened = (
  options: Partial<Model.Options> & { readonly url: string },
  session = sessionOf({ instance: "test" })
) => Model.make({ api: "openai", model: "stand-in", ...options }).open(session)

/** Everything that is told of an answer, and the error that it ended in, if it did. */
export const heard = <E, R>(answer: Stream.Stream<Agent.AgentEvent, E, R>) =>
  Effect.gen(function* () {
    const events: Array<Agent.AgentEvent> = []
    const error = yield* Effect.flip(
      Stream.runForEach(answer, (event) => Effect.sync(() => void events.push(event)))
    ).pipe(Effect.catch(() => Effect.undefined))
    const usage = events.filter((event) => event._tag === "Usage")
    const lines = events.flatMap((event) => (event._tag === "Line" ? [event.text] : []))
    return { events, error, usage, lines, text: answerText(events) }
  })

/** What the log is told of an error. */
export const causeOf = (error: Agent.AgentError | undefined): string =>
  error?.cause instanceof Error ? error.cause.message : "there was no error"

/** A turn that is over. */
export const past = (id: string, text: string, answer = `answer to ${text}`, sender = "kim"): Agent.PastTurn => ({
  id,
  answer,
  messages: [message(text, { id: `message of ${id}`, sender })]
})

export const message = (
  text: string,
  more: Partial<TurnMessage> & { readonly attachments?: ReadonlyArray<Attachment> } = {}
): TurnMessage => ({
  seq: 1,
  id: "message",
  sender: "kim",
  text,
  attachments: [],
  acceptedAt: 1_700_000_000_000,
  ...more
})
