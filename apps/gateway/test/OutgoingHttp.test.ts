// The HTTP client of this program, against a server that really listens: what a caller sees of it is what the library's
// client shows, on the short way as on the library's own.
import { assert, describe, it } from "@effect/vitest"
import * as ByteSize from "effect/ByteSize"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as Stream from "effect/Stream"
import { createServer, type RequestListener } from "node:http"
import * as net from "node:net"
import { client } from "../src/OutgoingHttp.ts"

const listening = (answer: RequestListener) =>
  Effect.gen(function* () {
    const server = createServer(answer)
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    const address = server.address()
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
  })

/** Says this to whoever connects and asks, and then resets the connection if it is told to. */
const saying = (words: string, resets: boolean) =>
  Effect.gen(function* () {
    const open = new Set<net.Socket>()
    const server = net.createServer((socket) => {
      open.add(socket)
      socket.on("error", () => undefined)
      socket.once("data", () => socket.write(words))
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of open) socket.destroy()
        })
    )
    const address = server.address()
    const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
    const reset = Effect.sync(() => {
      if (resets) for (const socket of open) socket.resetAndDestroy()
    })
    return { url, reset }
  })

/** What it was sent, said back. */
const echo: RequestListener = (request, response) => {
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => {
    const { headers, method, socket, url } = request
    response.writeHead(201, { "content-type": "application/json", "set-cookie": ["a=1", "b=2"] })
    response.end(
      JSON.stringify({ body: Buffer.concat(chunks).toString(), headers, method, port: socket.remotePort, url })
    )
  })
}

interface Said {
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
  readonly port: number
}

const run = <A, E>(body: Effect.Effect<A, E, HttpClient.HttpClient>) =>
  Effect.flatMap(client, (context) => Effect.provideContext(body, context))

const execute = (request: HttpClientRequest.HttpClientRequest) =>
  HttpClient.HttpClient.use((client) => client.execute(request))

describe("the client of this program", () => {
  it.live("sends text, bytes and nothing by one connection, with the headers that were given and no others", () =>
    Effect.gen(function* () {
      const url = yield* listening(echo)
      const ports = new Set<number>()
      const ways = [
        [HttpClientRequest.bodyJsonUnsafe({ words: "grüße" }), '{"words":"grüße"}'],
        [HttpClientRequest.bodyUint8Array(new TextEncoder().encode("bytes")), "bytes"],
        [(request: HttpClientRequest.HttpClientRequest) => request, ""]
      ] as const
      for (const [given, wanted] of ways) {
        const request = HttpClientRequest.post(`${url}/at?a=1`, { urlParams: { b: "2" }, hash: "part" })
        const response = yield* run(execute(given(HttpClientRequest.setHeader(request, "x-own", "yes"))))
        const { body, headers, port } = (yield* response.json) as unknown as Said
        assert.deepStrictEqual([response.status, response.url, body], [201, `${url}/at?a=1&b=2`, wanted])
        const known = ["host", "connection", "x-own", "content-type", "content-length"]
        assert.deepStrictEqual(
          Object.keys(headers).filter((name) => !known.includes(name)),
          []
        )
        assert.deepStrictEqual(Object.keys(response.cookies.cookies), ["a", "b"])
        ports.add(port)
      }
      assert.strictEqual(ports.size, 1)
    })
  )

  it.live("leaves forms and streams to the library, and reads an answer in every form", () =>
    Effect.gen(function* () {
      const url = yield* listening(echo)
      const form = new FormData()
      form.append("a", "1")
      const sent = [
        HttpClientRequest.bodyFormData(HttpClientRequest.post(url), form),
        HttpClientRequest.setBody(
          HttpClientRequest.post(url),
          HttpBody.stream(Stream.encodeText(Stream.make("one ", "two")))
        )
      ]
      for (const [at, wanted] of ['name="a"', "one two"].entries()) {
        const text = yield* Effect.flatMap(run(execute(sent[at] ?? HttpClientRequest.get(url))), ({ text }) => text)
        assert.include((JSON.parse(text) as Said).body, wanted)
      }
      const filled = yield* listening((_, response) => {
        response.writeHead(200, { "content-type": "application/x-www-form-urlencoded" })
        response.end("a=1&b=2")
      })
      const response = yield* run(execute(HttpClientRequest.get(filled)))
      assert.deepStrictEqual(
        [...(yield* response.formData)],
        [
          ["a", "1"],
          ["b", "2"]
        ]
      )
      assert.strictEqual(yield* response.text, "a=1&b=2")
      assert.strictEqual((yield* Effect.flip(response.upgrade)).reason._tag, "StatusCodeError")
      const streamed = yield* run(execute(HttpClientRequest.get(filled)))
      const parts = yield* Stream.runCollect(Stream.decodeText(streamed.stream))
      assert.strictEqual(parts.join(""), "a=1&b=2")
      const long = yield* run(execute(HttpClientRequest.get(filled)))
      const bounded = Effect.provideService(long.text, HttpIncomingMessage.MaxBodySize, ByteSize.bytes(6))
      assert.include(String((yield* Effect.flip(bounded)).reason.cause), "maxBytes exceeded")
    })
  )

  it.live("says what was in the way, and ends the connection of a call that is left, in its answer too", () =>
    Effect.gen(function* () {
      const left = { "/silent": Deferred.makeUnsafe<void>(), "/half": Deferred.makeUnsafe<void>() }
      const asked = { "/silent": Deferred.makeUnsafe<void>(), "/half": Deferred.makeUnsafe<void>() }
      const url = yield* listening((request, response) => {
        const path = request.url === "/half" ? "/half" : "/silent"
        response.on("close", () => Deferred.doneUnsafe(left[path], Effect.void))
        if (path === "/half") response.write("half an answer")
        Deferred.doneUnsafe(asked[path], Effect.void)
      })
      for (const path of ["/silent", "/half"] as const) {
        const whole = Effect.flatMap(execute(HttpClientRequest.get(`${url}${path}`)), ({ text }) => text)
        const calling = yield* Effect.forkChild(run(whole))
        yield* Deferred.await(asked[path])
        yield* Fiber.interrupt(calling)
        yield* Deferred.await(left[path])
      }
      const dead = yield* Effect.scoped(listening(echo))
      const error = yield* Effect.flip(run(execute(HttpClientRequest.get(dead))))
      assert.strictEqual(error.reason._tag, "TransportError")
      assert.include(String(error.reason.cause), "ECONNREFUSED")
      const broken = yield* listening((_, response) => {
        response.writeHead(200, { "content-length": 100 })
        response.write("half", () => response.destroy())
      })
      const cut = yield* run(execute(HttpClientRequest.get(broken)))
      assert.strictEqual((yield* Effect.flip(cut.text)).reason._tag, "DecodeError")
    })
  )

  it.live(
    "C9: ends a call whose server changes the protocol unasked, and takes no piece of an answer for the whole",
    () =>
      Effect.gen(function* () {
        const changed = yield* saying(
          "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
          false
        )
        const refused = yield* Effect.flip(run(execute(HttpClientRequest.get(changed.url))))
        assert.include(String(refused.reason.cause), "the connection ended before the answer did")
        // Without a length an answer ends with its connection: that was broken is all that tells a piece of it.
        const broken = yield* saying("HTTP/1.1 200 OK\r\n\r\na piece", true)
        for (const read of ["text", "stream"] as const) {
          const { stream, text } = yield* run(execute(HttpClientRequest.get(broken.url)))
          yield* broken.reset
          const error = yield* Effect.flip(read === "text" ? text : Stream.runDrain(stream))
          assert.deepStrictEqual([read, error.reason._tag], [read, "DecodeError"])
          assert.include(String(error.reason.cause), "ECONNRESET")
        }
        // What is whole stays so, whatever becomes of the connection before it is read.
        const whole = yield* saying("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nall", true)
        const answer = yield* run(execute(HttpClientRequest.get(whole.url)))
        yield* whole.reset
        assert.strictEqual(yield* answer.text, "all")
      })
  )

  it.live("says of a header that can't be sent which one it is, and not what it holds", () =>
    Effect.gen(function* () {
      const request = HttpClientRequest.get("http://127.0.0.1:1/", { headers: { authorization: "Bearer one\ntwo" } })
      const error = yield* Effect.flip(run(execute(request)))
      assert.strictEqual(error.reason._tag, "TransportError")
      assert.include(String(error.reason.cause), '"authorization"')
      assert.notInclude(String(error.reason.cause), "one")
    })
  )
})
