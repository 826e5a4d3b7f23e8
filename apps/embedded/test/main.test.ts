// The embedding example, run as it stands: what another service accepts over its own API is answered, also after that
// service was stopped and started again.
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Gateway } from "@sluice/runtime/Gateway"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import { Api, main } from "../src/main.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "sluice-embedded-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/** A client of the service that runs in this scope. */
const client = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const port = "port" in address ? address.port : 0
  return yield* HttpApiClient.make(Api, { baseUrl: `http://127.0.0.1:${port}` })
}).pipe(Effect.provide(FetchHttpClient.layer))

const say = (id: string, text: string) => ({ params: { chat: "kim" }, payload: { id, user: "kim", text } })

describe("the embedded example", () => {
  it.live("answers over its own API, with what its agent takes from the service's own layer", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "desk.db")
      yield* Effect.gen(function* () {
        const desk = yield* client
        const accepted = yield* desk.support.say(say("m1", "hello"))
        assert.deepStrictEqual([accepted.id, accepted.duplicate], ["m1", false])
        assert.isTrue((yield* desk.support.say(say("m1", "hello"))).duplicate)
        const reply = yield* desk.support.next({ params: { chat: "kim", after: 0 } })
        assert.deepStrictEqual([reply.number, reply.text, reply.inReplyTo], [1, "(pro) You said: hello", ["m1"]])
        const conflict = yield* Effect.flip(desk.support.say(say("m1", "something else")))
        assert.strictEqual(conflict._tag, "Conflict")
        const invalid = yield* Effect.flip(desk.support.say(say("m2", " ")))
        assert.strictEqual(invalid._tag, "Invalid")
      }).pipe(Effect.provide(main({ filename, port: 0 })))
    }).pipe(Effect.scoped)
  )

  it.live("keeps what it accepted over a restart", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "desk.db")
      yield* Effect.gen(function* () {
        const desk = yield* client
        yield* desk.support.say(say("m1", "hello"))
      }).pipe(Effect.provide(main({ filename, port: 0 })))
      yield* Effect.gen(function* () {
        const gateway = yield* Gateway
        assert.include(gateway.boot.postMortem, "clean")
        const desk = yield* client
        const reply = yield* desk.support.next({ params: { chat: "kim", after: 0 } })
        assert.strictEqual(reply.text, "(pro) You said: hello")
        assert.isTrue((yield* desk.support.say(say("m1", "hello"))).duplicate)
        assert.isTrue((yield* gateway.audit).balanced)
      }).pipe(Effect.provide(main({ filename, port: 0 })))
    }).pipe(Effect.scoped)
  )
})
