/**
 * The gateway of a configuration as one layer: the store with a connection of its
 * own, attachments beside it, HTTP with the operators' routes, and the pipeline
 * over them. Built from the sink to the source and released the other way round.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Http from "@sluice/channels/Http"
import { Attachments } from "@sluice/runtime/Attachments"
import { Gateway } from "@sluice/runtime/Gateway"
import { Journal } from "@sluice/runtime/Journal"
import type { DrainOptions } from "@sluice/runtime/Shutdown"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import process from "node:process"
import { input } from "./agents/Agents.ts"
import type { Configuration } from "./configuration/Configuration.ts"
import * as Operations from "./Operations.ts"
import * as PoolRoutes from "./pools/PoolRoutes.ts"
import type { Setup } from "./Setup.ts"
import * as StateFolder from "./StateFolder.ts"
import { version } from "./version.ts"

// Not imported: an import of node:http evaluates all its exports, one of which loads the whole of fetch (20 ms).
const { createServer } = process.getBuiltinModule("node:http")

const millis = (text: string): number => Duration.toMillis(input(text))

/** Names under which this server answers: itself, this machine's loopback, and what was configured. */
const hosts = ({ http }: Configuration): ReadonlyArray<string> => [
  "localhost",
  "127.0.0.1",
  "[::1]",
  http.host.includes(":") ? `[${http.host}]` : http.host,
  ...http.allowedHosts
]

/** Where platforms deliver to. They bring a secret or a signature of their own instead of a token. */
export const hookPaths = ["/v1/webhooks/telegram", "/v1/webhooks/slack"] as const

/** The webhooks of the channels, looked up with each call: a reload exchanges them. */
const hooks = (setup: Setup) =>
  HttpRouter.addAll(
    hookPaths.map((path) =>
      HttpRouter.route("POST", path, (request) => {
        const hook = setup.current.connected.webhooks[path.slice("/v1/webhooks/".length)]
        return hook === undefined ? Effect.succeed(HttpServerResponse.empty({ status: 404 })) : hook(request)
      })
    )
  )

/** The HTTP channel with the operators' routes behind its guard. Tokens are looked up with each request: a reload exchanges them. */
export const http = (setup: Setup, slot: Operations.Slot) => {
  const { configuration } = setup.current.loaded
  const { limits } = configuration
  return Http.make({
    server: Http.listener({
      create: createServer,
      layer: NodeHttpServer.layerServer,
      host: configuration.http.host,
      port: configuration.http.port,
      bounds: { headersTimeout: millis(limits.headerTimeout), requestTimeout: millis(limits.requestTimeout) },
      maxConnections: limits.connections,
      maxFrame: limits.body
    }),
    tokens: Effect.sync(() => setup.current.tokens),
    allowedHosts: hosts(configuration),
    allowedOrigins: configuration.http.allowedOrigins,
    openPaths: ["/healthz", "/readyz", ...hookPaths],
    routes: Layer.mergeAll(Operations.routes(slot), hooks(setup), PoolRoutes.routes(setup.pools)),
    wording: PoolRoutes.wording,
    elsewhere: Operations.elsewhere(slot),
    bodyLimit: limits.body,
    attachmentLimit: limits.attachment,
    maxWait: input(limits.wait),
    maxReaders: limits.readers,
    webSockets: { sockets: limits.sockets },
    senderRate: limits.sender,
    totalRate: limits.total
  })
}

const journal = ({ limits, networkFileSystem, retention, stateDirectory }: Configuration) =>
  Journal.layer(SqliteClient.layer({ filename: StateFolder.fileIn(stateDirectory, "store"), busyTimeout: 50 }), {
    laneEntries: limits.waitingWrites,
    laneBytes: limits.waitingBytes,
    conversations: limits.conversations,
    networkFileSystem,
    version,
    retention: {
      ledger: input(retention.ledger),
      transcript: input(retention.transcript),
      attachments: input(retention.attachments),
      deadLetters: input(retention.deadLetters)
    }
  })

/** Choices of a stop: the configured ones, within what the supervisor allows. */
export const drainOptions = ({ budget, current }: Setup): DrainOptions => {
  const { announce, startWithin, timeout } = current.loaded.configuration.drain
  return {
    timeout: input(timeout),
    startWithin: input(startWithin),
    announce: input(announce),
    ...(budget === undefined ? {} : { budget })
  }
}

/** How spending is reckoned; a reload exchanges it. */
export const spending = ({ budgets, prices, timeZone }: Configuration) => ({
  prices,
  budgets,
  ...(timeZone === undefined ? {} : { timeZone })
})

/** The whole gateway. */
export const layer = (setup: Setup, channel: ReturnType<typeof http>, drain: DrainOptions) => {
  const { connected, loaded, made } = setup.current
  const { configuration } = loaded
  const { debounce, limits, notices, questions, queue, session, stateDirectory, turns } = configuration
  const attachments = Attachments.layer({
    folder: StateFolder.fileIn(stateDirectory, "attachments"),
    limit: limits.attachment
  }).pipe(
    // Open before any channel runs.
    Layer.tap((context) => Effect.sync(() => (setup.files.context = context)))
  )
  return Gateway.layer({
    agents: made.agents,
    personas: made.personas,
    ...spending(configuration),
    channels: { ...connected.channels, http: channel },
    drain,
    drains: () => setup.pools.opened?.drains(input(setup.current.loaded.configuration.drain.pools)) ?? [],
    debounce: {
      quiet: input(debounce.quiet),
      maxKeys: debounce.maxKeys,
      ...(debounce.atMost === undefined ? {} : { atMost: input(debounce.atMost) })
    },
    queue,
    session: { idleTimeout: input(session.idleTimeout), maxLive: session.maxLive },
    questions: { expireAfter: input(questions.expireAfter), onStop: questions.onStop },
    notices,
    turns: { limit: turns.limit, backoff: turns.backoff.map(input) }
  }).pipe(Layer.provideMerge(journal(configuration)), Layer.provideMerge(attachments))
}
