/**
 * The webhook: nobody without the secret is heard, 200 means on disk, everything else
 * brings the update again.
 *
 * Scenarios: D9, W3, W4
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Full } from "@sluice/runtime/Message"
import { MemoryHandle } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Telegram from "../../src/Telegram.ts"
import { temporaryAttachments } from "../serve.ts"
import { person, standIn } from "../standIn/telegram.ts"
import { kim } from "./world.ts"

const secret = "a-secret-of-the-webhook"
const url = "https://gateway.example/v1/webhooks/telegram"

const update = (number: number, text: string) => ({
  update_id: number,
  message: { message_id: number, date: 1, chat: { id: kim, type: "private" }, from: person(kim), text }
})

describe("the webhook", () => {
  it.live("W3, W4: hears only who knows the secret, and says yes when the message is on disk", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const memory = yield* MemoryHandle.make({ name: "telegram" })
      const channel = Telegram.make({
        token: Redacted.make(server.token),
        apiRoot: server.url,
        allow: [kim],
        webhook: { url, secret: Redacted.make(secret) }
      })
      const call = (body: unknown, given: string | undefined = secret) =>
        Effect.gen(function* () {
          const headers = new Headers({ "content-type": "application/json" })
          if (given !== "") headers.set("x-telegram-bot-api-secret-token", given)
          const text = typeof body === "string" ? body : JSON.stringify(body)
          const request = HttpServerRequest.fromWeb(new Request(url, { method: "POST", headers, body: text }))
          const { headers: answered, status } = yield* channel.webhook?.(request) ?? Effect.die("there is no webhook")
          return { status, retryAfter: answered["retry-after"] }
        })
      assert.strictEqual((yield* call(update(1, "too early"))).status, 503)
      const receiving = yield* Effect.scoped(channel.receive(memory.handle)).pipe(
        Effect.provide(Layer.merge(NodeHttpClient.layerNodeHttp, temporaryAttachments)),
        Effect.forkScoped
      )
      yield* memory.ready
      assert.deepInclude((yield* server.called("setWebhook")).params, { url, secret_token: secret, max_connections: 1 })
      for (const wrong of ["", "wrong", `${secret}x`, secret.slice(1)]) {
        assert.strictEqual((yield* call(update(1, "let me in"), wrong)).status, 404)
      }
      for (const garbage of ["{", "[]", "null", '"x"', "{}"]) assert.strictEqual((yield* call(garbage)).status, 400)
      assert.strictEqual((yield* call({ update_id: 7, message: { odd: true } })).status, 200)
      assert.deepStrictEqual(yield* memory.messages, [])
      yield* memory.commit.close
      const told = yield* Effect.forkChild(call(update(1, "hello")))
      yield* memory.arrived(1)
      assert.isUndefined(told.pollUnsafe())
      yield* memory.commit.open
      assert.strictEqual((yield* Fiber.join(told)).status, 200)
      assert.strictEqual((yield* call(update(1, "hello"))).status, 200)
      yield* memory.refuseNext(new Full({ retryAfter: 2500 }))
      assert.deepStrictEqual(yield* call(update(2, "once more")), { status: 503, retryAfter: "3" })
      assert.strictEqual((yield* call(update(2, "once more"))).status, 200)
      assert.deepStrictEqual(
        (yield* memory.messages).map(({ id, text }) => [id, text]),
        [
          ["1", "hello"],
          ["2", "once more"]
        ]
      )
      yield* Fiber.interrupt(receiving)
      assert.strictEqual((yield* call(update(3, "too late"))).status, 503)
    }).pipe(Effect.scoped)
  )
})
