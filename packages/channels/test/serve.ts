/**
 * An HTTP channel on a real socket over a handle in memory, for the tests: where
 * it listens, what is behind it, and clients that send what they are told to,
 * down to the byte.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodePath from "@effect/platform-node/NodePath"
import { Attachments } from "@sluice/runtime/Attachments"
import { MemoryHandle } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import type * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { type Agent, createServer, request as nodeRequest } from "node:http"
import * as Net from "node:net"
import * as Http from "../src/Http.ts"

export const token = "correct-horse-battery-staple"

/** Files of the real file system. */
export const files = Layer.merge(NodeFileSystem.layer, NodePath.layer)

/** An attachment store in a folder of its own. */
export const temporaryAttachments = Layer.unwrap(
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "sluice-attachments-" })
    return Attachments.layer({ folder })
  })
).pipe(Layer.provide(files))

export interface ReplyBody {
  readonly number: number
  readonly text: string
  readonly kind: string
  readonly turn?: string
  readonly inReplyTo: ReadonlyArray<string>
  readonly attachments?: ReadonlyArray<{
    readonly hash: string
    readonly size: number
    readonly type: string
    readonly name?: string
  }>
}

/** All that a JSON answer can have. */
export interface Body {
  readonly seq?: number
  readonly id?: string
  readonly duplicate?: boolean
  readonly held?: boolean
  readonly ended?: string
  readonly why?: string
  readonly note?: string
  readonly replies?: ReadonlyArray<ReplyBody>
  readonly next?: number
  readonly latest?: number
  readonly type?: string
  readonly status?: number
  readonly detail?: string
  readonly field?: string
  readonly value?: string
  readonly remedy?: string
  readonly hash?: string
  readonly size?: number
}

/** The texts of the replies in an answer. */
export const texts = (answer: Answer): ReadonlyArray<string> => (answer.body.replies ?? []).map(({ text }) => text)

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The JSON of the answer; empty when it is none. */
  readonly body: Body
}

/** A channel that listens. */
export interface Server {
  readonly url: string
  readonly port: number
  readonly memory: MemoryHandle.MemoryHandle
  /** Ends `receive`, as phase 7 of a stop does, and completes when it has let go. */
  readonly close: Effect.Effect<Exit.Exit<never, unknown>>
  readonly fetch: (path: string, init?: RequestInit & { readonly token?: string | null }) => Effect.Effect<Answer>
  readonly post: (
    conversation: string,
    body: unknown,
    options?: { readonly key?: string; readonly query?: string; readonly headers?: Record<string, string> }
  ) => Effect.Effect<Answer>
}

export type Overrides = Partial<Omit<Http.Options, "server" | "routes">> & {
  readonly routes?: Layer.Layer<never, never, HttpRouter.HttpRouter>
  readonly memory?: MemoryHandle.MemoryHandle
  readonly port?: number
  readonly bounds?: Partial<Http.NodeBounds>
}

const client = (url: string) => {
  const call: Server["fetch"] = (path, { token: given, ...init } = {}) =>
    Effect.promise(async (signal) => {
      const headers = new Headers(init.headers)
      if (given !== null) headers.set("authorization", `Bearer ${given ?? token}`)
      const response = await fetch(new URL(path, url), { signal, ...init, headers })
      const text = await response.text()
      const type = response.headers.get("content-type") ?? ""
      const body: Body = JSON.parse(type.includes("json") ? text : "{}")
      return { status: response.status, headers: response.headers, text, body }
    })
  const post: Server["post"] = (conversation, body, options = {}) =>
    call(`/v1/conversations/${encodeURIComponent(conversation)}/messages${options.query ?? ""}`, {
      method: "POST",
      body: JSON.stringify(body),
      headers: {
        "content-type": "application/json",
        ...(options.key === undefined ? {} : { "idempotency-key": options.key }),
        ...options.headers
      }
    })
  return { fetch: call, post }
}

/** Starts a channel on a free port; its scope closes it. */
export const serve = Effect.fnUntraced(function* (overrides: Overrides = {}) {
  const { memory: given, port: wanted, bounds, ...options } = overrides
  const memory = given ?? (yield* MemoryHandle.make({ name: "http" }))
  const channel = Http.make({
    tokens: [Redacted.make(token)],
    server: Http.listener({
      create: createServer,
      layer: NodeHttpServer.layerServer,
      host: "127.0.0.1",
      port: wanted ?? 0,
      ...(bounds === undefined ? {} : { bounds })
    }),
    ...options
  })
  const scope = yield* Scope.fork(yield* Effect.scope)
  const fiber = yield* channel
    .receive(memory.handle)
    .pipe(Effect.scoped, Effect.provide(temporaryAttachments), Effect.forkIn(scope))
  const url = yield* Effect.raceFirst(channel.address, Fiber.join(fiber))
  yield* memory.ready
  const server: Server = {
    url,
    port: Number(new URL(url).port),
    memory,
    close: Effect.andThen(Fiber.interrupt(fiber), Fiber.await(fiber)),
    ...client(url)
  }
  return server
})

/** One request with exactly these headers; `fetch` would not send a foreign Host. */
export const exactly = (
  server: Server,
  options: {
    readonly method?: string
    readonly path: string
    readonly headers: Record<string, string>
    readonly body?: string
    readonly agent?: Agent
  }
): Effect.Effect<{ readonly status: number; readonly body: Body }> =>
  Effect.callback((resume) => {
    const request = nodeRequest(
      {
        host: "127.0.0.1",
        port: server.port,
        method: options.method ?? "GET",
        path: options.path,
        headers: options.headers,
        ...(options.agent === undefined ? {} : { agent: options.agent })
      },
      (response) => {
        let text = ""
        response.setEncoding("utf8")
        response.on("data", (chunk: string) => (text += chunk))
        response.on("end", () => {
          const json = (response.headers["content-type"] ?? "").includes("json")
          const body: Body = JSON.parse(json ? text : "{}")
          resume(Effect.succeed({ status: response.statusCode ?? 0, body }))
        })
      }
    )
    request.on("error", (error) => resume(Effect.die(error)))
    request.end(options.body)
    return Effect.sync(() => request.destroy())
  })

/** A connection on which a test writes what it likes. */
export interface Wire {
  readonly write: (data: string | Uint8Array) => Effect.Effect<void>
  /** What has arrived, as soon as it contains this. */
  readonly until: (text: string) => Effect.Effect<string>
  /** What has arrived, as soon as it contains this so many times. */
  readonly untilMany: (text: string, count: number) => Effect.Effect<string>
  /** Completes with everything that arrived, when the other side has closed. */
  readonly closed: Effect.Effect<string>
  /** Takes nothing any more. */
  readonly stopReading: Effect.Effect<void>
  readonly destroy: Effect.Effect<void>
}

export const connect = (server: Server): Effect.Effect<Wire, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly wire: Wire; readonly socket: Net.Socket }>((resume) => {
      const socket = Net.connect(server.port, "127.0.0.1")
      let text = ""
      let over = false
      const waiting = new Set<() => void>()
      const notify = () => waiting.forEach((check) => check())
      socket.setEncoding("latin1")
      socket.on("data", (chunk) => {
        text += String(chunk)
        notify()
      })
      socket.on("error", () => {})
      socket.on("close", () => {
        over = true
        notify()
      })
      const when = (holds: () => boolean) =>
        Effect.callback<string>((done) => {
          const check = () => {
            if (!holds()) return
            waiting.delete(check)
            done(Effect.succeed(text))
          }
          waiting.add(check)
          check()
          return Effect.sync(() => waiting.delete(check))
        })
      const wire: Wire = {
        write: (data) => Effect.callback((done) => void socket.write(data, () => done(Effect.void))),
        until: (wanted) => when(() => text.includes(wanted)),
        untilMany: (wanted, count) => when(() => text.split(wanted).length > count),
        closed: when(() => over),
        stopReading: Effect.sync(() => void socket.pause()),
        destroy: Effect.sync(() => void socket.destroy())
      }
      socket.once("connect", () => resume(Effect.succeed({ wire, socket })))
    }),
    ({ socket }) => Effect.sync(() => void socket.destroy())
  ).pipe(Effect.map(({ wire }) => wire))

/** The head of a request as it goes over the wire. */
export const head = (method: string, path: string, headers: Record<string, string> = {}): string =>
  [
    `${method} ${path} HTTP/1.1`,
    ...Object.entries({ host: "127.0.0.1", authorization: `Bearer ${token}`, ...headers }).map(
      ([name, value]) => `${name}: ${value}`
    ),
    "",
    ""
  ].join("\r\n")

/** A cable to a server that can be cut and mended: a proxy of bytes that drops its connections and refuses new ones. */
export const cuttable = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<{
      readonly proxy: Net.Server
      readonly sockets: Set<Net.Socket>
      readonly state: { whole: boolean }
    }>((resume) => {
      const sockets = new Set<Net.Socket>()
      const state = { whole: true }
      const proxy = Net.createServer((near) => {
        if (!state.whole) {
          near.destroy()
          return
        }
        const far = Net.connect(server.port, "127.0.0.1")
        for (const [one, other] of [
          [near, far],
          [far, near]
        ] as const) {
          sockets.add(one)
          one.on("error", () => {})
          one.on("close", () => {
            sockets.delete(one)
            other.destroy()
          })
          one.pipe(other)
        }
      })
      proxy.listen(0, "127.0.0.1", () => resume(Effect.succeed({ proxy, sockets, state })))
    }),
    ({ proxy, sockets }) =>
      Effect.callback<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        proxy.close(() => resume(Effect.void))
      })
  ).pipe(
    Effect.map(({ proxy, sockets, state }) => {
      const address = proxy.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      return {
        url: `http://127.0.0.1:${port}`,
        cut: Effect.sync(() => {
          state.whole = false
          for (const socket of sockets) socket.destroy()
        }),
        mend: Effect.sync(() => void (state.whole = true))
      }
    })
  )
