// Telegram in front of the real program: a backlog from before the start, kill -9 in the middle of a send, a token that is
// refused while everybody else is served, and a stop that does not wait for a question that Telegram holds.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { standIn, type StandIn } from "../../../../packages/channels/test/standIn/telegram.ts"
import { start, temporaryFolder, until } from "../harness.ts"

const kim = 42

const configuration = ({ url }: StandIn, more = "") => `
channels:
  telegram: { tokenFile: token, allow: [${kim}], apiRoot: "${url}"${more} }
debounce: { quiet: 0 millis }
drain: { timeout: 4 seconds }
`

const folderWith = (token: string) =>
  Effect.tap(temporaryFolder, (folder) =>
    Effect.sync(() => writeFileSync(join(folder, "token"), `${token}\n`, { mode: 0o600 }))
  )

describe("Telegram", () => {
  it.live(
    "D7, D8: what was written while nobody was there is answered; killed in the middle of a send, the answer is there once",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const folder = yield* folderWith(server.token)
        const backlog = server.say(kim, "written before the start")
        server.script("editMessageText", "answer", "hang")
        const environment = { SLUICE_LOG_LEVEL: "trace" }
        const first = yield* start({ folder, configuration: configuration(server), environment })
        assert.deepInclude(first.facts.channels, { telegram: "edit" })
        yield* server.confirmed(backlog)
        yield* server.until(() => server.texts(kim).includes("written before the start"))
        server.say(kim, "the send of this one is cut")
        yield* server.called("editMessageText", 2)
        yield* first.signal("SIGKILL")
        yield* first.exited
        const second = yield* start({ folder, environment })
        yield* server.called("editMessageText", 3)
        yield* until("everything is delivered", Effect.orDie(second.client.call("/v1/audit")), ({ body }) =>
          JSON.stringify(body).includes('"open":0')
        )
        assert.deepStrictEqual(server.texts(kim), ["written before the start", "the send of this one is cut"])
        const asked = yield* second.signal("SIGTERM")
        const { at, code } = yield* second.exited
        assert.strictEqual(code, 0)
        assert.isBelow(at - asked, 2000)
        for (const { output } of [first, second]) assert.notInclude(JSON.stringify(output()), server.token)
      }).pipe(Effect.scoped)
  )

  it.live(
    "a token that is refused leaves the channel waiting and says so, until a reload; everybody else is served",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const folder = yield* folderWith("4711:another-token-than-the-right-one")
        const gateway = yield* start({ folder, configuration: configuration(server) })
        const { body, status } = yield* gateway.client.call("/readyz")
        assert.strictEqual(status, 503)
        assert.match(JSON.stringify(body), /channel \\"telegram\\": the token was refused \(401: Unauthorized\)/)
        yield* gateway.client.send("kim", "hello")
        yield* gateway.client.repliesUntil("kim", 1)
        writeFileSync(join(folder, "token"), server.token)
        const waiting = server.say(kim, "with another token")
        yield* gateway.client.call("/v1/admin/reload", { method: "POST" })
        yield* server.confirmed(waiting)
        yield* server.until(() => server.texts(kim).includes("with another token"))
        assert.strictEqual((yield* gateway.client.call("/readyz")).status, 200)
        const reloaded = yield* gateway.client.call("/v1/admin/reload", { method: "POST" })
        assert.notInclude(JSON.stringify(reloaded.body), "telegram")
        assert.notMatch(JSON.stringify(gateway.output()), /another-token|secret-of-the-bot/)
      }).pipe(Effect.scoped)
  )

  it.live("W3: a webhook is heard with its secret only, beside everything else that is served", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const folder = yield* folderWith(server.token)
      const secret = "a-secret-of-the-webhook"
      writeFileSync(join(folder, "hook"), `${secret}\n`, { mode: 0o600 })
      const webhook = ', webhook: { url: "https://gateway.example/v1/webhooks/telegram", secretFile: hook }'
      const gateway = yield* start({ folder, configuration: configuration(server, webhook) })
      const chat = { id: kim, type: "private" }
      const body = { update_id: 1, message: { message_id: 1, date: 1, chat, from: { id: kim }, text: "hello" } }
      const call = (token: string, headers: { readonly [name: string]: string }) =>
        Effect.map(gateway.client.call("/v1/webhooks/telegram", { body, token, headers }), ({ status }) => status)
      assert.strictEqual(yield* call("", {}), 404)
      assert.strictEqual(yield* call(gateway.token, { "x-telegram-bot-api-secret-token": "guessed-secret-00" }), 404)
      assert.strictEqual(yield* call("", { "x-telegram-bot-api-secret-token": secret }), 200)
      yield* server.until(() => server.texts(kim).includes("hello"))
      assert.notInclude(JSON.stringify(gateway.output()), secret)
    }).pipe(Effect.scoped)
  )
})
