/**
 * W4 over HTTP: each hostile request alone, on a real socket, with what it is
 * answered, and the proof that nothing of it was stored and nobody else waited.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import { readFrame } from "../src/internal/websocket/frames.ts"
import { connect, exactly, head, serve, type Server, token } from "./serve.ts"

const path = "/v1/conversations/kim/messages"
const authorized = { host: "127.0.0.1", authorization: `Bearer ${token}`, "content-type": "application/json" }
const hello = JSON.stringify({ text: "hello" })

const problemType = (name: string) => `urn:sluice:problem:${name}`

const nothingStored = (server: Server) =>
  Effect.map(server.memory.messages, (messages) => assert.deepStrictEqual(messages, []))

describe("host", () => {
  for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "127.0.0.1:1:2", "[::2]"]) {
    it.live(`W4: a request for host ${host} is misdirected (421), also one that changes nothing`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const post = yield* exactly(server, { method: "POST", path, headers: { ...authorized, host }, body: hello })
        assert.strictEqual(post.status, 421)
        assert.strictEqual(post.body.type, problemType("unknown-host"))
        const get = yield* exactly(server, { path: "/healthz", headers: { host } })
        assert.strictEqual(get.status, 421)
        yield* nothingStored(server)
      })
    )
  }

  it.live("W4: an absolute request target does not smuggle a foreign host past the Host header", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const wire = yield* connect(server)
      yield* wire.write(head("GET", "http://evil.example/v1/conversations/kim/replies"))
      assert.include(yield* wire.until("\r\n"), "421")
    })
  )

  it.live("the allowed names are answered in any case and with any port, a name with its port only there", () =>
    Effect.gen(function* () {
      const server = yield* serve({ allowedHosts: ["Gateway.Example", "box:4747"] })
      const status = (host: string) =>
        Effect.map(
          exactly(server, { path: "/v1/conversations/kim/replies", headers: { ...authorized, host } }),
          ({ status }) => status
        )
      assert.deepStrictEqual(
        yield* Effect.forEach(
          ["gateway.example", "GATEWAY.EXAMPLE:8443", "box:4747", "box:4748", "box", "127.0.0.1"],
          status
        ),
        [200, 200, 200, 421, 421, 421]
      )
    })
  )
})

describe("origin", () => {
  for (const origin of ["https://evil.example", "null", "http://127.0.0.1.evil.example"]) {
    it.live(`W4: a page from origin ${origin} can't change anything (403), even with the token`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const refused = yield* exactly(server, {
          method: "POST",
          path,
          headers: { ...authorized, origin },
          body: hello
        })
        assert.strictEqual(refused.status, 403)
        assert.strictEqual(refused.body.type, problemType("foreign-origin"))
        yield* nothingStored(server)
      })
    )
  }

  it.live(
    "W4: no Origin (a program), this server's own and an allowed one pass; the allowed one gets its preflight",
    () =>
      Effect.gen(function* () {
        const allowed = "https://console.example"
        const server = yield* serve({ allowedOrigins: [allowed] })
        const send = (headers: Record<string, string>) =>
          Effect.map(
            exactly(server, { method: "POST", path, headers: { ...authorized, ...headers }, body: hello }),
            ({ status }) => status
          )
        assert.strictEqual(yield* send({}), 202)
        assert.strictEqual(yield* send({ origin: "http://127.0.0.1" }), 202)
        assert.strictEqual(yield* send({ origin: allowed }), 202)
        assert.strictEqual(yield* send({ origin: "https://other.example" }), 403)
        const preflight = yield* server.fetch(path, {
          method: "OPTIONS",
          token: null,
          headers: {
            origin: allowed,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type,x-stainless-lang"
          }
        })
        assert.strictEqual(preflight.status, 204)
        assert.strictEqual(
          preflight.headers.get("access-control-allow-headers"),
          "authorization,content-type,x-stainless-lang"
        )
        assert.strictEqual(preflight.headers.get("access-control-allow-origin"), allowed)
      })
  )
})

describe("token", () => {
  const wrong: ReadonlyArray<readonly [string, Record<string, string>]> = [
    ["no token", {}],
    ["an empty token", { authorization: "Bearer " }],
    ["a token of the same length", { authorization: `Bearer ${token.replace("c", "x")}` }],
    ["the beginning of the token", { authorization: `Bearer ${token.slice(0, -1)}` }],
    ["another scheme", { authorization: `Basic ${token}` }],
    ["the bare token", { authorization: token }]
  ]
  for (const [what, headers] of wrong) {
    it.live(`W4: ${what} is refused (401) on loopback too, before the body is read`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const refused = yield* exactly(server, {
          method: "POST",
          path,
          headers: { host: "127.0.0.1", "content-type": "application/json", ...headers },
          body: hello
        })
        assert.strictEqual(refused.status, 401)
        assert.strictEqual(refused.body.type, problemType("unauthorized"))
        assert.notInclude(JSON.stringify(refused.body), token)
        yield* nothingStored(server)
      })
    )
  }

  it.live("W4: paths that don't exist tell nothing to somebody without a token", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      assert.strictEqual((yield* server.fetch("/v1/nothing", { token: null })).status, 401)
      assert.strictEqual((yield* server.fetch("/v1/nothing")).status, 404)
      assert.strictEqual((yield* server.fetch("/v1/nothing")).body.type, problemType("not-found"))
    })
  )

  it.live(
    "W4: during a rotation the old and the new token are valid, afterwards only the new one, without a restart",
    () =>
      Effect.gen(function* () {
        const tokens = yield* Ref.make([Redacted.make("old-token-old-token")])
        const server = yield* serve({ tokens: Ref.get(tokens) })
        const status = (given: string) =>
          Effect.map(server.fetch("/v1/conversations/kim/replies", { token: given }), ({ status }) => status)
        const both = () => Effect.all([status("old-token-old-token"), status("new-token-new-token")])
        assert.deepStrictEqual(yield* both(), [200, 401])
        yield* Ref.set(tokens, [Redacted.make("old-token-old-token"), Redacted.make("new-token-new-token")])
        assert.deepStrictEqual(yield* both(), [200, 200])
        yield* Ref.set(tokens, [Redacted.make("new-token-new-token")])
        assert.deepStrictEqual(yield* both(), [401, 200])
      })
  )

  it.live("W4: an empty token in the configuration lets nobody in", () =>
    Effect.gen(function* () {
      const server = yield* serve({ tokens: [Redacted.make("")] })
      assert.strictEqual((yield* server.fetch("/v1/conversations/kim/replies", { token: null })).status, 401)
      const empty = yield* exactly(server, { path, headers: { host: "127.0.0.1", authorization: "Bearer " } })
      assert.strictEqual(empty.status, 401)
    })
  )
})

describe("names", () => {
  const names: ReadonlyArray<readonly [string, string]> = [
    ["../../etc/passwd", encodeURIComponent("../../etc/passwd")],
    ["..", "%2e%2e%2f"],
    ["a backslash", encodeURIComponent("a\\b")],
    ["a leading dash", "-rf"],
    ["a leading dot", ".ssh"],
    ["ESC", encodeURIComponent("\u001b[2Jkim")],
    ["a line feed", encodeURIComponent("kim\nGET / HTTP/1.1")],
    ["NUL", encodeURIComponent("kim\u0000")],
    ["a bidirectional override", encodeURIComponent("kim\u202egnp.exe")],
    ["a space at its end", encodeURIComponent("kim ")],
    ["257 characters", "k".repeat(257)]
  ]
  for (const [what, name] of names) {
    it.live(`W4: a conversation named with ${what} is refused with field, value and remedy`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const target = `/v1/conversations/${name}/messages`
        const { status, body } = yield* exactly(server, {
          method: "POST",
          path: target,
          headers: authorized,
          body: hello
        })
        assert.strictEqual(status, 400)
        assert.deepInclude(body, { type: problemType("invalid"), field: "conversation" })
        assert.isAbove(body.remedy?.length ?? 0, 0)
        // oxlint-disable-next-line no-control-regex -- what must not be in it
        assert.notMatch(body.detail ?? "", /[\u0000-\u001f\u202e]/)
        yield* nothingStored(server)
      })
    )
  }

  it.live("W4: an empty name and a path with dots in it are no conversation", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (const target of [
        "/v1/conversations//messages",
        "/v1/conversations/../messages",
        "/v1/conversations/%zz/messages"
      ]) {
        const { status } = yield* exactly(server, { method: "POST", path: target, headers: authorized, body: hello })
        assert.include([400, 404], status)
      }
      yield* nothingStored(server)
    })
  )

  for (const name of ["%zz", "kim%", "%ff", "%c3%28"]) {
    it.live(`W4: a path with the malformed encoding ${name} is refused with the remedy, not called missing`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const malformed = `/v1/conversations/${name}/messages`
        const post = yield* exactly(server, { method: "POST", path: malformed, headers: authorized, body: hello })
        assert.deepInclude(post, { status: 400 })
        assert.deepInclude(post.body, { type: problemType("invalid"), field: "path" })
        assert.match(post.body.remedy ?? "", /percent-encode/)
        const get = yield* exactly(server, { path: `${malformed}?after=0`, headers: authorized })
        assert.strictEqual(get.status, 400)
        yield* nothingStored(server)
      })
    )
  }

  it.live("names in any script, with spaces and punctuation in them, are fine", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (const name of ["Käthe & Jürgen", "木村", "team:a@b.example", "a;b?c#d%41", "k".repeat(256)]) {
        assert.strictEqual((yield* server.post(name, { text: "hi" })).status, 202)
      }
      const stored = yield* server.memory.messages
      assert.strictEqual(stored[3]?.conversation, "a;b?c#d%41")
    })
  )

  it.live("W4: a body that nests thousands of levels deep is refused as what it is, over HTTP and in a frame", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      // Names that are numbers: it can be read and can't be written again.
      const deep = `${'{"0":'.repeat(50_000)}1${"}".repeat(50_000)}`
      const body = `{"text":${deep}}`
      const { status, ...refused } = yield* exactly(server, { method: "POST", path, headers: authorized, body })
      assert.deepStrictEqual([status, refused.body.field], [400, "text"])
      assert.include(refused.body.value, "nests too deep")
      const { field, value } = yield* Effect.flip(readFrame(`{"type":${deep}}`))
      assert.deepStrictEqual([field, value], ["type", '"(nests too deep to be shown)"'])
      yield* nothingStored(server)
    })
  )

  it.live("W4: a sender with ESC or bidirectional text is refused, such a text is kept as it is", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const sender = yield* server.post("kim", { text: "hi", sender: "u\u001b]0;owned\u0007" })
      assert.strictEqual(sender.status, 400)
      assert.strictEqual(sender.body.field, "sender")
      const text = "red \u001b[31m and \u202e reversed"
      assert.strictEqual((yield* server.post("kim", { text })).status, 202)
      assert.strictEqual((yield* server.memory.messages)[0]?.text, text)
    })
  )

  for (const key of ["", "two words", "k".repeat(257), "kéy"]) {
    it.live(`W4: the idempotency key ${JSON.stringify(key.slice(0, 12))} (${key.length} characters) is refused`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const headers = { ...authorized, "idempotency-key": key }
        const { status, body } = yield* exactly(server, { method: "POST", path, headers, body: hello })
        assert.strictEqual(status, 400)
        assert.strictEqual(body.field, "Idempotency-Key")
        yield* nothingStored(server)
      })
    )
  }
})
