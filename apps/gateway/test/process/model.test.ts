// A model behind the real program: a conversation that goes on over a restart, a stop in the middle of an answer, a key
// that stays where it is, and a server that is not there.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { standIn } from "../../../../packages/agents/test/standIn/openai.ts"
import { start, temporaryFolder, tool } from "../harness.ts"

const configuration = (url: string, more = "") => `
agents:
  main: { kind: model, url: "${url}", model: stand-in, keyFile: key${more} }
personas:
  default: { agent: main, systemPrompt: "You are brief." }
drain: { timeout: 4 seconds, startWithin: 0 millis }
`

const secret = "sk-process-test-0123456789"

const folderWithKey = Effect.tap(temporaryFolder, (folder) =>
  Effect.sync(() => writeFileSync(join(folder, "key"), `${secret}\n`, { mode: 0o600 }))
)

describe("a model", () => {
  it.live("Q12: is told the whole conversation, also what was said before a restart; its key is in no output", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const folder = yield* folderWithKey
      const environment = { SLUICE_LOG_LEVEL: "trace" }
      const first = yield* start({ folder, configuration: configuration(server.url), environment })
      yield* first.client.send("kim", "one")
      yield* first.client.repliesUntil("kim", 1)
      yield* first.signal("SIGTERM")
      assert.strictEqual((yield* first.exited).code, 0)
      const second = yield* start({ folder, environment })
      yield* second.client.send("kim", "two")
      const replies = yield* second.client.repliesUntil("kim", 2)
      assert.deepStrictEqual(
        replies.map(({ text }) => text),
        ["one", "two"]
      )
      const { body, headers } = yield* server.ask(2)
      assert.deepStrictEqual(body.messages, [
        { role: "system", content: "You are brief." },
        { role: "user", content: "one" },
        { role: "assistant", content: "one" },
        { role: "user", content: "two" }
      ])
      assert.strictEqual(headers["authorization"], `Bearer ${secret}`)
      yield* second.signal("SIGTERM")
      yield* second.exited
      for (const { output } of [first, second]) assert.notInclude(JSON.stringify(output()), secret)
    }).pipe(Effect.scoped)
  )

  it.live("an answer that is cut off by a stop hangs up, and is asked for again after the restart, once", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const folder = yield* folderWithKey
      const first = yield* start({ folder, configuration: configuration(server.url) })
      yield* first.client.send("kim", "hold on")
      const cut = yield* server.ask(1)
      cut.delta("half an ans")
      yield* first.signal("SIGTERM")
      assert.strictEqual(yield* cut.over, "left")
      yield* first.exited
      const second = yield* start({ folder })
      const again = yield* server.ask(2)
      assert.strictEqual(again.text, "hold on")
      again.finish("a whole answer")
      const replies = yield* second.client.repliesUntil("kim", 1)
      assert.deepInclude(replies.at(-1), { text: "a whole answer" })
      assert.strictEqual(server.asked.length, 2)
    }).pipe(Effect.scoped)
  )

  it.live("an answer that ends within the time of a stop is waited for", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const folder = yield* folderWithKey
      const first = yield* start({ folder, configuration: configuration(server.url) })
      yield* first.client.send("kim", "hold on")
      const asked = yield* server.ask(1)
      yield* first.signal("SIGTERM")
      yield* first.event("the stop", ({ message }) => /stopping/i.test(message))
      asked.finish("just in time")
      assert.strictEqual((yield* first.exited).code, 0)
      const second = yield* start({ folder })
      assert.deepInclude((yield* second.client.repliesUntil("kim", 1)).at(-1), { text: "just in time" })
      assert.strictEqual(server.asked.length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("is reached through a proxy where Node is told to use one, and is in the ledger by its name", () =>
    Effect.gen(function* () {
      const proxy = yield* standIn()
      const folder = yield* folderWithKey
      const gateway = yield* start({
        folder,
        configuration: configuration("http://model.invalid:8080"),
        environment: { NODE_USE_ENV_PROXY: "1", HTTP_PROXY: proxy.url }
      })
      yield* gateway.client.send("kim", "hello")
      assert.strictEqual((yield* gateway.client.repliesUntil("kim", 1))[0]?.text, "hello")
      assert.strictEqual((yield* proxy.ask(1)).path, "http://model.invalid:8080/v1/chat/completions")
      const used = yield* tool(folder, ["usage", "--json"])
      assert.include(used.out, "stand-in")
    }).pipe(Effect.scoped)
  )

  it.live("whose server can't be had is shown by doctor, and its person is told without any detail", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const folder = yield* folderWithKey
      const rowOf = (found: { readonly findings: ReadonlyArray<Readonly<Record<string, string>>> }) =>
        found.findings.find(({ name }) => name === "agent main") ?? {}
      writeFileSync(join(folder, "sluice.yaml"), configuration(server.url))
      const there = yield* tool(folder, ["doctor", "--json"])
      const detail = `${new URL(server.url).host} answers and knows stand-in`
      assert.deepStrictEqual(rowOf(there.json), { name: "agent main", state: "ok", detail })
      writeFileSync(
        join(folder, "sluice.yaml"),
        `${configuration("http://127.0.0.1:9", ", retries: 0")}turns: { backoff: [10 millis] }\n`
      )
      const gone = yield* tool(folder, ["doctor", "--json"])
      assert.deepInclude(rowOf(gone.json), { state: "fail" })
      assert.strictEqual(gone.code, 1)
      const gateway = yield* start({ folder })
      yield* gateway.client.send("kim", "hello")
      const [reply] = yield* gateway.client.repliesUntil("kim", 1)
      assert.notMatch(reply?.text ?? "", /127\.0\.0\.1|ECONNREFUSED|connection/)
      yield* gateway.event("the cause", (event) => /no connection to 127\.0\.0\.1:9/.test(JSON.stringify(event)))
    }).pipe(Effect.scoped)
  )
})
