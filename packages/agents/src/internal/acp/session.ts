/**
 * The conversation at the agent's side: begun, or found again by the id that is
 * kept with the session, by `session/resume` where it is offered (nothing is
 * replayed) and by `session/load` else. One that had an answer and can't be found
 * is a lost history, which its person is told; one that never had an answer has
 * nothing to lose and is begun anew.
 */
import type {
  LoadSessionResponse,
  McpServer,
  NewSessionResponse,
  SessionConfigOption
} from "@agentclientprotocol/sdk/unstable"
import type * as Agent from "@sluice/runtime/Agent"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Connection } from "./connection.ts"
import { failed, historyGone, noModel } from "../failure.ts"
import { AcpError, loginRequired, saysUnknown } from "./failure.ts"
import { modelIn } from "./updates.ts"

const Kept = Schema.fromJsonString(Schema.Struct({ session: Schema.String, answered: Schema.Boolean }))
const encode = Schema.encodeSync(Kept)
const decode = Schema.decodeUnknownOption(Kept)

/** The id of the conversation that was kept; `undefined` when there is none that can be read. */
export const keptId = (kept: string | undefined): string | undefined =>
  kept === undefined ? undefined : Option.getOrUndefined(decode(kept))?.session

/** What a conversation is begun with. */
export interface Options {
  /** Absolute. */
  readonly cwd: string
  readonly mode: string | undefined
  readonly model: string | undefined
  readonly mcpServers: ReadonlyArray<McpServer>
}

/** A conversation that is open. */
export interface Conversation {
  readonly id: string
  /** What has to be said first, until there is an answer: the system prompt where it could not be given another way. */
  readonly introduction: () => string | undefined
  /** Remembers that there is an answer now, which a fresh start would lose. */
  readonly answered: Effect.Effect<void, Agent.AgentError>
}

/** What an agent says of a session that it opened. Older agents have `models`, newer ones an option for it. */
interface Opened extends LoadSessionResponse {
  readonly models?: {
    readonly availableModels?: ReadonlyArray<{ readonly modelId: string; readonly name?: string }>
    readonly currentModelId?: string
  }
}

interface Choice {
  readonly value: string
  readonly name: string
}

const choicesOf = (option: SessionConfigOption | undefined): ReadonlyArray<Choice> =>
  option?.type !== "select"
    ? []
    : option.options.flatMap((one): ReadonlyArray<Choice> => ("options" in one ? one.options : [one]))

const optionFor = ({ configOptions }: Opened, category: string): SessionConfigOption | undefined =>
  configOptions?.find((option) => option.category === category) ??
  configOptions?.find((option) => option.id === category)

/** Sets the mode or the model, where the agent offers one, by its id or its name. */
const choose = Effect.fnUntraced(function* (
  connection: Connection,
  session: string,
  what: "mode" | "model",
  wanted: string,
  opened: Opened
) {
  const option = optionFor(opened, what)
  const older: ReadonlyArray<Choice> =
    what === "mode"
      ? (opened.modes?.availableModes ?? []).map(({ id, name }) => ({ value: id, name }))
      : (opened.models?.availableModels ?? []).map(({ modelId, name }) => ({ value: modelId, name: name ?? modelId }))
  const offered = option === undefined ? older : choicesOf(option)
  const said = wanted.toLowerCase()
  const choice =
    offered.find(({ value }) => value === wanted) ??
    offered.find(({ value, name }) => value.toLowerCase() === said || name.toLowerCase() === said)
  if (choice === undefined) {
    const names = offered.map(({ value }) => value)
    const problem = `has no ${what} "${wanted}"${names.length === 0 ? ` and offers none: leave ${what} out` : `, it offers: ${names.join(", ")}`}`
    const error = new AcpError({ kind: "NotOffered", program: connection.program, problem })
    return yield* what === "model" ? noModel(error, names) : failed(error)
  }
  const { value } = choice
  if (option !== undefined) {
    if (option.type === "select" && option.currentValue === value) return value
    yield* connection.request("session/set_config_option", { sessionId: session, configId: option.id, value })
  } else if (what === "mode") {
    yield* connection.request("session/set_mode", { sessionId: session, modeId: value })
  } else {
    yield* connection.request("session/set_model", { sessionId: session, modelId: value })
  }
  return value
})

/** Sets what is configured, and what a person chose. */
const settle = Effect.fnUntraced(
  function* (connection: Connection, id: string, options: Options, opened: Opened) {
    connection.facts.model = modelIn(opened.configOptions) ?? opened.models?.currentModelId
    if (options.model !== undefined) {
      connection.facts.model = yield* choose(connection, id, "model", options.model, opened)
    }
    if (options.mode !== undefined) yield* choose(connection, id, "mode", options.mode, opened)
  },
  Effect.mapError((error) => (error._tag === "AgentError" ? error : failed(error)))
)

const lost = (connection: Connection, problem: string, code?: number) =>
  historyGone(
    new AcpError({
      kind: "HistoryGone",
      program: connection.program,
      problem,
      ...(code === undefined ? {} : { code })
    })
  )

/** Finds the conversation again; `undefined` when the agent doesn't know it. */
const find = Effect.fnUntraced(function* (connection: Connection, id: string, base: object) {
  const method = connection.can.resume ? "session/resume" : "session/load"
  // Listened to from here on: what is replayed is this session's, and no turn hears it.
  connection.belongsTo(id)
  return yield* connection.request<Opened | null>(method, { ...base, sessionId: id }).pipe(
    Effect.map((opened) => Option.some(opened ?? {})),
    Effect.catchIf(
      (error) =>
        error.code !== undefined &&
        error.code !== loginRequired &&
        saysUnknown({ code: error.code, message: error.problem }),
      () => Effect.succeedNone
    ),
    Effect.mapError(failed)
  )
})

/** Begins a conversation, and keeps its id before anything is said in it. */
const begin = Effect.fnUntraced(function* (connection: Connection, agent: Agent.AgentSession, base: object) {
  const opened = yield* Effect.mapError(connection.request<NewSessionResponse & Opened>("session/new", base), failed)
  const id = opened.sessionId
  if (typeof id !== "string" || id === "") {
    const problem = 'answered "session/new" without a session id'
    return yield* failed(new AcpError({ kind: "Garbled", program: connection.program, problem }))
  }
  connection.belongsTo(id)
  // Nothing was spent in it, so what it says of its cost counts from here.
  connection.facts.spent = 0
  yield* agent.keep(encode({ session: id, answered: false }))
  return { id, opened }
})

/** Opens the session's conversation. */
export const open = Effect.fnUntraced(function* (
  connection: Connection,
  agent: Agent.AgentSession,
  options: Options
): Effect.fn.Return<Conversation, Agent.AgentError> {
  const { can } = connection
  const { systemPrompt } = agent
  const inline = systemPrompt !== undefined && !can.systemPrompt
  const base = {
    cwd: options.cwd,
    mcpServers: options.mcpServers,
    ...(systemPrompt === undefined || inline
      ? {}
      : { systemPrompt: { mode: "append", content: [{ type: "text", text: systemPrompt }] } })
  }
  const conversation = (id: string, before: boolean): Conversation => {
    let answered = before
    return {
      id,
      introduction: () => (inline && !answered ? systemPrompt : undefined),
      answered: Effect.suspend(() => {
        if (answered) return Effect.void
        answered = true
        return agent.keep(encode({ session: id, answered: true }))
      })
    }
  }

  const text = yield* agent.kept
  const kept = text === undefined ? undefined : Option.getOrUndefined(decode(text))
  if (text !== undefined && kept === undefined) {
    return yield* lost(connection, "kept something of the conversation that can't be read any more")
  }
  if (kept !== undefined && (can.resume || can.load)) {
    const found = yield* find(connection, kept.session, base)
    if (Option.isSome(found)) {
      yield* settle(connection, kept.session, options, found.value)
      return conversation(kept.session, kept.answered)
    }
    if (kept.answered) return yield* lost(connection, `does not know the conversation "${kept.session}" any more`)
    yield* Effect.logInfo(
      `agent "${connection.program}" does not know a conversation that had no answer yet: begun anew`
    )
  }
  if (kept?.answered === true) {
    return yield* lost(connection, "can neither load nor resume a conversation, and its process has ended since")
  }
  const { id, opened } = yield* begin(connection, agent, base)
  yield* settle(connection, id, options, opened)
  return conversation(id, false)
})
