/**
 * Who may talk to the gateway, decided before anything of the request is used.
 * Host: a page that resolves its own name to this machine (DNS rebinding) is
 * refused. Token: on loopback too, because every local page and process reaches
 * that. Origin: a state change from a foreign page is refused even when the
 * browser has the token; programs send no Origin and pass.
 */
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Redacted from "effect/Redacted"
import { equal } from "../equal.ts"
import { visible } from "../visible.ts"
import type { Problem } from "./problems.ts"

/** The tokens that are valid now: one, or two while one is being replaced. */
export type Tokens = ReadonlyArray<Redacted.Redacted>

/** What a guard goes by. `open` paths need no token. */
export interface Rules {
  readonly hosts: ReadonlyArray<string>
  readonly origins: ReadonlyArray<string>
  readonly open: ReadonlyArray<string>
}

/** Names under which a gateway on this machine is reached. */
export const loopbackHosts: ReadonlyArray<string> = ["localhost", "127.0.0.1", "[::1]"]

const hostPattern = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?$/

const hostCheck = (allowed: ReadonlyArray<string>) => {
  const names = new Set(allowed.map((host) => host.toLowerCase()))
  const allows = (host: string): boolean => {
    const wanted = host.toLowerCase()
    const name = hostPattern.exec(wanted)?.[1]
    return name !== undefined && (names.has(name) || names.has(wanted))
  }
  // most requests come by one name
  let last: string | undefined
  return (host: string | undefined): boolean => {
    if (host === undefined) return false
    if (host === last) return true
    if (!allows(host)) return false
    last = host
    return true
  }
}

const refusedHost = (host: string | undefined): Problem => ({
  status: 421,
  type: "unknown-host",
  detail:
    `host ${visible(host ?? "(none)")}: not served here; use the address that the gateway printed at its start, ` +
    "or add the name to the allowed hosts"
})

const refusedOrigin = (origin: string): Problem => ({
  status: 403,
  type: "foreign-origin",
  detail: `origin ${visible(origin)}: may not change anything here; add it to the allowed origins if it is yours`
})

const refusedToken = (what: string): Problem => ({
  status: 401,
  type: "unauthorized",
  detail: `authorization ${what}: send "Authorization: Bearer <token>" with the gateway's token`,
  headers: { "www-authenticate": 'Bearer realm="sluice"' }
})
const missingToken = refusedToken("is missing")
const noToken = refusedToken("has another form")
const wrongToken = refusedToken("has a token that is not valid here")

const bearer = /^Bearer ([!-~]+)$/i

/** Compares with every token, whatever the first one said. */
const isValidText = (presented: string, tokens: Tokens): boolean => {
  let valid = false
  for (const token of tokens) {
    const expected = Redacted.value(token)
    // an empty token is no token: it would let everybody in
    if (expected !== "" && equal(presented, expected)) valid = true
  }
  return valid
}

/** Whether a token that was presented before is still valid. */
export const isValid = (presented: Redacted.Redacted, tokens: Tokens): boolean =>
  isValidText(Redacted.value(presented), tokens)

/** Whether a request wants to become a WebSocket. */
export const wantsWebSocket = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  headers["upgrade"]?.toLowerCase() === "websocket"

const protocolBearer = /(?:^|,)[ \t]*sluice\.bearer\.([!-~]+?)[ \t]*(?:,|$)/

/** Pages can't set headers of a WebSocket: among the subprotocols that they offer they can, percent-encoded. */
const offered = (request: HttpServerRequest.HttpServerRequest): string | undefined => {
  if (!wantsWebSocket(request)) return undefined
  const encoded = protocolBearer.exec(request.headers["sec-websocket-protocol"] ?? "")?.[1]
  if (encoded === undefined) return undefined
  try {
    return decodeURIComponent(encoded)
  } catch {
    return undefined
  }
}

/** The token of a request; `undefined` when there is none in a form that is read. */
const presentedBy = (request: HttpServerRequest.HttpServerRequest): string | undefined => {
  const header = request.headers["authorization"]
  return header === undefined ? offered(request) : bearer.exec(header)?.[1]
}

/** The token that a request presented, to be looked at again later. */
export const presentedToken = (request: HttpServerRequest.HttpServerRequest): Redacted.Redacted | undefined => {
  const presented = presentedBy(request)
  return presented === undefined ? undefined : Redacted.make(presented)
}

const tokenCheck = (request: HttpServerRequest.HttpServerRequest, tokens: Tokens): Problem | undefined => {
  const presented = presentedBy(request)
  if (presented !== undefined) return isValidText(presented, tokens) ? undefined : wrongToken
  return request.headers["authorization"] === undefined ? missingToken : noToken
}

const readOnly = (method: string) => method === "GET" || method === "HEAD" || method === "OPTIONS"

const originCheck = (allowed: ReadonlyArray<string>) => {
  const origins = new Set(allowed)
  return (request: HttpServerRequest.HttpServerRequest): Problem | undefined => {
    // what a page reads over a WebSocket no browser keeps from it, so opening one counts as a change
    if (readOnly(request.method) && request.headers["upgrade"] === undefined) return undefined
    const origin = request.headers["origin"]
    if (origin === undefined || origins.has(origin)) return undefined
    // a page of this very host, which is an allowed one by now
    const host = request.headers["host"]
    if (host !== undefined && (origin === `http://${host}` || origin === `https://${host}`)) return undefined
    return refusedOrigin(origin)
  }
}

/** Host first and for every request. Why it is refused, `undefined` when it may go on. */
export const hostGuard = (rules: Rules) => {
  const knows = hostCheck(rules.hosts)
  return (request: HttpServerRequest.HttpServerRequest): Problem | undefined => {
    const host = request.headers["host"]
    return knows(host) ? undefined : refusedHost(host)
  }
}

/** The path of a request's address. */
export const pathOf = (url: string): string => {
  const end = url.indexOf("?")
  return end < 0 ? url : url.slice(0, end)
}

/** Then origin and token. Why it is refused, `undefined` when it may go on. */
export const guard = (rules: Rules) => {
  const foreign = originCheck(rules.origins)
  const open = new Set(rules.open)
  return (request: HttpServerRequest.HttpServerRequest, tokens: Tokens): Problem | undefined => {
    const refused = foreign(request)
    if (refused !== undefined) return refused
    const unknown = tokenCheck(request, tokens)
    return unknown === undefined || open.has(pathOf(request.url)) ? undefined : unknown
  }
}
