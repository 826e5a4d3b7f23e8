/**
 * What was lost, said to the wrong one, or asked for without an end on Telegram: a
 * file whose words begin with a path, a code that came twice, a page of nothing.
 *
 * Scenarios: D9, Q24, W3, W5
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { TestAgent } from "@sluice/runtime/testing"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { sender } from "../../src/internal/telegram/delivery.ts"
import { poll } from "../../src/internal/telegram/polling.ts"
import { boot, kim, standIn, whileTimePasses } from "./world.ts"

const lee = 43
const conversationOf = (peer: number) => ({ channel: "telegram", account: "", peer: String(peer), thread: "" })
const bytes = new TextEncoder().encode("the bytes of a picture")
const photo = { photo: [{ file_id: "pic", width: 1280, file_size: bytes.length }] }

describe("a file", () => {
  it.effect("Q24, W3: comes with its message, also when the words beside it begin with a path", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      server.files.set("pic", { bytes })
      yield* boot(server, { agent }, (gateway) =>
        Effect.gen(function* () {
          server.say(kim, "", { ...photo, caption: "/srv/a.png looks wrong" })
          const run = yield* agent.run(1)
          const [message] = run.turn.messages
          assert.strictEqual(message?.text, "/srv/a.png looks wrong")
          assert.deepStrictEqual(
            message?.attachments.map(({ name, size }) => [name, size]),
            [["photo.jpg", bytes.length]]
          )
          yield* run.finish("it is")
          yield* gateway.settled(`telegram/${kim}`)
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("a code", () => {
  it.effect("W5, D9: that is delivered again, also to the next boot, lets nobody in twice and is no message", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.echo()
      const store = yield* boot.store
      const used: Array<string> = []
      const pairing = {
        paired: Effect.sync(() => (used.length === 0 ? [] : [lee])),
        redeem: (code: string) =>
          Effect.sync(() => {
            const right = code === "ABCD1234" && used.length === 0
            if (right) used.push(code)
            return right
          }),
        redeemed: (code: string, id: number) => Effect.succeed(id === lee && used.includes(code))
      }
      const welcome = "Welcome! I'll answer you from now on."
      const update = server.say(lee, "abcd-1234")
      yield* boot(server, { agent, store, options: { pairing } }, () =>
        Effect.gen(function* () {
          yield* server.confirmed(update)
          yield* server.until(() => server.texts(lee).includes(welcome))
          server.again(update)
          server.say(lee, "hello")
          yield* server.until(() => server.texts(lee).includes("hello"))
        })
      )
      // As after a crash between the code and the next question to Telegram.
      server.again(update)
      yield* boot(server, { agent, store, options: { pairing } }, () =>
        Effect.gen(function* () {
          server.say(lee, "WXYZ5678")
          yield* server.until(() => server.texts(lee).includes("WXYZ5678"))
        })
      )
      assert.deepStrictEqual(server.texts(lee), [welcome, "hello", "WXYZ5678"])
      assert.deepStrictEqual(
        agent.runs.map(({ turn }) => turn.text),
        ["hello", "WXYZ5678"]
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("a page", () => {
  it.effect("W3: in which nothing has a number is asked for again after a moment, not at once", () =>
    Effect.gen(function* () {
      let asked = 0
      const api = {
        call: () =>
          Effect.sync(() => {
            asked++
            return [{}, null, "x"] as never
          }),
        file: () => Effect.die("there is none")
      }
      const fiber = yield* Effect.forkChild(
        poll("telegram", api, () => Effect.die("nothing to take")),
        { startImmediately: true }
      )
      yield* TestClock.adjust("2500 millis")
      assert.strictEqual(asked, 3)
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(NodeHttpClient.layerNodeHttp))
  )
})

describe("patience", () => {
  it.effect("W3: a wait of two chats is one of the bot, also when the wall clock jumps in between", () =>
    Effect.gen(function* () {
      const failure = { _tag: "Denied", code: 429, reason: "later", retryAfter: 60_000, movedTo: undefined } as const
      const { explained } = sender({ call: () => Effect.fail(failure), file: () => Effect.fail(failure) })
      const asked = (peer: number, at: number) =>
        Effect.flip(explained(conversationOf(peer))(Effect.fail(failure))).pipe(
          Effect.updateService(Clock.Clock, (clock) =>
            Object.assign(Object.create(clock), { currentTimeMillis: Effect.succeed(at) })
          ),
          Effect.map((error) => (error._tag === "Throttled" ? error.scope : error._tag))
        )
      assert.strictEqual(yield* asked(kim, 0), "conversation")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* asked(lee, 86_400_000), "channel")
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* asked(kim, 0), "conversation")
    })
  )
})
