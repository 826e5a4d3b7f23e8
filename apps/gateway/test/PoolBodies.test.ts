// Bodies of requests to pools over the server of this program: what comes in pieces is read, and a sender who stops in the
// middle, or whom a stop finds there, still hears why, instead of a connection that breaks. Scenarios: P5, S6, S13.
import { assert, describe, it } from "@effect/vitest"
import * as Routes from "@sluice/pools/Routes"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { connect, head, serve } from "../../../packages/channels/test/serve.ts"

const path = "/v1/embeddings"
const json = (length: number) =>
  head("POST", path, { "content-type": "application/json", "content-length": `${length}` })
const body = JSON.stringify({ model: "nobody", input: "é" })
const bytes = new TextEncoder().encode(body)

describe("a body on a socket", () => {
  it.live("P5: is read in pieces; one that stays away is given up, and its sender is told so", () =>
    Effect.gen(function* () {
      const slow = yield* connect(yield* serve({ routes: Routes.layer({ models: {} }) }))
      yield* slow.write(json(bytes.length))
      // The second piece begins in the middle of a letter.
      yield* slow.write(bytes.subarray(0, bytes.indexOf(0xc3) + 1))
      yield* slow.write(bytes.subarray(bytes.indexOf(0xc3) + 1))
      assert.include(yield* slow.until("}}"), 'there is no model \\"nobody\\" for this')
      const silent = yield* connect(yield* serve({ routes: Routes.layer({ models: {}, bodyStallTimeout: 60 }) }))
      yield* silent.write(`${json(900)}{"model": `)
      const heard = yield* silent.closed
      assert.match(heard, /^HTTP\/1\.1 408 /)
      assert.match(heard, /connection: close/i)
      assert.include(heard, "nothing of the body came for 0.06 s, and not all of it is here")
    }).pipe(Effect.scoped)
  )

  it.live("S6, S13: that is still coming when a stop waits for nobody any more is answered with that", () =>
    Effect.gen(function* () {
      const closing = Deferred.makeUnsafe<void>()
      const server = yield* serve({ routes: Routes.layer({ models: {}, closing }) })
      const sending = yield* connect(server)
      // The first request's answer says that the second one's head has been read behind it.
      yield* sending.write(`${json(2)}{}${json(100)}{"model": `)
      yield* sending.until("}}")
      yield* Deferred.succeed(closing, undefined)
      const heard = yield* sending.until("shutting_down")
      assert.match(heard, /HTTP\/1\.1 503 /)
      assert.match(heard, /retry-after: 5/i)
    }).pipe(Effect.scoped)
  )
})
