/**
 * W4 on the way to a WebSocket and on it: each hostile handshake and each hostile
 * frame alone, with what it is answered, and the proof that nothing of it was
 * stored, that nobody else waited, and that the server is still there.
 */
import { assert, describe, it } from "@effect/vitest"
import { Full } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { connect, head, serve, type Server, token } from "./serve.ts"
import { type Client, dial, type DialOptions, refused } from "./sockets.ts"

const problemType = (name: string) => `urn:sluice:problem:${name}`

/** Somebody else, meanwhile: stores a message and hears of it. */
const othersGoOn = Effect.fnUntraced(function* (server: Server) {
  const other = yield* dial(server)
  yield* other.send({ type: "message", conversation: "other", id: crypto.randomUUID(), text: "hi" })
  yield* other.next("accepted")
  yield* other.close
})

const nothingStored = (server: Server) =>
  Effect.map(server.memory.messages, (messages) => assert.deepStrictEqual(messages, []))

const alive = (client: Client) => Effect.andThen(client.send({ type: "ping" }), client.next("pong"))

const upgrade = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" }
const key = { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" }

/** A handshake as it goes over the wire, and the first line of its answer. */
const handshake = Effect.fnUntraced(function* (server: Server, headers: Record<string, string>, path = "/v1/ws") {
  const wire = yield* connect(server)
  yield* wire.write(head("GET", path, { ...upgrade, ...key, ...headers }))
  const answer = yield* wire.until("\r\n\r\n")
  return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])
})

describe("the handshake", () => {
  for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example"]) {
    it.live(`W4: a WebSocket for host ${host} is misdirected (421), with the token too`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const { body, status } = yield* refused(server, { headers: { host } })
        assert.deepStrictEqual([status, body.type], [421, problemType("unknown-host")])
      })
    )
  }

  for (const origin of ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1"]) {
    it.live(`W4: a page from origin ${origin} can't open a WebSocket (403), with the token too`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const { body, status } = yield* refused(server, { headers: { origin } })
        assert.deepStrictEqual([status, body.type], [403, problemType("foreign-origin")])
      })
    )
  }

  it.live("W4: no Origin (a program), this server's own and an allowed one open it", () =>
    Effect.gen(function* () {
      const server = yield* serve({ allowedOrigins: ["https://console.example"] })
      yield* alive(yield* dial(server))
      yield* alive(yield* dial(server, { headers: { origin: server.url } }))
      yield* alive(yield* dial(server, { headers: { origin: "https://console.example" } }))
    })
  )

  const offer = (text: string): DialOptions => ({ token: null, protocols: ["sluice.v1", `sluice.bearer.${text}`] })
  const strangers: ReadonlyArray<readonly [string, DialOptions]> = [
    ["no token", { token: null }],
    ["a wrong token", { token: "wrong" }],
    ["the beginning of the token", { token: token.slice(0, -1) }],
    ["another scheme", { token: null, headers: { authorization: `Basic ${token}` } }],
    ["a wrong token among the subprotocols", offer("wrong")],
    ["an empty token among the subprotocols", offer("")],
    ["a token among the subprotocols that can't be decoded", offer("%zz")],
    ["the right token among the subprotocols behind a wrong header", { ...offer(token), token: "wrong" }],
    ["the token in the address", { token: null, path: `/v1/ws?token=${token}&access_token=${token}` }],
    ["the token as a cookie", { token: null, headers: { cookie: `token=${token}; sluice=${token}` } }]
  ]
  for (const [what, options] of strangers) {
    it.live(`W4: ${what} opens nothing (401)`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const answer = yield* refused(server, options)
        assert.deepStrictEqual([answer.status, answer.body.type], [401, problemType("unauthorized")])
        assert.notInclude(JSON.stringify(answer), token)
      })
    )
  }

  it.live("W4: a page offers its token among the subprotocols, percent-encoded, and is answered without it", () =>
    Effect.gen(function* () {
      const other = "pass/word+with=signs,and;more"
      const server = yield* serve({ tokens: [Redacted.make(token), Redacted.make(other)] })
      for (const valid of [token, encodeURIComponent(other)]) {
        const client = yield* dial(server, offer(valid))
        assert.strictEqual(client.protocol, "sluice.v1")
        yield* alive(client)
      }
      // a token is for handshakes only: among the headers of anything else it is none
      const headers = { "sec-websocket-protocol": `sluice.v1, sluice.bearer.${token}` }
      assert.strictEqual((yield* server.fetch("/v1/ws", { token: null, headers })).status, 401)
    })
  )

  it.live("W4: an offer that would be answered with the token, or with frames that nobody speaks, is refused", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (const protocols of [[`sluice.bearer.${token}`, "sluice.v1"], [`sluice.bearer.${token}`], ["chat"]]) {
        const answer = yield* refused(server, { protocols })
        assert.deepStrictEqual([answer.status, answer.body.field], [400, "Sec-WebSocket-Protocol"])
        assert.notInclude(JSON.stringify(answer), token)
      }
    })
  )

  it.live("what is no handshake of version 13 is told to upgrade (426), a broken one is refused", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const plain = yield* server.fetch("/v1/ws")
      assert.deepStrictEqual([plain.status, plain.body.type], [426, problemType("upgrade-required")])
      assert.strictEqual(plain.headers.get("sec-websocket-version"), "13")
      assert.strictEqual(yield* handshake(server, { "sec-websocket-version": "12" }), 426)
      assert.strictEqual(yield* handshake(server, { upgrade: "h2c" }), 426)
      assert.strictEqual(yield* handshake(server, { "sec-websocket-key": "short" }), 400)
      assert.strictEqual(yield* handshake(server, {}, "/v1/nothing"), 404)
      assert.strictEqual(yield* handshake(server, {}), 101)
      yield* othersGoOn(server)
    })
  )

  it.live("W4: a handshake that comes too slowly is ended, and delays nobody", () =>
    Effect.gen(function* () {
      const server = yield* serve({ bounds: { headersTimeout: 50, connectionsCheckingInterval: 10 } })
      const slow = yield* connect(server)
      yield* slow.write("GET /v1/ws HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nx-slow: ")
      yield* othersGoOn(server)
      assert.include(yield* slow.closed, "408")
    })
  )

  it.live("W5: strangers take nothing from those who have a token: no message, no place, no share of a limit", () =>
    Effect.gen(function* () {
      const one = { perSecond: 1, burst: 1 }
      const server = yield* serve({ totalRate: one, senderRate: one, maxReaders: 1, webSockets: { sockets: 1 } })
      const body = JSON.stringify({ text: "hi" })
      const headers = { "content-type": "application/json" }
      for (let n = 0; n < 20; n++) {
        const path = "/v1/conversations/kim/messages?wait=30s"
        const post = yield* server.fetch(path, { method: "POST", body, headers, token: "wrong" })
        assert.strictEqual(post.status, 401)
        assert.strictEqual((yield* server.fetch("/v1/conversations/kim/events", { token: null })).status, 401)
        assert.strictEqual((yield* refused(server, { token: "wrong" })).status, 401)
      }
      yield* nothingStored(server)
      const client = yield* dial(server)
      yield* client.send({ type: "resume", conversation: "kim", after: 0 })
      yield* client.next("resumed")
      yield* client.send({ type: "message", conversation: "kim", id: "a", text: "hi" })
      yield* client.next("accepted")
    })
  )

  it.live("W4: a token that is not valid any more closes its sockets (4401), the others stay", () =>
    Effect.gen(function* () {
      const [old, next] = [Redacted.make("old-token-old-token"), Redacted.make("new-token-new-token")]
      const tokens = yield* Ref.make([old, next])
      const server = yield* serve({ tokens: Ref.get(tokens), heartbeat: "5 millis" })
      const first = yield* dial(server, { token: "old-token-old-token" })
      const page = yield* dial(server, offer("old-token-old-token"))
      const second = yield* dial(server, { token: "new-token-new-token" })
      yield* Ref.set(tokens, [next])
      assert.strictEqual((yield* first.ended).code, 4401)
      assert.strictEqual((yield* page.ended).code, 4401)
      yield* alive(second)
    })
  )
})

describe("frames", () => {
  const name = (conversation: string) => ({ type: "message", conversation, id: "a", text: "hi" })
  const wrong: ReadonlyArray<readonly [string, unknown, string]> = [
    ["an array", [], "frame"],
    ["a number", 7, "frame"],
    ["null", null, "frame"],
    ["no type", { conversation: "kim" }, "frame"],
    ["a type that is no text", { type: { a: 1 } }, "type"],
    ["an unknown type", { type: "subscribe", conversation: "kim" }, "type"],
    ["the name of a method as type", { type: "constructor" }, "type"],
    ["a message without an id", { type: "message", conversation: "kim", text: "hi" }, "id"],
    ["a message without a text", { type: "message", conversation: "kim", id: "a" }, "text"],
    ["a misspelled field", { ...name("kim"), sendr: "u17" }, "sendr"],
    ["a message without anything in it", { ...name("kim"), text: "" }, "text"],
    ["lone surrogates", { ...name("kim"), text: "\ud800" }, "text"],
    ["an id with spaces", { ...name("kim"), id: "two words" }, "id"],
    ["an id that is too long", { ...name("kim"), id: "k".repeat(257) }, "id"],
    ["a conversation named ../../etc/passwd", name("../../etc/passwd"), "conversation"],
    ["a conversation with a leading dash", name("-rf"), "conversation"],
    ["a conversation with ESC in it", name("\u001b[2Jkim"), "conversation"],
    ["a conversation with a bidirectional override", name("kim\u202egnp.exe"), "conversation"],
    ["a conversation of 257 characters", name("k".repeat(257)), "conversation"],
    ["a sender with ESC in it", { ...name("kim"), sender: "u\u001b]0;owned\u0007" }, "sender"],
    ["a resume of a conversation with slashes", { type: "resume", conversation: "a/b", after: 0 }, "conversation"],
    ["a resume from -1", { type: "resume", conversation: "kim", after: -1 }, "after"],
    ["a resume from 1.5", { type: "resume", conversation: "kim", after: 1.5 }, "after"],
    ["a resume from a text", { type: "resume", conversation: "kim", after: "7" }, "after"],
    ["a resume without a number", { type: "resume", conversation: "kim" }, "after"],
    ["a window of 0", { type: "resume", conversation: "kim", after: 0, window: 0 }, "window"],
    ["a file that is not base64", { ...name("kim"), attachments: [{ type: "a/b", data: "!" }] }, "attachments[0].data"],
    [
      "a file that was not uploaded",
      { ...name("kim"), attachments: [{ type: "a/b", hash: "../x" }] },
      "attachments[0].hash"
    ]
  ]
  it.live("W4: each frame that can't be right is refused with field, value and remedy, and the socket goes on", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      for (const [what, frame, field] of wrong) {
        yield* client.send(frame)
        const error = yield* client.next("error")
        assert.deepInclude(error, { problem: problemType("invalid"), status: 400 }, what)
        assert.strictEqual(error.about?.["field"], field, what)
        assert.isAbove(String(error.about?.["remedy"]).length, 0, what)
        // oxlint-disable-next-line no-control-regex -- what must not be in it
        assert.notMatch(JSON.stringify(Object.values(error)), /\\u00[01]|[\u0000-\u001f\u202e]/, what)
        yield* alive(client)
      }
      yield* nothingStored(server)
    })
  )

  it.live("W4: a text with ESC and bidirectional characters is kept as it is, for whoever shows it to escape", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      const text = "red \u001b[31m and \u202e reversed"
      yield* client.send({ ...name("kim"), text })
      yield* client.next("accepted")
      assert.strictEqual((yield* server.memory.messages)[0]?.text, text)
    })
  )

  it.live("W4: a text over the limit is refused as too large, the socket goes on", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      yield* client.send({ ...name("kim"), text: "x".repeat(300_000) })
      assert.deepInclude(yield* client.any, { type: "error", status: 413, problem: problemType("too-large"), id: "a" })
      yield* nothingStored(server)
    })
  )

  it.live("W4: a frame over 1 MiB closes its socket (1009), before it is whole, and delays nobody", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      yield* client.send({ ...name("kim"), text: "x".repeat(2 ** 21) })
      assert.strictEqual((yield* client.ended).code, 1009)
      // announced as 2^62 bytes: nothing of it has come
      const wire = yield* connect(server)
      yield* wire.write(head("GET", "/v1/ws", { ...upgrade, ...key }))
      yield* wire.until("101")
      yield* wire.write(Uint8Array.of(0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4))
      yield* wire.closed
      yield* othersGoOn(server)
      assert.strictEqual((yield* server.memory.messages).length, 1)
    })
  )

  it.live("W4: a frame over a smaller limit of bodies closes its socket as well (1009)", () =>
    Effect.gen(function* () {
      const server = yield* serve({ bodyLimit: 1024 })
      const client = yield* dial(server)
      yield* client.send({ ...name("kim"), text: "x".repeat(1024) })
      assert.strictEqual((yield* client.ended).code, 1009)
      yield* nothingStored(server)
    })
  )

  it.live("W4: what is not text, not UTF-8 or not the protocol closes its socket with the code that says so", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const binary = yield* dial(server)
      yield* binary.sendRaw(new TextEncoder().encode(JSON.stringify({ type: "ping" })))
      assert.strictEqual((yield* binary.ended).code, 1003)
      const raw = (bytes: ReadonlyArray<number>) =>
        Effect.gen(function* () {
          const wire = yield* connect(server)
          yield* wire.write(head("GET", "/v1/ws", { ...upgrade, ...key }))
          yield* wire.until("101")
          yield* wire.write(Uint8Array.from(bytes))
          const answer = yield* wire.closed
          const at = answer.indexOf("\r\n\r\n") + 4
          return [answer.charCodeAt(at), answer.charCodeAt(at + 2) * 256 + answer.charCodeAt(at + 3)]
        })
      const mask = [0, 0, 0, 0]
      assert.deepStrictEqual(yield* raw([0x81, 0x81, ...mask, 0xff]), [0x88, 1007])
      // not masked; a reserved opcode; a continuation of nothing; a ping in parts
      assert.deepStrictEqual(yield* raw([0x81, 0x01, 0x41]), [0x88, 1002])
      assert.deepStrictEqual(yield* raw([0x83, 0x80, ...mask]), [0x88, 1002])
      assert.deepStrictEqual(yield* raw([0x80, 0x80, ...mask]), [0x88, 1002])
      assert.deepStrictEqual(yield* raw([0x09, 0x80, ...mask]), [0x88, 1002])
      yield* othersGoOn(server)
    })
  )

  it.live(
    "W4: 32 frames in a row that can't be read close the socket (1008); one that can in between begins anew",
    () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const client = yield* dial(server)
        for (let n = 0; n < 31; n++) yield* client.sendRaw("{")
        yield* alive(client)
        for (let n = 0; n < 32; n++) yield* client.sendRaw("}")
        assert.strictEqual((yield* client.ended).code, 1008)
        yield* othersGoOn(server)
      })
  )

  it.live(
    "W4: who goes on asking for refusals is read more slowly, then closed (1008); a client that mends its ways stays",
    () =>
      Effect.gen(function* () {
        const server = yield* serve({ webSockets: { refusals: { perSecond: 500, burst: 20 } } })
        const client = yield* dial(server)
        const bad = { type: "ack", conversation: "nobody", number: 1 }
        for (let n = 0; n < 20; n++) yield* client.send(bad)
        for (let n = 0; n < 20; n++) assert.strictEqual((yield* client.next("error")).status, 400)
        yield* alive(client)
        const begun = performance.now()
        for (let n = 0; n < 1000; n++) yield* client.send(bad)
        const { code, reason } = yield* client.ended
        assert.deepStrictEqual([code, reason], [1008, "too many frames that are refused"])
        // A hundred of them, each a timer of a millisecond or two.
        assert.isAtLeast(performance.now() - begun, 90)
        yield* nothingStored(server)
        yield* othersGoOn(server)
      })
  )

  it.live("C9: what is refused for the gateway's own reasons closes no socket", () =>
    Effect.gen(function* () {
      const server = yield* serve({ webSockets: { refusals: { perSecond: 100_000, burst: 1 } } })
      const client = yield* dial(server)
      for (let n = 0; n < 150; n++) {
        yield* server.memory.refuseNext(new Full({ retryAfter: 1000 }))
        yield* client.send({ type: "message", conversation: "kim", id: String(n), text: "hello" })
        assert.strictEqual((yield* client.next("error")).status, 503)
      }
      yield* alive(client)
    })
  )

  it.effect.prop(
    "W4: whatever a client says, it gets an answer or a close, and the socket or the next one goes on",
    [
      Schema.Array(
        Schema.Union([
          Schema.String,
          Schema.Struct({
            type: Schema.Union([Schema.Literals(["message", "resume", "leave", "ack", "ping"]), Schema.String]),
            conversation: Schema.Union([Schema.String, Schema.Int, Schema.Null]),
            id: Schema.optionalKey(Schema.Union([Schema.String, Schema.Boolean])),
            text: Schema.optionalKey(Schema.Union([Schema.String, Schema.Array(Schema.Int)])),
            after: Schema.optionalKey(Schema.Union([Schema.Number, Schema.String])),
            number: Schema.optionalKey(Schema.Number)
          })
        ])
      ).check(Schema.isMaxLength(31))
    ],
    ([frames]) =>
      Effect.gen(function* () {
        const server = yield* serve()
        const client = yield* dial(server)
        for (const frame of frames) {
          yield* client.sendRaw(typeof frame === "string" ? frame : JSON.stringify(frame))
        }
        yield* alive(client)
        yield* client.close
        assert.strictEqual((yield* client.ended).code, 1000)
        yield* server.memory.readers(0)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 40 } }
  )
})
