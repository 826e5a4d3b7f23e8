/**
 * The line through a channel's handle, for a terminal in the gateway's own
 * process: nothing to reconnect, so `Ready` comes once and `Stopping` at the end.
 */
import type { Handle, Peer } from "@sluice/runtime/Channel"
import { type AcceptError, isPermanent, type Reply } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Away, Declined, type Incoming, type Line, type LineEvent } from "./line.ts"

const fault = (error: AcceptError): Declined | Away =>
  isPermanent(error)
    ? new Declined({ reason: error.message, denied: false })
    : new Away({ reason: error.message, retryAfter: error.retryAfter })

const incoming = (reply: Reply): Incoming => ({
  number: reply.number,
  kind: reply.kind,
  text: reply.text,
  inReplyTo: reply.inReplyTo,
  ...(reply.attachments === undefined ? {} : { attachments: reply.attachments }),
  ...(reply.turn === undefined ? {} : { turn: reply.turn }),
  ...(reply.session === undefined ? {} : { session: reply.session })
})

/** A line to a conversation of this handle. */
export const handleLine = (handle: Handle, peer: Peer, sender: string): Line => {
  const listen = Effect.fnUntraced(function* (from: number | "latest") {
    const after = from === "latest" ? (yield* handle.page(peer, { after: 0, limit: 1 })).latest : from
    const ready: LineEvent = { _tag: "Ready", after, stopping: false }
    const replies = Stream.map(handle.replies(peer, after), (reply): LineEvent => ({
      _tag: "Reply",
      reply: incoming(reply)
    }))
    const progress = Stream.map(handle.progress(peer), (progress): LineEvent => ({ _tag: "Happened", progress }))
    const stopping = Stream.map(Stream.fromEffect(handle.stopping), (): LineEvent => ({ _tag: "Stopping" }))
    return Stream.concat(
      Stream.succeed(ready),
      Stream.mergeAll([replies, progress, stopping], { concurrency: "unbounded", bufferSize: 16 })
    )
  })
  return {
    send: (message) => Effect.mapError(handle.accept({ ...peer, sender, id: message.id, text: message.text }), fault),
    listen: (after) => Stream.mapError(Stream.unwrap(listen(after)), fault),
    ended: (_message, accepted) =>
      handle.ended(accepted.seq).pipe(
        Effect.map((standing) => Math.max(0, ...(standing?.replies ?? []).map(({ number }) => number))),
        Effect.mapError(fault)
      )
  }
}
