/**
 * A turn as content blocks of the Agent Client Protocol: what was cut off or dropped before it,
 * then its messages, with pictures where the agent takes them. An attempt that
 * was cut off says so, and names the tool whose outcome nobody knows, because an
 * agent that is told nothing does it again.
 */
import type { ContentBlock } from "@agentclientprotocol/sdk/unstable"
import type { AgentError, AgentSession } from "@sluice/runtime/Agent"
import type { Attachment, Turn, TurnMessage } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import { readWhole } from "./node/files.ts"

/** The largest picture that is sent along, in bytes; a larger one is sent as a link to its file. */
export const maxImage = 10 * 1024 * 1024

/** How much of pictures one prompt takes along, in bytes; the newest go first, the others are links. */
export const maxImages = 16 * 1024 * 1024

const text = (text: string): ContentBlock => ({ type: "text", text })

/** What an agent is told of the attempt before this one. */
export const interruptedNote = ({ interrupted }: Turn): string | undefined => {
  if (interrupted === undefined) return undefined
  const cut = `[An earlier attempt at this was cut off (${interrupted.by})`
  return interrupted.tool === undefined
    ? `${cut}. What it did until then may have taken effect.]`
    : `${cut} while "${interrupted.tool}" was running, and nobody knows how that ended. Find out before you do it again.]`
}

/** Turns of a session's past that are looked at for who wrote in them. */
const pastTurns = 20

/** Who writes in a session. Names are told from the moment on in which a second person has written, whoever writes alone. */
export class People {
  #first: string | undefined
  #several = false

  /** They have written; says whether names are told. */
  write(messages: ReadonlyArray<Pick<TurnMessage, "sender">>): boolean {
    for (const { sender } of messages) {
      this.#first ??= sender
      if (sender !== this.#first) this.#several = true
    }
    return this.#several
  }
}

/** Who has written in a session so far, as far as its past is looked at. */
export const peopleOf = (session: Pick<AgentSession, "history">): Effect.Effect<People, AgentError> =>
  Effect.map(session.history({ limit: pastTurns }), (past) => {
    const people = new People()
    for (const { messages } of past) people.write(messages)
    return people
  })

/** What somebody wrote behind their name: further lines are set in, so that none of them passes for somebody else's. */
const signed = ({ sender, text }: TurnMessage): string =>
  `${sender.replaceAll(/\s+/g, " ")}: ${text.replaceAll(/\r\n?|[\n\u0085\u2028\u2029]/g, "\n  ")}`

const linesOf = (messages: ReadonlyArray<TurnMessage>, named: boolean): string =>
  messages.map((message) => (named ? signed(message) : message.text)).join("\n")

const notesOf = (turn: Turn): ReadonlyArray<ContentBlock> => {
  const notes: Array<ContentBlock> = []
  const { context, summary } = turn
  if (summary !== undefined) {
    const lines = summary.lines.map((line) => `- ${line}`).join("\n")
    notes.push(text(`[${summary.count} earlier messages were dropped while you were busy:]\n${lines}`))
  }
  if (context !== undefined && context.length > 0) {
    notes.push(text(`[Written before and not answered, because more was written:]\n${linesOf(context, true)}`))
  }
  const interrupted = interruptedNote(turn)
  return interrupted === undefined ? notes : [...notes, text(interrupted)]
}

const nameOf = ({ name, hash, type }: Attachment): string => name ?? `${hash.slice(0, 12)} (${type})`

/** The pictures that go along: the newest ones that fit. */
const chosen = (files: ReadonlyArray<Attachment>): ReadonlySet<Attachment> => {
  let room = maxImages
  const fitting = files.toReversed().filter(({ missing, path, size, type }) => {
    if (path === undefined || missing === true || !type.startsWith("image/") || size > Math.min(room, maxImage)) {
      return false
    }
    room -= size
    return true
  })
  return new Set(fitting)
}

const attached = Effect.fnUntraced(function* (attachment: Attachment, goesAlong: boolean) {
  const { path, size, type } = attachment
  if (path === undefined || attachment.missing === true) return text(`[The file ${nameOf(attachment)} is missing.]`)
  if (goesAlong) {
    const bytes = yield* readWhole(path)
    if (bytes === undefined) return text(`[The file ${nameOf(attachment)} is missing.]`)
    return { type: "image", mimeType: type, data: bytes.toString("base64") } satisfies ContentBlock
  }
  return {
    type: "resource_link",
    uri: `file://${path.split("/").map(encodeURIComponent).join("/")}`,
    name: nameOf(attachment),
    mimeType: type,
    size
  } satisfies ContentBlock
})

/** Messages as blocks: who wrote what where several people did. */
export const messageBlocks = Effect.fnUntraced(function* (
  messages: ReadonlyArray<TurnMessage>,
  images: boolean,
  people: People
): Effect.fn.Return<Array<ContentBlock>> {
  const attachments = messages.flatMap(({ attachments }) => attachments)
  const along = images ? chosen(attachments) : new Set()
  const files = yield* Effect.forEach(attachments, (attachment) => attached(attachment, along.has(attachment)))
  const lines = linesOf(messages, people.write(messages))
  return lines === "" && files.length > 0 ? files : [text(lines), ...files]
})

/** What was handed to a turn while it ran; whether its agent had taken it by then is not known. */
export const writtenMeanwhile = "[This was written meanwhile. You may have seen it.]"

/** What a turn goes on with whose agent said nothing of these messages. */
export const meanwhile = (
  messages: ReadonlyArray<TurnMessage>,
  images: boolean,
  people: People
): Effect.Effect<Array<ContentBlock>> =>
  Effect.map(messageBlocks(messages, images, people), (blocks) => [text(writtenMeanwhile), ...blocks])

/** The prompt of a turn. `introduction` comes first in a session that has just begun. */
export const promptOf = Effect.fnUntraced(function* (
  turn: Turn,
  options: { readonly images: boolean; readonly introduction: string | undefined; readonly people: People }
): Effect.fn.Return<Array<ContentBlock>> {
  const introduction = options.introduction === undefined ? [] : [text(options.introduction)]
  return [...introduction, ...notesOf(turn), ...(yield* messageBlocks(turn.messages, options.images, options.people))]
})
