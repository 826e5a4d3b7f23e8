/**
 * What an agent says of its session while a turn runs, as events of that turn.
 * Read by hand and with tolerance: agents are older and newer than the SDK, and
 * an update that is not understood is a sign of life, never the end of a turn.
 */
import type { PlanEntry, ToolKind } from "@agentclientprotocol/sdk/unstable"
import * as Agent from "@sluice/runtime/Agent"

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {})

const textOf = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined)

/** What only looks. Everything else, and what is not said, may have changed something. */
const harmless: ReadonlySet<string> = new Set<ToolKind>(["read", "search", "think", "fetch", "switch_mode"])

const alive: Agent.AgentEvent = { _tag: "Alive" }

/** Tokens and cost of a session so far, where it says them. */
interface Cost {
  readonly amount: number
  readonly currency: string
}

/** What a session said of itself since it was opened, across its turns. */
export interface Facts {
  /** The model that answers, where it is known. */
  model: string | undefined
  /** What the session had cost when it was last told; `undefined` until it is known from where to count. */
  spent: number | undefined
}

/** Reads the params of `session/update`; `undefined` when they are none, or another session's. */
export const updateOf = (params: unknown, session: string | undefined): Fields | undefined => {
  const { sessionId, update } = fieldsOf(params)
  if (session !== undefined && sessionId !== session) return undefined
  return isFields(update) && typeof update["sessionUpdate"] === "string" ? update : undefined
}

const costOf = (value: unknown): Cost | undefined => {
  const { amount, currency } = fieldsOf(value)
  return typeof amount === "number" && Number.isFinite(amount) && typeof currency === "string"
    ? { amount, currency }
    : undefined
}

/** The value of the model's option, among the options that a session offers. */
export const modelIn = (configOptions: unknown): string | undefined => {
  if (!Array.isArray(configOptions)) return undefined
  const option = configOptions.map(fieldsOf).find(({ category, id }) => category === "model" || id === "model")
  return textOf(option?.["currentValue"])
}

/** Takes what concerns the session rather than a turn; it may come at any time. */
export const learn = (facts: Facts, update: Fields, inTurn: boolean): void => {
  if (update["sessionUpdate"] === "config_option_update") {
    facts.model = modelIn(update["configOptions"]) ?? facts.model
  }
  // The adapter of Claude Code says here which model it was; its option may only say "default".
  facts.model = textOf(fieldsOf(update["_meta"])["_claude/model"]) ?? facts.model
  // Outside of a turn: what the conversation had cost before.
  if (update["sessionUpdate"] === "usage_update" && !inTurn) {
    facts.spent = costOf(update["cost"])?.amount ?? facts.spent
  }
}

/** A block of an agent's message as text. What should be a text and is none says nothing. */
const shown = (block: Fields): string => {
  const type = textOf(block["type"])
  switch (type) {
    case undefined:
      return ""
    case "text":
      return textOf(block["text"]) ?? ""
    case "resource_link": {
      const [name, uri] = [textOf(block["name"]), textOf(block["uri"]) ?? ""]
      return name === undefined || name === uri ? uri : `${name} (${uri})`
    }
    case "resource": {
      const resource = fieldsOf(block["resource"])
      return textOf(resource["text"]) ?? textOf(resource["uri"]) ?? ""
    }
    default:
      return `[${type}]`
  }
}

const planLine = (entries: ReadonlyArray<PlanEntry>): string | undefined => {
  const said = entries.filter((entry) => isFields(entry) && typeof entry.content === "string")
  if (said.length === 0) return undefined
  const done = said.filter(({ status }) => status === "completed").length
  const next = said.find(({ status }) => status === "in_progress") ?? said.find(({ status }) => status === "pending")
  return `Plan ${done}/${said.length}${next === undefined ? "" : `: ${next.content}`}`
}

/** The tokens of a prompt's response; they count from the turn's beginning. */
export const usageOf = (response: unknown): Readonly<Record<string, number>> | undefined => {
  const usage = fieldsOf(fieldsOf(response)["usage"])
  const names = {
    inputTokens: "inputTokens",
    outputTokens: "outputTokens",
    // Thoughts are told apart from the output, and paid like it.
    thoughtTokens: "outputTokens",
    cachedReadTokens: "cacheReadTokens",
    cachedWriteTokens: "cacheWriteTokens"
  }
  const found: Record<string, number> = {}
  for (const [from, to] of Object.entries(names)) {
    const value = usage[from]
    if (typeof value === "number" && Number.isFinite(value)) found[to] = (found[to] ?? 0) + value
  }
  return Object.keys(found).length === 0 ? undefined : found
}

/** Turns the updates of one turn into its events. */
export const translator = (facts: Facts) => {
  const tools = new Map<string, { readonly name: string; readonly sideEffects: boolean }>()
  const finished = new Set<string>()
  let written = ""
  let message: unknown
  let parted = false
  let plan: string | undefined

  const onText = (update: Fields): ReadonlyArray<Agent.AgentEvent> => {
    const delta = shown(fieldsOf(update["content"]))
    if (delta === "") return [alive]
    const { messageId } = update
    const other = messageId !== undefined && message !== undefined && messageId !== message
    // What was said before a tool ran and after it are paragraphs of their own.
    const apart = written !== "" && (parted || other) && !written.endsWith("\n") && !delta.startsWith("\n")
    message = messageId ?? message
    parted = false
    written = delta
    return [Agent.text(apart ? `\n\n${delta}` : delta)]
  }

  const onTool = (update: Fields): ReadonlyArray<Agent.AgentEvent> => {
    const id = textOf(update["toolCallId"])
    // What is said of a tool after its end changes nothing.
    if (id === undefined || finished.has(id)) return [alive]
    const known = tools.get(id)
    const { status } = update
    const over = status === "completed" || status === "failed"
    parted = true
    const kind = textOf(update["kind"])
    const sideEffects = kind === undefined ? (known?.sideEffects ?? true) : !harmless.has(kind)
    const name = known?.name ?? textOf(update["title"]) ?? textOf(update["name"]) ?? kind ?? "tool"
    const events: Array<Agent.AgentEvent> = []
    if (known === undefined || (sideEffects && !known.sideEffects)) {
      // What turns out to change something begins again as what it is: it must be remembered over a crash.
      if (known !== undefined) events.push({ _tag: "ToolFinished", id })
      tools.set(id, { name, sideEffects })
      events.push({ _tag: "ToolStarted", id, name, sideEffects })
    }
    if (over) {
      tools.delete(id)
      finished.add(id)
      events.push({ _tag: "ToolFinished", id })
    }
    return events.length === 0 ? [alive] : events
  }

  const onCost = (update: Fields): ReadonlyArray<Agent.AgentEvent> => {
    const cost = costOf(update["cost"])
    if (cost === undefined || cost.currency !== "USD") return [alive]
    const before = facts.spent
    facts.spent = cost.amount
    // It is told for the whole conversation; without a beginning to count from it says nothing of this turn.
    if (before === undefined || cost.amount <= before) return [alive]
    return [{ _tag: "Usage", usage: { cost: cost.amount - before }, ...modelOf(facts) }]
  }

  return {
    /** Whether anything was said. */
    spoke: () => written !== "",
    on: (update: Fields): ReadonlyArray<Agent.AgentEvent> => {
      switch (update["sessionUpdate"]) {
        case "agent_message_chunk":
          return onText(update)
        case "tool_call":
        case "tool_call_update":
          return onTool(update)
        case "plan": {
          const line = Array.isArray(update["entries"]) ? planLine(update["entries"]) : undefined
          if (line === undefined || line === plan) return [alive]
          plan = line
          return [{ _tag: "Line", text: line }]
        }
        case "usage_update":
          return onCost(update)
        default:
          return [alive]
      }
    },
    /** The turn has ended well: tools that were never said to be over are. */
    end: (): ReadonlyArray<Agent.AgentEvent> => {
      const open = [...tools.keys()]
      tools.clear()
      return open.map((id) => ({ _tag: "ToolFinished", id }))
    }
  }
}

/** The model as `Usage` carries it. */
export const modelOf = (facts: Facts): { readonly model?: string } =>
  facts.model === undefined ? {} : { model: facts.model }
