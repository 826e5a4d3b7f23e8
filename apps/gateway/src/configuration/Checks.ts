/**
 * What one key can't know alone: values that are right by themselves and wrong
 * together. Told like every other problem, before anything is started.
 */
import { BlockList, isIP } from "node:net"
import type { Configuration } from "./Configuration.ts"
import { didYouMean, type Problem, shown } from "./Problem.ts"
import { millisOf } from "./Setting.ts"

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

const telegram = ({ channels }: Configuration, origin: Origin): ReadonlyArray<Problem> => {
  const given = channels.telegram
  if (given === undefined || (given.tokenFile === undefined) !== (given.tokenVariable === undefined)) return []
  const remedy =
    given.tokenFile === undefined
      ? "has no token; give it tokenFile, a file with the token that @BotFather gave you"
      : "has two tokens; give it either tokenFile or tokenVariable"
  return [{ field: "channels.telegram", value: "", origin: origin(["channels", "telegram"]), remedy }]
}

/** All problems between keys. */
export const crossChecks = (configuration: Configuration, origin: Origin): ReadonlyArray<Problem> =>
  [exposure, cap, personas, servers, telegram].flatMap((check) => check(configuration, origin))
