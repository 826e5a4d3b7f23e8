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
import type * as Configuration from "./ConfigurationAgents.ts"
import type { Loaded } from "./ConfigurationSources.ts"
import { ConfigurationError, shown } from "./Problem.ts"
import { longDuration } from "./Setting.ts"
import { readSecret } from "./Tokens.ts"

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

const limits = (agent: Configuration.Agent) => ({
  ...(agent.stallTimeout === undefined ? {} : { stallTimeout: input(agent.stallTimeout) }),
  ...(agent.turnTimeout === undefined ? {} : { turnTimeout: input(agent.turnTimeout) })
})

const secretsOf = Effect.fnUntraced(function* (
  name: string,
  files: { readonly [variable: string]: string },
  loaded: Loaded
) {
  const entries: Array<readonly [string, Redacted.Redacted]> = []
  for (const [variable, path] of Object.entries(files)) {
    const field = `agents.${name}.secrets.${variable}`
    const text = yield* readSecret(path, field, loaded.origin(["agents", name, "secrets", variable]))
    entries.push([variable, Redacted.make(text.trimEnd())])
  }
  return Object.fromEntries(entries)
})

type CommandAgent = Extract<Configuration.Agent, { readonly kind: "command" }>

const command = Effect.fnUntraced(function* (name: string, agent: CommandAgent, loaded: Loaded) {
  const [program, ...rest] = agent.argv
  if (program === undefined) {
    const origin = loaded.origin(["agents", name, "argv"])
    return yield* new ConfigurationError({
      problems: [{ field: `agents.${name}.argv`, value: shown(agent.argv), origin, remedy: "name a program" }]
    })
  }
  const secrets = yield* secretsOf(name, agent.secrets ?? {}, loaded)
  const made = Command.make({
    argv: [program, ...rest],
    cwd: agent.cwd ?? loaded.folder,
    env: {
      pass: agent.environment ?? [],
      set: { ...agent.variables, SLUICE_STATE_DIR: loaded.configuration.stateDirectory, ...secrets }
    },
    ...(agent.resume === undefined ? {} : { resume: agent.resume }),
    ...(agent.maxAnswer === undefined ? {} : { maxAnswer: agent.maxAnswer }),
    ...limits(agent)
  })
  return { made, secrets: Object.values(secrets) }
})

const isSame = (one: Recipe, other: Recipe | undefined): boolean =>
  one.text === other?.text &&
  one.secrets.length === other.secrets.length &&
  one.secrets.every(
    (secret, index) => Redacted.value(secret) === Redacted.value(other.secrets[index] ?? Redacted.make(""))
  )

/** Makes what the configuration names. */
export const make = Effect.fnUntraced(function* (
  loaded: Loaded,
  before?: { readonly made: Made }
): Effect.fn.Return<Made, ConfigurationError> {
  const agents: Record<string, Agent.Agent> = {}
  const recipes: Record<string, Recipe> = {}
  const secrets: Array<Redacted.Redacted> = []
  for (const [name, agent] of Object.entries(loaded.configuration.agents)) {
    const found =
      agent.kind === "demo"
        ? { made: { ...Demo.make(), ...limits(agent) }, secrets: [] }
        : yield* command(name, agent, loaded)
    const recipe = { text: JSON.stringify([agent, loaded.folder]), secrets: found.secrets }
    agents[name] = (isSame(recipe, before?.made.recipes[name]) ? before?.made.agents[name] : undefined) ?? found.made
    recipes[name] = recipe
    secrets.push(...found.secrets)
  }
  return { agents, personas: loaded.configuration.personas, recipes, secrets }
})
