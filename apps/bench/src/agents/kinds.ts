/**
 * The kinds of agents that are measured: how a gateway is told of each, how the same agent is asked without one, and how
 * many turns are worth it. Real agents ask a stand-in of their model's API on this machine.
 */
import { execFileSync, spawn } from "node:child_process"
import { mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { claude, claudeAcp } from "../../../../packages/agents/test/installed.ts"
import type { Launch } from "../processes.ts"
import * as Bare from "./bare.ts"

/** Where an agent works, and the file in which it writes down its times. */
export interface Place {
  readonly folder: string
  readonly stamps: string
  /** Address of its model's server, for kinds that need one. */
  readonly model: string
}

/** A kind of agent. */
export interface Kind {
  readonly name: string
  readonly title: string
  /** What it is, with its version. */
  readonly version: string
  /** Whose API its model speaks. */
  readonly api?: "openai" | "anthropic"
  /** Whether a process of it stays between turns. */
  readonly stays: boolean
  /** A program that others wrote, which takes its time: fewer turns and fewer sessions of it are measured. */
  readonly real: boolean
  /** How many turns are one conversation: a model is told all of it. */
  readonly length: number
  /** What a gateway is told of it. */
  readonly agent: (place: Place) => Readonly<Record<string, unknown>>
  /** The same without a gateway; `like` is how a gateway started it. `resume` is a conversation that it has. */
  readonly bare: (
    place: Place,
    like: Launch | undefined,
    resume?: string
  ) => Promise<Bare.Asker & { readonly conversation?: string }>
}

const program = (name: string): string => join(import.meta.dirname, "programs", name)
const node = process.execPath
const stays = (like: Launch | undefined): Launch => {
  if (like === undefined) throw new Error("the gateway has started no process")
  return like
}

const sdk = (): string => {
  const manifest = readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")
  return (JSON.parse(manifest) as { readonly dependencies: Readonly<Record<string, string>> }).dependencies[
    "@agentclientprotocol/sdk"
  ] as string
}

const inherited = (): Readonly<Record<string, string>> =>
  Object.fromEntries(
    ["PATH", "HOME", "TMPDIR"].flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value] as const]
    })
  )

const command: Kind = {
  name: "command",
  title: "command",
  version: `a program of ${readFileSync(program("command.mjs"), "utf8").split("\n").length - 1} lines on Node`,
  stays: false,
  real: false,
  length: Infinity,
  agent: ({ stamps }) => ({ kind: "command", argv: [node, program("command.mjs"), stamps] }),
  bare: ({ folder, stamps }) =>
    Promise.resolve(Bare.command({ argv: [node, program("command.mjs"), stamps], env: inherited(), cwd: folder }))
}

const acp = (): Kind => ({
  name: "acp",
  title: "acp",
  version: `a small agent on the protocol's SDK ${sdk()}`,
  stays: true,
  real: false,
  length: Infinity,
  agent: ({ stamps }) => ({ kind: "acp", argv: [node, program("acp.mjs"), stamps] }),
  bare: (_, like, resume) => Bare.acp(stays(like), resume)
})

const model: Kind = {
  name: "model",
  title: "model",
  version: "OpenAI's chat completions, a local server that answers at once",
  api: "openai",
  stays: false,
  real: false,
  length: 50,
  agent: ({ model }) => ({ kind: "model", url: model, model: "stand-in" }),
  bare: ({ model }) => Promise.resolve(Bare.model(model, 50))
}

const modelVariables = ({ model }: Place) => ({ ANTHROPIC_BASE_URL: model, ANTHROPIC_API_KEY: "sk-ant-stand-in" })

const claudeCode = (cli: string): Kind => ({
  name: "claude-code",
  title: "claude-code",
  version: `the Claude Code CLI ${/[\d.]+/.exec(execFileSync(cli, ["--version"], { encoding: "utf8" }))?.[0] ?? ""}`,
  api: "anthropic",
  stays: true,
  real: true,
  length: Infinity,
  agent: (place) => ({
    kind: "claude-code",
    argv: [node, program("tap.mjs"), place.stamps, "claude-code", cli],
    variables: modelVariables(place),
    retries: 0
  }),
  bare: (_, like, resume) => Bare.claude(stays(like), resume)
})

const adapter = (path: string): Kind => ({
  name: "claude-agent-acp",
  title: "acp, Claude Code behind its adapter",
  version: `claude-agent-acp ${/claude-agent-acp@(\S+)/.exec(readFileSync(join(path, "../../../../../installed"), "utf8"))?.[1] ?? ""}`,
  api: "anthropic",
  stays: true,
  real: true,
  length: Infinity,
  agent: (place) => {
    const home = join(place.folder, "home")
    mkdirSync(home, { recursive: true })
    return {
      kind: "acp",
      argv: [node, program("tap.mjs"), place.stamps, "acp", node, path],
      variables: {
        ...modelVariables(place),
        HOME: home,
        CLAUDE_CONFIG_DIR: join(home, ".claude"),
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
        // It asks the model once more after each turn otherwise, for a suggestion that nobody sees here.
        CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION: "false",
        DISABLE_AUTOUPDATER: "1"
      }
    }
  },
  bare: (_, like, resume) => Bare.acp(stays(like), resume)
})

/** For a look at whether it runs, rather than a measurement: few turns, few sessions. */
export const quick = process.env["SLUICE_BENCH_QUICK"] === "1"

/** The kinds that can be measured here. */
export const kinds = (): ReadonlyArray<Kind> => [
  command,
  acp(),
  model,
  ...(claude === undefined ? [] : [claudeCode(claude)]),
  ...(claudeAcp === undefined ? [] : [adapter(claudeAcp)])
]

/** What is not measured here, and how to get it. */
export const absent = (): ReadonlyArray<string> => {
  const how = (name: string) => `run \`node scripts/agents.mjs ${name}\` once with a network`
  return [
    ...(claude === undefined ? [`Not measured: the Claude Code CLI is not installed; ${how("claude-code")}.`] : []),
    ...(claudeAcp === undefined ? [`Not measured: the adapter is not installed; ${how("claude-agent-acp")}.`] : [])
  ]
}

/** Gives a kind a place below this folder, with its model's server, for as long as it is used. */
export const placed = async <A>({ api, name }: Kind, folder: string, use: (place: Place) => Promise<A>): Promise<A> => {
  const own = join(folder, name)
  mkdirSync(own)
  const stamps = join(own, "stamps")
  if (api === undefined) return use({ folder: own, stamps, model: "" })
  // What it reads is large: collecting that on one thread leaves the machine to who is measured.
  const child = spawn(node, ["--no-warnings", "--single-threaded-gc", program("models.ts"), api, stamps], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  const exited = new Promise((resolve) => child.on("exit", resolve))
  try {
    const { done, value } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next()
    if (done === true) throw new Error(`the model's server of ${name} did not start`)
    return await use({ folder: own, stamps, model: value })
  } finally {
    child.stdin.end()
    await exited
  }
}
