// What the doctor says of a bot: there and known, refused, not reached, without anybody who may speak, or with a webhook
// that would never be let in; and that it takes nothing from the gateway that receives for it.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { standIn as slackStandIn } from "../../../packages/channels/test/standIn/slack.ts"
import { standIn } from "../../../packages/channels/test/standIn/telegram.ts"
import * as Sources from "../src/configuration/Sources.ts"
import * as ChannelFindings from "../src/tools/ChannelFindings.ts"
import { temporaryFolder } from "./harness.ts"

const looked = Effect.fnUntraced(function* (token: string, keys: string) {
  const folder = yield* temporaryFolder
  writeFileSync(join(folder, "token"), token, { mode: 0o600 })
  writeFileSync(join(folder, "hook"), "a-secret-of-the-webhook", { mode: 0o600 })
  writeFileSync(join(folder, "sluice.yaml"), `channels:\n  telegram: { tokenFile: token, ${keys} }\n`)
  const findings = yield* ChannelFindings.channels(yield* Sources.load({ environment: {}, folder }))
  assert.strictEqual(findings[0]?.name, "channel http")
  return findings.slice(1).map(({ detail, state }) => `${state}: ${detail}`)
})

const signing = "8f742231b10e8888abcd99yyyzzz85a5"

const lookedAtSlack = Effect.fnUntraced(function* (token: string, keys: string, more = "", secret = signing) {
  const folder = yield* temporaryFolder
  writeFileSync(join(folder, "token"), token, { mode: 0o600 })
  writeFileSync(join(folder, "signing"), secret, { mode: 0o600 })
  const slack = `channels:\n  slack: { tokenFile: token, signingSecretFile: signing, ${keys} }\n${more}`
  writeFileSync(join(folder, "sluice.yaml"), slack)
  const findings = yield* ChannelFindings.channels(yield* Sources.load({ environment: {}, folder }))
  return findings.slice(1).map(({ detail, state }) => `${state}: ${detail}`)
})

describe("the doctor's look at Slack", () => {
  it.live(
    "W6: tells who the app is and its class, what it may not do, and a request URL that would never be let in",
    () =>
      Effect.gen(function* () {
        const server = yield* slackStandIn()
        const keys = `allow: [UKIM], apiRoot: "${server.url}"`
        const allowed = "http: { allowedHosts: [gateway.example.org] }\n"
        assert.deepStrictEqual(yield* lookedAtSlack(server.token, keys, allowed), ["ok: edit, @sluice in Acme"])
        server.world.scopes = "chat:write,im:history,app_mentions:read,reactions:write"
        assert.deepStrictEqual(yield* lookedAtSlack(server.token, keys), [
          "fail: the app lacks files:read, files:write; add them to its bot token scopes and install it again",
          "warn: no host is allowed but this machine's own: Slack's requests are refused"
        ])
      }).pipe(Effect.scoped)
  )

  it.live(
    "W4, W5: tells a refused token, an app that nobody may speak to, and a token that is none without showing it",
    () =>
      Effect.gen(function* () {
        const server = yield* slackStandIn()
        const allowed = "http: { allowedHosts: [gateway.example.org] }\n"
        assert.deepStrictEqual(yield* lookedAtSlack("xoxb-another-token", `apiRoot: "${server.url}"`, allowed), [
          "fail: the token was refused (invalid_auth); correct it, or install the app again",
          "warn: nobody may speak"
        ])
        const lost = yield* lookedAtSlack("", "allow: [UKIM]", allowed, "")
        assert.deepStrictEqual(
          lost.map((one) => /channels\.slack\.\w+/.exec(one)?.[0]),
          ["channels.slack.tokenFile", "channels.slack.signingSecretFile"]
        )
        const [none] = yield* lookedAtSlack("hunter2", "allow: [UKIM]", allowed)
        assert.match(none ?? "", /^fail: channels\.slack\.tokenFile .*it holds no token of a bot/)
        assert.notInclude(none ?? "", "hunter2")
      }).pipe(Effect.scoped)
  )
})

describe("the doctor's look at channels", () => {
  it.live("tells the bot's name, its class and what waits, and takes none of it", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      server.say(42, "waiting")
      const found = yield* looked(server.token, `allow: [42], delivery: plain, apiRoot: "${server.url}"`)
      assert.deepStrictEqual(found, ["ok: ambiguous (resend-once), @sluice_bot, 1 waiting at Telegram"])
      assert.strictEqual(server.unconfirmed().length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("tells a refused token, a bot that nobody may speak to, and a host that is not allowed", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const webhook = 'webhook: { url: "https://gateway.example/v1/webhooks/telegram", secretFile: hook }'
      const found = yield* looked("1:some-other-token", `${webhook}, apiRoot: "${server.url}"`)
      assert.deepStrictEqual(found, [
        "fail: the token was refused (401: Unauthorized); get it from @BotFather and correct it",
        "warn: nobody may speak",
        "warn: gateway.example is not an allowed host: calls that carry this name are refused"
      ])
    }).pipe(Effect.scoped)
  )

  it("W4: tells of a server that is asked in the clear, unless it is on this machine", () => {
    const told = (root: string | undefined) =>
      ChannelFindings.exposed("channel slack", root).map(({ detail }) => detail)
    const open = "api.example:8081 is reached without TLS: anybody on the way can read the token and what is said"
    assert.deepStrictEqual(told("http://api.example:8081/api"), [open])
    for (const root of [
      undefined,
      "https://api.example",
      "http://127.0.0.1:9",
      "http://[::1]:9",
      "http://localhost/"
    ]) {
      assert.deepStrictEqual(told(root), [], root)
    }
  })

  it.live("tells that nobody is there, and a token that is none, without showing it", () =>
    Effect.gen(function* () {
      const [unreached] = yield* looked("1:some-other-token", 'allow: [42], apiRoot: "http://127.0.0.1:9"')
      assert.match(unreached ?? "", /^fail: no connection to 127\.0\.0\.1:9: .*ECONNREFUSED/)
      const [none] = yield* looked("hunter2", "allow: [42]")
      assert.match(none ?? "", /^fail: channels\.telegram\.tokenFile .*it holds no token of a bot/)
      assert.notInclude(none ?? "", "hunter2")
    }).pipe(Effect.scoped)
  )
})
