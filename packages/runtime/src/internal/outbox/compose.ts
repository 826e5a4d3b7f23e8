/**
 * What is said: the route and the parts of a reply by its channel, and the
 * sentences that go in front of one that is late or may have been seen before.
 */
import type { Channel } from "../../Channel.ts"
import type { Draft, ReplyRow, Route } from "../../Journal.ts"
import { type Attachment, type Reply, sizeText } from "../../Message.ts"
import type { Said, Speaker } from "../../Notices.ts"

/** How replies of a channel become visible. One that is not there any more holds them. */
export const routeOf = (channel: Channel<unknown> | undefined): Route => ({
  pull: channel?.delivery._tag === "Pull",
  places: channel?.delivery._tag === "Edit"
})

/** The texts of an answer's rows: cut by the channel, none empty; no rows for an empty answer. */
export const parts = (channel: Channel<unknown> | undefined, text: string): ReadonlyArray<string> =>
  text.trim() === "" ? [] : (channel === undefined ? [text] : channel.split(text)).filter((part) => part.trim() !== "")

/** An answer with its files: where the channel does not show them, its text says which there are. */
export const answerOf = (
  speaker: Speaker,
  channel: Channel<unknown> | undefined,
  text: string,
  attachments: ReadonlyArray<Attachment>
): Draft => {
  if (attachments.length === 0) return { kind: "answer", parts: parts(channel, text) }
  const told = attachments.map(
    ({ hash, name = hash, size }) => speaker.say("file", { name, size: sizeText(size) }).text
  )
  const whole = channel?.files === true ? text : [text, ...told].join("\n")
  return { kind: "answer", parts: parts(channel, whole), attachments }
}

/** The text of a sentence with its options, for channels without buttons. */
export const textOf = (said: Said): string =>
  said.options.length === 0 ? said.text : `${said.text}\n${said.options.map((option) => `[${option}]`).join(" ")}`

/** A sentence as a draft of a settlement. `now` is epoch milliseconds. */
export const draftOf = (channel: Channel<unknown> | undefined, said: Said, now: number): Draft => ({
  kind: "notice",
  parts: parts(channel, textOf(said)),
  notice: said.id,
  ...(said.expiresAfter === undefined ? {} : { expiresAt: now + said.expiresAfter })
})

/** A reply as it is sent: with its marks, or with the marks ahead as a message of their own where both don't fit in one. */
export const compose = (
  speaker: Speaker,
  channel: Channel<unknown>,
  row: ReplyRow,
  age: number
): { readonly ahead: Reply | undefined; readonly reply: Reply } => {
  const marks: Array<string> = []
  if (age > channel.replyMaxAge) {
    const answers = row.reply.turn !== undefined || row.reply.inReplyTo.length > 0
    marks.push(speaker.say(answers ? "late" : "latePost", { age }).text)
  }
  if (row.marked) marks.push(speaker.say("maybeTwice", {}).text)
  const { session } = row.reply
  const label = session === undefined ? [] : [speaker.say("fromSession", { name: session }).text]
  if (marks.length + label.length === 0) return { ahead: undefined, reply: row.reply }
  const mark = [...marks, ...label].join("\n")
  const text = [...(marks.length === 0 ? [] : [`${marks.join("\n")}\n`]), ...label, row.reply.text].join("\n")
  return channel.split(text).length <= 1
    ? { ahead: undefined, reply: { ...row.reply, text } }
    : { ahead: { ...row.reply, id: `${row.reply.id}/mark`, text: mark }, reply: row.reply }
}
