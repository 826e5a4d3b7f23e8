/**
 * The frames of /v1/ws as schemas, and the reading of one. A frame is one JSON
 * object in one text message. What can't be right is refused with field, value
 * and remedy, and a field that is not known is an error, as it is over HTTP.
 */
import type { AcceptError, Progress, Reply } from "@sluice/runtime/Message"
import { Invalid } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { visible, visibleValue } from "../visible.ts"
import { replyJson } from "../http/messages.ts"
import { type Problem, problemOf } from "../http/problems.ts"
import { eventName } from "../http/replies.ts"
import { decoder, Message } from "../http/requests.ts"

/** The subprotocol that says which frames are spoken. */
export const protocol = "sluice.v1"

const Number = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** A message. `id` makes it the same one when it is sent again, which a client does until it is accepted or refused. */
export const MessageFrame = Schema.Struct({
  type: Schema.Literal("message"),
  conversation: Schema.String,
  id: Schema.String,
  ...Message.fields
})

/**
 * Shows a conversation's replies with a number above `after` (`latest`: only new ones), and what happens in its turns
 * unless `events` is false. With `window` at most so many replies come that were not acknowledged.
 */
export const ResumeFrame = Schema.Struct({
  type: Schema.Literal("resume"),
  conversation: Schema.String,
  after: Schema.Union([Number, Schema.Literal("latest")]),
  events: Schema.optionalKey(Schema.Boolean),
  window: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 })))
})

/** Shows nothing more of the conversation. */
export const LeaveFrame = Schema.Struct({ type: Schema.Literal("leave"), conversation: Schema.String })

/** Replies up to this number are safe at the client. */
export const AckFrame = Schema.Struct({ type: Schema.Literal("ack"), conversation: Schema.String, number: Number })

/** Asks for a sign of life, for clients that can't send pings of the protocol. */
export const PingFrame = Schema.Struct({ type: Schema.Literal("ping") })

/** What a client sends. */
export const ClientFrame = Schema.Union([MessageFrame, ResumeFrame, LeaveFrame, AckFrame, PingFrame])
export type ClientFrame = typeof ClientFrame.Type

/** The message is on disk. `held`: the gateway is stopping, the answer comes after its restart. */
export const AcceptedFrame = Schema.Struct({
  type: Schema.Literal("accepted"),
  conversation: Schema.String,
  id: Schema.String,
  seq: Schema.Int,
  duplicate: Schema.Boolean,
  held: Schema.optionalKey(Schema.Boolean)
})

/** The conversation is shown from here on; `latest` is its highest number. */
export const ResumedFrame = Schema.Struct({
  type: Schema.Literal("resumed"),
  conversation: Schema.String,
  after: Number,
  latest: Number
})

/** A stored reply. */
export const ReplyFrame = Schema.Struct({
  type: Schema.Literal("reply"),
  conversation: Schema.String,
  number: Number,
  id: Schema.String,
  kind: Schema.Literals(["answer", "notice", "command", "post"]),
  turn: Schema.optionalKey(Schema.String),
  /** The session that answered, where the conversation was in another one. */
  session: Schema.optionalKey(Schema.String),
  inReplyTo: Schema.Array(Schema.String),
  text: Schema.String,
  attachments: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        hash: Schema.String,
        size: Schema.Int,
        type: Schema.String,
        name: Schema.optionalKey(Schema.String)
      })
    )
  ),
  createdAt: Schema.String
})

/** What happens in a turn, under the names of the server-sent events. Not stored: who is away misses it. */
export const EventFrame = Schema.Struct({
  type: Schema.Literal("event"),
  conversation: Schema.String,
  event: Schema.String,
  data: Schema.Record(Schema.String, Schema.Unknown)
})

/** A frame was refused: the problem of HTTP, with the conversation and the message that it is about. */
export const ErrorFrame = Schema.Struct({
  type: Schema.Literal("error"),
  conversation: Schema.optionalKey(Schema.String),
  id: Schema.optionalKey(Schema.String),
  problem: Schema.String,
  status: Schema.Int,
  detail: Schema.String,
  retryAfter: Schema.optionalKey(Schema.Int),
  about: Schema.optionalKey(Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Number])))
})

/** The sign of life that was asked for. */
export const PongFrame = Schema.Struct({ type: Schema.Literal("pong") })

/** The gateway is on its way out. Messages are still accepted; the socket stays until 1012. */
export const StoppingFrame = Schema.Struct({ type: Schema.Literal("stopping"), note: Schema.String })

/** What the server sends. Before it closes with 1012 it sends each shown conversation's `resume`, to be sent back as it is. */
export const ServerFrame = Schema.Union([
  AcceptedFrame,
  ResumedFrame,
  ReplyFrame,
  EventFrame,
  ErrorFrame,
  PongFrame,
  StoppingFrame,
  ResumeFrame
])
export type ServerFrame = typeof ServerFrame.Type

const whole = {
  field: "frame",
  remedy: 'send one JSON object with a type, for example {"type": "resume", "conversation": "kim", "after": 0}'
}

const readers = new Map<string, (input: unknown) => Effect.Effect<ClientFrame, Invalid>>([
  ["message", decoder(MessageFrame, whole)],
  ["resume", decoder(ResumeFrame, whole)],
  ["leave", decoder(LeaveFrame, whole)],
  ["ack", decoder(AckFrame, whole)],
  ["ping", decoder(PingFrame, whole)]
])

const wrong = (field: string, value: string, remedy: string) =>
  Effect.fail(new Invalid({ field, value: `"${visible(value)}"`, remedy }))

/** Reads one frame. */
export const readFrame = (text: string): Effect.Effect<ClientFrame, Invalid> => {
  let input: unknown
  try {
    input = JSON.parse(text)
  } catch {
    return wrong(whole.field, text, whole.remedy)
  }
  if (typeof input !== "object" || input === null || !Object.hasOwn(input, "type") || !("type" in input)) {
    return wrong(whole.field, text, whole.remedy)
  }
  const type = typeof input.type === "string" ? input.type : visibleValue(input.type)
  const read = readers.get(type)
  return read === undefined ? wrong("type", type, `use one of ${[...readers.keys()].join(", ")}`) : read(input)
}

/** What a frame was about, as far as it can be told from one that was refused. */
export const subjectOf = (text: string): Subject => {
  try {
    const { conversation, id } = Object(JSON.parse(text))
    return {
      ...(typeof conversation === "string" ? { conversation: visible(conversation, 256) } : {}),
      ...(typeof id === "string" ? { id: visible(id, 256) } : {})
    }
  } catch {
    return {}
  }
}

/** What an error is about. */
export interface Subject {
  readonly conversation?: string
  readonly id?: string
}

/** The frame of a stored reply. */
export const replyFrame = (conversation: string, reply: Reply): ServerFrame => ({
  type: "reply",
  conversation,
  ...replyJson(reply)
})

/** The frame of what happens in a turn. */
export const eventFrame = (conversation: string, { _tag, ...data }: Progress): ServerFrame => ({
  type: "event",
  conversation,
  event: eventName(_tag),
  data
})

/** The frame of a problem. */
export const errorFrame = (problem: Problem, subject: Subject): ServerFrame => ({
  type: "error",
  ...subject,
  problem: `urn:sluice:problem:${problem.type}`,
  status: problem.status,
  detail: problem.detail,
  ...(problem.retryAfter === undefined ? {} : { retryAfter: problem.retryAfter }),
  ...(problem.extra === undefined ? {} : { about: problem.extra })
})

/** The frame of a refusal. */
export const refusalFrame = (error: AcceptError, subject: Subject): ServerFrame => errorFrame(problemOf(error), subject)
