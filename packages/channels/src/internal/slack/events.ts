/**
 * What an event means: somebody who may speak said something, edited or deleted it,
 * pressed a button, or a stranger knocked. Pure, so that the same event means the
 * same however often it is delivered. A message is known by its time in its channel,
 * which a mention of the bot shares with the message that it is in.
 */
import type { Peer } from "@sluice/runtime/Channel"
import type { Inbound } from "@sluice/runtime/Message"
import type { FileToFetch } from "../chat/files.ts"
import { isCommand } from "../chat/words.ts"
import { orderOf, plainOf } from "./mrkdwn.ts"
import type { Event, File, Message, Pressed } from "./wire.ts"

/** The bot itself, as a user. */
export interface Self {
  readonly user: string
}

/** Where something was said: the conversation, and the message in it. */
export interface Place extends Peer {
  readonly chat: string
  readonly message: string
  readonly private: boolean
}

/** What follows from an event. */
export type Meaning =
  | {
      readonly _tag: "Said"
      readonly place: Place
      readonly inbound: Inbound
      readonly files: ReadonlyArray<FileToFetch>
      /** It names the bot, or did, or is written to it alone; else it is heard where the bot has spoken before. */
      readonly addressed: boolean
    }
  | {
      readonly _tag: "Deleted"
      readonly place: Place
      readonly inbound: Inbound
      readonly addressed: boolean
    }
  | { readonly _tag: "Pressed"; readonly place: Place; readonly inbound: Inbound; readonly pressed: Pressed }
  | { readonly _tag: "Stranger"; readonly place: Place; readonly user: string; readonly text: string }
  | { readonly _tag: "Nothing"; readonly why: string }

/** When a version was written, in seconds and microseconds: the message itself first, the word of its deletion last. */
const ageOf = (id: string): readonly [seconds: number, micros: number] => {
  const [, version = ""] = id.split("/", 2)
  if (version === "deleted") return [Infinity, 0]
  const [, seconds = "0", micros = "0"] = /^e(\d+)(?:\.(\d+))?$/.exec(version) ?? []
  return [Number(seconds), Number(micros)]
}

/** Whether one of these versions was written later: Slack delivers what it could not deliver behind what came after it. */
export const isOvertaken = (id: string, versions: ReadonlyArray<string>): boolean => {
  const [seconds, micros] = ageOf(id)
  return versions.map(ageOf).some(([later, by]) => later > seconds || (later === seconds && by > micros))
}

/** Who is allowed: a person by id, or everybody in a channel by its id. */
export type Allows = (id: string) => boolean

const nothing = (why: string): Meaning => ({ _tag: "Nothing", why })

/** In a channel each thread is a conversation, also one that an answer will begin; what is said to the bot alone is one. */
export const placeOf = (channel: string, isPrivate: boolean, ts: string, thread: string | undefined): Place => {
  const own = isPrivate ? (thread === ts ? undefined : thread) : (thread ?? ts)
  return {
    conversation: channel,
    ...(own === undefined ? {} : { thread: own }),
    chat: channel,
    message: ts,
    private: isPrivate
  }
}

/** Whether somebody talks to the bot alone. */
export const isPrivate = ({ channel, channel_type }: Pick<Event, "channel" | "channel_type">): boolean =>
  channel_type === "im" || channel.startsWith("D")

/** The text without the name that it was addressed to, and whether it had it. */
const withoutName = (text: string, { user }: Self) => {
  const left = text.replaceAll(new RegExp(`<@${user}(?:\\|[^<>]*)?>`, "g"), "")
  const named = left !== text
  return { named, left: named ? left.replaceAll(/[ \t]{2,}/g, " ").trim() : text }
}

const fileOf = ({ id, mimetype, mode, name, size, url_private }: File): FileToFetch => ({
  // What is only linked to is not Slack's to hand out.
  id: mode === "external" ? "" : (url_private ?? ""),
  type: mimetype ?? "application/octet-stream",
  name: name ?? id,
  size: size ?? undefined
})

interface Saying {
  readonly place: Place
  readonly user: string
  readonly message: Pick<Message, "text" | "files">
  /** For a newer version: when it was edited, and what it was. */
  readonly edited: { readonly ts: string; readonly before: Message | undefined } | undefined
}

const saying = ({ edited, message, place, user }: Saying, self: Self): Meaning => {
  const { left, named } = withoutName(message.text ?? "", self)
  const text = orderOf(plainOf(left).trim())
  if (edited !== undefined && isCommand(text)) return nothing("an edit is never a command")
  const files = (message.files ?? []).map(fileOf)
  if (text === "" && files.length === 0) return nothing("nothing that can be read")
  return {
    _tag: "Said",
    place,
    files,
    addressed: place.private || named || withoutName(edited?.before?.text ?? "", self).named,
    inbound: {
      conversation: place.conversation,
      ...(place.thread === undefined ? {} : { thread: place.thread }),
      id: edited === undefined ? place.message : `${place.message}/e${edited.ts}`,
      ...(edited === undefined ? {} : { replaces: place.message }),
      // A file ends the burst that it joins.
      ...(files.length > 0 ? { closes: true } : {}),
      sender: user,
      text: text.toWellFormed()
    }
  }
}

/** Kinds of messages in which somebody says something. */
const spoken = new Set(["file_share", "me_message", "thread_broadcast"])

const isBots = ({ bot_id, subtype, user }: Message, self: Self): boolean =>
  user === self.user || (bot_id ?? null) !== null || subtype === "bot_message"

const heard = (event: Event, by: Message, edited: Saying["edited"], self: Self, allows: Allows): Meaning => {
  const { user } = by
  if (user === undefined) return nothing("of nobody")
  if (isBots(by, self)) return nothing("of a bot")
  const place = placeOf(event.channel, isPrivate(event), by.ts, by.thread_ts)
  if (!allows(user) && !allows(event.channel)) {
    return edited === undefined
      ? { _tag: "Stranger", place, user, text: plainOf(by.text ?? "") }
      : nothing("a stranger")
  }
  return saying({ place, user, message: by, edited }, self)
}

/** A message is gone. What it was says whether it was for the bot at all. */
const deleted = (event: Event, before: Message | undefined, self: Self, allows: Allows): Meaning => {
  const user = before?.user
  if (before === undefined || user === undefined) return nothing("of nobody")
  if (isBots(before, self) || !(allows(user) || allows(event.channel))) return nothing("of nobody that is heard")
  const place = placeOf(event.channel, isPrivate(event), before.ts, before.thread_ts)
  return {
    _tag: "Deleted",
    place,
    addressed: place.private || withoutName(before.text ?? "", self).named,
    inbound: {
      conversation: place.conversation,
      ...(place.thread === undefined ? {} : { thread: place.thread }),
      id: `${place.message}/deleted`,
      withdraws: place.message,
      sender: user,
      text: ""
    }
  }
}

/** What an event means. */
export const meaningOf = (event: Event, self: Self, allows: Allows): Meaning => {
  if (event.subtype === "message_deleted") return deleted(event, event.previous_message, self, allows)
  if (event.subtype === "message_changed") {
    const { message, previous_message: before } = event
    // A message that others have answered to leaves a stone with its thread.
    if (message?.subtype === "tombstone") return deleted(event, before, self, allows)
    if (message?.edited === undefined) return nothing("not edited by anybody")
    if (before !== undefined && before.text === message.text) return nothing("an edit of nothing that is said")
    return heard(event, message, { ts: message.edited.ts, before }, self, allows)
  }
  if (event.subtype !== undefined && !spoken.has(event.subtype)) return nothing(`of kind ${event.subtype}`)
  const { bot_id, files, text, thread_ts, ts, user } = event
  if (ts === undefined || user === undefined) return nothing("of nobody")
  const by: Message = {
    ts,
    user,
    ...(text === undefined ? {} : { text }),
    ...(files === undefined ? {} : { files }),
    ...(bot_id === undefined ? {} : { bot_id }),
    ...(thread_ts === undefined ? {} : { thread_ts })
  }
  return heard(event, by, undefined, self, allows)
}

/** What a button says, as the same person would have written it. */
export const pressing = (pressed: Pressed, allows: Allows): Meaning => {
  const { actions, container, user } = pressed
  const { channel_id: channel, message_ts: ts, thread_ts } = container
  const [action] = actions
  if (channel === undefined || ts === undefined || action?.value === undefined) return nothing("a button of nobody's")
  if (!allows(user.id) && !allows(channel)) return nothing("a button that they may not press")
  const place = placeOf(channel, isPrivate({ channel }), ts, thread_ts)
  return {
    _tag: "Pressed",
    place,
    pressed,
    inbound: {
      conversation: channel,
      ...(place.thread === undefined ? {} : { thread: place.thread }),
      id: `action/${ts}/${action.action_ts ?? action.value}`,
      sender: user.id,
      text: action.value
    }
  }
}
