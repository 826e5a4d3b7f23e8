/**
 * A conversation as a model reads it: past turns, what came before them in short,
 * and the turn that is to be answered with everything that happened around it.
 * What people typed stays between their own lines: who wrote something is said at
 * the start of a line, and their further lines are indented.
 */
import type { PastTurn } from "@sluice/runtime/Agent"
import type { Attachment, Turn, TurnMessage } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import { imageFile } from "../node/imageFile.ts"
import { estimate, imageTokens, messageTokens } from "./tokens.ts"
import type { ChatMessage, Part } from "./wire.ts"

/** Image types that the models of both APIs take. */
const shown: ReadonlySet<string> = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"])

/** The most images of one request, the newest ones. */
const maxImages = 8
/** The largest image in bytes: five megabytes in base64, which is where providers refuse. */
const maxImage = 3_750_000

// eslint-disable-next-line no-control-regex
const plain = (text: string): string => text.replace(/[\u0000-\u001f\u007f]+/g, " ").slice(0, 100)

const sizeText = (bytes: number): string => (bytes < 1024 ? `${bytes} bytes` : `${Math.ceil(bytes / 1024)} KiB`)

const nameOf = ({ name, type }: Attachment): string => (name === undefined ? `of type ${plain(type)}` : plain(name))

const isImage = ({ type }: Attachment): boolean => type.startsWith("image/")

/** Images by hash, in base64. One that is not there is told in words. */
export type Images = ReadonlyMap<string, string>

const wordsOf = (attachment: Attachment, images: Images): string => {
  const { missing, path, size } = attachment
  const name = nameOf(attachment)
  const kind = isImage(attachment) ? "image" : "file"
  if (missing === true || path === undefined) return `[${kind} ${name}: it is no longer there]`
  if (!isImage(attachment)) return `[file ${name}, ${sizeText(size)}: its content is not shown]`
  return images.has(attachment.hash) ? `[image ${name}]` : `[image ${name}, ${sizeText(size)}: not shown]`
}

/** A message with its sender's name, when several write. */
const written = (message: TurnMessage, images: Images, several: boolean): string => {
  const text = [...message.attachments.map((one) => wordsOf(one, images)), message.text]
    .filter((line) => line.trim() !== "")
    .join("\n")
  return several ? `${plain(message.sender)}: ${text.replaceAll(/\r\n?|[\n\u0085\u2028\u2029]/g, "\n  ")}` : text
}

const partsOf = (text: string, messages: ReadonlyArray<TurnMessage>, images: Images): ReadonlyArray<Part> => {
  const pictures = messages
    .flatMap(({ attachments }) => attachments)
    .flatMap(({ hash, type }): ReadonlyArray<Part> => {
      const base64 = images.get(hash)
      return base64 === undefined ? [] : [{ _tag: "Image", type, base64 }]
    })
  // A message of nothing but blanks is refused by some servers.
  return [{ _tag: "Text", text: text.trim() === "" ? "(no text)" : text }, ...pictures]
}

const joined = (messages: ReadonlyArray<TurnMessage>, images: Images, several: boolean): string =>
  messages.map((message) => written(message, images, several)).join("\n")

/** What the turn that is to be answered says, with what happened around it in front. */
const turnText = (turn: Turn, images: Images, several: boolean): string => {
  const { context = [], interrupted, summary } = turn
  const notes: Array<string> = []
  if (summary !== undefined) {
    const lines = summary.lines.map((line) => `- ${plain(line.slice(0, 160))}`)
    notes.push(
      [
        `[${summary.count} messages came faster than they could be answered and were left out. A line of each:`,
        ...lines
      ].join("\n") + "]"
    )
  }
  if (context.length > 0) {
    notes.push(
      `[Written before, and not answered because the following came meanwhile:\n${joined(context, images, several)}]`
    )
  }
  if (interrupted?.tool !== undefined) {
    notes.push(
      `[An earlier attempt to answer was cut off while running ${plain(interrupted.tool)}. Nobody knows whether it went through: say so, and don't do it again without being asked.]`
    )
  }
  return [...notes, joined(turn.messages, images, several)].join("\n\n")
}

/** Everybody who writes in what the model sees. */
export const sendersOf = (past: ReadonlyArray<PastTurn>, turn: Turn): ReadonlySet<string> =>
  new Set(
    [...past.flatMap(({ messages }) => messages), ...turn.messages, ...(turn.context ?? [])].map(({ sender }) => sender)
  )

/** Reads the newest images that can be shown. */
export const imagesOf = Effect.fnUntraced(function* (past: ReadonlyArray<PastTurn>, turn: Turn) {
  const found = new Map<string, string>()
  const messages = [...past.flatMap((one) => one.messages), ...(turn.context ?? []), ...turn.messages]
  const newest = messages.flatMap(({ attachments }) => attachments).reverse()
  for (const attachment of newest) {
    const { hash, path } = attachment
    if (found.size === maxImages) break
    if (found.has(hash) || path === undefined || !isShown(attachment)) continue
    const base64 = yield* imageFile(path)
    if (base64 !== undefined) found.set(hash, base64)
  }
  return found
})

/** Neighbours of one role become one message. */
const alternating = (messages: ReadonlyArray<ChatMessage>): ReadonlyArray<ChatMessage> => {
  const out: Array<ChatMessage> = []
  for (const message of messages) {
    const last = out.at(-1)
    if (last?.role === message.role) out[out.length - 1] = { role: last.role, parts: [...last.parts, ...message.parts] }
    else out.push(message)
  }
  return out
}

/** What a conversation is made of. */
export interface Conversation {
  /** Oldest first. */
  readonly past: ReadonlyArray<PastTurn>
  /** What came before the past turns, in words. */
  readonly before?: string
  readonly turn: Turn
  readonly images: Images
}

/** The messages for the model. */
export const messagesOf = ({ before, images, past, turn }: Conversation): ReadonlyArray<ChatMessage> => {
  const several = sendersOf(past, turn).size > 1
  const user = (text: string, messages: ReadonlyArray<TurnMessage>): ChatMessage => ({
    role: "user",
    parts: partsOf(text, messages, images)
  })
  return alternating([
    ...(before === undefined ? [] : [user(before, [])]),
    ...past.flatMap(({ answer, messages }): ReadonlyArray<ChatMessage> => [
      user(joined(messages, images, several), messages),
      ...(answer.trim() === "" ? [] : [{ role: "assistant", parts: [{ _tag: "Text", text: answer }] } as const])
    ]),
    user(turnText(turn, images, several), [...(turn.context ?? []), ...turn.messages])
  ])
}

/** What is added to the system prompt when several people write. */
export const severalPeople =
  "Several people write in this conversation. Each of their messages begins with the sender's name and a colon; don't begin your own answers that way."

/** A guess at the tokens of messages. */
export const tokensOf = (messages: ReadonlyArray<ChatMessage>): number =>
  messages.reduce(
    (sum, { parts }) =>
      parts.reduce(
        (inner, part) => inner + (part._tag === "Text" ? estimate(part.text) : imageTokens),
        sum + messageTokens
      ),
    0
  )

const isShown = ({ missing, path, size, type }: Attachment): boolean =>
  missing !== true && path !== undefined && size <= maxImage && shown.has(type)

/** What the images of messages cost, as far as one request takes them. */
export const imagesTokens = (messages: ReadonlyArray<TurnMessage>): number =>
  Math.min(maxImages, messages.flatMap(({ attachments }) => attachments.filter(isShown)).length) * imageTokens

/** The same for a past turn. */
export const turnTokens = ({ answer, messages }: PastTurn): number =>
  messages.reduce((sum, { text }) => sum + estimate(text) + messageTokens, estimate(answer) + messageTokens)

/** Past turns as a text to be summarised, oldest first. */
export const transcript = (turns: ReadonlyArray<PastTurn>): string =>
  turns
    .map(
      ({ answer, messages }) => `${joined(messages, new Map(), true)}\nassistant: ${answer.replaceAll("\n", "\n  ")}`
    )
    .join("\n")
