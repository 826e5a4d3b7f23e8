/**
 * How Telegram shows what is beside messages: a reaction while one is on disk and
 * not at its end, "typing" for five seconds at a time, a short message that rings.
 */
import type { Peer } from "@sluice/runtime/Channel"
import type { Conversation } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Act, Acts } from "../chat/signs.ts"
import type { BotApi } from "./botApi.ts"

/** A call whose failure is nobody's trouble. */
export const courtesy =
  (api: BotApi) =>
  (method: string, params: { readonly [name: string]: unknown }): Act =>
    Effect.ignore(api.call(method, params, Schema.Unknown))

const threadOf = (thread: string | undefined) =>
  thread === undefined || thread === "" ? {} : { message_thread_id: Number(thread) }

/** Telegram shows "typing" for five seconds. */
const typingEvery = 4500

/** How a bot shows signs: with 👀 or without, "typing" where no placeholder says it, `nudge` behind an answer. */
export const actsOf = (
  api: BotApi,
  { nudge, reactions, typing }: { readonly reactions: boolean; readonly typing: boolean; readonly nudge: string }
): Acts => {
  const call = courtesy(api)
  const act = ({ conversation, thread }: Peer) =>
    call("sendChatAction", { chat_id: Number(conversation), ...threadOf(thread), action: "typing" })
  const received: Acts["received"] = ({ chat, message }, on) =>
    call("setMessageReaction", {
      chat_id: Number(chat),
      message_id: Number(message),
      reaction: on ? [{ type: "emoji", emoji: "👀" }] : []
    })
  return {
    ...(reactions ? { received } : {}),
    ...(typing ? { typing: { every: typingEvery, act } } : {}),
    nudge: ({ peer, thread }: Conversation, message) =>
      call("sendMessage", {
        chat_id: Number(peer),
        ...threadOf(thread),
        text: nudge,
        reply_parameters: { message_id: Number(message), allow_sending_without_reply: true }
      }),
    messageOf: (id) => {
      const found = /^(\d{1,15})(?:\/|$)/.exec(id)?.[1]
      return found === undefined ? undefined : Number(found)
    }
  }
}
