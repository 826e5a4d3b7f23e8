// Slack in front of the real program: killed in the middle of a send, with a message on its way while nobody is there, and
// requests over the wire that are not Slack's.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Delivery, standIn, type StandIn, type Target } from "../../../../packages/channels/test/standIn/slack.ts"
import { type Running, start, temporaryFolder, until } from "../harness.ts"

const dm = "DKIM"

const configuration = ({ url }: StandIn, more = "") => `
channels:
  slack: { tokenFile: token, signingSecretFile: signing, allow: [UKIM], apiRoot: "${url}"${more} }
debounce: { quiet: 0 millis }
drain: { timeout: 4 seconds }
`

const folderWith = ({ signingSecret, token }: StandIn) =>
  Effect.tap(temporaryFolder, (folder) =>
    Effect.sync(() => {
      writeFileSync(join(folder, "token"), `${token}\n`, { mode: 0o600 })
      writeFileSync(join(folder, "signing"), `${signingSecret}\n`, { mode: 0o600 })
    })
  )

const send = async (gateway: Running, { body, headers }: Delivery) => {
  const response = await fetch(`${gateway.facts.url}/v1/webhooks/slack`, { method: "POST", headers, body })
  return { status: response.status, text: await response.text() }
}

const to =
  (gateway: Running): Target =>
  async (delivery) =>
    (await send(gateway, delivery)).status

describe("Slack", () => {
  it.live(
    "D7, D8, D9, W6: killed in the middle of a send and written to meanwhile, each message has its answer once; nobody but Slack is heard",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const folder = yield* folderWith(server)
        const environment = { SLUICE_LOG_LEVEL: "trace" }
        server.script("chat.update", "hang")
        const first = yield* start({ folder, configuration: configuration(server), environment })
        assert.deepInclude(first.facts.channels, { slack: "edit" })
        server.deliverTo(to(first))
        const cut = server.say(dm, "the send of this one is cut")
        yield* server.confirmed(cut)
        yield* server.called("chat.update")
        yield* first.signal("SIGKILL")
        yield* first.exited
        const meanwhile = server.say(dm, "nobody is there")
        yield* server.until(() => server.deliveries(meanwhile) > 0)
        server.again(cut)
        const second = yield* start({ folder, environment })
        server.deliverTo(to(second))
        yield* server.confirmed(meanwhile)
        yield* server.confirmed(cut)
        yield* server.until(() => server.texts(dm).includes("nobody is there"))
        yield* until("everything is delivered", Effect.orDie(second.client.call("/v1/audit")), ({ body }) =>
          JSON.stringify(body).includes('"open":0')
        )
        assert.deepStrictEqual(server.texts(dm), ["the send of this one is cut", "nobody is there"])
        yield* Effect.promise(async () => {
          const challenge = JSON.stringify({ type: "url_verification", challenge: "3eZbrw1a" })
          const verified = await send(second, server.signed(challenge))
          assert.deepStrictEqual(verified, { status: 200, text: '{"challenge":"3eZbrw1a"}' })
          const forged = server.signed(challenge)
          const headers = { ...forged.headers, "x-slack-signature": `v0=${"0".repeat(64)}` }
          assert.strictEqual((await send(second, { ...forged, headers })).status, 401)
          assert.strictEqual((await send(second, { body: challenge, headers: {} })).status, 401)
          const huge = server.signed(JSON.stringify({ type: "event_callback", text: "x".repeat(2 * 1024 * 1024) }))
          assert.strictEqual((await send(second, huge)).status, 413)
        })
        const asked = yield* second.signal("SIGTERM")
        const { at, code } = yield* second.exited
        assert.strictEqual(code, 0)
        assert.isBelow(at - asked, 15_000)
        for (const { output } of [first, second]) {
          assert.notInclude(JSON.stringify(output()), server.token)
          assert.notInclude(JSON.stringify(output()), server.signingSecret)
        }
      }).pipe(Effect.scoped)
  )

  it.live("D7, W6: plain messages, killed in the middle of a send: one more, marked", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const folder = yield* folderWith(server)
      server.script("chat.postMessage", "hang")
      const first = yield* start({ folder, configuration: configuration(server, ", delivery: plain") })
      assert.deepInclude(first.facts.channels, { slack: "ambiguous (resend-once)" })
      server.deliverTo(to(first))
      server.say(dm, "hello")
      yield* server.until(() => server.texts(dm).length === 1)
      yield* first.signal("SIGKILL")
      yield* first.exited
      yield* start({ folder })
      yield* server.until(() => server.texts(dm).length === 2)
      const [text, again = "", ...more] = server.texts(dm)
      assert.deepStrictEqual([text, more], ["hello", []])
      assert.match(again, /^\(You may have seen this before[^]+hello$/)
    }).pipe(Effect.scoped)
  )
})
