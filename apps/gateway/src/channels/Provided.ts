/**
 * Channels of chat platforms as channels of this program: over the program's own HTTP
 * client and its store of attachments, which is open before any channel runs.
 */
import type { Attachments } from "@sluice/runtime/Attachments"
import type { Channel, Delivery } from "@sluice/runtime/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import { client } from "../OutgoingHttp.ts"
import type { Files } from "./Channels.ts"

type Needs = HttpClient.HttpClient | Attachments
type Provide = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Needs>>

const delivering = (delivery: Delivery<Needs>, provide: Provide): Delivery => {
  switch (delivery._tag) {
    case "Pull":
      return delivery
    case "Keyed":
    case "Ambiguous":
      return { ...delivery, deliver: (reply) => provide(delivery.deliver(reply)) }
    case "Edit": {
      const { edit, place, progress } = delivery
      return {
        _tag: "Edit",
        place: (conversation, text) => provide(place(conversation, text)),
        edit: (remoteId, reply) => provide(edit(remoteId, reply)),
        ...(progress === undefined ? {} : { progress: (id, to, text) => provide(progress(id, to, text)) })
      }
    }
  }
}

/** Gives a channel what it asks for. */
export const provided = Effect.fnUntraced(function* (channel: Channel<Needs>, files: Files): Effect.fn.Return<Channel> {
  const http = yield* client
  const provide: Provide = (effect) =>
    Effect.suspend(() => {
      const { context } = files
      return context === undefined
        ? Effect.die(new Error("the channel runs before there is a place for its files"))
        : Effect.provideContext(effect, Context.merge(http, context))
    })
  return {
    ...channel,
    delivery: delivering(channel.delivery, provide),
    receive: (handle) => provide(channel.receive(handle))
  }
})
