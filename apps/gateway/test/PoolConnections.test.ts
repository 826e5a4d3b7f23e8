// Pools over the HTTP client of this program: connections stay, so that no request has to greet its server anew.
import { assert, describe, it } from "@effect/vitest"
import * as Capabilities from "@sluice/pools/Capabilities"
import { Governor } from "@sluice/pools/Governor"
import * as OpenAi from "@sluice/pools/OpenAi"
import * as Pool from "@sluice/pools/Pool"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { client } from "../src/OutgoingHttp.ts"
import { event, server } from "../../../packages/pools/test/server.ts"

describe("a pool over the client of this program", () => {
  it.live("leaves the connection of a stream to the next one, and does not wait for a server that never hangs up", () =>
    Effect.gen(function* () {
      const ports = new Set<number | undefined>()
      const { asked, url } = yield* server({
        "/v1/chat/completions": (_, response) => {
          ports.add(response.req.socket.remotePort)
          event(response, { choices: [{ delta: { content: "hi" }, finish_reason: "stop" }] })
          event(response, "[DONE]")
          // Not in one packet with the end of the answer.
          if (asked.length < 4) setImmediate(() => response.end())
        }
      })
      const load = OpenAi.textGeneration({ urls: [url], model: "m", health: false })
      const pool = yield* Pool.make({ name: "writer", capability: Capabilities.textGeneration, load })
      for (let n = 0; n < 4; n++) {
        const parts = yield* Stream.runCollect(pool.stream({ messages: [{ role: "user", content: "hello" }] }))
        assert.deepStrictEqual(
          parts.map(({ text }) => text),
          ["hi"]
        )
      }
      assert.strictEqual(ports.size, 1)
    }).pipe(Effect.provide([Governor.layer(), Layer.effectContext(client)]))
  )
})
