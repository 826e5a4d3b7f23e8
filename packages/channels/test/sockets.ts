/**
 * A client of /v1/ws for the tests: it sends what it is told to, shows what came
 * in order and how it ended, and can stop reading, stop answering pings or break
 * off without a word. Every frame of the server is held to the published schema.
 */
import { WebSocket } from "@effect/platform-node/NodeWS"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import assert from "node:assert"
import { ServerFrame } from "../src/WebSocket.ts"
import { token } from "./serve.ts"

/** How a socket ended. */
export interface End {
  readonly code: number
  readonly reason: string
}

/** A client that is connected. */
export interface Client {
  readonly send: (frame: unknown) => Effect.Effect<void>
  /** As it is, whatever it is. */
  readonly sendRaw: (data: string | Uint8Array) => Effect.Effect<void>
  /** The next frame of this type; frames of other types before it are passed over. */
  readonly next: <T extends ServerFrame["type"]>(type: T) => Effect.Effect<Extract<ServerFrame, { readonly type: T }>>
  /** The next frame, whatever it is. */
  readonly any: Effect.Effect<ServerFrame>
  readonly ended: Effect.Effect<End>
  readonly close: Effect.Effect<void>
  /** Breaks off without a word. */
  readonly terminate: Effect.Effect<void>
  readonly stopReading: Effect.Effect<void>
  readonly readAgain: Effect.Effect<void>
  /** Completes when so many pings have come. */
  readonly pinged: (count: number) => Effect.Effect<void>
  readonly protocol: string
}

export interface DialOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly protocols?: ReadonlyArray<string>
  readonly token?: string | null
  readonly autoPong?: boolean
  readonly path?: string
}

/** Why there is no socket: the answer of HTTP. */
export class Refusal {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: { readonly type?: string; readonly detail?: string; readonly field?: string }

  constructor(status: number, headers: Refusal["headers"], body: Refusal["body"]) {
    this.status = status
    this.headers = headers
    this.body = body
  }
}

const decode = Schema.decodeUnknownSync(ServerFrame, { onExcessProperty: "error" })

/** Connects, or fails with how it was refused. */
export const dial = (server: { readonly url: string }, options: DialOptions = {}) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly socket: WebSocket; readonly client: Client }, Refusal>((resume) => {
      const given = options.token === undefined ? token : options.token
      const socket = new WebSocket(
        `${server.url.replace("http", "ws")}${options.path ?? "/v1/ws"}`,
        [...(options.protocols ?? [])],
        {
          headers: { ...(given === null ? {} : { authorization: `Bearer ${given}` }), ...options.headers },
          autoPong: options.autoPong ?? true
        }
      )
      const frames = Effect.runSync(Queue.unbounded<ServerFrame>())
      const over = Deferred.makeUnsafe<End>()
      let pings = 0
      socket.on("ping", () => pings++)
      socket.binaryType = "nodebuffer"
      socket.on("message", (data) => {
        assert(Buffer.isBuffer(data))
        Queue.offerUnsafe(frames, decode(JSON.parse(data.toString())))
      })
      socket.on("close", (code, reason) =>
        Deferred.doneUnsafe(over, Effect.succeed({ code, reason: reason.toString() }))
      )
      socket.on("error", () => {})
      socket.on("unexpected-response", (_, response) => {
        let text = ""
        response.setEncoding("utf8")
        response.on("data", (chunk) => (text += String(chunk)))
        response.on("end", () => {
          const json = (response.headers["content-type"] ?? "").includes("json")
          resume(Effect.fail(new Refusal(response.statusCode ?? 0, response.headers, JSON.parse(json ? text : "{}"))))
        })
      })
      const sendRaw: Client["sendRaw"] = (data) => Effect.sync(() => socket.send(data))
      const next: Client["next"] = (type) =>
        Effect.flatMap(Queue.take(frames), (frame) => (isOf(frame, type) ? Effect.succeed(frame) : next(type)))
      socket.on("open", () => {
        const client: Client = {
          send: (frame) => sendRaw(JSON.stringify(frame)),
          sendRaw,
          next,
          any: Queue.take(frames),
          ended: Deferred.await(over),
          close: Effect.sync(() => socket.close(1000)),
          terminate: Effect.sync(() => socket.terminate()),
          stopReading: Effect.sync(() => socket.pause()),
          readAgain: Effect.sync(() => socket.resume()),
          pinged: (count) =>
            Effect.callback((done) => {
              const look = () => {
                if (pings < count) return
                socket.off("ping", look)
                done(Effect.void)
              }
              socket.on("ping", look)
              look()
              return Effect.sync(() => socket.off("ping", look))
            }),
          protocol: socket.protocol
        }
        resume(Effect.succeed({ socket, client }))
      })
    }),
    ({ socket }) => Effect.sync(() => socket.terminate())
  ).pipe(Effect.map(({ client }) => client))

const isOf = <T extends ServerFrame["type"]>(
  frame: ServerFrame,
  type: T
): frame is Extract<ServerFrame, { readonly type: T }> => frame.type === type

/** The answer to somebody who may not come in. */
export const refused = (server: { readonly url: string }, options: DialOptions) =>
  Effect.scoped(Effect.flip(dial(server, options)))

/** The frame of a message. */
export const message = (conversation: string, id: string, text = id) => ({ type: "message", conversation, id, text })
/** The frame that shows a conversation. */
export const resume = (conversation: string, after: number | "latest" = 0, more: object = {}) => ({
  type: "resume",
  conversation,
  after,
  ...more
})
/** Proves that nothing else was said meanwhile: the next frame is the answer to this. */
export const nothingElse = (client: Client) =>
  Effect.andThen(
    client.send({ type: "ping" }),
    Effect.map(client.any, (frame) => assert.deepStrictEqual(frame, { type: "pong" }))
  )
