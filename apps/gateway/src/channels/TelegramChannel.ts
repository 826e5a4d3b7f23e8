/**
 * Telegram as a channel of this program, over the program's own HTTP client and its
 * store of attachments. Loaded only by who has configured it.
 */
import * as Telegram from "@sluice/channels/Telegram"
import type { Channel, Delivery } from "@sluice/runtime/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { client } from "../OutgoingHttp.ts"
import type { Files } from "./Channels.ts"

type Provide = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Telegram.Needs>>

const delivering = (delivery: Delivery<Telegram.Needs>, provide: Provide): Delivery => {
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

/** Makes the channel. */
export const make = Effect.fnUntraced(function* (options: Telegram.Options, files: Files) {
  const http = yield* client
  const provide: Provide = (effect) =>
    Effect.suspend(() => {
      const { context } = files
      return context === undefined
        ? Effect.die(new Error("the channel runs before there is a place for its files"))
        : Effect.provideContext(effect, Context.merge(http, context))
    })
  const channel = Telegram.make(options)
  const provided: Channel = {
    ...channel,
    delivery: delivering(channel.delivery, provide),
    receive: (handle) => provide(channel.receive(handle))
  }
  return { channel: provided, webhook: channel.webhook }
})

/** Whether the bot's server is there and takes its token: a sentence, or what is wrong. */
export const reach = (options: Telegram.Options) =>
  Effect.flatMap(client, (context) => Effect.provideContext(Telegram.reach(options), context))
