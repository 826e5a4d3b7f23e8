/**
 * Requests of Slack's, and of those who pass for it: a signature that fits and is
 * fresh, 200 for what is on disk, everything else brings the event again, and what
 * can't be understood holds up nothing.
 *
 * Scenarios: D9, W4, W6
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Full } from "@sluice/runtime/Message"
import { MemoryHandle } from "@sluice/runtime/testing"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { verifier } from "../../src/internal/slack/signature.ts"
import { Unsigned } from "../../src/internal/slack/unsigned.ts"
import * as Slack from "../../src/Slack.ts"
import { temporaryAttachments } from "../serve.ts"
import type { Delivery } from "../standIn/slack.ts"
import { asked, dm, kim, optionsOf, standIn } from "./world.ts"

const running = Effect.gen(function* () {
  const server = yield* standIn()
  const memory = yield* MemoryHandle.make({ name: "slack" })
  const channel = Slack.make(optionsOf(server))
  const receiving = Effect.scoped(channel.receive(memory.handle)).pipe(
    Effect.provide(Layer.merge(NodeHttpClient.layerNodeHttp, temporaryAttachments)),
    Effect.forkScoped
  )
  const call = (delivery: Delivery) =>
    Effect.map(asked(channel, delivery), ({ headers, status }) => ({ status, retryAfter: headers["retry-after"] }))
  const events = (event: unknown, id = "Ev1") =>
    server.signed(JSON.stringify({ type: "event_callback", event_id: id, event }))
  const said = (text: string, ts: string, more = {}) =>
    events({ type: "message", channel: dm, channel_type: "im", user: kim, text, ts, ...more }, `Ev${ts}`)
  return { server, memory, receiving, call, events, said, channel }
})

/** A request with a body that comes as a stream. */
const requestOf = (body: ReadableStream<Uint8Array>) => {
  const init = { method: "POST", body, duplex: "half" }
  return HttpServerRequest.fromWeb(new Request("https://gateway.example/", init as RequestInit))
}

const statusOf = <E, R>(answer: Effect.Effect<{ readonly status: number }, E, R>) =>
  Effect.map(answer, ({ status }) => status)

const unheard = Effect.gen(function* () {
  const { call, memory, receiving, said } = yield* running
  yield* TestClock.setTime(1_700_000_000_000)
  yield* receiving
  yield* memory.ready
  const whole = said("let me in", "1.1")
  const wrong = [
    {},
    { "x-slack-signature": `v0=${"0".repeat(64)}` },
    { "x-slack-signature": (whole.headers["x-slack-signature"] ?? "").slice(0, -1) },
    { "x-slack-signature": (whole.headers["x-slack-signature"] ?? "").replace("v0", "v1") },
    { "x-slack-request-timestamp": "1699999999" },
    { "x-slack-request-timestamp": "NaN" },
    { "x-slack-request-timestamp": "" }
  ]
  for (const change of wrong) {
    const headers = Object.keys(change).length === 0 ? {} : { ...whole.headers, ...change }
    assert.strictEqual(yield* statusOf(call({ body: whole.body, headers })), 401)
  }
  assert.strictEqual(yield* statusOf(call({ ...whole, body: `${whole.body} ` })), 401)
  yield* TestClock.adjust("301 seconds")
  assert.strictEqual(yield* statusOf(call(whole)), 401)
  yield* TestClock.setTime(1_700_000_000_000 - 301_000)
  assert.strictEqual(yield* statusOf(call(whole)), 401)
  assert.deepStrictEqual(yield* memory.messages, [])
  yield* TestClock.setTime(1_700_000_000_000 + 299_000)
  assert.strictEqual(yield* statusOf(call(whole)), 200)
  assert.strictEqual((yield* memory.messages).length, 1)
})

describe("the signature", () => {
  it.effect("W6: is checked as Slack's own example has it", () =>
    Effect.gen(function* () {
      // docs.slack.dev, "Verifying requests from Slack".
      const body =
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
      const signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
      const verify = verifier(Redacted.make("8f742231b10e8888abcd99yyyzzz85a5"))
      const bytes = new TextEncoder().encode(body)
      assert.isTrue(yield* verify("1531420618", bytes, signature))
      assert.isFalse(yield* verify("1531420619", bytes, signature))
      assert.isFalse(yield* verify("1531420618", bytes.slice(1), signature))
      assert.isFalse(yield* verifier(Redacted.make("another"))("1531420618", bytes, signature))
      // What stands in for Slack signs as Slack does.
      const server = yield* standIn()
      yield* TestClock.setTime(1_531_420_618_000)
      assert.strictEqual(server.signed(body).headers["x-slack-signature"], signature)
    }).pipe(Effect.scoped)
  )

  it.effect("W4, W6: without it, with another one, or older than five minutes, nothing is heard", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void (logLevel === "Warn" && lines.push(String(message))))
      yield* unheard.pipe(Effect.provide(Logger.layer([logger])))
      // An operator learns once what may be wrong here, however often somebody passes for Slack.
      assert.deepStrictEqual(
        lines.map((line) => /this clock is wrong|signing secret is another app's/.exec(line)?.[0]),
        ["signing secret is another app's", "this clock is wrong"]
      )
    }).pipe(Effect.scoped)
  )
})

describe("a request", () => {
  it.live("W6: is answered 200 when the message is on disk, and brought again by everything else", () =>
    Effect.gen(function* () {
      const { call, channel, memory, receiving, said, server } = yield* running
      const challenge = server.signed(JSON.stringify({ token: "x", challenge: "3eZbrw1a", type: "url_verification" }))
      assert.strictEqual(yield* statusOf(asked(channel, challenge)), 200)
      assert.deepStrictEqual(yield* call(said("too early", "1.1")), { status: 503, retryAfter: "5" })
      const fiber = yield* receiving
      yield* memory.ready
      yield* memory.commit.close
      const told = yield* Effect.forkChild(call(said("hello", "1.1")))
      yield* memory.arrived(1)
      // Slack has waited for three seconds and asks again: both hear of the same one.
      const again = yield* Effect.forkChild(call(said("hello", "1.1")))
      assert.isUndefined(told.pollUnsafe())
      yield* memory.commit.open
      assert.deepStrictEqual([yield* statusOf(Fiber.join(told)), yield* statusOf(Fiber.join(again))], [200, 200])
      assert.strictEqual(yield* statusOf(call(said("hello", "1.1"))), 200)
      yield* memory.refuseNext(new Full({ retryAfter: 2500 }))
      assert.deepStrictEqual(yield* call(said("once more", "1.2")), { status: 503, retryAfter: "3" })
      assert.strictEqual(yield* statusOf(call(said("once more", "1.2"))), 200)
      assert.deepStrictEqual(
        (yield* memory.messages).map(({ id, text }) => [id, text]),
        [
          ["1.1", "hello"],
          ["1.2", "once more"]
        ]
      )
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* statusOf(call(said("too late", "1.3"))), 503)
    }).pipe(Effect.scoped)
  )

  it.effect("W6: is heard also when the app may not do everything; the operator is told what is missing", () =>
    Effect.gen(function* () {
      const { server } = yield* running
      server.world.scopes = "chat:write,im:history,app_mentions:read"
      const memory = yield* MemoryHandle.make({ name: "slack" })
      const told = yield* Deferred.make<string | undefined>()
      const handle = { ...memory.handle, trouble: (reason?: string) => Effect.asVoid(Deferred.succeed(told, reason)) }
      yield* Effect.scoped(Slack.make(optionsOf(server, { reactions: false })).receive(handle)).pipe(
        Effect.provide(Layer.merge(NodeHttpClient.layerNodeHttp, temporaryAttachments)),
        Effect.forkScoped
      )
      yield* memory.ready
      const lacks = "the app lacks files:read, files:write; add them to its bot token scopes and install it again"
      assert.strictEqual(yield* Deferred.await(told), lacks)
    }).pipe(Effect.scoped)
  )

  it.live("W6: whose sender has left goes on, and a stop in the middle of it is told to whoever waits", () =>
    Effect.gen(function* () {
      const { call, memory, receiving, said } = yield* running
      const fiber = yield* receiving
      yield* memory.ready
      yield* memory.commit.close
      const left = yield* Effect.forkChild(call(said("hello", "1.1")))
      yield* memory.arrived(1)
      yield* Fiber.interrupt(left)
      const waiting = yield* Effect.forkChild(call(said("hello", "1.1")))
      yield* memory.commit.open
      assert.strictEqual(yield* statusOf(Fiber.join(waiting)), 200)
      yield* memory.commit.close
      const cut = yield* Effect.forkChild(call(said("more", "1.2")), { startImmediately: true })
      yield* memory.arrived(2)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* statusOf(Fiber.join(cut)), 503)
      assert.deepStrictEqual(
        (yield* memory.messages).map(({ text }) => text),
        ["hello"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("W4, W6: is put off while too many are being handled", () =>
    Effect.gen(function* () {
      const { call, memory, receiving, said } = yield* running
      yield* receiving
      yield* memory.ready
      yield* memory.commit.close
      const handled = yield* Effect.forEach(Array.from({ length: 64 }), (_, index) =>
        Effect.forkChild(call(said(`${index}`, `1.${index}`, { thread_ts: `0.${index}` })), { startImmediately: true })
      )
      yield* memory.arrived(64)
      assert.strictEqual(yield* statusOf(call(said("one more", "2.1"))), 503)
      yield* memory.commit.open
      for (const fiber of handled) assert.strictEqual(yield* statusOf(Fiber.join(fiber)), 200)
      assert.strictEqual(yield* statusOf(call(said("one more", "2.1"))), 200)
    }).pipe(Effect.scoped)
  )

  it.live("W4, W6: that is malformed, hostile or of an unknown kind costs only itself", () =>
    Effect.gen(function* () {
      const { call, events, memory, receiving, said, server } = yield* running
      yield* receiving
      yield* memory.ready
      const form = "application/x-www-form-urlencoded"
      for (const garbage of ["", "{", "[]", "null", '"x"', "{}", '{"type":7}', '{"type":"event_callback"}']) {
        assert.strictEqual(yield* statusOf(call(server.signed(garbage))), 400)
      }
      const odd: ReadonlyArray<unknown> = [
        undefined,
        null,
        [],
        { type: "brand_new_kind", a: { deep: [1] } },
        { type: "message" },
        { type: "message", channel: [], ts: {} },
        { type: "message", channel: dm, channel_type: "im", user: kim, ts: "1.1", text: null },
        { type: "message", channel: dm, channel_type: "im", user: kim, ts: "1.1", text: "x", files: [{ odd: true }] },
        { type: "message", subtype: "channel_join", channel: dm, user: kim, ts: "1.1", text: "joined" },
        { type: "message", subtype: "message_changed", channel: dm },
        { type: "message", subtype: "message_deleted", channel: dm },
        { type: "app_mention", channel: "C1", ts: "1.1", text: "<@UBOT> nobody says this" }
      ]
      for (const [index, event] of odd.entries()) {
        assert.strictEqual(yield* statusOf(call(events(event, `Odd${index}`))), 200)
      }
      for (const payload of [
        "x=1",
        "payload=",
        "payload=%7B",
        "payload=%7B%22type%22%3A%22view_submission%22%7D",
        "command=%2Fx"
      ]) {
        assert.strictEqual(yield* statusOf(call(server.signed(payload, form))), 200)
      }
      assert.strictEqual(yield* statusOf(call(server.signed('{"type":"app_rate_limited"}'))), 200)
      assert.deepStrictEqual(yield* memory.messages, [])
      const strange = "\u0000\u202e<@UBOT|> <script> & <> <|> <!> \ud800"
      assert.strictEqual(yield* statusOf(call(said(strange, "1.9", { field_of_next_year: { deep: [1] } }))), 200)
      assert.strictEqual((yield* memory.messages).length, 1)
    }).pipe(Effect.scoped)
  )

  it.effect(
    "W4: whose body is not whole yet shares a bound with others: the one that came longest goes, and all in time",
    () =>
      Effect.gen(function* () {
        const unsigned = new Unsigned(1000)
        /** A request of so many bytes, of which the rest never comes. */
        const begun = Effect.fnUntraced(function* (bytes: number) {
          const taken = yield* Deferred.make<void>()
          let isFirst = true
          const body = new ReadableStream<Uint8Array>(
            {
              pull: (controller) => {
                // Asked for more: what came first has been taken.
                if (!isFirst) return void Effect.runFork(Deferred.succeed(taken, undefined))
                isFirst = false
                controller.enqueue(new Uint8Array(bytes))
              }
            },
            { highWaterMark: 0 }
          )
          const reading = yield* Effect.forkChild(Effect.flip(unsigned.read(requestOf(body))), {
            startImmediately: true
          })
          yield* Deferred.await(taken)
          return Effect.map(Fiber.join(reading), ({ why }) => why)
        })
        const [first, second] = [yield* begun(400), yield* begun(400)]
        const third = yield* begun(400)
        assert.strictEqual(yield* first, "crowded")
        assert.strictEqual((yield* unsigned.read(requestOf(new Blob(["x".repeat(100)]).stream()))).length, 100)
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual([yield* second, yield* third], ["late", "late"])
        // Nothing of them is counted any more.
        assert.strictEqual((yield* unsigned.read(requestOf(new Blob(["x".repeat(1000)]).stream()))).length, 1000)
      }).pipe(Effect.scoped)
  )

  it.live("W4: that breaks off, or is larger than the server takes, is told so", () =>
    Effect.gen(function* () {
      const { channel, memory, receiving, said } = yield* running
      yield* receiving
      yield* memory.ready
      const { headers } = said("hello", "1.1")
      const body = new ReadableStream({ start: (controller) => controller.error(new Error("gone")) })
      const init = { method: "POST", headers, body, duplex: "half" }
      const request = HttpServerRequest.fromWeb(new Request("https://gateway.example/", init as RequestInit))
      assert.strictEqual(yield* statusOf(channel.webhook(request)), 413)
    }).pipe(Effect.scoped)
  )
})
