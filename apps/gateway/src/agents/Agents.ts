/**
 * Agents and personas from the configuration. The secrets of a command are read
 * here, at the start and at each reload, and live on as redacted values; the
 * state directory goes along, so that a program which an agent runs can ask this
 * very gateway (`sluice restart` from a turn).
 */
import * as Command from "@sluice/agents/Command"
import * as Demo from "@sluice/agents/Demo"
import type * as Agent from "@sluice/runtime/Agent"
import type { Persona } from "@sluice/runtime/Gateway"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { join } from "node:path"
import type * as Configuration from "../configuration/Agents.ts"
import type { Loaded } from "../configuration/Sources.ts"
import { chatModels, type ModelAgent, poolOf } from "../configuration/ModelAgents.ts"
import { ConfigurationError, type Problem, shown } from "../configuration/Problem.ts"
import { longDuration } from "../configuration/Setting.ts"
import type { Pools } from "../pools/Pools.ts"
import { readSecret } from "../Tokens.ts"

/** What an agent is made from. */
interface Recipe {
  /** Its configuration, and the folder of it. */
  readonly text: string
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

/** What a gateway is made with. */
export interface Made {
  /** What each agent was made from: an agent that is configured as before stays the same one over a reload. */
  readonly recipes: { readonly [name: string]: Recipe }
  readonly agents: { readonly [name: string]: Agent.Agent }
  readonly personas: { readonly [name: string]: Persona }
  /** Every secret that an agent was given, to be kept out of the log. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

/** A duration of the configuration as Effect reads it. */
export const input = (text: string): Duration.Input => longDuration(text) as Duration.Input

const limits = (agent: { readonly stallTimeout?: string; readonly turnTimeout?: string }) => ({
  ...(agent.stallTimeout === undefined ? {} : { stallTimeout: input(agent.stallTimeout) }),
  ...(agent.turnTimeout === undefined ? {} : { turnTimeout: input(agent.turnTimeout) })
})

/** Reads the secrets of a program, whose configuration is at `place`: `agents.<name>` or `pools.<name>`. */
export const secretsOf = Effect.fnUntraced(function* (
  place: readonly [section: "agents" | "pools", name: string],
  files: { readonly [variable: string]: string },
  loaded: Loaded
) {
  const entries: Array<readonly [string, Redacted.Redacted]> = []
  const problems: Array<Problem> = []
  for (const [variable, path] of Object.entries(files)) {
    const field = [...place, "secrets", variable].join(".")
    const origin = loaded.origin([...place, "secrets", variable])
    const read = yield* Effect.result(readSecret(path, field, origin))
    if (read._tag === "Failure") problems.push(...read.failure.problems)
    else if (read.success.trim() !== "") entries.push([variable, Redacted.make(read.success.trimEnd())])
    else problems.push({ field, value: shown(path), origin, remedy: "it is empty; write the secret into it" })
  }
  if (problems.length > 0) return yield* new ConfigurationError({ problems })
  return Object.fromEntries(entries)
})

type CommandAgent = Extract<Configuration.Agent, { readonly kind: "command" }>
type AcpAgent = Extract<Configuration.Agent, { readonly kind: "acp" }>
type ClaudeCodeAgent = Extract<Configuration.Agent, { readonly kind: "claude-code" }>

/** What a program is started with, and the secrets among it. */
const programOf = Effect.fnUntraced(function* (
  name: string,
  agent: CommandAgent | AcpAgent | ClaudeCodeAgent,
  loaded: Loaded
) {
  const [program, ...rest] = agent.argv ?? ["claude"]
  if (program === undefined) {
    const origin = loaded.origin(["agents", name, "argv"])
    return yield* new ConfigurationError({
      problems: [{ field: `agents.${name}.argv`, value: shown(agent.argv), origin, remedy: "name a program" }]
    })
  }
  const secrets = yield* secretsOf(["agents", name], agent.secrets ?? {}, loaded)
  const argv: readonly [string, ...ReadonlyArray<string>] = [program, ...rest]
  const options = {
    argv,
    cwd: agent.cwd ?? loaded.folder,
    env: {
      pass: agent.environment ?? [],
      set: { ...agent.variables, SLUICE_STATE_DIR: loaded.configuration.stateDirectory, ...secrets }
    },
    ...(agent.resume === undefined ? {} : { resume: agent.resume }),
    ...(agent.nice === undefined ? {} : { nice: agent.nice }),
    ...limits(agent)
  }
  return { options, secrets: Object.values(secrets) }
})

const command = Effect.fnUntraced(function* (name: string, agent: CommandAgent, loaded: Loaded) {
  const { options, secrets } = yield* programOf(name, agent, loaded)
  const made = Command.make({ ...options, ...(agent.maxAnswer === undefined ? {} : { maxAnswer: agent.maxAnswer }) })
  return { made, secrets }
})

/** The servers as the protocol names them; the checks of the configuration see to it that each has one of the two. */
const mcpServersOf = (agent: AcpAgent) =>
  Object.entries(agent.mcpServers ?? {}).map(([name, { argv, url = "", variables }]) => {
    const [command, ...args] = argv ?? []
    return command === undefined
      ? { type: "http" as const, name, url, headers: [] }
      : { name, command, args, env: Object.entries(variables ?? {}).map(([name, value]) => ({ name, value })) }
  })

const acp = Effect.fnUntraced(function* (name: string, agent: AcpAgent, loaded: Loaded) {
  const { options, secrets } = yield* programOf(name, agent, loaded)
  const { authMethod, initTimeout, mode, model, permissions } = agent
  const Acp = yield* Effect.promise(() => import("@sluice/agents/Acp"))
  const made = Acp.make({
    ...options,
    mcpServers: mcpServersOf(agent),
    ...(mode === undefined ? {} : { mode }),
    ...(model === undefined ? {} : { model }),
    ...(permissions === undefined ? {} : { permissions }),
    ...(authMethod === undefined ? {} : { authMethod }),
    ...(initTimeout === undefined ? {} : { initTimeout: input(initTimeout) })
  })
  return { made, secrets }
})

const claudeCode = Effect.fnUntraced(function* (name: string, agent: ClaudeCodeAgent, loaded: Loaded) {
  const { options, secrets } = yield* programOf(name, agent, loaded)
  const { allowedTools, awaitOrphan, configFolder, disallowedTools, extraArguments } = agent
  const { initTimeout, model, permissionMode, permissions, retries } = agent
  const ClaudeCode = yield* Effect.promise(() => import("@sluice/agents/ClaudeCode"))
  const made = ClaudeCode.make({
    ...options,
    configFolder: configFolder ?? join(loaded.configuration.stateDirectory, "claude"),
    ...(model === undefined ? {} : { model }),
    ...(permissionMode === undefined ? {} : { permissionMode }),
    ...(permissions === undefined ? {} : { permissions }),
    ...(allowedTools === undefined ? {} : { allowedTools }),
    ...(disallowedTools === undefined ? {} : { disallowedTools }),
    ...(extraArguments === undefined ? {} : { extraArguments }),
    ...(retries === undefined ? {} : { retries }),
    ...(initTimeout === undefined ? {} : { initTimeout: input(initTimeout) }),
    ...(awaitOrphan === undefined ? {} : { awaitOrphan: input(awaitOrphan) })
  })
  return { made, secrets }
})

/** The key of a server: from its file, from its variable, or none. `at` is where its configuration is. */
export const keyOf = Effect.fnUntraced(function* (
  at: readonly [section: "agents" | "pools", name: string],
  given: { readonly keyFile?: string; readonly keyVariable?: string },
  loaded: Loaded
) {
  const place = given.keyFile === undefined ? "keyVariable" : "keyFile"
  const from = given[place]
  if (from === undefined) return undefined
  const field = [...at, place].join(".")
  const origin = loaded.origin([...at, place])
  const text = place === "keyFile" ? yield* readSecret(from, field, origin) : (process.env[from] ?? "")
  const key = text.trim()
  if (/^[!-~]+$/.test(key)) return Redacted.make(key)
  const remedy =
    key !== ""
      ? "it holds spaces or characters that no header takes; put the key alone there"
      : place === "keyFile"
        ? "it is empty; write the key into it"
        : "this variable is not set; set it, or use keyFile"
  return yield* new ConfigurationError({ problems: [{ field, value: shown(from), origin, remedy }] })
})

/** What is said of a model wherever it is. */
const manner = ({
  keyFile: _file,
  keyVariable: _variable,
  kind: _kind,
  pool: _pool,
  requestTimeout,
  stallTimeout,
  turnTimeout,
  ...options
}: ModelAgent) => ({
  ...options,
  ...limits({ ...(stallTimeout && { stallTimeout }), ...(turnTimeout && { turnTimeout }) }),
  ...(requestTimeout === undefined ? {} : { requestTimeout: input(requestTimeout) })
})

/** How a model is spoken with over HTTP; the checks of the configuration see to it that it has an address and a name. */
export const modelOptions = Effect.fnUntraced(function* (name: string, agent: ModelAgent, loaded: Loaded) {
  const { api = "openai", model = "", url = "" } = agent
  const key = yield* keyOf(["agents", name], agent, loaded)
  return { ...manner(agent), api, model, url, ...(key === undefined ? {} : { key }) } as const
})

/** A model in a pool of this gateway, which is looked up with each request. */
const inPool = Effect.fnUntraced(function* (agent: ModelAgent, pool: string, loaded: Loaded, open: OpenPools) {
  const { pools } = loaded.configuration
  const { make, talker } = yield* Effect.promise(() => import("./PoolModel.ts"))
  const model = poolOf(pools, pool)?.model ?? pool
  const found = { names: chatModels(pools), find: (name: string) => talker(open.opened?.find(name)) }
  return { made: make(found, { ...manner(agent), model }), secrets: [] }
})

/** Its module, with the HTTP client, is loaded only by who has a model. */
const model = Effect.fnUntraced(function* (name: string, agent: ModelAgent, loaded: Loaded, open: OpenPools) {
  if (agent.pool !== undefined) return yield* inPool(agent, agent.pool, loaded, open)
  const options = yield* modelOptions(name, agent, loaded)
  const { make } = yield* Effect.promise(() => import("./ModelAgent.ts"))
  return { made: yield* make(options), secrets: options.key === undefined ? [] : [options.key] }
})

/** Whether something is made from the same configuration and the same secrets. */
export const isSame = (one: Recipe, other: Recipe | undefined): boolean =>
  one.text === other?.text &&
  one.secrets.length === other.secrets.length &&
  one.secrets.every(
    (secret, index) => Redacted.value(secret) === Redacted.value(other.secrets[index] ?? Redacted.make(""))
  )

/** An agent, and the secrets that it was given. */
interface Found {
  readonly made: Agent.Agent
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

/** Makes one agent. A kind beyond the first two is loaded when a configuration names it, so that no other start pays for it. */
const one = (
  name: string,
  agent: Configuration.Agent,
  loaded: Loaded,
  open: OpenPools
): Effect.Effect<Found, ConfigurationError> => {
  switch (agent.kind) {
    case "demo":
      return Effect.succeed({ made: { ...Demo.make(), ...limits(agent) }, secrets: [] })
    case "command":
      return command(name, agent, loaded)
    case "acp":
      return acp(name, agent, loaded)
    case "claude-code":
      return claudeCode(name, agent, loaded)
    case "model":
      return model(name, agent, loaded, open)
  }
}

/** Where the pools are once they are open. */
type OpenPools = Pick<Pools, "opened">

/** What an agent follows from. One over a pool offers the models of all pools. */
const textOf = (agent: Configuration.Agent, { configuration, folder }: Loaded): string =>
  JSON.stringify([
    agent,
    folder,
    ...(agent.kind === "model" && agent.pool !== undefined
      ? [poolOf(configuration.pools, agent.pool)?.model, chatModels(configuration.pools)]
      : [])
  ])

/** Makes what the configuration names. What is wrong is told of all agents at once. Who only looks has no pools open. */
export const make = Effect.fnUntraced(function* (
  loaded: Loaded,
  before?: { readonly made: Made },
  open: OpenPools = { opened: undefined }
): Effect.fn.Return<Made, ConfigurationError> {
  const agents: Record<string, Agent.Agent> = {}
  const recipes: Record<string, Recipe> = {}
  const secrets: Array<Redacted.Redacted> = []
  const problems: Array<Problem> = []
  for (const [name, agent] of Object.entries(loaded.configuration.agents)) {
    const result = yield* Effect.result(one(name, agent, loaded, open))
    if (result._tag === "Failure") {
      problems.push(...result.failure.problems)
      continue
    }
    const found = result.success
    const recipe = { text: textOf(agent, loaded), secrets: found.secrets }
    agents[name] = (isSame(recipe, before?.made.recipes[name]) ? before?.made.agents[name] : undefined) ?? found.made
    recipes[name] = recipe
    secrets.push(...found.secrets)
  }
  if (problems.length > 0) return yield* new ConfigurationError({ problems })
  return { agents, personas: loaded.configuration.personas, recipes, secrets }
})
