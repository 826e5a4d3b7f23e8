/**
 * Every kind of agent in one gateway, for the scenarios that each of them has to
 * pass: the demo agent, a program, an agent that speaks ACP, a model, and, where
 * they are installed, the real Claude Code CLI and the real adapter that makes it
 * speak ACP. A kind has a conversation of its own name, and says how its turn is
 * known to be at work. The models are stand-ins on this machine.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { claude, claudeAcp } from "../../../packages/agents/test/installed.ts"
import * as Anthropic from "../../../packages/agents/test/standIn/anthropic.ts"
import * as OpenAi from "../../../packages/agents/test/standIn/openai.ts"
import { type Options, type Running, start, temporaryFolder, until } from "./harness.ts"

/** The names of the kinds that are there; each is an agent, a persona and a conversation. */
export type Kind = "demo" | "command" | "acp" | "model" | "claude-code" | "claude-acp"

/** The kinds that need nothing but this project, and the real ones as far as they are installed. */
export const kinds: ReadonlyArray<Kind> = [
  "demo",
  "command",
  "acp",
  "model",
  ...(claude === undefined ? [] : (["claude-code"] as const)),
  ...(claudeAcp === undefined ? [] : (["claude-acp"] as const))
]

/** Kinds whose process is kept between turns. */
export const warm = kinds.filter((kind) => kind === "acp" || kind.startsWith("claude"))

/** The scripted agent that speaks ACP. */
export const acpProgram = fileURLToPath(
  new URL("../../../packages/agents/test/acp/programs/agent.mjs", import.meta.url)
)

/** The scripted stand-in of the Claude Code CLI. */
export const claudeProgram = fileURLToPath(
  new URL("../../../packages/agents/test/claude/programs/cli.mjs", import.meta.url)
)

/** `hang` goes on until it is stopped, and then says one thing too many; `murder` kills the gateway; after a cut it says what it was told of that. */
const command = `
import { readFileSync } from "node:fs"
const { interrupted, text } = JSON.parse(readFileSync(0, "utf8"))
if (text === "murder") process.kill(process.ppid, "SIGKILL")
else if (interrupted !== null) console.log("cut off by " + interrupted.by + ": " + text)
else if (text === "hang") {
  process.stdout.write("working")
  process.on("SIGTERM", () => process.stdout.write("too late", () => process.exit(0)))
  setInterval(() => {}, 1000)
} else console.log(text)
`

/** What all gateways of one world share: the folder, and the models behind them. */
export interface World {
  readonly folder: string
  readonly anthropic: Anthropic.StandIn
  readonly openai: OpenAi.StandIn
  /** Starts a gateway with an agent and a persona for each kind. */
  readonly boot: (options?: Options & { readonly permissions?: "allow" }) => Effect.Effect<Running, never, Scope.Scope>
}

const agentsOf = (
  { anthropic, folder, openai }: Pick<World, "anthropic" | "folder" | "openai">,
  permissions: "ask" | "allow"
) => {
  const work = join(folder, "work")
  const home = join(folder, "home")
  const agents: Record<Kind, object> = {
    demo: { kind: "demo" },
    command: { kind: "command", argv: [process.execPath, "agent.mjs"] },
    acp: {
      kind: "acp",
      argv: [process.execPath, acpProgram, "--resume", "--close", "--delete", "--options", "--late", "--steer"],
      variables: { ACP_SESSIONS: join(folder, "conversations") },
      permissions: "ask"
    },
    model: { kind: "model", url: openai.url, model: "stand-in", retries: 0 },
    "claude-code": {
      kind: "claude-code",
      argv: [claude],
      cwd: work,
      // Its shell reads what a person has in theirs, and says what is wrong there.
      variables: { ...anthropic.variables, HOME: home },
      retries: 0,
      permissions
    },
    "claude-acp": {
      kind: "acp",
      argv: [process.execPath, claudeAcp],
      cwd: work,
      variables: {
        ...anthropic.variables,
        HOME: home,
        CLAUDE_CONFIG_DIR: join(home, ".claude"),
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
        CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION: "false",
        DISABLE_AUTOUPDATER: "1"
      },
      permissions
    }
  }
  return Object.fromEntries(kinds.map((kind) => [kind, agents[kind]]))
}

/** A folder and models, the real agents' as it is said, for as long as the scope is open. */
export const world = (
  more: object = {},
  model: Parameters<typeof Anthropic.standIn>[0] = {}
): Effect.Effect<World, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    for (const name of ["conversations", "work", "home"]) mkdirSync(join(folder, name))
    writeFileSync(join(folder, "agent.mjs"), command)
    const anthropic = yield* Anthropic.standIn(model)
    const openai = yield* OpenAi.standIn()
    const personas = Object.fromEntries(kinds.map((kind) => [kind, { agent: kind }]))
    const boot: World["boot"] = ({ permissions, ...options } = {}) =>
      start({
        folder,
        // JSON is YAML.
        configuration: JSON.stringify({
          agents: agentsOf({ anthropic, folder, openai }, permissions ?? "ask"),
          personas: { default: { agent: "demo" }, ...personas },
          turns: { backoff: ["50 millis", "50 millis"] },
          queue: { mode: "followup" },
          ...more
        }),
        ...options
      })
    return { folder, anthropic, openai, boot }
  })

/** Does the same for each of these kinds, side by side; dies with the kind's name. */
export const each = <K extends string>(
  of: ReadonlyArray<K>,
  what: (kind: K) => Effect.Effect<unknown, unknown, Scope.Scope>
) =>
  Effect.forEach(
    of,
    (kind) =>
      Effect.orDie(what(kind)).pipe(
        Effect.catchDefect((defect) =>
          Effect.die(
            new Error(`${kind}: ${defect instanceof Error ? defect.message : String(defect)}`, { cause: defect })
          )
        )
      ),
    { concurrency: "unbounded", discard: true }
  )

/** A conversation with one kind of agent, as its person sees it. */
export interface Talk {
  /** Sends a text. */
  readonly say: (text: string) => Effect.Effect<string>
  /** Replies that were not taken yet, once one of them fits; all up to that one are taken. */
  readonly hears: (fits: RegExp) => Effect.Effect<ReadonlyArray<string>>
  /** Replies that were not taken yet. */
  readonly untaken: Effect.Effect<ReadonlyArray<string>>
}

/** Begins to talk, or goes on behind what was taken. */
export const talk = (gateway: () => Running, conversation: string): Talk => {
  let taken = 0
  // A gateway that is dying tells nothing more; the next one does.
  const replies = Effect.suspend(() => gateway().client.replies(conversation, taken)).pipe(
    Effect.orElseSucceed(() => [])
  )
  return {
    say: (text) => Effect.map(gateway().client.send(conversation, text), ({ id }) => id),
    hears: (fits) =>
      until(`${conversation} hears ${fits}`, replies, (found) => found.some(({ text }) => fits.test(text))).pipe(
        Effect.map((found) => {
          const at = found.findIndex(({ text }) => fits.test(text))
          taken = found[at]?.number ?? taken
          return found.slice(0, at + 1).map(({ text }) => text)
        })
      ),
    untaken: Effect.map(replies, (found) => found.map(({ text }) => text))
  }
}

/** Begins a session of this kind in the conversation, and has a first answer from it. */
export const begun = Effect.fnUntraced(function* (gateway: () => Running, kind: Kind, conversation: string = kind) {
  const talking = talk(gateway, conversation)
  yield* talking.say(`/new w ${kind}`)
  yield* talking.hears(/^A fresh start/)
  yield* talking.say("first")
  yield* talking.hears(/^first$/)
  return talking
})

/** Waits until the conversation's live session says this of itself. */
export const showing = (gateway: Running, conversation: string, what: RegExp) =>
  until(
    `${conversation} shows ${what}`,
    Effect.map(Effect.orDie(gateway.client.call("/v1/status")), ({ body }) =>
      (body["live"] as ReadonlyArray<{ readonly key: string }>)
        .filter(({ key }) => key.startsWith(`http/${conversation}#`))
        .map((one) => JSON.stringify(one))
        .join()
    ),
    (text) => what.test(text)
  )

/** Everything that stands below a folder. This process is not the gateway: it may open its files. */
export const everything = (folder: string): string =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name)
      // A process that starts or ends has files that come and go.
      return existsSync(path) ? readFileSync(path).toString("latin1") : ""
    })
    .join("")

const parentOf = (pid: string): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return state === "Z" || state === "X" ? undefined : parent
  } catch {
    // It ended between two reads.
    return undefined
  }
}

/** The living processes that a process has started, by number, and what they have started. */
export const descendants = (pid: number): ReadonlyArray<number> => {
  const parents = new Map(
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((name) => [name, parentOf(name)] as const)
  )
  const found = new Set([String(pid)])
  for (let before = 0; before !== found.size;) {
    before = found.size
    for (const [one, parent] of parents) if (parent !== undefined && found.has(parent)) found.add(one)
  }
  return [...found].map(Number).filter((one) => one !== pid)
}
