/**
 * What the Bot API says, as far as it is used here. Everything comes from outside:
 * each update is decoded for itself, so that a malformed one costs only itself,
 * and fields that are not known are left alone, because there are new ones every month.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const optional = <S extends Schema.Top>(schema: S) => Schema.optionalKey(schema)

/** Somebody. */
export const User = Schema.Struct({
  id: Schema.Int,
  is_bot: optional(Schema.Boolean),
  first_name: optional(Schema.String),
  last_name: optional(Schema.String),
  username: optional(Schema.String)
})

const Chat = Schema.Struct({
  id: Schema.Int,
  type: Schema.Literals(["private", "group", "supergroup", "channel"]),
  title: optional(Schema.String)
})

const Entity = Schema.Struct({
  type: Schema.String,
  offset: Schema.Int,
  length: Schema.Int,
  user: optional(User)
})

/** A file as a message names it. */
export const FileInfo = Schema.Struct({
  file_id: Schema.String,
  file_unique_id: optional(Schema.String),
  file_size: optional(Schema.Finite),
  file_name: optional(Schema.String),
  mime_type: optional(Schema.String),
  width: optional(Schema.Finite)
})

const content = {
  text: optional(Schema.String),
  caption: optional(Schema.String),
  entities: optional(Schema.Array(Entity)),
  caption_entities: optional(Schema.Array(Entity)),
  photo: optional(Schema.Array(FileInfo)),
  document: optional(FileInfo),
  voice: optional(FileInfo),
  audio: optional(FileInfo),
  video: optional(FileInfo),
  video_note: optional(FileInfo),
  animation: optional(FileInfo),
  sticker: optional(Schema.Struct({ emoji: optional(Schema.String) })),
  location: optional(Schema.Struct({ latitude: Schema.Finite, longitude: Schema.Finite })),
  contact: optional(
    Schema.Struct({
      phone_number: optional(Schema.String),
      first_name: optional(Schema.String),
      last_name: optional(Schema.String)
    })
  )
}

/** A message. */
export const Message = Schema.Struct({
  message_id: Schema.Int,
  date: Schema.Finite,
  edit_date: optional(Schema.Finite),
  chat: Chat,
  from: optional(User),
  sender_chat: optional(Schema.Struct({ id: Schema.Int })),
  message_thread_id: optional(Schema.Int),
  is_topic_message: optional(Schema.Boolean),
  media_group_id: optional(Schema.String),
  reply_to_message: optional(
    Schema.Struct({ message_id: Schema.Int, from: optional(User), text: content.text, caption: content.caption })
  ),
  ...content
})

/** A button that somebody pressed. */
export const Callback = Schema.Struct({
  id: Schema.String,
  from: User,
  data: optional(Schema.String),
  message: optional(
    Schema.Struct({
      message_id: Schema.Int,
      chat: Chat,
      message_thread_id: optional(Schema.Int),
      is_topic_message: optional(Schema.Boolean)
    })
  )
})

/** What happened. Of the kinds that are asked for, one is set. */
export const Update = Schema.Struct({
  update_id: Schema.Int,
  message: optional(Message),
  edited_message: optional(Message),
  callback_query: optional(Callback)
})

export type Message = typeof Message.Type
export type Update = typeof Update.Type
export type Callback = typeof Callback.Type
export type User = typeof User.Type
export type FileInfo = typeof FileInfo.Type

/** The kinds of updates that are asked for. */
export const kinds = ["message", "edited_message", "callback_query"]

const Numbered = Schema.Struct({ update_id: Schema.Int })
const readUpdate = Schema.decodeUnknownOption(Update)
const readNumber = Schema.decodeUnknownOption(Numbered)

/** A page of updates: each by its number, `undefined` when it can't be read. */
export const Page = Schema.Array(Schema.Unknown)

/** One update of a page, or of a webhook. Without a number it can't be acknowledged and is nothing. */
export const updateOf = (
  value: unknown
): { readonly number: number; readonly update: Update | undefined } | undefined => {
  const numbered = Option.getOrUndefined(readNumber(value))
  return numbered && { number: numbered.update_id, update: Option.getOrUndefined(readUpdate(value)) }
}
