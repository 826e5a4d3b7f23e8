/**
 * A model as an agent of this program: over node:http, which follows no redirection
 * with a key and has no time limit of its own that a slow model would run into. All
 * models share one client, so that a call need not greet its server anew.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Model from "@sluice/agents/Model"
import type * as Agent from "@sluice/runtime/Agent"
import type { Turn } from "@sluice/runtime/Message"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** As Node's own client does it: a proxy of the environment only where that is switched on. */
const sockets = () => ({
  keepAlive: true,
  ...(process.env["NODE_USE_ENV_PROXY"] === "1" ? { proxyEnv: process.env } : {})
})

let shared: Context.Context<HttpClient.HttpClient> | undefined

const client = Effect.gen(function* () {
  // For as long as the process lives: an idle socket keeps nobody from ending.
  shared ??= yield* Layer.buildWithScope(NodeHttpClient.layerNodeHttpOptions(sockets()), Scope.makeUnsafe())
  return shared
})

/** Makes the agent. */
export const make = Effect.fnUntraced(function* (options: Model.Options) {
  const context = yield* client
  // What its server keeps is not in its hands, so it has nothing to forget.
  const { forget: _, ...agent } = Model.make(options)
  const provided: Agent.Agent = {
    ...agent,
    open: (session) =>
      agent.open(session).pipe(
        Effect.map(({ answer }) => ({ answer: (turn: Turn) => Stream.provideContext(answer(turn), context) })),
        Effect.provideContext(context)
      ),
    orphans: () => Effect.succeed([])
  }
  return provided
})

/** Whether its server is there and knows it: a sentence, or what is wrong. */
export const reach = (options: Model.Options, within?: Duration.Input) =>
  Effect.flatMap(client, (context) => Effect.provideContext(Model.reach(options, within), context))
