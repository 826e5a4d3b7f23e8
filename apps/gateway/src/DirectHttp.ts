/**
 * The shortest way over node:http for what nearly every call is: a body that is there as a whole, and an answer. The
 * library's client makes a span, a fiber for the upload, a race and a signal for each call, which takes longer than the
 * call itself; whatever else a request asks for (a form, a stream, an upgrade) is still the library's.
 */
import { NodeHttpIncomingMessage } from "@effect/platform-node/NodeHttpIncomingMessage"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import * as Cookies from "effect/http/Cookies"
import type * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as Option from "effect/Option"
import * as Pipeable from "effect/Pipeable"
import type * as Http from "node:http"
import type * as Https from "node:https"
import process from "node:process"
import type { Readable } from "node:stream"

const { DecodeError, HttpClientError: CallError, StatusCodeError, TransportError } = HttpClientError

type Request = HttpClientRequest.HttpClientRequest
type CallError = HttpClientError.HttpClientError

/** Where sockets are kept. */
export interface Agents {
  readonly http: Http.Agent
  readonly https: Https.Agent
}

/** Nobody may ever read an answer, and its connection would wait for that. */
const unread = new FinalizationRegistry((message: Http.IncomingMessage) => void message.destroy())

class Response extends NodeHttpIncomingMessage<CallError> implements HttpClientResponse.HttpClientResponse {
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: Request
  readonly url: string
  #headers: Headers.Headers | undefined
  #bytes: Effect.Effect<ArrayBuffer, CallError> | undefined

  constructor(request: Request, { hash, href }: URL, source: Http.IncomingMessage) {
    super(source, (cause) => new CallError({ reason: new DecodeError({ request, response: this, cause }) }))
    this.request = request
    this.url = href.slice(0, href.length - hash.length)
    unread.register(this, source, source)
  }

  get status() {
    return this.source.statusCode ?? 0
  }

  override get headers() {
    return (this.#headers ??= super.headers)
  }

  get cookies() {
    return Cookies.fromSetCookie(this.source.headers["set-cookie"] ?? [])
  }

  override get arrayBuffer() {
    return (this.#bytes ??= Effect.runSync(Effect.cached(Effect.suspend(() => whole(this.bodySource, this.onError)))))
  }

  protected override get bodySource() {
    unread.unregister(this.source)
    return this.source
  }

  get formData(): Effect.Effect<FormData, CallError> {
    return Effect.flatMap(this.arrayBuffer, (bytes) =>
      Effect.tryPromise({
        try: () => new globalThis.Response(bytes, { headers: this.headers }).formData(),
        catch: this.onError
      })
    )
  }

  get upgrade(): Effect.Effect<never, CallError> {
    const description = "expected 101 Switching Protocols"
    return Effect.fail(
      new CallError({ reason: new StatusCodeError({ request: this.request, response: this, description }) })
    )
  }

  toJSON(): unknown {
    return { _id: "effect/http/HttpClientResponse", request: this.request.toJSON(), status: this.status }
  }

  pipe() {
    return Pipeable.pipeArguments(this, arguments)
  }
}

const brokenOff = new Error("the connection ended before the answer did")

/** Reads a message to its end; it has not been read before. */
const whole = (source: Readable, onError: (cause: unknown) => CallError): Effect.Effect<ArrayBuffer, CallError> =>
  Effect.withFiber((fiber) => {
    const limit = fiber.getRef(HttpIncomingMessage.MaxBodySize)
    let room = limit === undefined ? Infinity : Number(limit)
    return Effect.callback<ArrayBuffer, CallError>((resume) => {
      const chunks: Array<Uint8Array> = []
      const done = (result: Effect.Effect<ArrayBuffer, CallError>) => {
        source.off("data", onData).off("close", onClose)
        resume(result)
      }
      const fail = (cause: unknown) => done(Effect.fail(onError(cause)))
      const onData = (chunk: Uint8Array) => {
        chunks.push(chunk)
        room -= chunk.length
        if (room >= 0) return
        fail(new NodeStream.MaxBytesError(Number(limit)))
        source.destroy()
      }
      // Not at the end, which comes before: the connection is free for the next call by now.
      const onClose = () => {
        if (!source.readableEnded) return fail(source.errored ?? brokenOff)
        const { buffer, byteLength, byteOffset } = Buffer.concat(chunks)
        done(Effect.succeed(buffer.slice(byteOffset, byteOffset + byteLength)))
      }
      if (source.destroyed) return onClose()
      // What is wrong is said with the end of the connection.
      source.on("error", () => undefined)
      source.on("data", onData).on("close", onClose)
      return Effect.sync(() => source.destroy())
    })
  })

const open = (agents: Agents, url: URL, { headers, method }: Request): Http.ClientRequest =>
  url.protocol === "https:"
    ? process.getBuiltinModule("node:https").request(url, { agent: agents.https, method, headers })
    : process.getBuiltinModule("node:http").request(url, { agent: agents.http, method, headers })

const execute = (agents: Agents, request: Request, url: URL) =>
  Effect.callback<HttpClientResponse.HttpClientResponse, CallError>((resume) => {
    const { body } = request
    const fail = (cause: unknown) =>
      resume(Effect.fail(new CallError({ reason: new TransportError({ request, cause }) })))
    let sent: Http.ClientRequest
    try {
      sent = open(agents, url, request)
    } catch (cause) {
      // A header or an address that can't be sent.
      return fail(cause)
    }
    let answer: Http.IncomingMessage | undefined
    sent.on("error", (cause) => {
      // An answer that ends with its connection looks whole, however that ended.
      if (answer?.complete === false) answer.destroy(cause)
      fail(cause)
    })
    sent.on("response", (message) => {
      answer = message
      resume(Effect.succeed(new Response(request, url, message)))
    })
    // A server that changes the protocol unasked is hung up on without an error.
    sent.on("close", () => fail(brokenOff))
    // As text, so that it leaves together with the headers.
    sent.end(body._tag === "Uint8Array" ? (body.text ?? body.body) : undefined)
    return Effect.sync(() => sent.destroy())
  })

/** A client that sends most requests itself, by these agents, and leaves the others to `library`. */
export const over = (library: HttpClient.HttpClient, agents: Agents): HttpClient.HttpClient =>
  HttpClient.makeWith(
    (asked: Effect.Effect<Request, CallError>) =>
      Effect.flatMap(asked, (request) => {
        const isPlain = request.body._tag === "Uint8Array" || request.body._tag === "Empty"
        const url =
          isPlain && request.headers["upgrade"] === undefined ? HttpClientRequest.toUrl(request) : Option.none()
        return Option.isSome(url) ? execute(agents, request, url.value) : library.execute(request)
      }),
    Effect.succeed<Request>
  )
