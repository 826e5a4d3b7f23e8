/**
 * What `sluice doctor` says of who can get in: the address, the names and pages
 * that are answered, the token's strength, the user that everything runs as, and
 * whether the system lets so many connections be open as are allowed.
 */
import * as Redacted from "effect/Redacted"
import { isLoopback } from "../configuration/Checks.ts"
import type { Configuration } from "../configuration/Configuration.ts"
import { millisOf, sizeText } from "../configuration/Setting.ts"
import { readFileSync } from "node:fs"
import type { Finding } from "./Findings.ts"

/** Whether others can reach the gateway, and by a name that it answers to. */
const address = ({ http }: Configuration): ReadonlyArray<Finding> => {
  const name = "address"
  if (isLoopback(http.host)) return [{ name, state: "ok", detail: `${http.host}: this machine only` }]
  const anywhere = http.host === "0.0.0.0" || http.host === "::"
  return [
    {
      name,
      state: "warn",
      detail: `${http.host}: others can reach it, and read the token on its way`,
      remedy: "put a proxy that speaks TLS in front, and let nobody else reach this port"
    },
    ...(anywhere && http.allowedHosts.length === 0
      ? [
          {
            name: "hosts",
            state: "fail",
            detail: "others reach it by no name that it answers to: they get 421",
            remedy: "add the name that they use to http.allowedHosts"
          } satisfies Finding
        ]
      : [])
  ]
}

/** Pages of other sites that may act with the token that a browser has. */
const origins = ({ http }: Configuration): Finding => {
  const name = "origins"
  const open = http.allowedOrigins.filter((origin) => {
    const { hostname, protocol } = new URL(origin)
    return protocol === "http:" && !isLoopback(hostname)
  })
  if (open.length > 0) {
    const detail = `${open.join(", ")}: whoever is on the way can change such a page, and with it what is sent from there`
    return { name, state: "warn", detail, remedy: "serve the page over https, and allow that" }
  }
  return http.allowedOrigins.length === 0
    ? { name, state: "ok", detail: "no page from elsewhere may change anything" }
    : { name, state: "ok", detail: `pages of ${http.allowedOrigins.join(", ")} may change things` }
}

/** Sockets stay, so they must not be able to take all connections. */
const connections = ({ limits }: Configuration): Finding => {
  const name = "connections"
  const detail = `at most ${limits.connections}, ${limits.sockets} of them WebSockets, ${limits.readers} readers`
  return limits.sockets < limits.connections
    ? { name, state: "ok", detail }
    : {
        name,
        state: "warn",
        detail: `${detail}: WebSockets can take every connection, and nobody else gets one`,
        remedy: "lower limits.sockets, or raise limits.connections"
      }
}

/** The longest that a client should be let take for its first lines, in milliseconds. */
const slowHead = 60_000

/** What one client may bring, and how slowly: what holds up others when it is too much. */
const requests = ({ limits }: Configuration): Finding => {
  const name = "requests"
  const { body, headerTimeout, requestTimeout, sender, total } = limits
  const detail =
    `bodies of at most ${sizeText(body)}, a head within ${headerTimeout}, all of it within ${requestTimeout}; ` +
    `${sender.perSecond} messages a second of one sender, ${total.perSecond} of all`
  if ((millisOf(headerTimeout) ?? 0) > slowHead) {
    const remedy = "lower limits.headerTimeout: 10 seconds are plenty"
    return { name, state: "warn", detail: `${detail}: whoever says nothing keeps a connection for that long`, remedy }
  }
  return sender.perSecond <= total.perSecond
    ? { name, state: "ok", detail }
    : {
        name,
        state: "warn",
        detail: `${detail}: one sender can use up what all have`,
        remedy: "lower limits.sender.perSecond, or raise limits.total.perSecond"
      }
}

/** Linux's word on what a process may have, this one's without a pid. */
export const limitsOf = (pid: number | undefined): string => {
  try {
    return readFileSync(`/proc/${pid ?? "self"}/limits`, "utf8")
  } catch {
    // other systems have no such file, and a process may have ended meanwhile
    return ""
  }
}

/** Connections, files and pipes of agents share one limit of the system; `text` is what Linux says of it. */
export const openFiles = ({ limits }: Configuration, text: string): ReadonlyArray<Finding> => {
  const most = Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? Number.NaN)
  if (Number.isNaN(most)) return []
  const name = "open files"
  // The store, the log, four pipes for each turn, and something for what libraries open.
  const needed = limits.connections + 512
  return most >= needed
    ? [{ name, state: "ok", detail: `at most ${most}` }]
    : [
        {
          name,
          state: "warn",
          detail: `at most ${most}, and ${limits.connections} connections are allowed: when they are used up nobody gets in`,
          remedy: `raise the limit to ${needed} (ulimit -n, LimitNOFILE in the unit), or lower limits.connections`
        }
      ]
}

/** Agents run commands as the user that the gateway runs as. */
export const user = (uid: number | undefined): ReadonlyArray<Finding> =>
  uid === undefined
    ? []
    : [
        uid === 0
          ? {
              name: "user",
              state: "warn",
              detail: "root: what an agent runs may change anything on this machine",
              remedy: "run the gateway as a user of its own (User= in the unit, USER in the image)"
            }
          : { name: "user", state: "ok", detail: `not root (${uid})` }
      ]

/** Whether somebody who tries would find the token. The gateway's own have 64 hexadecimal digits. */
export const isWeak = (token: Redacted.Redacted): boolean => {
  const text = Redacted.value(token)
  const kinds = [/[a-z]/, /[A-Z]/, /[0-9]/, /[^a-zA-Z0-9]/].filter((kind) => kind.test(text)).length
  return new Set(text).size < 8 || (text.length < 24 && kinds < 2)
}

/** All that can be told from the configuration. */
export const guards = (configuration: Configuration): ReadonlyArray<Finding> => [
  ...address(configuration),
  origins(configuration),
  connections(configuration),
  requests(configuration)
]
