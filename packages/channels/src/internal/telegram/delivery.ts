/**
 * Replies as messages. In edit mode a placeholder is placed, its id committed, and
 * everything later is an edit of it: sent again after a crash it changes nothing.
 * In plain mode a message is sent once and nobody can tell after a crash. What
 * Telegram says is turned into what the outbox decides by.
 */
import type { Attachments } from "@sluice/runtime/Attachments"
import * as Channel from "@sluice/runtime/Channel"
import type { Conversation, Reply } from "@sluice/runtime/Message"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Schema from "effect/Schema"
import { isQuestion, isRepeatable, type Offer, offerOf } from "../chat/buttons.ts"
import { type Carried, carriedOf, inWords } from "../chat/carry.ts"
import { Instead } from "../chat/instead.ts"
import { Late } from "../chat/late.ts"
import type { Signs } from "../chat/signs.ts"
import { courtesy } from "./acts.ts"
import type { BotApi, Failure } from "./botApi.ts"
import { render } from "./entities.ts"

/** The longest text of a message, in UTF-16 units. */
export const maxLength = 4096
/** The largest file that a bot may send, in bytes, and the longest text beside one, in UTF-16 units. */
const carrying = { size: 50 * 1024 * 1024, caption: 1024 }

const Sent = Schema.Struct({ message_id: Schema.Int })
/** `editMessageText` answers with the message. */
const Edited = Schema.Unknown

type Needs = HttpClient.HttpClient | Attachments
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
  // Monotonic milliseconds.
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
  const call = <A>(
    method: string,
    params: Params,
    result: Schema.Codec<A, unknown>,
    options?: Parameters<BotApi["call"]>[3]
  ) =>
    Effect.catch(api.call(method, params, result, options), (failure) =>
      failure._tag === "Denied" && failure.movedTo !== undefined
        ? api.call(method, { ...params, chat_id: failure.movedTo }, result, options)
        : Effect.fail(failure)
    )
  const explained =
    (conversation: Conversation) =>
    <A, R>(effect: Effect.Effect<A, Failure, R>): Effect.Effect<A, Channel.DeliveryError, R> =>
      Effect.catch(effect, (failure) =>
        Effect.flatMap(Clock.monotonicTimeNanos, (now) =>
          Effect.fail(deliveryError(failure, throttle, Number(conversation.peer), Number(now) / 1e6))
        )
      )
  return { call, explained }
}

/** How the Bot API is told of buttons; without any the ones that were there go. */
const keyboard = (rows: Offer["rows"]): Params => {
  const inline_keyboard = rows.map((row) => row.map(({ says, text }) => ({ text, callback_data: says })))
  return rows.length === 0 ? {} : { reply_markup: { inline_keyboard } }
}

const noPreview = { link_preview_options: { is_disabled: true } }

/** A text with how it looks; as it is written where it would be too long for one message with that. */
const looks = (text: string): Params => {
  const rendered = render(text)
  return rendered.text.length > maxLength
    ? { text }
    : { text: rendered.text, ...(rendered.entities.length === 0 ? {} : { entities: rendered.entities }) }
}

/** How a reply is shown, and the same without any looks, for when those are refused. */
const shapesOf = (reply: Reply): readonly [Params, Params] => {
  if (reply.kind === "answer" || reply.kind === "post") {
    return [
      { ...looks(reply.text), ...noPreview },
      { text: reply.text, ...noPreview }
    ]
  }
  const { rows, text } = offerOf(reply)
  const shape = { text, ...keyboard(rows), ...noPreview }
  return [shape, shape]
}

/** The looks of a text were refused: the text itself may still be taken. */
const isUgly = (failure: Failure): boolean =>
  failure._tag === "Denied" && failure.code === 400 && /parse|entit/i.test(failure.reason)

/** Makes a call with a reply's looks, else without. */
const withLooks = <A, R>(reply: Reply, make: (shape: Params) => Effect.Effect<A, Failure, R>) => {
  const [first, second] = shapesOf(reply)
  return Effect.catchIf(make(first), isUgly, () => make(second))
}

/** A message with a file takes no more than a caption. */
const captioned = (text: string): Params => {
  const { entities, text: shown } = render(text)
  return entities.length === 0 ? { caption: shown } : { caption: shown, caption_entities: entities }
}

/** The file was refused: its name is told instead. What was lost or has to wait is tried again as it is. */
const isNoFile = (failure: Failure): boolean =>
  failure._tag === "Denied" &&
  (failure.code === 400 || failure.code === 413) &&
  !isNotModified(failure) &&
  !isGone(failure)

/** Time for a file on its way; the outbox waits a minute for a whole reply. */
const uploadTimeout = 50_000

/** Shows a reply: with its file where it has one that can be sent, else in words. */
const withFile = <A, R, R2>(
  reply: Reply,
  file: (carried: Carried, shape: Params) => Effect.Effect<A, Failure, R>,
  words: (reply: Reply) => Effect.Effect<A, Failure, R2>
) =>
  Effect.flatMap(carriedOf(reply, carrying), (carried) => {
    const told = { ...reply, text: inWords(reply) }
    return carried === undefined
      ? words(told)
      : Effect.catchIf(file(carried, captioned(carried.caption)), isNoFile, () => words(told))
  })

/** Shows the end of a text that does not fit: that is where something happens. */
const shown = (text: string): Params =>
  text.length <= maxLength ? looks(text) : { text: `…${text.slice(1 - maxLength).replace(/^[\uDC00-\uDFFF]/, "")}` }

/** Words on buttons. */
export interface Words {
  readonly stop: string
}

/** Least milliseconds between two edits that show progress in a group, where Telegram takes 20 messages a minute. */
const groupEvery = 3000
/** Chats of which it is remembered when they were shown something last. */
const mostShown = 1000

/** Whether a running turn may be shown in a chat now. */
const pacing = () => {
  const last = new Map<number, bigint>()
  return (chat: number) =>
    Effect.map(Clock.monotonicTimeNanos, (now) => {
      if (chat > 0) return true
      const before = last.get(chat)
      if (before !== undefined && now - before < BigInt(groupEvery) * 1_000_000n) return false
      last.delete(chat)
      last.set(chat, now)
      const [oldest] = last.keys()
      if (last.size > mostShown && oldest !== undefined) last.delete(oldest)
      return true
    })
}

/** The buttons under a message go. */
const withoutButtons = (api: BotApi, { peer }: Conversation, message: number) =>
  courtesy(api)("editMessageReplyMarkup", { chat_id: Number(peer), message_id: message })

/** Placeholder, then edits. */
export const edits = (api: BotApi, signs: Signs, words: Words): Channel.Edit<Needs> => {
  const { call, explained } = sender(api)
  const mayShow = pacing()
  const late = new Late()
  // Placeholders that somebody deleted, and what stands for them.
  const instead = new Instead<number>()

  const place = (conversation: Conversation, text: string) =>
    Effect.gen(function* () {
      const sent = yield* call("sendMessage", { ...chatOf(conversation), text }, Sent)
      signs.rang(conversation)
      return { message: sent.message_id, placedAt: yield* Clock.currentTimeMillis }
    })

  const edit = (conversation: Conversation, message: number, params: Params) =>
    call("editMessageText", { chat_id: Number(conversation.peer), message_id: message, ...params }, Edited).pipe(
      Effect.as(true),
      Effect.catchIf(isNotModified, () => Effect.succeed(false))
    )

  /** The message becomes its file, with the text beside it: one edit, which may be repeated like any other. */
  const editFile = (conversation: Conversation, message: number, { content, name }: Carried, shape: Params) => {
    const media = { type: "document", media: "attach://file", ...shape }
    const params = { chat_id: Number(conversation.peer), message_id: message, media }
    return call("editMessageMedia", params, Edited, {
      timeout: uploadTimeout,
      upload: { field: "file", name, content }
    }).pipe(
      Effect.as(true),
      Effect.catchIf(isNotModified, () => Effect.succeed(false))
    )
  }

  /** Edits a message; where it is gone the text is sent as a new one, which is edited from then on. */
  const show = (reply: Reply, id: string) =>
    Effect.gen(function* () {
      const { conversation } = reply
      const key = `${conversation.peer}/${id}`
      const remote = remoteOf(id)
      const message = instead.get(key) ?? remote.message
      const into = (message: number) =>
        withFile(
          reply,
          (carried, shape) => editFile(conversation, message, carried, shape),
          (reply) => withLooks(reply, (shape) => edit(conversation, message, shape))
        )
      const modified = yield* Effect.catchIf(into(message), isGone, () =>
        Effect.gen(function* () {
          const placed = yield* place(conversation, "…")
          instead.set(key, placed.message)
          yield* into(placed.message)
          return false
        })
      )
      const shownAs = instead.get(key) ?? message
      if (isQuestion(reply)) yield* signs.asked(reply, id, withoutButtons(api, conversation, shownAs))
      instead.delete(key)
      const wasLate = late.take(`${conversation.peer}/${remote.message}`)
      if (isRepeatable(reply)) {
        const again = Effect.ignore(withLooks(reply, (shape) => edit(conversation, shownAs, shape)))
        yield* signs.again(reply, shownAs, { edit: again, late: wasLate, placedAt: remote.placedAt })
      }
      if (modified) yield* Effect.andThen(signs.answered(reply), signs.edited(reply, remote.message, remote.placedAt))
      return {}
    })

  const progress = (conversation: Conversation, message: number, text: string) =>
    Effect.gen(function* () {
      if (!(yield* mayShow(Number(conversation.peer)))) return
      const stop = keyboard([[{ text: words.stop, says: "/stop" }]])
      const edited = edit(conversation, message, { ...shown(text), ...stop, ...noPreview })
      yield* late.during(`${conversation.peer}/${message}`, edited)
    })

  return Channel.edit({
    place: (conversation, text) =>
      Effect.map(explained(conversation)(place(conversation, text)), (remote) => ({ remoteId: remoteId(remote) })),
    edit: (id, reply) => explained(reply.conversation)(show(reply, id)),
    progress: (id, conversation, text) => explained(conversation)(progress(conversation, remoteOf(id).message, text))
  })
}

/** Plain messages: after a crash in between nobody can tell whether one was sent. */
export const plain = (api: BotApi, signs: Signs, policy: "resend-once" | "hold"): Channel.Ambiguous<Needs> => {
  const { call, explained } = sender(api)
  return Channel.ambiguous(policy, (reply) => {
    const chat = chatOf(reply.conversation)
    const sent = withFile(
      reply,
      ({ content, name }, shape) =>
        call("sendDocument", { ...chat, ...shape }, Sent, {
          timeout: uploadTimeout,
          upload: { field: "document", name, content }
        }),
      (reply) => withLooks(reply, (shape) => call("sendMessage", { ...chat, ...shape }, Sent))
    )
    const marked = Effect.tap(sent, ({ message_id }) =>
      isQuestion(reply)
        ? signs.asked(reply, message_id, withoutButtons(api, reply.conversation, message_id))
        : signs.answered(reply)
    )
    return explained(reply.conversation)(Effect.map(marked, ({ message_id }) => ({ remoteId: String(message_id) })))
  })
}
