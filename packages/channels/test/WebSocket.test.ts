/**
 * WebSockets over real connections: what a client is told, what it sees after it
 * was gone, several conversations at a time, and that the numbers it keeps are
 * all that it needs.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { serve } from "./serve.ts"
import { dial } from "./sockets.ts"

describe("frames", () => {
  it.live("C1: a message is accepted once it is committed, with its id and its place", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      yield* server.memory.commit.close
      yield* client.send({ type: "message", conversation: "kim", id: "a", text: "hello", sender: "u17" })
      yield* client.send({ type: "ping" })
      // what came later is answered while the first one waits for its commit
      assert.deepStrictEqual(yield* client.any, { type: "pong" })
      yield* server.memory.commit.open
      assert.deepStrictEqual(yield* client.any, {
        type: "accepted",
        conversation: "kim",
        id: "a",
        seq: 1,
        duplicate: false
      })
      const [stored] = yield* server.memory.messages
      assert.deepInclude(stored, { conversation: "kim", id: "a", sender: "u17", text: "hello" })
    })
  )
})
