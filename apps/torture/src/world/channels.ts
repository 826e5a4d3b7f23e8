/**
 * The channels of the gateway under test: one of each delivery class that sends.
 * All they do is to ask the far sides, which live in another process and outlive
 * this one: `updates` gives what people wrote and is told how far it was accepted,
 * `deliver` shows a reply. Nothing is remembered here.
 */
import * as Channel from "@sluice/runtime/Channel"
import type { Reply } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import process from "node:process"
import { type Answer, type Unanswered, type Wire, wire } from "./wire.ts"

/** The channels by name, with their class. */
export const classes = { keyed: "keyed", edit: "edit", resend: "resend-once", hold: "hold" } as const

/** The name of a channel whose far side is the harness's. */
export type FarChannel = keyof typeof classes

/** What a far side is asked to show. */
export interface Showing {
  readonly act: "send" | "place" | "edit" | "progress"
  readonly peer: string
  readonly text: string
  readonly key?: string
  readonly kind?: string
  readonly inReplyTo?: ReadonlyArray<string>
  readonly remoteId?: string
  /** The process that asks: whether it is still there to hear the answer. */
  readonly from?: number
}

/** Something that a person wrote, with its place in the feed. */
export interface Update {
  readonly update: number
  readonly peer: string
  readonly id: string
  readonly text: string
}

/** How long a channel waits before it asks again a far side that did not answer its poll. */
const again = Effect.sleep("10 millis")

const answered = (answer: Answer): Effect.Effect<{ readonly remoteId: string }, Channel.DeliveryError> => {
  const { remoteId } = answer.body
  if (answer.status === 200 && typeof remoteId === "string") return Effect.succeed({ remoteId })
  // A far side in trouble, or one that makes no sense: what became of the request nobody knows.
  if (answer.status < 400 || answer.status >= 500) return Effect.fail(new Channel.Unknown({ cause: answer }))
  if (answer.status !== 429) return Effect.fail(new Channel.Refused({ reason: `status ${answer.status}` }))
  const retryAfter = Number(answer.body["retryAfter"])
  return Effect.fail(new Channel.Throttled({ retryAfter, scope: "conversation" }))
}

const unanswered = (cause: Unanswered): Effect.Effect<never, Channel.DeliveryError> =>
  Effect.fail(cause.reached ? new Channel.Unknown({ cause }) : new Channel.NotSent({ cause }))

const show = (far: Wire, name: string, showing: Showing) =>
  far
    .ask(`/deliver/${name}`, { body: { ...showing, from: process.pid } })
    .pipe(Effect.catchTag("Unanswered", unanswered), Effect.flatMap(answered))

const said = (act: Showing["act"], reply: Reply): Showing => ({
  act,
  peer: reply.conversation.peer,
  text: reply.text,
  kind: reply.kind,
  inReplyTo: reply.inReplyTo
})

const deliveryOf = (far: Wire, name: FarChannel): Channel.Delivery => {
  switch (name) {
    case "keyed":
      return Channel.keyed((reply) => show(far, name, { ...said("send", reply), key: reply.id }))
    case "edit":
      return Channel.edit({
        place: ({ peer }, text) => show(far, name, { act: "place", peer, text }),
        edit: (remoteId, reply) => show(far, name, { ...said("edit", reply), key: reply.id, remoteId }),
        progress: (remoteId, { peer }, text) =>
          Effect.asVoid(show(far, name, { act: "progress", peer, text, remoteId }))
      })
    default:
      return Channel.ambiguous(classes[name], (reply) => show(far, name, said("send", reply)))
  }
}

/** Takes what people wrote from the feed; the next question says how far everything is accepted. */
const receive =
  (far: Wire, name: FarChannel) =>
  (handle: Channel.Handle): Effect.Effect<never> =>
    Effect.gen(function* () {
      yield* handle.ready
      let offset = 0
      const page = Effect.gen(function* () {
        const { body } = yield* far.ask(`/updates/${name}`, { body: { offset } })
        for (const { id, peer, text, update } of (body["updates"] ?? []) as ReadonlyArray<Update>) {
          yield* handle.accept({ conversation: peer, id, sender: peer, text }).pipe(Channel.skipPermanent)
          offset = Math.max(offset, update + 1)
        }
      })
      // A far side that does not answer, or a store that takes nothing now: the page comes again.
      for (;;) yield* Effect.catch(page, () => again)
    })

/** All of them. Those that are edited have bursts; on the others each message stands for itself. */
export const channels = (url: string): Record<FarChannel, Channel.Channel> => {
  const far = wire(url)
  const make = (name: FarChannel) =>
    Channel.make({
      delivery: deliveryOf(far, name),
      receive: receive(far, name),
      quiet: name === "edit" || name === "keyed" ? 60 : 0
    })
  return { keyed: make("keyed"), edit: make("edit"), resend: make("resend"), hold: make("hold") }
}
