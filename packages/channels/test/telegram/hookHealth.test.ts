/**
 * The webhook is looked after: deliveries that don't get through are told, and a
 * program that takes the updates over is noticed. Nobody calls when calls fail.
 *
 * Scenarios: W3
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { MemoryHandle } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import type { BotApi, Failure } from "../../src/internal/telegram/botApi.ts"
import { watchHook } from "../../src/internal/telegram/hookHealth.ts"

const url = "https://gateway.example/v1/webhooks/telegram"
const well = { url, pending_update_count: 0 }

/** A Bot API that says of the webhook what the test wants. */
const watched = Effect.gen(function* () {
  const world: { info: unknown; failure: Failure | undefined } = { info: well, failure: undefined }
  const api: BotApi = {
    call: (_method, _params, result) =>
      Effect.suspend(() =>
        world.failure === undefined
          ? Effect.orDie(Schema.decodeUnknownEffect(result)(world.info))
          : Effect.fail(world.failure)
      ),
    file: () => Effect.die(new Error("no file is asked for"))
  }
  const memory = yield* MemoryHandle.make({ name: "telegram" })
  const fiber = yield* Effect.forkScoped(
    Effect.provide(watchHook(memory.handle, api, url), NodeHttpClient.layerNodeHttp)
  )
  return { world, memory, fiber }
})

const minute = TestClock.adjust("1 minute")
const seconds = (millis: number) => Math.round(millis / 1000)

describe("the webhook's health", () => {
  it.effect("W3: deliveries that fail are told, with their reason, until they get through again", () =>
    Effect.gen(function* () {
      const { memory, world } = yield* watched
      yield* minute
      assert.isUndefined(yield* memory.trouble)
      const failing = { url, pending_update_count: 3, last_error_date: 120, last_error_message: "SSL error" }
      world.info = failing
      yield* minute
      assert.strictEqual(yield* memory.trouble, "Telegram can't deliver to the webhook (SSL error); 3 waiting there")
      // Telegram keeps its last error; what gets through since is what counts.
      yield* TestClock.adjust("3 minutes")
      assert.isUndefined(yield* memory.trouble)
      world.info = { ...failing, last_error_date: seconds(360_000) }
      yield* minute
      assert.isDefined(yield* memory.trouble)
      world.info = { ...failing, last_error_date: seconds(360_000), pending_update_count: 0 }
      yield* minute
      assert.isUndefined(yield* memory.trouble)
    })
  )

  it.effect("W3: a Bot API that can't be asked is trouble, and ends nothing: what it delivers is taken", () =>
    Effect.gen(function* () {
      const { fiber, memory, world } = yield* watched
      world.failure = { _tag: "Silent", reason: "no answer" }
      yield* minute
      assert.strictEqual(yield* memory.trouble, "Telegram can't be asked about the webhook: no answer")
      world.failure = { _tag: "Denied", code: 401, reason: "Unauthorized", retryAfter: undefined, movedTo: undefined }
      yield* minute
      assert.match((yield* memory.trouble) ?? "", /the token was refused \(401/)
      world.failure = undefined
      yield* minute
      assert.isUndefined(yield* memory.trouble)
      assert.isUndefined(fiber.pollUnsafe())
    })
  )

  it.effect("W3: another program that took the updates ends the receiving, so that it begins anew", () =>
    Effect.gen(function* () {
      const { fiber, world } = yield* watched
      world.info = { ...well, url: "" }
      yield* minute
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.match(error.reason, /^another program has taken this bot's updates/)
      assert.notStrictEqual(error.refused, true)
    })
  )
})
