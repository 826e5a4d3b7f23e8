/**
 * The last reply of a drain: it is committed a moment before the listener goes,
 * and whoever listens gets it before they are sent away, not after the restart.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { connect, head, serve } from "./serve.ts"

describe("the last replies of a drain", () => {
  it.live("W1: who listens while the gateway stops gets what is committed just before the listener goes", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      yield* server.memory.stop
      const wires = yield* Effect.forEach(Array.from({ length: 20 }), () => connect(server))
      for (const wire of wires) {
        yield* wire.write(head("GET", "/v1/conversations/kim/events"))
        yield* wire.until("event: stopping")
      }
      yield* server.memory.reply("kim", { text: "the last words" })
      yield* server.close
      for (const wire of wires) yield* wire.until("the last words")
    })
  )

  it.live("S13: a client that does not read them keeps the listener for a moment only", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      yield* server.memory.stop
      const wire = yield* connect(server)
      yield* wire.write(head("GET", "/v1/conversations/kim/events"))
      yield* wire.until("event: stopping")
      yield* wire.stopReading
      for (let index = 0; index < 100; index++) yield* server.memory.reply("kim", { text: "x".repeat(100_000) })
      const before = performance.now()
      yield* server.close
      // Without its own deadline it would be Node's, half a minute and longer.
      assert.isBelow(performance.now() - before, 20_000)
    })
  )
})
