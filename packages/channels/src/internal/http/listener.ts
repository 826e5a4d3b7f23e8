/**
 * The Node server under the channel, with the bounds that only Node can hold
 * (slow headers, slow bodies, sockets) and with the two calls that a stop needs:
 * closing waits for every connection, and an idle keep-alive or a half-sent body
 * would hold it for its whole timeout. `create` and `layer` come from the
 * program, so that no package depends on a platform.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"

/** How a stop reaches the connections of a server. Without one, closing waits for the server's own timeout. */
export const Connections = Context.Reference<{
  /** Takes no new connection and closes the idle ones. Returns at once. */
  readonly refuse: Effect.Effect<void>
  /** Cuts what is left, and completes when the last connection is gone. */
  readonly cut: Effect.Effect<void>
}>("@sluice/channels/Http/Connections", { defaultValue: () => ({ refuse: Effect.void, cut: Effect.void }) })

/** The part of Node's HTTP server that is used here. */
export interface NodeServer {
  readonly listening: boolean
  maxConnections: number
  close(callback?: (error?: Error) => void): unknown
  closeIdleConnections(): void
  closeAllConnections(): void
  once(event: "close", listener: () => void): unknown
  getConnections(callback: (error: Error | null, count: number) => void): unknown
}

/** Bounds of a Node server, in milliseconds, bytes and connections. */
export interface NodeBounds {
  /** All headers are here within this time, or the connection is closed (10 s). */
  readonly headersTimeout: number
  /** The whole request is here within this time (60 s). */
  readonly requestTimeout: number
  /** An idle connection is closed after this time (5 s). */
  readonly keepAliveTimeout: number
  /** How often Node looks for the above (1 s). */
  readonly connectionsCheckingInterval: number
  /** Size of all headers together (16 KiB). */
  readonly maxHeaderSize: number
}

/** Bounds that hold unless others are given. */
export const nodeBounds: NodeBounds = {
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 16_384
}

/** Where to listen, and with what. */
export interface ListenerOptions<S extends NodeServer> {
  /** `createServer` of node:http. */
  readonly create: (options: NodeBounds) => S
  /** `NodeHttpServer.layerServer` of @effect/platform-node. */
  readonly layer: (
    evaluate: () => S,
    options: {
      readonly host: string
      readonly port: number
      readonly gracefulShutdownTimeout: number
      readonly websocket: { readonly maxPayload: number }
    }
  ) => Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError>
  readonly host: string
  readonly port: number
  readonly bounds?: Partial<NodeBounds>
  /** Connections beyond this number are closed at once (4096). */
  readonly maxConnections?: number
  /** Largest frame of a WebSocket in bytes; a larger one closes it with 1009 before it is in memory (1 MiB). */
  readonly maxFrame?: number
}

const gone = (server: NodeServer) =>
  Effect.callback<void>((resume) => {
    const done = () => resume(Effect.void)
    server.once("close", done)
    // it may have been the last one already
    server.getConnections((error, count) => {
      if (error !== null || count === 0) done()
    })
  })

/** Makes the server's layer. Each build has a server of its own. */
export const listener = <S extends NodeServer>(
  options: ListenerOptions<S>
): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError> =>
  Layer.unwrap(
    Effect.sync(() => {
      let server: S | undefined
      const create = () => {
        server = options.create({ ...nodeBounds, ...options.bounds })
        server.maxConnections = options.maxConnections ?? 4096
        return server
      }
      const connections = {
        refuse: Effect.sync(() => {
          // ends the listening at once; its completion, when the last connection is gone, is awaited in `cut`
          server?.close()
        }),
        cut: Effect.suspend(() => {
          if (server === undefined) return Effect.void
          server.closeAllConnections()
          // sockets that were upgraded are their owner's: they are waited for a moment, not for ever
          return Effect.ignore(Effect.timeoutOption(gone(server), 1000))
        })
      }
      return Layer.mergeAll(
        options.layer(create, {
          host: options.host,
          port: options.port,
          gracefulShutdownTimeout: 1000,
          websocket: { maxPayload: options.maxFrame ?? 1_048_576 }
        }),
        Layer.succeed(Connections)(connections)
      )
    })
  )
