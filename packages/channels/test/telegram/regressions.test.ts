/**
 * What was lost, said to the wrong one, or asked for without an end on Telegram: a
 * file whose words begin with a path, a code that came twice, a page of nothing.
 *
 * Scenarios: D9, Q24, W3, W5
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { TestAgent } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { poll } from "../../src/internal/telegram/polling.ts"
import { boot, kim, standIn, whileTimePasses } from "./world.ts"

const lee = 43
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
  it.effect("W5, D9: that is delivered again lets nobody in twice, and is no message to an agent", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.echo()
      let valid = "ABCD1234"
      const pairing = {
        paired: Effect.succeed([]),
        redeem: (code: string) =>
          Effect.sync(() => {
            const right = code === valid
            if (right) valid = ""
            return right
          })
      }
      yield* boot(server, { agent, options: { pairing } }, () =>
        Effect.gen(function* () {
          const welcome = "Welcome! I'll answer you from now on."
          const update = server.say(lee, "abcd-1234")
          yield* server.confirmed(update)
          yield* server.until(() => server.texts(lee).includes(welcome))
          server.again(update)
          server.say(lee, "hello")
          yield* server.until(() => server.texts(lee).includes("hello"))
          assert.deepStrictEqual(server.texts(lee), [welcome, "hello"])
          assert.deepStrictEqual(
            agent.runs.map(({ turn }) => turn.text),
            ["hello"]
          )
        })
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
