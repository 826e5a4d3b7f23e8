/**
 * How Slack shows what is beside messages: a reaction while one is on disk and not
 * at its end, and a short message behind an answer that was edited in late. It has
 * nothing that says "typing".
 */
import type { Conversation } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Act, Acts } from "../chat/signs.ts"
import type { Params, WebApi } from "./webApi.ts"

/** A call whose failure is nobody's trouble. */
export const courtesy =
  (api: WebApi) =>
  (method: string, params: Params): Act =>
    Effect.ignore(api.call(method, params, Schema.Unknown))

/** Where a conversation is. */
export const whereOf = ({ peer, thread }: Pick<Conversation, "peer" | "thread">): Params => ({
  channel: peer,
  ...(thread === "" ? {} : { thread_ts: thread })
})

/** How an app shows signs: with 👀 or without, `nudge` behind an answer. */
export const actsOf = (
  api: WebApi,
  { nudge, reactions }: { readonly reactions: boolean; readonly nudge: string }
): Acts => {
  const call = courtesy(api)
  const received: Acts["received"] = ({ chat, message }, on) =>
    call(on ? "reactions.add" : "reactions.remove", { channel: chat, timestamp: message, name: "eyes" })
  return {
    ...(reactions ? { received } : {}),
    nudge: (conversation) => call("chat.postMessage", { ...whereOf(conversation), text: nudge }),
    messageOf: (id) => /^(\d{1,15}\.\d{1,9})(?:\/|$)/.exec(id)?.[1]
  }
}
