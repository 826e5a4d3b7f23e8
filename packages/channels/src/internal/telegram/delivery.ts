/**
 * Replies as messages. In edit mode a placeholder is placed, its id committed, and
 * everything later is an edit of it: sent again after a crash it changes nothing.
 * In plain mode a message is sent once and nobody can tell after a crash. What
 * Telegram says is turned into what the outbox decides by.
 */
import * as Channel from "@sluice/runtime/Channel"
import type { Conversation, Reply } from "@sluice/runtime/Message"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Schema from "effect/Schema"
import type { BotApi, Failure } from "./botApi.ts"
import { maxLength } from "./split.ts"

const Sent = Schema.Struct({ message_id: Schema.Int })
/** `editMessageText` answers with the message. */
const Edited = Schema.Unknown

type Needs = HttpClient.HttpClient
type Params = { readonly [name: string]: unknown }

/** A message that the bot has sent: its number, and when it was placed, in epoch milliseconds. */
export interface Remote {
  readonly message: number
  readonly placedAt: number
}

/** The id under which the outbox keeps it. */
export const remoteId = ({ message, placedAt }: Remote): string => `${message}/${placedAt}`

/** Reads what `remoteId` wrote. */
export const remoteOf = (id: string): Remote => {
  const [message = "", placedAt = ""] = id.split("/")
  return { message: Number(message), placedAt: Number(placedAt) }
}

/** Where a conversation is. */
export const chatOf = (conversation: Conversation): Params => ({
  chat_id: Number(conversation.peer),
  ...(conversation.thread === "" ? {} : { message_thread_id: Number(conversation.thread) })
})

const isNotModified = (failure: Failure): boolean =>
  failure._tag === "Denied" && failure.code === 400 && /message is not modified/i.test(failure.reason)

/** The message that was to be edited is not there any more, or can't be edited any more. */
const isGone = (failure: Failure): boolean =>
  failure._tag === "Denied" &&
  failure.code === 400 &&
  /message to edit not found|message can't be edited|MESSAGE_ID_INVALID/i.test(failure.reason)

/**
 * Waits that Telegram asked for. It does not say whether they are for the chat or for the bot: that a second chat has to
 * wait while a first one does says that it is the bot.
 */
export class Throttle {
  #chat: number | undefined = undefined
  #until = 0

  scope(chat: number, now: number, wait: number): "conversation" | "channel" {
    const shared = this.#chat !== undefined && this.#chat !== chat && now < this.#until
    this.#chat = chat
    this.#until = now + wait
    return shared ? "channel" : "conversation"
  }
}

/** What a failure means for a reply. */
const deliveryError = (failure: Failure, throttle: Throttle, chat: number, now: number): Channel.DeliveryError => {
  switch (failure._tag) {
    case "NotSent":
      return new Channel.NotSent({ cause: new Error(failure.reason) })
    case "Silent":
      return new Channel.Unknown({ cause: new Error(failure.reason) })
    case "Denied": {
      const { code, reason, retryAfter } = failure
      if (code === 401 || code === 404) {
        return new Channel.Unauthorized({ reason: `the token was refused (${code}: ${reason})` })
      }
      if (code === 429) {
        const wait = retryAfter ?? 1000
        return new Channel.Throttled({ retryAfter: wait, scope: throttle.scope(chat, now, wait) })
      }
      return new Channel.Refused({ reason: `${code}: ${reason}` })
    }
  }
}

/** Makes calls for a conversation. */
export const sender = (api: BotApi) => {
  const throttle = new Throttle()
  /** Calls; a group that has become a supergroup is called by its new number. */
  const call = <A>(method: string, params: Params, result: Schema.Codec<A, unknown>) =>
    Effect.catch(api.call(method, params, result), (failure) =>
      failure._tag === "Denied" && failure.movedTo !== undefined
        ? api.call(method, { ...params, chat_id: failure.movedTo }, result)
        : Effect.fail(failure)
    )
  const explained =
    (conversation: Conversation) =>
    <A, R>(effect: Effect.Effect<A, Failure, R>): Effect.Effect<A, Channel.DeliveryError, R> =>
      Effect.catch(effect, (failure) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.fail(deliveryError(failure, throttle, Number(conversation.peer), now))
        )
      )
  return { call, explained }
}

const said = (text: string): Params => ({ text, link_preview_options: { is_disabled: true } })

/** Shows the end of a text that does not fit: that is where something happens. */
const shown = (text: string): string =>
  text.length <= maxLength ? text : `…${text.slice(1 - maxLength).replace(/^[\uDC00-\uDFFF]/, "")}`

/** Placeholder, then edits. */
export const edits = (api: BotApi): Channel.Edit<Needs> => {
  const { call, explained } = sender(api)
  // Placeholders that somebody deleted, and what stands for them.
  const instead = new Map<string, number>()

  const place = (conversation: Conversation, text: string) =>
    Effect.gen(function* () {
      const sent = yield* call("sendMessage", { ...chatOf(conversation), ...said(text) }, Sent)
      return { message: sent.message_id, placedAt: yield* Clock.currentTimeMillis }
    })

  const edit = (conversation: Conversation, message: number, params: Params) =>
    call("editMessageText", { chat_id: Number(conversation.peer), message_id: message, ...params }, Edited).pipe(
      Effect.as(true),
      Effect.catchIf(isNotModified, () => Effect.succeed(false))
    )

  /** Edits a message; where it is gone the text is sent as a new one, which is edited from then on. */
  const show = (reply: Reply, id: string) =>
    Effect.gen(function* () {
      const { conversation } = reply
      const key = `${conversation.peer}/${id}`
      const message = instead.get(key) ?? remoteOf(id).message
      const params = said(reply.text)
      yield* Effect.catchIf(edit(conversation, message, params), isGone, () =>
        Effect.gen(function* () {
          const placed = yield* place(conversation, "…")
          instead.set(key, placed.message)
          return yield* edit(conversation, placed.message, params)
        })
      )
      instead.delete(key)
      return {}
    })

  return Channel.edit({
    place: (conversation, text) =>
      Effect.map(explained(conversation)(place(conversation, text)), (remote) => ({ remoteId: remoteId(remote) })),
    edit: (id, reply) => explained(reply.conversation)(show(reply, id)),
    progress: (id, conversation, text) =>
      Effect.asVoid(explained(conversation)(edit(conversation, remoteOf(id).message, said(shown(text)))))
  })
}

/** Plain messages: after a crash in between nobody can tell whether one was sent. */
export const plain = (api: BotApi, policy: "resend-once" | "hold"): Channel.Ambiguous<Needs> => {
  const { call, explained } = sender(api)
  return Channel.ambiguous(policy, (reply) =>
    explained(reply.conversation)(
      Effect.map(
        call("sendMessage", { ...chatOf(reply.conversation), ...said(reply.text) }, Sent),
        ({ message_id }) => ({ remoteId: String(message_id) })
      )
    )
  )
}
