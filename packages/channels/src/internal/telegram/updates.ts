/**
 * What an update means: somebody who may speak said something, pressed a button,
 * or a stranger knocked. Pure, so that the same update means the same however
 * often it is delivered; its id names one version of one event, never the update,
 * whose number says nothing after a pause of a week.
 */
import type { Peer } from "@sluice/runtime/Channel"
import type { Inbound } from "@sluice/runtime/Message"
import type { FileToFetch } from "../chat/files.ts"
import { hashOf, isCommand, orderedOf } from "../chat/words.ts"
import type { Callback, FileInfo, Message, Update } from "./wire.ts"

/** The bot itself. */
export interface Self {
  readonly id: number
  readonly username: string
}

/** Where something was said: the conversation, and the message in it. */
export interface Place extends Peer {
  readonly chat: number
  readonly message: number
  readonly private: boolean
}

/** What follows from an update. */
export type Meaning =
  | {
      readonly _tag: "Said"
      readonly place: Place
      readonly inbound: Inbound
      readonly files: ReadonlyArray<FileToFetch>
      /** False for an edit that doesn't say any more that it is for the bot: it is heard where the message was. */
      readonly addressed: boolean
    }
  | { readonly _tag: "Pressed"; readonly place: Place; readonly inbound: Inbound; readonly callback: string }
  | {
      readonly _tag: "Stranger"
      readonly place: Place
      readonly user: number
      readonly text: string
    }
  /** A button that is none of ours any more: only the spinning circle on it is ended. */
  | { readonly _tag: "Spinning"; readonly callback: string }
  | { readonly _tag: "Nothing"; readonly why: string }

const nothing = (why: string): Meaning => ({ _tag: "Nothing", why })

/** A chat's topic is a conversation of its own; a thread of replies in a group without topics is not. */
const placeOf = (message: {
  readonly message_id: number
  readonly chat: Message["chat"]
  readonly message_thread_id?: number
  readonly is_topic_message?: boolean
}): Place => ({
  conversation: String(message.chat.id),
  ...(message.is_topic_message === true && message.message_thread_id !== undefined
    ? { thread: String(message.message_thread_id) }
    : {}),
  chat: message.chat.id,
  message: message.message_id,
  private: message.chat.type === "private"
})

/** Names the bot in a text: by its name, or by a mention of the account. */
const mentionsOf = ({ caption_entities, entities = caption_entities ?? [] }: Message, text: string, self: Self) =>
  entities.filter(({ length, offset, type, user }) => {
    if (type === "text_mention") return user?.id === self.id
    return type === "mention" && text.slice(offset, offset + length).toLowerCase() === `@${self.username.toLowerCase()}`
  })

/** The text without the name that it was addressed to. */
const withoutMentions = (text: string, mentions: ReadonlyArray<{ readonly offset: number; readonly length: number }>) =>
  mentions
    .toSorted((one, other) => other.offset - one.offset)
    .reduce((left, { length, offset }) => left.slice(0, offset) + left.slice(offset + length), text)
    .replaceAll(/[ \t]{2,}/g, " ")
    .trim()

const fileOf = (info: FileInfo | undefined, type: string, name?: string): ReadonlyArray<FileToFetch> =>
  info === undefined
    ? []
    : [{ id: info.file_id, type: info.mime_type ?? type, name: info.file_name ?? name, size: info.file_size }]

/** A photo comes in several sizes; the largest one is the photo. */
const largest = (sizes: ReadonlyArray<FileInfo> | undefined): FileInfo | undefined =>
  sizes?.reduce((best, size) => ((size.width ?? 0) > (best.width ?? 0) ? size : best))

const filesOf = (message: Message): ReadonlyArray<FileToFetch> => [
  ...(message.photo === undefined || message.photo.length === 0
    ? []
    : fileOf(largest(message.photo), "image/jpeg", "photo.jpg")),
  // An animation also comes as a document, for clients that don't know animations.
  ...(message.animation === undefined ? fileOf(message.document, "application/octet-stream") : []),
  ...fileOf(message.animation, "video/mp4", "animation.mp4"),
  ...fileOf(message.voice, "audio/ogg", "voice.ogg"),
  ...fileOf(message.audio, "audio/mpeg", "audio.mp3"),
  ...fileOf(message.video, "video/mp4", "video.mp4"),
  ...fileOf(message.video_note, "video/mp4", "video.mp4")
]

/** What can be said without words. */
const inWords = ({ contact, location, sticker }: Message): string => {
  if (sticker?.emoji !== undefined) return sticker.emoji
  if (location !== undefined) return `Location: ${location.latitude}, ${location.longitude}`
  if (contact === undefined) return ""
  const name = [contact.first_name, contact.last_name].filter((part) => part !== undefined).join(" ")
  return `Contact: ${[name, contact.phone_number].filter((part) => part !== undefined && part !== "").join(", ")}`
}

/** What is answered to, where it is not one of the bot's own messages: those the agent remembers. */
const quoteOf = ({ reply_to_message: replied }: Message, self: Self): string => {
  const text = replied?.text ?? replied?.caption ?? ""
  if (text === "" || replied?.from?.id === self.id) return ""
  const short = text.length > 400 ? `${text.slice(0, 400).replace(/[\uD800-\uDBFF]$/, "")}…` : text
  return `${short
    .split("\n")
    .map((line) => `> ${line}`)
    .join("\n")}\n\n`
}

/** Whether a message of a group is meant for the bot: named, answered to, or given an order. */
const isAddressed = (message: Message, self: Self, text: string, mentions: ReadonlyArray<unknown>): boolean =>
  mentions.length > 0 || message.reply_to_message?.from?.id === self.id || isCommand(text)

// What would pass for another name, or for the end of one.
const notInNames = /[()[\]:<>\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** Who wrote it. In a group people are told apart by name, and a name alone is anybody's. */
const senderOf = ({ chat, from, sender_chat }: Message, place: Place): string => {
  const id = from?.id ?? sender_chat?.id ?? chat.id
  const name = [from?.first_name, from?.last_name]
    .filter((part) => part !== undefined)
    .join(" ")
    .replaceAll(notInNames, "")
    .trim()
  return place.private || name === "" ? String(id) : `${Array.from(name).slice(0, 60).join("")} (${id})`
}

const said = (message: Message, self: Self, edited: boolean): Meaning => {
  const raw = message.text ?? message.caption ?? ""
  const place = placeOf(message)
  const mentions = mentionsOf(message, raw, self)
  const text = place.private ? raw : withoutMentions(raw, mentions)
  const other = orderedOf(text)
  if (other !== undefined && other.toLowerCase() !== self.username.toLowerCase()) return nothing("for another bot")
  const addressed = place.private || isAddressed(message, self, text, mentions)
  if (!addressed && !edited) return nothing("not addressed")
  const isOrder = isCommand(text)
  if (edited && isOrder) return nothing("an edit is never a command")
  const files = filesOf(message)
  const words = text === "" ? inWords(message) : text
  if (words === "" && files.length === 0) return nothing("nothing that can be read")
  const version = edited ? `/e${message.edit_date ?? message.date}-${hashOf(raw)}` : ""
  return {
    _tag: "Said",
    place,
    files,
    addressed,
    inbound: {
      conversation: place.conversation,
      ...(place.thread === undefined ? {} : { thread: place.thread }),
      id: `${message.message_id}${version}`,
      ...(edited ? { replaces: String(message.message_id) } : {}),
      // A photo ends the burst that it joins; of an album nobody knows which one is the last.
      ...(files.length > 0 && message.media_group_id === undefined ? { closes: true } : {}),
      sender: senderOf(message, place),
      text: (isOrder ? words : quoteOf(message, self) + words).toWellFormed()
    }
  }
}

/** What a button says, as the same person would have written it. */
const pressed = ({ data = "", from, id, message }: Callback): Meaning => {
  if (message === undefined || data === "") return { _tag: "Spinning", callback: id }
  const place = placeOf(message)
  return {
    _tag: "Pressed",
    place,
    callback: id,
    inbound: {
      conversation: place.conversation,
      ...(place.thread === undefined ? {} : { thread: place.thread }),
      id: `callback/${id}`,
      sender: String(from.id),
      text: data
    }
  }
}

/** Who is allowed: a person by id, or everybody in a chat by its id. */
export type Allows = (id: number) => boolean

/** What an update means. */
export const meaningOf = (update: Update, self: Self, allows: Allows): Meaning => {
  const { callback_query: callback, edited_message: edited, message = edited } = update
  if (callback !== undefined) {
    const chat = callback.message?.chat.id
    const may = allows(callback.from.id) || (chat !== undefined && allows(chat))
    // A stranger hears nothing, not even that there is nothing.
    return may ? pressed(callback) : nothing("a button that they may not press")
  }
  if (message === undefined) return nothing("of a kind that was not asked for")
  const sender = message.from
  // An administrator who does not want to be named speaks as the group, behind a bot of Telegram's.
  const isGroup = message.sender_chat?.id === message.chat.id
  if (sender?.is_bot === true && !isGroup) return nothing("of a bot")
  if (message.chat.type === "channel") return nothing("of a channel")
  if ((sender === undefined || !allows(sender.id)) && !allows(message.chat.id)) {
    const place = placeOf(message)
    const user = sender?.id ?? message.chat.id
    return { _tag: "Stranger", place, user, text: message.text ?? "" }
  }
  return said(message, self, edited !== undefined && update.message === undefined)
}
