/**
 * Where people look for the gateway: one address, behind which one gateway after the
 * other may be, or none. Whoever asks there is told what came back, and what a reader
 * gets is written down in one way, whoever reads.
 */
import * as Effect from "effect/Effect"
import type { History } from "../history/writer.mjs"
import { toldBy } from "./sayings.ts"
import { type Answer, type Asking, Unanswered, type Wire } from "./wire.ts"

/** Where the gateway is now; there is no wire while it is nowhere. */
export interface Place {
  wire: Wire | undefined
  token: string
}

const nobody = new Unanswered({ reached: false, code: "nobody" })

/** One request to whoever is there. */
export const ask = (place: Place, path: string, asking?: Asking): Effect.Effect<Answer, Unanswered> =>
  Effect.suspend(() =>
    place.wire === undefined ? Effect.fail(nobody) : place.wire.ask(path, { ...asking, token: place.token })
  )

/** Before asking again. */
export const nap = Effect.sleep("15 millis")

/** Something of a conversation over HTTP. */
export const pathOf = (conversation: string, rest: string): string => `/v1/conversations/${conversation}/${rest}`

/** A reply as its reader gets it. */
export interface Reply {
  readonly number: number
  readonly id: string
  readonly kind: string
  readonly text: string
  readonly inReplyTo: ReadonlyArray<string>
}

/** Writes down that a reader got a reply; returns the messages that it answers or ends. */
export const noted = (history: History, conversation: string, reply: Reply): ReadonlyArray<string> => {
  const known = toldBy(reply.text, reply)
  // The demo agent names neither its run nor the messages; the wire does.
  const told = known.run === undefined && reply.kind === "answer" ? { ...known, what: "answer" as const } : known
  history.append({
    op: "deliver",
    phase: "ok",
    by: `reader ${conversation}`,
    channel: "http",
    class: "pull",
    conversation: `http/${conversation}`,
    kind: "pull",
    remoteId: String(reply.number),
    key: reply.id,
    ...told
  })
  return told.ids
}
