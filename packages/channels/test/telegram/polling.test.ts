/**
 * A Bot API that refuses, talks nonsense or says nothing, and updates that nobody
 * would send: the channel says what is wrong, or goes on, and acknowledges nothing
 * that is not on disk.
 *
 * Scenarios: D8, D9, W3, W4
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Full, Storage } from "@sluice/runtime/Message"
import { MemoryHandle } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Telegram from "../../src/Telegram.ts"
import { temporaryAttachments } from "../serve.ts"
import type { StandIn } from "../standIn/telegram.ts"
import { kim, standIn, whileTimePasses } from "./world.ts"

/** A channel that receives into memory. */
const receiving = Effect.fnUntraced(function* (server: StandIn, token = server.token) {
  const memory = yield* MemoryHandle.make({ name: "telegram" })
  const channel = Telegram.make({ token: Redacted.make(token), apiRoot: server.url, allow: [kim] })
  const fiber = yield* Effect.scoped(channel.receive(memory.handle)).pipe(
    Effect.provide(Layer.merge(NodeHttpClient.layerNodeHttp, temporaryAttachments)),
    Effect.forkScoped
  )
  return { memory, fiber, problem: Effect.map(Effect.flip(Fiber.join(fiber)), ({ message }) => message) }
})

describe("polling", () => {
  for (const [what, fate, expected] of [
    [
      "another program that receives",
      { refuse: 409, description: "Conflict: terminated by other getUpdates request" },
      /another program receives for this bot \(409/
    ],
    ["a token that was taken back", { refuse: 401, description: "Unauthorized" }, /the token was refused \(401/],
    ["a refusal of any other kind", { refuse: 403, description: "Forbidden: no" }, /refused \(403: Forbidden: no\)/],
    ["a server that is overloaded all the time", { refuse: 502, description: "Bad Gateway" }, /Bad Gateway/],
    ["a server that says nothing", "silence", /did not answer within 45s/]
  ] as const) {
    it.effect(`W3: says so of ${what}`, () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        server.otherwise("getUpdates", fate)
        const { memory, problem } = yield* receiving(server)
        yield* memory.ready
        assert.match(yield* problem, expected)
      }).pipe(Effect.scoped, whileTimePasses)
    )
  }

  it.effect("W3: goes on after a moment of nonsense, and after a wait that it is asked for", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      server.script(
        "getMe",
        { refuse: 502, description: "Bad Gateway" },
        { refuse: 429, parameters: { retry_after: 20 } }
      )
      server.script("getUpdates", "drop", "garbage", { refuse: 429, parameters: { retry_after: 60 } }, "drop")
      const { memory } = yield* receiving(server)
      const update = server.say(kim, "still here")
      yield* server.confirmed(update)
      assert.deepStrictEqual(
        (yield* memory.messages).map(({ text }) => text),
        ["still here"]
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("D8, W3: a store that can't commit keeps the rest with Telegram; other chats go on", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const { memory } = yield* receiving(server)
      yield* memory.ready
      yield* memory.refuseNext(new Storage({ retryAfter: 30_000, cause: new Error("disk full") }))
      yield* memory.refuseNext(new Full({ retryAfter: 30_000 }))
      const first = server.say(kim, "one")
      const second = server.say(kim, "two")
      yield* memory.message(2)
      yield* server.confirmed(second)
      yield* server.confirmed(first)
      assert.deepStrictEqual(
        (yield* memory.messages).map(({ text }) => text),
        ["one", "two"]
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("W4: hostile updates are skipped or neutralised, none holds up the others", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const { memory } = yield* receiving(server)
      yield* memory.ready
      server.push({ message: null })
      server.push({ message: { message_id: 1e300, chat: { id: kim, type: "private" }, date: 0 } })
      server.push({ message: { message_id: 1, chat: { id: kim, type: "alien" }, date: 0, text: "x" } })
      server.push({ edited_message: { message_id: 1 } })
      server.push({ callback_query: { id: "1", from: { id: kim }, data: "/stop" } })
      server.push({ callback_query: { id: "2", from: { id: 666 }, data: "/stop" } })
      server.say(kim, "x".repeat(300_000))
      server.say(kim, "\ud800 half a character")
      server.say(kim, "from a bot", { from: { id: kim, is_bot: true } })
      server.say(kim, "", { poll: { question: "?" } })
      server.say(kim, "\u202eesrever", { from: { id: kim, first_name: "\u0000\u202e".repeat(500) } })
      yield* server.confirmed(server.say(kim, "last"))
      assert.deepStrictEqual(
        (yield* memory.messages).map(({ sender, text }) => [sender, text]),
        [
          [String(kim), "\ufffd half a character"],
          [String(kim), "\u202eesrever"],
          [String(kim), "last"]
        ]
      )
      assert.deepStrictEqual(server.unconfirmed(), [])
    }).pipe(Effect.scoped, whileTimePasses)
  )
})
