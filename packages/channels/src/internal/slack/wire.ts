/**
 * What Slack says, as far as it is used here. Everything comes from outside: what is
 * read is decoded, fields that are not known are left alone, and an event that can't
 * be read costs only itself.
 */
import * as Schema from "effect/Schema"

const optional = <S extends Schema.Top>(schema: S) => Schema.optionalKey(schema)
const text = optional(Schema.NullOr(Schema.String))

/** A file as a message names it; of one that is hidden most is missing. */
export const File = Schema.Struct({
  id: Schema.String,
  name: text,
  mimetype: text,
  size: optional(Schema.NullOr(Schema.Finite)),
  mode: text,
  url_private: text
})

const said = {
  subtype: optional(Schema.String),
  user: optional(Schema.String),
  bot_id: text,
  text,
  thread_ts: optional(Schema.String),
  files: optional(Schema.NullOr(Schema.Array(File)))
}

/** A message inside of an event about it. */
export const Message = Schema.Struct({
  ...said,
  ts: Schema.String,
  edited: optional(Schema.Struct({ ts: Schema.String }))
})

/** A message, a mention, or what became of a message. */
export const Event = Schema.Struct({
  ...said,
  type: Schema.String,
  channel: Schema.String,
  channel_type: optional(Schema.String),
  ts: optional(Schema.String),
  deleted_ts: optional(Schema.String),
  message: optional(Message),
  previous_message: optional(Message)
})

/** What every delivery of an event has around it. */
export const Envelope = Schema.Struct({
  type: Schema.String,
  challenge: optional(Schema.String),
  event_id: optional(Schema.String),
  event: optional(Schema.Unknown)
})

/** Its type, for what is not known. */
export const Typed = Schema.Struct({ type: Schema.String })

/** A button that somebody pressed. */
export const Pressed = Schema.Struct({
  type: Schema.Literal("block_actions"),
  user: Schema.Struct({ id: Schema.String }),
  container: Schema.Struct({
    channel_id: optional(Schema.String),
    message_ts: optional(Schema.String),
    thread_ts: optional(Schema.String)
  }),
  message: optional(Schema.Struct({ text, blocks: optional(Schema.Array(Schema.Unknown)) })),
  actions: Schema.Array(
    Schema.Struct({ action_id: Schema.String, value: optional(Schema.String), action_ts: optional(Schema.String) })
  )
})

export type Event = typeof Event.Type
export type Message = typeof Message.Type
export type File = typeof File.Type
export type Pressed = typeof Pressed.Type
