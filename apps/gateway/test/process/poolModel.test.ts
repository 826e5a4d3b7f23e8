// A model agent over a pool of the real program: turns wait in the pool's line, leave it when a person stops them, and are
// resumed after a stop that cut them there. Scenarios: S6, P5.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { standIn } from "../../../../packages/agents/test/standIn/openai.ts"
import { reportIn, type Running, start, temporaryFolder, tool, until } from "../harness.ts"

const configuration = (url: string) => `
agents:
  main: { kind: model, pool: writer }
pools:
  writer:
    kind: openai
    capability: text-generation
    url: "${url}"
    model: stand-in
    health: none
    models: [prose]
    workers: { start: 1, max: 1, concurrency: 1 }
drain: { timeout: 2 seconds, startWithin: 0 millis }
`

/** How many wait in the line of the only pool. */
const waiting = ({ client }: Running) =>
  Effect.map(
    Effect.orDie(client.call("/v1/pools")),
    ({ body }) => (body as unknown as { readonly pools: ReadonlyArray<{ readonly waiting: number }> }).pools[0]?.waiting
  )

describe("a model over a pool", () => {
  it.live("S6, P5: a turn in the line leaves it on /stop; one that a stop cuts there is answered after it, once", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const folder = yield* temporaryFolder
      const first = yield* start({ folder, configuration: configuration(server.url) })
      yield* first.client.send("kim", "hold on")
      const cut = yield* server.ask(1)
      cut.delta("half an ans")
      yield* first.client.send("lee", "second")
      yield* first.client.send("sam", "third")
      yield* until("both wait", waiting(first), (count) => count === 2)
      yield* first.client.send("sam", "/stop")
      yield* until("one leaves", waiting(first), (count) => count === 1)
      yield* first.signal("SIGTERM")
      assert.strictEqual(yield* cut.over, "left")
      assert.strictEqual((yield* first.exited).code, 80)
      const report = reportIn(first)
      assert.deepStrictEqual(
        report.sessions.map(({ key, outcome }) => [key, outcome]),
        [
          ["http/kim", "interrupted"],
          ["http/lee", "interrupted"]
        ]
      )
      assert.strictEqual(server.asked.length, 1)
      const second = yield* start({ folder })
      const again = yield* server.ask(2)
      assert.strictEqual(again.text, "hold on")
      again.finish("a whole answer")
      const texts = yield* Effect.forEach(["kim", "lee"], (name) =>
        Effect.map(second.client.repliesUntil(name, 1), (replies) => replies.map(({ text }) => text))
      )
      assert.deepStrictEqual(texts, [["a whole answer"], ["second"]])
      assert.strictEqual(server.asked.length, 3)
      const used = yield* tool(folder, ["usage", "--json"])
      assert.include(used.out, '"prose"')
    }).pipe(Effect.scoped)
  )
})
