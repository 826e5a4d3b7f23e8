/**
 * What one key can't know alone: values that are right by themselves and wrong
 * together. Told like every other problem, before anything is started.
 */
import { BlockList, isIP } from "node:net"
import type { Configuration } from "./Configuration.ts"
import { modelAgents, modelsOf } from "./ModelAgents.ts"
import { didYouMean, type Problem, shown } from "./Problem.ts"
import { millisOf, sizeText } from "./Setting.ts"

type Origin = (path: ReadonlyArray<PropertyKey>) => string

const loopback = new BlockList()
loopback.addSubnet("127.0.0.0", 8, "ipv4")
loopback.addAddress("::1", "ipv6")

/** Whether only this machine can reach the address. */
export const isLoopback = (host: string): boolean => {
  const family = isIP(host)
  return family === 0 ? host.toLowerCase() === "localhost" : loopback.check(host, family === 4 ? "ipv4" : "ipv6")
}

const exposure = ({ http }: Configuration, origin: Origin): ReadonlyArray<Problem> =>
  isLoopback(http.host) || http.exposed
    ? []
    : [
        {
          field: "http.host",
          value: shown(http.host),
          origin: origin(["http", "host"]),
          remedy:
            "others can reach this address; use 127.0.0.1, or set http.exposed: true (SLUICE_HTTP_EXPOSED=true) when that is meant"
        }
      ]

const cap = ({ debounce }: Configuration, origin: Origin): ReadonlyArray<Problem> => {
  const [quiet, atMost] = [
    millisOf(debounce.quiet),
    debounce.atMost === undefined ? undefined : millisOf(debounce.atMost)
  ]
  return quiet === undefined || atMost === undefined || atMost >= quiet
    ? []
    : [
        {
          field: "debounce.atMost",
          value: shown(debounce.atMost),
          origin: origin(["debounce", "atMost"]),
          remedy: `is shorter than debounce.quiet (${debounce.quiet}); use at least that, or leave it out for five times as long`
        }
      ]
}

const personas = ({ agents, personas }: Configuration, origin: Origin): ReadonlyArray<Problem> =>
  Object.entries(personas)
    .filter(([, persona]) => !Object.hasOwn(agents, persona.agent))
    .map(([name, persona]) => ({
      field: `personas.${name}.agent`,
      value: shown(persona.agent),
      origin: origin(["personas", name, "agent"]),
      remedy: `there is no such agent${didYouMean(persona.agent, Object.keys(agents))}; agents: ${Object.keys(agents).join(", ")}`
    }))

const servers = ({ agents }: Configuration, origin: Origin): ReadonlyArray<Problem> =>
  Object.entries(agents).flatMap(([name, agent]) =>
    Object.entries(agent.kind === "acp" ? (agent.mcpServers ?? {}) : {})
      .filter(([, { argv, url }]) => (argv === undefined) === (url === undefined))
      .map(([server, value]) => ({
        field: `agents.${name}.mcpServers.${server}`,
        value: shown(value),
        origin: origin(["agents", name, "mcpServers", server]),
        remedy: "give it either argv, for a program that the agent starts, or url, for a server that runs already"
      }))
  )

/** A secret of a channel is in a file or in a variable: in one of them, and not in both. */
const secretOf =
  (channel: "telegram" | "slack", key: "token" | "signingSecret", what: string, from: string) =>
  ({ channels }: Configuration, origin: Origin): ReadonlyArray<Problem> => {
    const given: { readonly [key: string]: unknown } | undefined = channels[channel]
    const [file, variable] = [`${key}File`, `${key}Variable`]
    if (given === undefined || (given[file] === undefined) !== (given[variable] === undefined)) return []
    const remedy =
      given[file] === undefined
        ? `has no ${what}; give it ${file}, a file with the ${what} ${from}`
        : `has two of a ${what}; give it either ${file} or ${variable}`
    return [{ field: `channels.${channel}`, value: "", origin: origin(["channels", channel]), remedy }]
  }

const secrets = [
  secretOf("telegram", "token", "token", "that @BotFather gave you"),
  secretOf("slack", "token", "bot token", "(xoxb-...) of OAuth & Permissions"),
  secretOf("slack", "signingSecret", "signing secret", "of Basic Information, without which nobody is heard")
]

/** What is wrong with one pool, with its remedy. */
const poolRemedies = (pool: Configuration["pools"][string]): ReadonlyArray<string> => {
  if (pool.kind === "program") return []
  if (pool.kind === "onnx") {
    const able = pool.capability !== "vision" && pool.capability !== "image-generation"
    return able ? [] : [`a thread does no ${pool.capability}; use kind server, program or openai for it`]
  }
  const shaped = pool.imageShape !== undefined && pool.capability !== "image-embedding"
  const remedies = shaped ? ["imageShape is for pools that embed images; leave it out"] : []
  if (pool.kind === "server") {
    const ported = [...pool.argv, ...Object.values(pool.variables ?? {})].some((text) => text.includes("{port}"))
    return ported ? remedies : [...remedies, "argv has no {port}; write it where the server takes its port"]
  }
  return [
    ...remedies,
    ...((pool.url === undefined) === (pool.urls === undefined)
      ? ["give it either url, the address of its server, or urls, those of several alike"]
      : []),
    ...(pool.keyFile !== undefined && pool.keyVariable !== undefined
      ? ["has two keys; give it either keyFile or keyVariable"]
      : [])
  ]
}

const poolKinds = ({ pools }: Configuration, origin: Origin): ReadonlyArray<Problem> =>
  Object.entries(pools).flatMap(([name, pool]) =>
    poolRemedies(pool).map((remedy) => ({
      field: `pools.${name}`,
      value: "",
      origin: origin(["pools", name]),
      remedy
    }))
  )

/** Numbers of which one is the bound of the other. */
const poolBounds = ({ pools }: Configuration, origin: Origin): ReadonlyArray<Problem> =>
  Object.entries(pools).flatMap(([name, { queue = 256, queuePerCaller, workers: { max = 4, min, start } = {} }]) => {
    const over = (path: ReadonlyArray<string>, value: number | undefined, bound: number, by: string) =>
      value === undefined || value <= bound
        ? []
        : [
            {
              field: ["pools", name, ...path].join("."),
              value: shown(value),
              origin: origin(["pools", name, ...path]),
              remedy: `is more than ${by} (${bound}); lower it, or raise ${by}`
            }
          ]
    // Without any worker the pool is switched off, whatever else is said.
    const most = max === 0 ? Number.POSITIVE_INFINITY : max
    return [
      ...over(["workers", "start"], start, most, "workers.max"),
      ...over(["workers", "min"], min, most, "workers.max"),
      ...over(["queuePerCaller"], queuePerCaller, queue, "queue")
    ]
  })

const poolModels = ({ pools }: Configuration, origin: Origin): ReadonlyArray<Problem> => {
  const owners = new Map<string, string>()
  return Object.entries(pools).flatMap(([name, pool]) =>
    modelsOf(name, pool).flatMap((model): ReadonlyArray<Problem> => {
      const owner = owners.get(model)
      if (owner === undefined) {
        owners.set(model, name)
        return []
      }
      const field = pool.models === undefined ? `pools.${name}` : `pools.${name}.models`
      const remedy =
        owner === name
          ? "is listed twice; leave one out"
          : `is what pool ${owner} is asked for already; give one of the two another name in models`
      return [{ field, value: shown(model), origin: origin(field.split(".")), remedy }]
    })
  )
}

/** Ports that pools were given, one for each worker that there may be: two servers can't have the same. */
const poolPorts = ({ pools }: Configuration, origin: Origin): ReadonlyArray<Problem> => {
  const taken: Array<{ readonly name: string; readonly host: string; readonly first: number; readonly last: number }> =
    []
  return Object.entries(pools).flatMap(([name, pool]): ReadonlyArray<Problem> => {
    if (pool.kind !== "server" || pool.port === undefined) return []
    const { host = "127.0.0.1", port: first, workers: { max = 4 } = {} } = pool
    const last = first + Math.max(1, max) - 1
    const other = taken.find((one) => one.host === host && one.first <= last && first <= one.last)
    taken.push({ name, host, first, last })
    const range = (from: number, to: number) => (from === to ? `${from}` : `${from} to ${to}`)
    const remedy =
      last > 65_535
        ? `is too high for ${max} workers, each with the next port; use at most ${65_536 - max}, or lower workers.max`
        : other === undefined
          ? undefined
          : `its workers have the ports ${range(first, last)}, and those of pool ${other.name} ${range(other.first, other.last)}; move one, lower workers.max, or leave port out`
    const path = ["pools", name, "port"]
    return remedy === undefined ? [] : [{ field: path.join("."), value: shown(first), origin: origin(path), remedy }]
  })
}

const poolBodies = ({ limits: { poolBodies, poolBody } }: Configuration, origin: Origin): ReadonlyArray<Problem> => {
  if (poolBodies >= poolBody) return []
  const remedy = `is less than limits.poolBody (${sizeText(poolBody)}); use at least that`
  const [field, path] = ["limits.poolBodies", ["limits", "poolBodies"]]
  return [{ field, value: shown(sizeText(poolBodies)), origin: origin(path), remedy }]
}

/** All problems between keys. */
export const crossChecks = (configuration: Configuration, origin: Origin): ReadonlyArray<Problem> =>
  [
    exposure,
    cap,
    personas,
    servers,
    ...secrets,
    poolKinds,
    poolBounds,
    poolPorts,
    poolBodies,
    poolModels,
    modelAgents
  ].flatMap((check) => check(configuration, origin))
