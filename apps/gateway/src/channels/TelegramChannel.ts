/**
 * Telegram as a channel of this program, over the program's own HTTP client. Loaded
 * only by who has configured it.
 */
import * as Telegram from "@sluice/channels/Telegram"
import type { Channel, Delivery } from "@sluice/runtime/Channel"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import { client } from "../OutgoingHttp.ts"

type Client = Context.Context<HttpClient.HttpClient>

const delivering = (delivery: Delivery<HttpClient.HttpClient>, context: Client): Delivery => {
  switch (delivery._tag) {
    case "Pull":
      return delivery
    case "Keyed":
    case "Ambiguous":
      return { ...delivery, deliver: (reply) => Effect.provideContext(delivery.deliver(reply), context) }
    case "Edit": {
      const { edit, place, progress } = delivery
      return {
        _tag: "Edit",
        place: (conversation, text) => Effect.provideContext(place(conversation, text), context),
        edit: (remoteId, reply) => Effect.provideContext(edit(remoteId, reply), context),
        ...(progress === undefined
          ? {}
          : { progress: (remoteId, to, text) => Effect.provideContext(progress(remoteId, to, text), context) })
      }
    }
  }
}

/** Makes the channel. */
export const make = Effect.fnUntraced(function* (options: Telegram.Options) {
  const context = yield* client
  const channel = Telegram.make(options)
  const provided: Channel = {
    ...channel,
    delivery: delivering(channel.delivery, context),
    receive: (handle) => Effect.provideContext(channel.receive(handle), context)
  }
  return provided
})
