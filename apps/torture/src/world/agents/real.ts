/**
 * The real programs as agents of a world: the Claude Code CLI, and the adapter that makes
 * it speak the Agent Client Protocol. They can't tell of their runs, so the model that
 * they ask is the witness: it runs in the harness, outlives every gateway, and writes an
 * account of each request that has somebody's messages as that of a run, which it answers
 * as the other agents of a world do.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { claude, claudeAcp } from "../../../../../packages/agents/test/installed.ts"
import { type Asked, type Body, standIn } from "../../../../../packages/agents/test/standIn/anthropic.ts"
import type { History } from "../../history/writer.mjs"
import type { Kind } from "../clients.ts"
import { conversationOf, idOf, messagesIn, millisOf } from "./words.mjs"

/** Programs of a world, instead of those of the harness. */
export interface Real {
  readonly claude: readonly [string]
  readonly acp: readonly [string, string]
  /** What both of them are given; `home` is a folder of their own. */
  readonly variables: (home: string) => Readonly<Record<string, string>>
}

/** Both programs, if they are installed. */
const programs =
  claude === undefined || claudeAcp === undefined
    ? undefined
    : ({ claude: [claude], acp: [process.execPath, claudeAcp] } as const)

/** Whether they are there. */
export const areInstalled = programs !== undefined

type Content = Body["messages"][number]["content"]

const blocksOf = (content: Content): ReadonlyArray<string> =>
  typeof content === "string" ? [content] : content.flatMap(({ text, type }) => (type === "text" ? [text ?? ""] : []))

/** What the gateway says before messages that came later, and instead of those that are known. */
const [meanwhile, cutOff] = ["[This was written meanwhile.", "[Your answer to the message before was cut off."]

/**
 * The messages that a request asks about: the last that somebody wrote, with those that came to be with them meanwhile.
 * None when nobody has written since the last answer: then the program asks for itself.
 */
export const messagesOf = ({ messages }: Body): ReadonlyArray<string> => {
  let last: ReadonlyArray<string> = []
  let asked = false
  let joins = false
  for (const { content, role } of messages) {
    // What the program says of itself to the model has a role of its own.
    asked &&= role !== "assistant"
    for (const block of role === "user" ? blocksOf(content) : []) {
      const texts = messagesIn([block.trim()])
      if (texts.length > 0) last = joins ? [...last, ...texts] : texts
      asked ||= texts.length > 0 || block.startsWith(cutOff)
      joins = block.startsWith(meanwhile)
    }
  }
  return asked ? last : []
}

/** The conversation at the CLI, as it tells the API. */
const memoryOf = (body: Body): string | undefined => {
  const { metadata } = body as Body & { readonly metadata?: { readonly user_id?: unknown } }
  return /session_(?:id"\s*:\s*")?([0-9a-f-]{36})/.exec(String(metadata?.user_id))?.[1]
}

/** What the model knows. */
interface Model {
  readonly history: History
  /** Who speaks with which kind. */
  readonly agents: Readonly<Record<string, Kind>>
  /** Messages that it was asked about. */
  readonly tried: Set<string>
}

/** Answers one request in its time, unless who asks leaves before: then it says no more of it. */
const answer = Effect.fnUntraced(function* (
  { agents, history, tried }: Model,
  { body, finish, over }: Asked,
  run: string
) {
  const texts = messagesOf(body)
  const ids = texts.map((text) => idOf(text) ?? "?")
  const [first = "?"] = ids
  const memory = memoryOf(body)
  const line = {
    op: "run",
    by: "model",
    kind: `${agents[first.replace(/\.\d+$/, "")] ?? "command"}, the real program`,
    conversation: conversationOf(first),
    run,
    // It is not the process of the agent, and tells nothing of it.
    pid: 0,
    ids,
    ...(memory === undefined ? {} : { memory })
  } as const
  const hangs = texts.some((text) => text.includes(" hang")) && ids.some((id) => !tried.has(id))
  for (const id of ids) tried.add(id)
  history.append({ ...line, phase: "invoke" })
  const left = yield* Effect.timeoutOption(over, hangs ? 120_000 : millisOf(texts))
  if (left._tag === "Some") return
  history.append({ ...line, phase: "ok" })
  finish(`[[${run} ${ids.join(",")}]]`)
})

/** Starts the model. Dies where the programs are missing. */
export const real = Effect.fnUntraced(function* (
  history: History,
  agents: Readonly<Record<string, Kind>>
): Effect.fn.Return<Real, never, Scope.Scope> {
  if (programs === undefined) return yield* Effect.die(new Error("the real programs are not installed"))
  const scope = yield* Effect.scope
  const context = yield* Effect.context<never>()
  const known = { history, agents, tried: new Set<string>() }
  let runs = 0
  const model = yield* standIn({
    answer: (asked) => {
      // What they ask for themselves, such as a title, is said back; some of it comes without tools.
      if ((asked.body.tools ?? []).length === 0 || messagesOf(asked.body).length === 0) return undefined
      Effect.runForkWith(context)(Effect.forkIn(answer(known, asked, `model-${++runs}`), scope))
      return { _tag: "Hold" }
    }
  })
  return {
    ...programs,
    variables: (home) => ({
      ...model.variables,
      HOME: home,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      CLAUDE_CODE_MAX_RETRIES: "0",
      DISABLE_AUTOUPDATER: "1",
      DISABLE_TELEMETRY: "1"
    })
  }
})
