/**
 * What a transcript says of a turn that was cut off: that it has its answer (the
 * process outlived its gateway, or died after the answer was written), that only
 * the question stands there, or neither. A crash between the answer and its
 * settlement must not pay for a second one.
 */
import * as Agent from "@sluice/runtime/Agent"
import { type Message, messageOf, number, record, records, text } from "./lines.ts"

/** What became of a message. */
export type Found =
  | { readonly _tag: "Answered"; readonly events: ReadonlyArray<Agent.AgentEvent> }
  | { readonly _tag: "Asked" }
  | { readonly _tag: "Unknown" }

/** The model by whose name the CLI itself speaks. */
export const synthetic = "<synthetic>"

/** Ways in which a model's message ends that are not the end of the turn. */
const goesOn = new Set(["tool_use", "pause_turn"])

interface Entry {
  readonly message: Message
  readonly body: Message
}

/** Which of these messages stand in the transcript: as what the user said, or as what a running turn took in. */
export const known = (lines: ReadonlyArray<string>, uuids: ReadonlyArray<string>): ReadonlySet<string> =>
  new Set(
    uuids.filter((uuid) =>
      lines.some((line) => {
        if (!line.includes(uuid)) return false
        const message = messageOf(line)
        if (text(message, "type") === "user") return text(message, "uuid") === uuid
        const attachment = record(message, "attachment")
        return text(attachment, "type") === "queued_command" && text(attachment, "source_uuid") === uuid
      })
    )
  )

/** The entries of the conversation itself: not those of helpers that worked for it, nor the CLI's own notes. */
const entriesOf = (lines: ReadonlyArray<string>): ReadonlyArray<Entry> =>
  lines.flatMap((line) => {
    // Most of a transcript are other lines, and long ones.
    if (!line.includes('"type":"user"') && !line.includes('"type":"assistant"')) return []
    const message = messageOf(line)
    const body = record(message, "message")
    const type = text(message, "type")
    if (message === undefined || body === undefined || (type !== "user" && type !== "assistant")) return []
    return message["isSidechain"] === true ? [] : [{ message, body }]
  })

/** Whether something was said in the conversation at all. */
export const hasConversation = (lines: ReadonlyArray<string>): boolean => entriesOf(lines).length > 0

const textsOf = (body: Message): ReadonlyArray<string> =>
  records(body, "content").flatMap((block) => {
    const said = text(block, "type") === "text" ? text(block, "text") : undefined
    return said === undefined || said === "" ? [] : [said]
  })

/** What a tool's result says when a process that had lost its gateway could not ask for permission. */
const couldNotAsk = "permission stream closed"

/** Whether the answer was given without the person whose permission it needed. */
const unasked = ({ body }: Entry): boolean =>
  records(body, "content").some(
    (block) => block["is_error"] === true && JSON.stringify(block["content"] ?? "").includes(couldNotAsk)
  )

/** A result of a tool is written as if the user had said it; what is marked so is the CLI's own. */
const isPrompt = ({ body, message }: Entry): boolean => {
  if (text(message, "type") !== "user" || message["isMeta"] === true) return false
  return !records(body, "content").some((block) => text(block, "type") === "tool_result")
}

/** What was used: the pieces of one message of the model all name the same amount, so the last one counts. */
const usageOf = (entries: ReadonlyArray<Entry>): ReadonlyArray<Agent.AgentEvent> => {
  const byMessage = new Map<string, Message>()
  for (const { body } of entries) byMessage.set(text(body, "id") ?? "", body)
  return [...byMessage.values()].flatMap((body) => {
    const used = record(body, "usage")
    const model = text(body, "model")
    if (used === undefined) return []
    const usage = {
      inputTokens: number(used, "input_tokens") ?? 0,
      outputTokens: number(used, "output_tokens") ?? 0,
      cacheReadTokens: number(used, "cache_read_input_tokens") ?? 0,
      cacheWriteTokens: number(used, "cache_creation_input_tokens") ?? 0
    }
    return [{ _tag: "Usage" as const, usage, ...(model === undefined ? {} : { model }) }]
  })
}

/**
 * Looks for what became of the last of these messages that the transcript has. `handed` are messages that were handed to
 * the turn while it ran: what follows one that began when the turn had just ended belongs to it, too.
 */
export const find = (
  lines: ReadonlyArray<string>,
  uuids: ReadonlyArray<string>,
  handed: ReadonlySet<string> = new Set()
): Found => {
  const entries = entriesOf(lines)
  const own = new Set(uuids)
  const at = entries.findLastIndex(({ message }) => own.has(text(message, "uuid") ?? ""))
  if (at === -1) return { _tag: "Unknown" }
  const rest = entries.slice(at + 1)
  const isHanded = ({ message }: Entry) => handed.has(text(message, "uuid") ?? "")
  const end = rest.findIndex((entry) => isPrompt(entry) && !isHanded(entry))
  const turn = end === -1 ? rest : rest.slice(0, end)
  if (turn.some(unasked)) return { _tag: "Asked" }
  // What the CLI says in the model's place (that its API failed, that nothing was answered) is no answer.
  const isSaid = ({ body, message }: Entry) =>
    text(message, "type") === "assistant" && text(body, "model") !== synthetic
  const said = turn.filter(isSaid)
  // Begun with, and not answered.
  if (turn.findLastIndex(isHanded) > turn.findLastIndex(isSaid)) return { _tag: "Asked" }
  const reason = text(said.at(-1)?.body, "stop_reason")
  const words = said.flatMap(({ body }) => textsOf(body))
  if (reason === undefined || goesOn.has(reason) || words.length === 0) return { _tag: "Asked" }
  return { _tag: "Answered", events: [Agent.text(words.join("\n\n")), ...usageOf(said)] }
}
