/**
 * Telegram on the Bot API. What somebody wrote stays with Telegram until it is
 * committed here, so a crash costs a repeat that is recognised. Replies are placed
 * and then edited in, so that one that is sent again after a crash changes nothing;
 * those who want no placeholders have plain messages, of which nobody can tell.
 * docs/telegram.md has the table of what a crash in each window does.
 */
import type { Attachments } from "@sluice/runtime/Attachments"
import * as Channel from "@sluice/runtime/Channel"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Door, type Pairing as AnyPairing } from "./internal/chat/door.ts"
import { fetcher } from "./internal/chat/files.ts"
import { persist } from "./internal/chat/persist.ts"
import { Signs } from "./internal/chat/signs.ts"
import { split } from "./internal/chat/split.ts"
import { commandOf, english, isCommand, type Words } from "./internal/chat/words.ts"
import { actsOf, courtesy } from "./internal/telegram/acts.ts"
import { type BotApi, make as makeApi } from "./internal/telegram/botApi.ts"
import { commands } from "./internal/telegram/commands.ts"
import { edits, maxLength, plain } from "./internal/telegram/delivery.ts"
import { watchHook } from "./internal/telegram/hookHealth.ts"
import { opening } from "./internal/telegram/media.ts"
import { poll, troubleOf } from "./internal/telegram/polling.ts"
import { reach as reachApi } from "./internal/telegram/reach.ts"
import { type Meaning, meaningOf, type Self } from "./internal/telegram/updates.ts"
import { type Hook, hookOf, type Taking, type Webhook } from "./internal/telegram/webhook.ts"
import { kinds, type updateOf } from "./internal/telegram/wire.ts"

export type { Words } from "./internal/chat/words.ts"
export type { Hook, Webhook } from "./internal/telegram/webhook.ts"

/** Who was let in by a code, by their numbers. The host keeps it. */
export type Pairing = AnyPairing<number>

/** How the Telegram channel is made. */
export interface Options {
  /** The bot's token, as @BotFather gave it. */
  readonly token: Redacted.Redacted
  /** Ids of people, and of groups with everybody in them, that may speak. Nobody by default. */
  readonly allow?: ReadonlyArray<number>
  /** Lets in strangers that have a code; without it nobody but `allow`. */
  readonly pairing?: Pairing
  /** Where the Bot API is; `https://api.telegram.org` by default. */
  readonly apiRoot?: string
  /**
   * `edit`, the default: a placeholder that becomes the answer, exactly once over crashes. `plain`: messages without
   * placeholders, of which one may come twice after a crash, marked, or with `plain-hold` not at all.
   */
  readonly delivery?: "edit" | "plain" | "plain-hold"
  /** Telegram delivers to this address instead of being asked; the host routes it to `webhook` of the channel. */
  readonly webhook?: Webhook
  /** Largest file in bytes that is fetched; 20 MiB, as Telegram's own servers have it. */
  readonly fileLimit?: number
  /** Whether a message gets 👀 when it is on disk, until it has its end; true by default. */
  readonly reactions?: boolean
  /** An answer that was edited in so long after its placeholder is followed by a short message, which rings; 1 minute. */
  readonly nudgeAfter?: Duration.Input
  /** What the channel itself says, for another language. */
  readonly words?: Partial<Words>
}

const Me = Schema.Struct({ id: Schema.Int, username: Schema.optionalKey(Schema.String) })

const selfOf = (me: typeof Me.Type): Self => ({ id: me.id, username: me.username ?? "" })

const deliveryOf = (
  api: BotApi,
  signs: Signs,
  mode: NonNullable<Options["delivery"]>,
  words: Words
): Channel.Delivery<Needs> => {
  if (mode === "edit") return edits(api, signs, words)
  return plain(api, signs, mode === "plain" ? "resend-once" : "hold")
}

interface Ears {
  readonly handle: Channel.Handle
  readonly self: Self
  readonly allow: Set<number>
  /** Strangers whose id the log has, so that nobody fills it. */
  readonly logged: Set<number>
  readonly signs: Signs
  /** A call whose failure is nobody's trouble. */
  readonly call: ReturnType<typeof courtesy>
  readonly door: Door<number>
  readonly words: Words
  readonly fetch: ReturnType<typeof fetcher>
}

/** What somebody said is committed when this succeeds, its files before it. The burst waits for them. */
const said = Effect.fnUntraced(function* (
  { fetch, handle, signs }: Ears,
  { addressed, files, inbound: whole, place }: Extract<Meaning, { readonly _tag: "Said" }>
) {
  // Whoever takes the bot's name out of a message that it has heard does not take the message back.
  if (!addressed && (yield* handle.versions(place, String(place.message))).length === 0) return
  const order = isCommand(whole.text)
  if (order) yield* Channel.skipPermanent(handle.accept(commandOf(whole)))
  if (order && files.length === 0) return
  // A file whose caption is a command is sent with it, and said behind it.
  const inbound = order ? { ...whole, id: `${whole.id}/file`, text: "" } : whole
  yield* signs.hearing(handle, place)
  if (files.length > 0) yield* handle.receiving(place)
  const { attachments, notes } = yield* fetch(`${place.chat}/${place.message}`, files)
  const text = [inbound.text, ...notes].filter((line) => line !== "").join("\n")
  const accepted = yield* Channel.skipPermanent(
    handle.accept({ ...inbound, text, ...(attachments.length === 0 ? {} : { attachments }) })
  )
  if (accepted !== undefined && !accepted.duplicate) yield* signs.received(handle, place, accepted.seq)
}, Effect.scoped)

/** A press says what is on the button, once: then the buttons go, and the circle on them stops. */
const pressed = Effect.fnUntraced(function* (
  { call, handle, signs }: Ears,
  { callback, inbound, place }: Extract<Meaning, { readonly _tag: "Pressed" }>
) {
  yield* Channel.skipPermanent(handle.accept(inbound))
  yield* signs.soon(call("answerCallbackQuery", { callback_query_id: callback }))
  // The buttons of a running turn go with its next edit.
  if (inbound.text === "/stop") return
  yield* signs.soon(call("editMessageReplyMarkup", { chat_id: place.chat, message_id: place.message }))
})

/** How many strangers the log names in the life of a process. */
const namedStrangers = 100

/** An operator who sets up a bot learns here whose id to allow: a person's, or that of a group. Once each. */
const named = (
  { handle, logged }: Ears,
  { place, user }: Extract<Meaning, { readonly _tag: "Stranger" }>
): Effect.Effect<void> => {
  const id = place.private ? user : place.chat
  if (logged.has(id) || logged.size >= namedStrangers) return Effect.void
  logged.add(id)
  return Effect.logInfo("Somebody who may not speak wrote and is not heard; who should be goes into allow").pipe(
    Effect.annotateLogs({ channel: handle.name, id, ...(place.private ? {} : { writer: user }) })
  )
}

/** A stranger's words are kept nowhere; what is answered is courtesy, and only in their own chat. */
const knocked = Effect.fnUntraced(function* (ears: Ears, stranger: Extract<Meaning, { readonly _tag: "Stranger" }>) {
  const { allow, call, door, signs, words } = ears
  const { place, text, user } = stranger
  if (!place.private) return yield* named(ears, stranger)
  const answer = yield* door.knock(user, text)
  if (answer !== "welcome") yield* named(ears, stranger)
  if (answer === "nothing") return
  if (answer === "welcome") allow.add(user)
  const said = answer === "welcome" ? words.welcome : words.stranger
  yield* signs.soon(call("sendMessage", { chat_id: place.chat, text: said }))
})

/** Handles one update completely. */
const taking =
  (ears: Ears) =>
  ({ number, update }: NonNullable<ReturnType<typeof updateOf>>) =>
    Effect.gen(function* () {
      const { allow, call, door, handle, self, signs } = ears
      if (update === undefined) {
        return yield* Effect.logWarning("An update can't be read and is skipped").pipe(
          Effect.annotateLogs({ channel: handle.name, update: number })
        )
      }
      const meaning = meaningOf(update, self, (id) => allow.has(id))
      switch (meaning._tag) {
        case "Said": {
          const { inbound, place } = meaning
          // In a chat of two the chat's number is the person's.
          if (place.private && (yield* door.wasCode(place.chat, inbound.text))) return
          return yield* said(ears, meaning)
        }
        case "Pressed":
          return yield* pressed(ears, meaning)
        case "Spinning":
          return yield* signs.soon(call("answerCallbackQuery", { callback_query_id: meaning.callback }))
        case "Stranger":
          return yield* knocked(ears, meaning)
        case "Nothing":
      }
    })

/** What the channel asks of whoever runs it. */
export type Needs = HttpClient.HttpClient | Attachments

/** The Telegram channel, and what answers its webhook, if it has one. */
export interface TelegramChannel extends Channel.Channel<Needs> {
  readonly webhook: Hook | undefined
}

/** How Telegram is told to deliver, or to be asked. */
const setUp = (api: BotApi, webhook: Webhook | undefined) =>
  webhook === undefined
    ? // A webhook of an earlier set-up would keep every update from a poller.
      api.call("deleteWebhook", { drop_pending_updates: false }, Schema.Unknown)
    : api.call(
        "setWebhook",
        {
          url: webhook.url,
          secret_token: Redacted.value(webhook.secret),
          allowed_updates: kinds,
          // One after the other, so that they come in their order.
          max_connections: 1,
          drop_pending_updates: false
        },
        Schema.Unknown
      )

const defaultRoot = "https://api.telegram.org"

/** Whether the bot's server is there and takes its token: a sentence, or what is wrong. Takes nothing from who receives. */
export const reach = (
  options: Pick<Options, "token" | "apiRoot">,
  within?: Duration.Input
): Effect.Effect<string, string, HttpClient.HttpClient> =>
  reachApi(makeApi({ token: options.token, apiRoot: options.apiRoot ?? defaultRoot }), within)

/** Makes the Telegram channel. */
export const make = (options: Options): TelegramChannel => {
  const api = makeApi({ token: options.token, apiRoot: options.apiRoot ?? defaultRoot })
  const mode = options.delivery ?? "edit"
  const words = { ...english, ...options.words }
  const acts = actsOf(api, { reactions: options.reactions ?? true, typing: mode !== "edit", nudge: words.done })
  const signs = new Signs(acts, Duration.toMillis(options.nudgeAfter ?? "1 minute"))
  const call = courtesy(api)
  const allow = new Set(options.allow)
  const logged = new Set<number>()
  const door = new Door(options.pairing)
  const fetch = fetcher(opening(api), options.fileLimit ?? 20 * 1024 * 1024)
  let name = ""
  let hooked: Taking | undefined
  const receive = Effect.fnUntraced(function* (handle: Channel.Handle) {
    const self = selfOf(yield* persist(handle.name, api.call("getMe", {}, Me), troubleOf))
    name = self.username
    for (const id of yield* door.paired) allow.add(id)
    yield* signs.run(handle)
    yield* signs.soon(call("setMyCommands", { commands }))
    const take = taking({ handle, self, allow, logged, signs, call, door, words, fetch })
    if (options.webhook !== undefined) {
      const context = yield* Effect.context<Needs>()
      yield* Effect.addFinalizer(() => Effect.sync(() => (hooked = undefined)))
      hooked = (update) => Effect.provideContext(take(update), context)
    }
    yield* persist(handle.name, setUp(api, options.webhook), troubleOf)
    yield* handle.ready
    return yield* options.webhook === undefined
      ? poll(handle.name, api, take)
      : watchHook(handle, api, options.webhook.url)
  })
  const channel = Channel.make({
    delivery: deliveryOf(api, signs, mode, words),
    receive,
    split: (text) => split(text, maxLength),
    files: true,
    describe: Effect.sync(() => (name === "" ? "not connected" : `@${name}`))
  })
  return { ...channel, webhook: options.webhook && hookOf(options.webhook, () => hooked) }
}
