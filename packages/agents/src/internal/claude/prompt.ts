/**
 * A turn as the content of one message to the CLI: what was cut off or dropped
 * before it, then its messages with their pictures; other files by their path,
 * for the CLI to read. Nothing that a person writes is taken for a command of the
 * CLI's own: `/clear` in a chat must not make it forget.
 */
import type { ContentBlock } from "@agentclientprotocol/sdk/unstable"
import type { Turn, TurnMessage } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import { interruptedNote, meanwhile, messageBlocks, type People, promptOf } from "../prompt.ts"
import type { Message } from "./lines.ts"

/** Picture types that the model's API takes. */
const pictures = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"])

const said = (text: string): Message => ({ type: "text", text: text.startsWith("/") ? ` ${text}` : text })

const blockOf = (block: ContentBlock): Message => {
  switch (block.type) {
    case "text":
      return said(block.text)
    case "image":
      return pictures.has(block.mimeType)
        ? { type: "image", source: { type: "base64", media_type: block.mimeType, data: block.data } }
        : said(`[A picture of the type ${block.mimeType}, which can't be shown to you.]`)
    case "resource_link":
      return said(
        `[File ${block.name} (${block.mimeType ?? "unknown type"}): ${decodeURIComponent(new URL(block.uri).pathname)}]`
      )
    default:
      return said("[Something that can't be shown to you.]")
  }
}

/** Everything of the turn, as it is said the first time. */
export const content = (turn: Turn, people: People): Effect.Effect<ReadonlyArray<Message>> =>
  Effect.map(promptOf(turn, { images: true, introduction: undefined, people }), (blocks) => blocks.map(blockOf))

/** Messages that came while their turn runs. */
export const further = (messages: ReadonlyArray<TurnMessage>, people: People): Effect.Effect<ReadonlyArray<Message>> =>
  Effect.map(messageBlocks(messages, true, people), (blocks) => blocks.map(blockOf))

/** Messages of a turn that the CLI may have seen. */
export const perhapsSeen = (
  messages: ReadonlyArray<TurnMessage>,
  people: People
): Effect.Effect<ReadonlyArray<Message>> =>
  Effect.map(meanwhile(messages, true, people), (blocks) => blocks.map(blockOf))

/** The same turn again, where the conversation has its first `known` messages already and not the answer. */
export const continuation = Effect.fnUntraced(function* (
  turn: Turn,
  known: number,
  people: People
): Effect.fn.Return<ReadonlyArray<Message>> {
  const note = interruptedNote(turn)
  const more = turn.messages.slice(known)
  const blocks = more.length === 0 ? [] : yield* perhapsSeen(more, people)
  return [
    ...(note === undefined ? [] : [said(note)]),
    said("[Your answer to the message before was cut off. Carry on with it from where it stands.]"),
    ...blocks
  ]
})
