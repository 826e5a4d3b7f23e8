/**
 * W4 over HTTP: bodies that can't be right, are too large or too slow, and more
 * of everything than there should be; nothing of it is stored and nobody waits.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Agent } from "node:http"
import { connect, exactly, head, serve, type Server, token } from "./serve.ts"

const path = "/v1/conversations/kim/messages"
const authorized = { host: "127.0.0.1", authorization: `Bearer ${token}`, "content-type": "application/json" }
const hello = JSON.stringify({ text: "hello" })

const problemType = (name: string) => `urn:sluice:problem:${name}`

const nothingStored = (server: Server) =>
  Effect.map(server.memory.messages, (messages) => assert.deepStrictEqual(messages, []))

/** Another client's message, which must go through meanwhile. */
const othersPass = (server: Server) =>
  Effect.map(server.post("other", { text: "hi" }), ({ status }) => assert.strictEqual(status, 202))

describe("bodies", () => {
  const bodies: ReadonlyArray<readonly [string, string, string]> = [
    ["no JSON", "text=hello", "body"],
    ["an empty body", "", "body"],
    ["null", "null", "body"],
    ["a list", "[]", "body"],
    ["no text", "{}", "text"],
    ["a text that is a number", '{"text": 1}', "text"],
    ["an empty text", '{"text": ""}', "text"],
    ["a lone surrogate", '{"text": "\\ud800"}', "text"],
    ["a field that is not known", '{"text": "hi", "sendr": "u1"}', "sendr"],
    ["a prototype", '{"text": "hi", "__proto__": {"sender": "x"}}', "__proto__"],
    ["100,000 nested lists", `{"text": ${"[".repeat(100_000)}${"]".repeat(100_000)}}`, "text"],
    ["an empty sender", '{"text": "hi", "sender": ""}', "sender"],
    ["an attachment with neither data nor hash", '{"text": "", "attachments": [{"type": "a/b"}]}', "attachments[0]"],
    [
      "an attachment that is not base64",
      '{"text": "", "attachments": [{"type": "a/b", "data": "?"}]}',
      "attachments[0].data"
    ],
    [
      "an attachment named with a path",
      '{"text": "", "attachments": [{"type": "a/b", "data": "", "name": "../x"}]}',
      "attachments[0].name"
    ],
    [
      "an attachment whose hash is a path",
      '{"text": "", "attachments": [{"type": "a/b", "hash": "../../etc/passwd"}]}',
      "attachments[0].hash"
    ],
    [
      "an attachment without a real type",
      '{"text": "", "attachments": [{"type": "x", "data": ""}]}',
      "attachments[0].type"
    ]
  ]
  const sentences: ReadonlyArray<readonly [body: string, detail: string]> = [
    ["{}", "text is missing: add it"],
    ['{"text": 5}', "text 5: has to be a string"],
    ['{"text": "hi", "attachments": {}}', "attachments {}: has to be an array"],
    ['"hi"', 'body "hi": send one JSON object, for example {"text": "hello"}'],
    ["{'text': 'hi'}", `body "{'text': 'hi'}": send one JSON object, for example {"text": "hello"}`],
    ["", 'body is empty: send one JSON object, for example {"text": "hello"}'],
    ['{"text": "hi", "sendr": "u1"}', 'sendr "u1": is not a known field; leave it out or correct its name']
  ]
  for (const [body, detail] of sentences) {
    it.live(`a body that is ${body === "" ? "empty" : body} is answered with a sentence that one can read`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const answer = yield* server.fetch("/v1/conversations/kim/messages", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body
        })
        assert.deepStrictEqual([answer.status, answer.body.detail], [400, detail])
      })
    )
  }

  for (const [what, body, field] of bodies) {
    it.live(`W4: a body with ${what} is a 400 that names ${field}`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const answer = yield* exactly(server, { method: "POST", path, headers: authorized, body })
        assert.strictEqual(answer.status, 400)
        assert.deepInclude(answer.body, { type: problemType("invalid"), field })
        assert.isBelow((answer.body.detail ?? "").length, 500)
        yield* nothingStored(server)
      })
    )
  }

  it.live("W4: invalid UTF-8 is a 400, not a message with question marks in it", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const body = new Uint8Array([...new TextEncoder().encode('{"text": "'), 0xc3, 0x28, 0x22, 0x7d])
      const answer = yield* server.fetch(path, {
        method: "POST",
        body,
        headers: { "content-type": "application/json" }
      })
      assert.strictEqual(answer.status, 400)
      assert.include(answer.body.detail, "UTF-8")
      yield* nothingStored(server)
    })
  )

  it.live("W4: a form and a compressed body are not read (415), so no page can post without a preflight", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (const headers of [
        { ...authorized, "content-type": "text/plain" },
        { ...authorized, "content-type": "application/x-www-form-urlencoded" },
        { ...authorized, "content-encoding": "gzip" }
      ]) {
        const answer = yield* exactly(server, { method: "POST", path, headers, body: hello })
        assert.strictEqual(answer.status, 415)
        assert.strictEqual(answer.body.type, problemType("unsupported-content"))
      }
      yield* nothingStored(server)
    })
  )

  it.live("W4: a body of 2 MiB is refused by its announced length before it is sent", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const wire = yield* connect(server)
      yield* wire.write(
        head("POST", path, { "content-type": "application/json", "content-length": String(2 * 1024 * 1024) })
      )
      assert.include(yield* wire.until("\r\n"), "413")
      yield* othersPass(server)
    })
  )

  it.live("W4: a chunked body that announces nothing is refused while it arrives", () =>
    Effect.gen(function* () {
      const server = yield* serve({ bodyLimit: 1000 })
      const wire = yield* connect(server)
      yield* wire.write(head("POST", path, { "content-type": "application/json", "transfer-encoding": "chunked" }))
      const chunk = "x".repeat(600)
      yield* wire.write(`258\r\n${chunk}\r\n`)
      yield* othersPass(server)
      yield* wire.write(`258\r\n${chunk}\r\n`)
      const answer = yield* wire.until("}")
      assert.include(answer, "413")
      assert.include(answer, "at most 1000")
    })
  )

  it.live("C1: a body that comes in pieces, or in chunks without a length, is the same message", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const body = JSON.stringify({ text: "grüß dich, 世界" })
      const bytes = Buffer.from(body)
      const pieces = yield* connect(server)
      const length = String(bytes.byteLength)
      yield* pieces.write(head("POST", path, { "content-type": "application/json", "content-length": length }))
      // one byte after the other: a piece ends inside of a character, too
      for (const byte of bytes) yield* pieces.write(Uint8Array.of(byte))
      assert.include(yield* pieces.until("}"), "202")
      const chunks = yield* connect(server)
      yield* chunks.write(head("POST", path, { "content-type": "application/json", "transfer-encoding": "chunked" }))
      yield* chunks.write(`${bytes.byteLength.toString(16)}\r\n${body}\r\n0\r\n\r\n`)
      assert.include(yield* chunks.until("}"), "202")
      const texts = (yield* server.memory.messages).map(({ text }) => text)
      assert.deepStrictEqual(texts, ["grüß dich, 世界", "grüß dich, 世界"])
    })
  )

  it.live("C1: a client that leaves inside of its body leaves nothing, and the next one is heard", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const wire = yield* connect(server)
      yield* wire.write(head("POST", path, { "content-type": "application/json", "content-length": "50" }) + '{"te')
      yield* othersPass(server)
      yield* wire.destroy
      yield* othersPass(server)
      assert.strictEqual((yield* server.memory.messages).length, 2)
    })
  )

  it.live("a client that waits for a go-ahead before its body gets it", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const wire = yield* connect(server)
      const length = String(hello.length)
      const headers = { "content-type": "application/json", "content-length": length, expect: "100-continue" }
      yield* wire.write(head("POST", path, headers))
      assert.include(yield* wire.until("\r\n"), "100 Continue")
      yield* wire.write(hello)
      assert.include(yield* wire.until("}"), "202")
    })
  )

  it.live("W4: a text beyond its limit is too large, and the limit is named", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const answer = yield* server.post("kim", { text: "x".repeat(300_000) })
      assert.strictEqual(answer.status, 413)
      assert.include(answer.body.detail, "262144")
      yield* nothingStored(server)
    })
  )
})

describe("slowness and numbers", () => {
  it.live("W4: a head that does not come is cut after its time, and nobody waits for it", () =>
    Effect.gen(function* () {
      const server = yield* serve({ bounds: { headersTimeout: 50, connectionsCheckingInterval: 10 } })
      const slow = yield* connect(server)
      yield* slow.write("POST /v1/conversations/kim/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ")
      yield* othersPass(server)
      assert.include(yield* slow.closed, "408")
    })
  )

  it.live("W4: a body that does not come is cut after its time, and nobody waits for it", () =>
    Effect.gen(function* () {
      const server = yield* serve({
        bounds: { headersTimeout: 50, requestTimeout: 60, connectionsCheckingInterval: 10 }
      })
      const slow = yield* connect(server)
      yield* slow.write(head("POST", path, { "content-type": "application/json", "content-length": "50" }) + '{"te')
      yield* othersPass(server)
      yield* slow.closed
      assert.strictEqual((yield* server.memory.messages).length, 1)
    })
  )

  it.live("W4: 10,000 conversations are accepted one by one, and their senders take bounded memory", () =>
    Effect.gen(function* () {
      const server = yield* serve({ totalRate: false })
      const agent = yield* Effect.acquireRelease(
        Effect.sync(() => new Agent({ keepAlive: true, maxSockets: 64 })),
        (agent) => Effect.sync(() => agent.destroy())
      )
      const send = (index: number) =>
        exactly(server, {
          agent,
          method: "POST",
          path: `/v1/conversations/room-${index}/messages`,
          headers: authorized,
          body: JSON.stringify({ text: "hi", sender: `u${index}` })
        })
      const indexes = Array.from({ length: 10_000 }, (_, index) => index)
      const statuses = yield* Effect.forEach(indexes, (index) => Effect.map(send(index), ({ status }) => status), {
        concurrency: 64
      })
      assert.isTrue(statuses.every((status) => status === 202))
      yield* othersPass(server)
      assert.strictEqual((yield* server.memory.messages).length, 10_001)
    })
  )

  it.live("W4: a sender over its rate gets 429 with Retry-After while others go on", () =>
    Effect.gen(function* () {
      const server = yield* serve({ senderRate: { perSecond: 0.001, burst: 3 } })
      const flood = yield* Effect.forEach([1, 2, 3, 4], () => server.post("kim", { text: "hi", sender: "loud" }))
      assert.deepStrictEqual(
        flood.map(({ status }) => status),
        [202, 202, 202, 429]
      )
      assert.strictEqual(flood[3]?.body.type, problemType("rate-limited"))
      assert.isAbove(Number(flood[3]?.headers.get("retry-after")), 1)
      assert.strictEqual((yield* server.post("kim", { text: "hi", sender: "calm" })).status, 202)
    })
  )

  it.live("W4: all senders together have a limit too", () =>
    Effect.gen(function* () {
      const server = yield* serve({ totalRate: { perSecond: 0.001, burst: 2 } })
      const flood = yield* Effect.forEach(["a", "b", "c"], (sender) => server.post("kim", { text: "hi", sender }))
      assert.deepStrictEqual(
        flood.map(({ status }) => status),
        [202, 202, 429]
      )
    })
  )

  for (const query of ["?wait=soon", "?wait=30", "?wait=-1s", "?wait=1s&wait=2s"]) {
    it.live(`${query} is a 400 that says how a duration is written, and nothing is stored`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const answer = yield* server.post("kim", { text: "hi" }, { query })
        assert.strictEqual(answer.status, 400)
        assert.strictEqual(answer.body.field, "wait")
        yield* nothingStored(server)
      })
    )
  }

  for (const query of ["?after=-1", "?after=1.5", "?after=x", "?limit=0", "?limit=1001"]) {
    it.live(`${query} of replies is a 400 that names the range`, () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const answer = yield* server.fetch(`/v1/conversations/kim/replies${query}`)
        assert.strictEqual(answer.status, 400)
        assert.include(answer.body.remedy, "whole number")
      })
    )
  }
})
