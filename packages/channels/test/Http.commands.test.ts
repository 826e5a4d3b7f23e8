/**
 * Commands over HTTP: given in parts, answered at once with what a person would
 * read, refused with a type that a program can tell apart. A repeat of a key is
 * answered as the first was.
 */
import { assert, describe, it } from "@effect/vitest"
import { commands } from "@sluice/runtime/Channel"
import * as Message from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Elsewhere, Options } from "../src/Http.ts"
import { commands as menu } from "../src/internal/telegram/commands.ts"
import { type Answer, type Server, serve, texts } from "./serve.ts"

const problemType = (name: string) => `urn:sluice:problem:${name}`

interface Given {
  readonly key?: string
  readonly query?: string
  readonly headers?: Record<string, string>
}

const give = (server: Server, conversation: string, body: unknown, { headers, key, query = "" }: Given = {}) =>
  server.fetch(`/v1/conversations/${encodeURIComponent(conversation)}/commands${query}`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: {
      "content-type": "application/json",
      ...(key === undefined ? {} : { "idempotency-key": key }),
      ...headers
    }
  })

/** Ends the command with this place in commit order, as its session does. */
const done = Effect.fnUntraced(function* (server: Server, seq: number, text: string, why = "") {
  const { conversation, id } = yield* server.memory.message(seq)
  yield* server.memory.reply(conversation, { text, kind: "command", inReplyTo: [id] })
  yield* server.memory.end(seq, { ending: "command", why })
})

describe("a command", () => {
  it.live("Q14, Q15: is stored as the text that a person would write, and answered with its reply", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const asked = yield* Effect.forkChild(
        give(server, "kim", { command: "/new", arguments: ["work", "planner"], sender: "u17" }, { key: "a" })
      )
      yield* done(server, 1, 'A fresh start: "work".')
      const first = yield* Fiber.join(asked)
      assert.strictEqual(first.status, 200)
      assert.deepInclude(first.body, { seq: 1, id: "a", duplicate: false, ended: "command" })
      assert.deepStrictEqual(texts(first), ['A fresh start: "work".'])
      assert.deepInclude(yield* server.memory.message(1), { text: "/new work planner", sender: "u17" })
      const repeat = yield* give(
        server,
        "kim",
        { command: "new", arguments: ["work", "planner"], sender: "u17" },
        { key: "a" }
      )
      assert.deepStrictEqual(repeat.body, { ...first.body, duplicate: true })
      const other = yield* give(server, "kim", { command: "/stop" }, { key: "a" })
      assert.deepInclude(other.body, { type: problemType("conflict"), status: 409, id: "a" })
      assert.strictEqual((yield* server.memory.messages).length, 1)
    })
  )

  it.live("Q15: what its session refuses has a status and the words of the reply, and a repeat gets the same", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const refusals = [
        { why: "refused", status: 400, type: "invalid" },
        { why: "missing", status: 404, type: "not-found" },
        { why: "busy", status: 409, type: "not-now" },
        { why: "failed", status: 409, type: "not-now" }
      ]
      for (const [index, { status, type, why }] of refusals.entries()) {
        const key = `k${index}`
        const asked = yield* Effect.forkChild(give(server, "kim", { command: "/archive", arguments: ["x"] }, { key }))
        yield* done(server, index + 1, `no: ${why}`, why)
        const { body } = yield* Fiber.join(asked)
        const expected = { status, type: problemType(type), detail: `no: ${why}`, seq: index + 1, id: key }
        assert.deepInclude(body, expected)
        const repeat = yield* give(server, "kim", { command: "/archive", arguments: ["x"] }, { key })
        assert.deepStrictEqual(repeat.body, body)
      }
    })
  )

  it.live("Q15: bad input is refused by its field and stores nothing", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const cases: ReadonlyArray<readonly [unknown, number, string, string]> = [
        [{ command: "/nothing" }, 404, "unknown-command", 'command "/nothing": there is none'],
        [{ command: "" }, 404, "unknown-command", "GET /v1/commands"],
        [{ command: "toString" }, 404, "unknown-command", "there is none"],
        [{ command: "/status now" }, 404, "unknown-command", "there is none"],
        [{ command: "/status", arguments: ["now"] }, 400, "invalid", 'arguments "now": leave it out'],
        [{ command: "/session" }, 400, "invalid", "the command is /session <name>"],
        [{ command: "/session", arguments: ["two words"] }, 400, "invalid", "without spaces"],
        [{ command: "/session", arguments: ["../x"] }, 400, "invalid", "a name of letters"],
        [{ command: "/session", arguments: [""] }, 400, "invalid", "without spaces"],
        [{ command: "/timeout", arguments: ["121"] }, 400, "invalid", "1 to 120 minutes"],
        [{ command: "/queue", arguments: ["later"] }, 400, "invalid", "collect, followup, steer, interrupt"],
        [{ command: "/allow", arguments: ["3"] }, 400, "invalid", "your choice"],
        [{ command: "/stop", args: [] }, 400, "invalid", "args"],
        [{ command: "/stop", arguments: "x" }, 400, "invalid", "arguments"],
        [{ command: "/stop", sender: "" }, 400, "invalid", "sender"],
        [{ arguments: [] }, 400, "invalid", "command is missing"],
        [{ command: 1 }, 400, "invalid", "has to be a string"],
        ["[]", 400, "invalid", "send one JSON object"],
        ["{", 400, "invalid", "body"]
      ]
      for (const [body, status, type, detail] of cases) {
        const answer = yield* give(server, "kim", body)
        assert.deepInclude(answer.body, { status, type: problemType(type) }, JSON.stringify(body))
        assert.include(answer.body.detail, detail)
      }
      const named = (yield* give(server, "kim", { command: "/timeout", arguments: ["121"] })).body
      assert.deepInclude(named, { field: "arguments", value: '"121"' })
      const answers: ReadonlyArray<Answer> = [
        yield* give(server, "telegram/123", { command: "/stop" }),
        yield* give(server, "kim", { command: "/stop" }, { query: "?wait=soon" }),
        yield* give(server, "kim", { command: "/stop" }, { key: "no key" }),
        yield* give(server, "kim", { command: "/stop" }, { headers: { "content-type": "text/plain" } }),
        yield* give(server, "kim", `{"command": "/stop", "sender": "${"x".repeat(2_000_000)}"}`),
        yield* give(server, "kim", { command: "/stop" }, { headers: { origin: "https://elsewhere.example" } }),
        yield* server.fetch("/v1/conversations/kim/commands", { method: "POST", body: "{}", token: null })
      ]
      assert.deepStrictEqual(
        answers.map(({ status }) => status),
        [400, 400, 400, 415, 413, 403, 401]
      )
      assert.deepStrictEqual(yield* server.memory.messages, [])
    })
  )

  it.live("Q15: is not waited for with wait=0s, and is answered in the middle of a stop", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const at = yield* give(server, "kim", { command: "/stop" }, { query: "?wait=0s", key: "s" })
      assert.deepStrictEqual([at.status, at.body], [202, { seq: 1, id: "s", duplicate: false }])
      yield* server.memory.stop
      const asked = yield* Effect.forkChild(give(server, "kim", { command: "/status" }))
      yield* done(server, 2, "main: draining")
      assert.deepStrictEqual(texts(yield* Fiber.join(asked)), ["main: draining"])
    })
  )

  it.live("Q15: counts as a message of its sender", () =>
    Effect.gen(function* () {
      const server = yield* serve({ senderRate: { perSecond: 1, burst: 1 } } satisfies Partial<Options>)
      const now = { query: "?wait=0s" }
      assert.strictEqual((yield* give(server, "kim", { command: "/stop", sender: "u1" }, now)).status, 202)
      const { body, status } = yield* give(server, "kim", { command: "/stop", sender: "u1" }, now)
      assert.strictEqual(status, 429)
      assert.strictEqual(body.type, problemType("rate-limited"))
    })
  )

  it.live("Q15: of another channel's conversation is handed on by its key, and begins none", () =>
    Effect.gen(function* () {
      const asked: Array<readonly [string, string]> = []
      const elsewhere: Elsewhere = (key, { sender, text }) => {
        asked.push([key, `${sender}: ${text}`])
        return Effect.succeed(
          key === "telegram/123" ? new Message.Accepted({ seq: 7, id: "x", duplicate: false }) : undefined
        )
      }
      const server = yield* serve({ elsewhere })
      const body = { command: "/stop", sender: "operator" }
      const known = yield* give(server, "telegram/123", body, { query: "?wait=0s" })
      assert.deepStrictEqual([known.status, known.body], [202, { seq: 7, id: "x", duplicate: false }])
      const unknown = yield* give(server, "telegram/124", body)
      assert.deepInclude(unknown.body, { status: 404, type: problemType("not-found") })
      assert.deepStrictEqual(asked, [
        ["telegram/123", "operator: /stop"],
        ["telegram/124", "operator: /stop"]
      ])
      assert.deepStrictEqual(yield* server.memory.messages, [])
    })
  )

  it("Q15: a chat's menu has no command that there is not", () => {
    const known = new Set(commands.map(({ command }) => command))
    assert.deepStrictEqual(
      menu.filter(({ command }) => !known.has(`/${command}`)),
      []
    )
  })

  it.live("Q15: all there are can be listed", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const { status, text } = yield* server.fetch("/v1/commands")
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(JSON.parse(text), { commands })
    })
  )
})
