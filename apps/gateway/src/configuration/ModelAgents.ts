/**
 * Agents that are models: each is over HTTP, with an address and a name, or over a pool of this gateway, which has both.
 * What is given must be one of the two, and a pool must be there and hold conversations; told before anything is started.
 */
import type { Agent } from "./Agents.ts"
import type { Configuration } from "./Configuration.ts"
import { didYouMean, type Problem, shown } from "./Problem.ts"

type Origin = (path: ReadonlyArray<PropertyKey>) => string

/** An agent that is a model. */
export type ModelAgent = Extract<Agent, { readonly kind: "model" }>

type Pool = Configuration["pools"][string]

/** Names by which a pool is asked for. */
export const modelsOf = (name: string, { models }: Pool): ReadonlyArray<string> => models ?? [name]

const talks = ({ capability }: Pool): boolean => capability === "text-generation" || capability === "vision"

/** Names of what can hold a conversation. */
export const chatModels = (pools: Configuration["pools"]): ReadonlyArray<string> =>
  Object.entries(pools).flatMap(([name, pool]) => (talks(pool) ? modelsOf(name, pool) : []))

/** The pool that is meant by its own name, or by one of its models, and the model to ask it for. */
export const poolOf = (
  pools: Configuration["pools"],
  wanted: string
): { readonly pool: Pool; readonly model: string } | undefined => {
  for (const [name, pool] of Object.entries(pools)) {
    if (modelsOf(name, pool).includes(wanted)) return { pool, model: wanted }
  }
  const pool = Object.hasOwn(pools, wanted) ? pools[wanted] : undefined
  const [model = wanted] = pool === undefined ? [] : modelsOf(wanted, pool)
  return pool === undefined ? undefined : { pool, model }
}

/** What a pool knows of its servers, and an agent over HTTP has to say. */
const overHttp = ["api", "url", "model", "keyFile", "keyVariable", "stallTimeout"] as const

const missing = {
  url: 'is missing; use an address without a key in it, such as "http://localhost:11434" or "https://api.openai.com/v1", or name a pool in `pool`',
  model: "is missing; name a model of the server, or a pool in `pool`"
} as const

const problemsOf = (name: string, agent: ModelAgent, { pools }: Configuration, origin: Origin) => {
  const problem = (key: keyof ModelAgent, remedy: string): Problem => ({
    field: `agents.${name}.${key}`,
    value: agent[key] === undefined ? "" : shown(agent[key]),
    origin: origin(["agents", name, ...(agent[key] === undefined ? [] : [key])]),
    remedy
  })
  if (agent.pool === undefined) {
    return (["url", "model"] as const)
      .filter((key) => agent[key] === undefined)
      .map((key) => problem(key, missing[key]))
  }
  const known = [...new Set([...Object.keys(pools), ...chatModels(pools)])]
  const found = poolOf(pools, agent.pool)
  const there = chatModels(pools).join(", ")
  const wrong =
    found === undefined
      ? `there is no such pool${didYouMean(agent.pool, known)}; ${there === "" ? "none is configured for chats, add one to `pools`" : `for chats there is ${there}`}`
      : talks(found.pool)
        ? undefined
        : `is a pool for ${found.pool.capability}; an agent needs one for text-generation or vision`
  return [
    ...(wrong === undefined ? [] : [problem("pool", wrong)]),
    ...overHttp.filter((key) => agent[key] !== undefined).map((key) => problem(key, "is the pool's; leave it out here"))
  ]
}

/** What is wrong with the agents that are models. */
export const modelAgents = (configuration: Configuration, origin: Origin): ReadonlyArray<Problem> =>
  Object.entries(configuration.agents).flatMap(([name, agent]) =>
    agent.kind === "model" ? problemsOf(name, agent, configuration, origin) : []
  )
