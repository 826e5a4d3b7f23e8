// Telegram in front of the real program: a backlog from before the start, kill -9 in the middle of a send, a token that is
// refused while everybody else is served, and a stop that does not wait for a question that Telegram holds.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { standIn, type StandIn } from "../../../../packages/channels/test/standIn/telegram.ts"
import { type Running, start, temporaryFolder, tool, until } from "../harness.ts"
import { socketClient } from "../socketClient.ts"

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

/** A stream of events that stays open; completes when this has come over it. */
const listen = Effect.fnUntraced(function* (gateway: Pick<Running, "url" | "token">, conversation: string) {
  const response = yield* Effect.promise(() =>
    fetch(`${gateway.url}/v1/conversations/${conversation}/events`, {
      headers: { authorization: `Bearer ${gateway.token}` }
    })
  )
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  yield* Effect.addFinalizer(() => Effect.promise(async () => reader?.cancel()))
  let heard = ""
  return (text: string) =>
    Effect.promise(async () => {
      while (!heard.includes(text)) {
        const part = await reader?.read()
        if (part === undefined || part.done) throw new Error(`the stream has ended; it said: ${heard}`)
        heard += part.value
      }
    })
})

describe("Telegram", () => {
  it.live(
    "D7, D8, S13: what was written while nobody was there is answered; killed in the middle of a send, the answer is there once",
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
        assert.isBelow(at - asked, 15_000)
        for (const { output } of [first, second]) assert.notInclude(JSON.stringify(output()), server.token)
      }).pipe(Effect.scoped)
  )

  it.live(
    "a token that is refused leaves the channel waiting and says so, until a reload; everybody else is served, and an open WebSocket stays",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const folder = yield* folderWith("4711:another-token-than-the-right-one")
        const gateway = yield* start({ folder, configuration: configuration(server) })
        const socket = yield* socketClient(gateway, "ann")
        yield* socket.send("1", "before the reload")
        const stream = yield* listen(gateway, "ann")
        const figures = Effect.map(gateway.client.call("/metrics"), ({ body }) =>
          [
            ...(body.text ?? "").matchAll(/^(sluice_channel_up\{channel="telegram"\}|sluice_websockets_open) (.*)$/gm)
          ].map(([, , value]) => value)
        )
        assert.deepStrictEqual(yield* figures, ["0", "1"])
        const listed = yield* tool(folder, ["channels"])
        assert.strictEqual(listed.code, 1)
        assert.match(listed.out, /^telegram +down .*\n(.*\n)*telegram: the token was refused \(401/m)
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
        assert.deepStrictEqual(yield* figures, ["1", "1"])
        yield* socket.send("2", "after the reload")
        yield* socket.until((shown) => shown.length === 2)
        yield* stream("after the reload")
        assert.deepStrictEqual(socket.codes, [], "the same connection, all the time")
        const reloaded = yield* gateway.client.call("/v1/admin/reload", { method: "POST" })
        assert.notInclude(JSON.stringify(reloaded.body), "telegram")
        assert.notMatch(JSON.stringify(gateway.output()), /another-token|secret-of-the-bot/)
      }).pipe(Effect.scoped)
  )

  it.live(
    "D8, S18: stopped by hand it takes nothing and loses nothing; who waits for an answer hears of a restart, and of the return",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const folder = yield* folderWith(server.token)
        const brief = configuration(server).replace("4 seconds", "3 seconds")
        const gateway = yield* start({ folder, configuration: brief, environment: { SLUICE_SUPERVISED: "1" } })
        const stopped = yield* tool(folder, ["channels", "stop", "telegram"])
        assert.match(stopped.out, /^telegram is stopped\nIt stays so until/)
        assert.strictEqual((yield* gateway.client.call("/readyz")).status, 200)
        const waiting = server.say(kim, "while it is stopped")
        const http = yield* gateway.client.call("/v1/admin/channels/http/stop", { method: "POST" })
        assert.strictEqual(http.status, 400)
        assert.strictEqual((yield* gateway.client.call("/v1/admin/channels/fax/stop", { method: "POST" })).status, 404)
        assert.match((yield* tool(folder, ["channels", "start", "telegram"])).out, /^telegram is up$/m)
        yield* server.confirmed(waiting)
        yield* server.until(() => server.texts(kim).includes("while it is stopped"))
        server.say(kim, "work 60s book the flight")
        yield* until("its turn runs", Effect.orDie(gateway.client.call("/v1/status")), ({ body }) =>
          JSON.stringify(body).includes('"processing"')
        )
        yield* gateway.signal("SIGUSR2")
        assert.strictEqual((yield* gateway.exited).code, 75)
        const down = "I'm restarting. Your messages are safe, no need to send anything again."
        assert.strictEqual(server.texts(kim).filter((text) => text === down).length, 1)
        const second = yield* start({ folder })
        yield* server.until(() => server.texts(kim).some((text) => text.startsWith("I'm back and carrying on with")))
        assert.strictEqual(server.texts(kim).filter((text) => text === down).length, 1)
        assert.deepStrictEqual((yield* second.client.call("/v1/dead-letters")).body, { deadLetters: [] })
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
