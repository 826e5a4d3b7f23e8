/**
 * What the CLI says of a turn, as events. Text comes in pieces as the model writes
 * it; what comes whole (from a version without pieces, or from the CLI itself) is
 * taken only where no pieces came. Whatever is not known here is a sign of life.
 */
import * as Agent from "@sluice/runtime/Agent"
import { type Message, number, record, records, text } from "./lines.ts"
import { detailOf } from "./permission.ts"
import { synthetic } from "./transcript.ts"

/** Tools that only look. Everything else may change something, also what is not known here. */
const onlyLook = new Set([
  "Read",
  "Grep",
  "Glob",
  "LS",
  "NotebookRead",
  "WebFetch",
  "WebSearch",
  "TodoRead",
  "TodoWrite",
  "TaskList",
  "TaskGet",
  "TaskOutput",
  "ToolSearch",
  "Skill",
  "AskUserQuestion",
  "EnterPlanMode",
  "ExitPlanMode",
  "ReportFindings"
])

const longestName = 120

const usageEvent = (usage: Readonly<Record<string, number>>, model: string | undefined): Agent.AgentEvent => ({
  _tag: "Usage",
  usage,
  ...(model === undefined ? {} : { model })
})

const counts = (message: Message, names: readonly [string, string, string, string]) => ({
  inputTokens: number(message, names[0]) ?? 0,
  outputTokens: number(message, names[1]) ?? 0,
  cacheReadTokens: number(message, names[2]) ?? 0,
  cacheWriteTokens: number(message, names[3]) ?? 0
})

/** What a result says was used since the last one: by model where it says so. `model` is the one that spoke. */
export const usageOf = (result: Message, model: string | undefined): ReadonlyArray<Agent.AgentEvent> => {
  const byModel = record(result, "model_usage_since_last_result")
  if (byModel !== undefined) {
    return Object.keys(byModel).flatMap((name) => {
      const used = record(byModel, name)
      if (used === undefined) return []
      const cost = number(used, "costUSD")
      const tokens = counts(used, ["inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens"])
      return [usageEvent(cost === undefined || cost === 0 ? tokens : { ...tokens, cost }, name)]
    })
  }
  // Older versions: tokens of this turn, and a cost of the whole conversation that says nothing of it.
  const used = record(result, "usage")
  if (used === undefined) return []
  const names = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"] as const
  return [usageEvent(counts(used, names), model)]
}

const retryLine = (message: Message): string => {
  const of = number(message, "max_retries")
  return `The model does not answer right now, trying again (${number(message, "attempt") ?? 1}${of === undefined ? "" : ` of ${of}`})`
}

/** Turns the messages of one turn into events. */
export const translator = () => {
  const tools = new Set<string>()
  /** Messages of the model whose pieces were seen: the whole of them brings nothing new. */
  const streamed = new Set<string>()
  let current: string | undefined
  let model: string | undefined
  let spoke = false
  let gap = false
  let refusal: string | undefined

  const say = (delta: string): ReadonlyArray<Agent.AgentEvent> => {
    if (delta === "") return []
    const apart = gap && spoke
    gap = false
    spoke = true
    return [Agent.text(apart ? `\n\n${delta}` : delta)]
  }

  const piece = (message: Message): ReadonlyArray<Agent.AgentEvent> => {
    const event = record(message, "event")
    switch (text(event, "type")) {
      case "message_start":
        current = text(record(event, "message"), "id")
        model = text(record(event, "message"), "model") ?? model
        gap = true
        return []
      case "content_block_start":
        gap = true
        return []
      case "content_block_delta": {
        const delta = record(event, "delta")
        if (text(delta, "type") !== "text_delta") return []
        if (current !== undefined) streamed.add(current)
        return say(text(delta, "text") ?? "")
      }
      default:
        return []
    }
  }

  const started = (block: Message): ReadonlyArray<Agent.AgentEvent> => {
    const id = text(block, "id")
    const name = text(block, "name")
    if (id === undefined || name === undefined || tools.has(id)) return []
    tools.add(id)
    const input = record(block, "input")
    const detail = text(input, "description") ?? detailOf(input, longestName)
    const shown = detail === "" ? name : `${name}: ${detail}`.slice(0, longestName)
    return [{ _tag: "ToolStarted", id, name: shown, sideEffects: !onlyLook.has(name) }]
  }

  const assistant = (message: Message): ReadonlyArray<Agent.AgentEvent> => {
    const body = record(message, "message")
    const kind = text(message, "error")
    if (kind !== undefined) {
      refusal = kind
      return []
    }
    // A helper's words are for the model that sent it; what it does may have effects all the same.
    const helper = text(message, "parent_tool_use_id") !== undefined
    const known = streamed.has(text(body, "id") ?? "") || text(body, "model") === synthetic
    return records(body, "content").flatMap((block) => {
      if (text(block, "type") === "tool_use") return started(block)
      if (helper || known || text(block, "type") !== "text") return []
      gap = true
      return say(text(block, "text") ?? "")
    })
  }

  const finished = (message: Message): ReadonlyArray<Agent.AgentEvent> =>
    records(record(message, "message"), "content").flatMap((block) => {
      const id = text(block, "tool_use_id")
      return id !== undefined && tools.delete(id) ? [{ _tag: "ToolFinished" as const, id }] : []
    })

  const system = (message: Message): ReadonlyArray<Agent.AgentEvent> => {
    const subtype = text(message, "subtype")
    if (subtype === "api_retry") return [{ _tag: "Line", text: retryLine(message) }]
    if (subtype === "status" && text(message, "status") === "compacting") {
      return [{ _tag: "Line", text: "Summing up our conversation so far" }]
    }
    return []
  }

  return {
    on: (message: Message): ReadonlyArray<Agent.AgentEvent> => {
      switch (text(message, "type")) {
        case "stream_event":
          return text(message, "parent_tool_use_id") === undefined ? piece(message) : []
        case "assistant":
          return assistant(message)
        case "user":
          return finished(message)
        case "system":
          return system(message)
        default:
          return []
      }
    },
    /** The last events: an answer that came only with the result, and tools that nobody finished. */
    end: (answer: string | undefined): ReadonlyArray<Agent.AgentEvent> => {
      const open = [...tools]
      tools.clear()
      return [
        ...(spoke || answer === undefined ? [] : say(answer)),
        ...open.map((id) => ({ _tag: "ToolFinished" as const, id }))
      ]
    },
    spoke: () => spoke,
    model: () => model,
    /** The CLI's word for how the model's API refused, if it did. */
    refusal: () => refusal
  }
}
