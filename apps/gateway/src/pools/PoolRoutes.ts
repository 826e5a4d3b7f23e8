/**
 * The routes for OpenAI's clients, behind the guard of the HTTP channel. They are there without any pools, too, because
 * a reload may bring some; what answers them is looked up with each request.
 */
import type { OpenPools } from "./OpenPools.ts"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { Pools } from "./Pools.ts"

/** Where the routes are, and what answers each. The module that serves them has the same; it is loaded with the first pool. */
const routesOf = [
  ["POST", "/v1/embeddings", "embeddings"],
  ["POST", "/v1/chat/completions", "chat"],
  ["POST", "/v1/images/generations", "images"],
  ["GET", "/v1/models", "models"],
  ["GET", "/v1/models/:model", "model"],
  ["GET", "/v1/models/:owner/:model", "ownedModel"]
] as const satisfies ReadonlyArray<readonly ["GET" | "POST", `/${string}`, keyof OpenPools["answers"]]>

/** Where clients ask whose base URL lacks its end. They show no error but one in their own form. */
const astray = routesOf.map(([, path]) => path.slice("/v1".length) as `/${string}`)

/** What newer and older clients ask first, and is not served. */
const missing = ["/v1/responses", "/v1/completions"] as const

/** What no pool does. */
const others = [
  "/v1/audio/speech",
  "/v1/audio/transcriptions",
  "/v1/audio/translations",
  "/v1/images/edits",
  "/v1/images/variations",
  "/v1/moderations",
  "/v1/files",
  "/v1/batches"
] as const

/** A document as OpenAI's clients read errors. */
const document = (status: number, code: string, message: string) => ({
  error: {
    message,
    type: status === 401 ? "authentication_error" : status < 500 ? "invalid_request_error" : "server_error",
    param: null,
    code
  }
})

const none = HttpServerResponse.jsonUnsafe(
  document(404, "no_pools", "no pools are configured here; docs/pools.md says how"),
  { status: 404 }
)

/** For what clients do; a route for every method that there is costs each of these paths 60 kB in the router. */
const nothingAt = (path: string, remedy: string) => {
  const body = document(404, "not_found", `there is nothing at ${path}; ${remedy}`)
  const answer = Effect.sync(() => HttpServerResponse.jsonUnsafe(body, { status: 404 }))
  return (["GET", "POST"] as const).map((method) => HttpRouter.route(method, path as `/${string}`, answer))
}

/** The routes as a layer over the router of the HTTP channel. */
export const routes = (pools: Pools) =>
  HttpRouter.addAll([
    ...routesOf.map(([method, path, name]) =>
      HttpRouter.route(
        method,
        path,
        Effect.suspend(() => pools.opened?.answers[name] ?? Effect.succeed(none))
      )
    ),
    ...astray.flatMap((path) => nothingAt(path, `the base URL of a client ends with /v1, and this is /v1${path}`)),
    ...missing.flatMap((path) => nothingAt(path, "chats are asked for at /v1/chat/completions")),
    ...others.flatMap((path) =>
      nothingAt(
        path,
        `pools are asked at ${routesOf
          .map(([, served]) => served)
          .slice(0, 3)
          .join(", ")}`
      )
    )
  ])

/** Refusals of the guard, in the form that clients of these routes read. */
export const wording = (
  path: string,
  problem: { readonly status: number; readonly type: string; readonly detail: string }
) =>
  routesOf.some(([, route]) => path === route || (route.includes(":") && path.startsWith("/v1/models/")))
    ? document(problem.status, problem.type.replaceAll("-", "_"), problem.detail)
    : undefined
