// The bad line and the bad clients of L3 do what they are named after, to a server that knows what it answered; and the
// faults that are declared can be told apart.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { createServer, get } from "node:http"
import type { AddressInfo } from "node:net"
import * as BadClients from "../src/levels/L3/BadClients.ts"
import { groups } from "../src/levels/L3/index.ts"
import { defects } from "../src/levels/L3/proofs.ts"
import * as Proxy from "../src/levels/L3/Proxy.ts"

/** A server that counts what it was asked. */
const server = Effect.acquireRelease(
  Effect.callback<{ readonly port: number; readonly asked: () => number; readonly close: () => void }>((resume) => {
    let asked = 0
    const listening = createServer((_, response) => {
      asked++
      response.end("an answer that is long enough to be cut")
    })
    listening.listen(0, "127.0.0.1", () => {
      const close = () => {
        listening.close()
        listening.closeAllConnections()
      }
      resume(Effect.succeed({ port: (listening.address() as AddressInfo).port, asked: () => asked, close }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

/** What a client hears: the answer, or that there was none. */
const ask = (url: string) =>
  Effect.callback<string>((resume) => {
    const request = get(url, { agent: false }, (response) => {
      let text = ""
      response.on("data", (data: Buffer) => (text += data.toString("utf8")))
      response.on("end", () => resume(Effect.succeed(text)))
      response.on("error", () => resume(Effect.succeed("cut off")))
    })
    request.on("error", () => resume(Effect.succeed("nothing")))
    return Effect.sync(() => void request.destroy())
  })

const setting = Effect.gen(function* () {
  const far = yield* server
  const proxy = yield* Proxy.make(() => 0)
  proxy.leadTo(far.port)
  return { far, proxy }
})

describe("a bad line", () => {
  it.live("passes everything on until there is trouble, and again when it is mended", () =>
    Effect.gen(function* () {
      const { far, proxy } = yield* setting
      assert.match(yield* ask(proxy.url), /^an answer/)
      proxy.trouble(1, ["swallow"])
      assert.strictEqual(yield* ask(proxy.url), "nothing")
      proxy.mend()
      assert.match(yield* ask(proxy.url), /^an answer/)
      assert.deepStrictEqual([far.asked(), proxy.counts.swallow], [3, 1])
    }).pipe(Effect.scoped)
  )

  it.live("cuts a connection after the other side has answered", () =>
    Effect.gen(function* () {
      const { far, proxy } = yield* setting
      proxy.trouble(1, ["cut"])
      assert.include(["cut off", "nothing"], yield* ask(proxy.url))
      assert.deepStrictEqual([far.asked(), proxy.counts.cut], [1, 1])
    }).pipe(Effect.scoped)
  )

  it.live("lets an answer trickle, and every byte of it arrives", () =>
    Effect.gen(function* () {
      const { proxy } = yield* setting
      proxy.trouble(1, ["trickle"])
      assert.strictEqual(yield* ask(proxy.url), "an answer that is long enough to be cut")
      assert.isAbove(proxy.counts.trickle, 0)
    }).pipe(Effect.scoped)
  )
})

describe("bad clients", () => {
  it.live("are let in, each manner as often as it was asked for, and go when they are told to", () =>
    Effect.gen(function* () {
      const far = yield* server
      const crowd = yield* BadClients.come(far.port, "token", 2)
      while (crowd.connected() < 2 * BadClients.manners.length) yield* Effect.sleep("1 millis")
      yield* crowd.leave
      while (crowd.closed() < crowd.connected()) yield* Effect.sleep("1 millis")
      assert.strictEqual(crowd.closed(), 12)
    }).pipe(Effect.scoped)
  )
})

describe("the faults", () => {
  it("have names of their own, and each says how a gateway may end by it", () => {
    const all = groups.flatMap(({ name, scenarios }) => scenarios.map((scenario) => `${name}: ${scenario.name}`))
    assert.strictEqual(new Set(all).size, all.length)
    assert.isAbove(all.length, 60)
    // 70 is a defect or a ledger out of balance: no fault explains it.
    for (const { scenarios } of groups) for (const { expects } of scenarios) assert.notInclude(expects.ends, 70)
  })

  it("a defect is seen in what a gateway printed, once", () => {
    const line = `{"level":"error","message":"A request could not be handled","cause":"TypeError: t is not a function\\n"}`
    assert.deepStrictEqual(defects([line, line, `{"message":"ready"}`]), ["A request could not be handled"])
  })
})
