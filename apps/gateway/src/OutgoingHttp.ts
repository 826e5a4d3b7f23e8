/**
 * The HTTP client of everything that this program calls: models, and the servers of
 * channels. Over node:http, which follows no redirection with a key and has no time
 * limit of its own. One for all, so that a call need not greet its server anew.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as DirectHttp from "./DirectHttp.ts"

/** As Node's own client does it: a proxy of the environment only where that is switched on. */
const options = () => ({
  keepAlive: true,
  ...(process.env["NODE_USE_ENV_PROXY"] === "1" ? { proxyEnv: process.env } : {})
})

let shared: Context.Context<HttpClient.HttpClient> | undefined

/** The client as a context. */
export const client: Effect.Effect<Context.Context<HttpClient.HttpClient>> = Effect.gen(function* () {
  if (shared !== undefined) return shared
  const sockets = NodeHttpClient.layerAgentOptions(options())
  const layer = Layer.provideMerge(NodeHttpClient.layerNodeHttpNoAgent, sockets)
  // For as long as the process lives: an idle socket keeps nobody from ending.
  const built = yield* Layer.buildWithScope(layer, Scope.makeUnsafe())
  const library = Context.get(built, HttpClient.HttpClient)
  shared ??= Context.make(HttpClient.HttpClient, DirectHttp.over(library, Context.get(built, NodeHttpClient.HttpAgent)))
  return shared
})
