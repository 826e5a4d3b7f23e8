// Calls to a platform's server that have no answer: whether the request can have arrived decides what becomes of a reply,
// and only the error of the connection tells.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import { HttpClientError, TransportError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Redacted from "effect/Redacted"
import { server } from "../src/internal/chat/calls.ts"

/** Asks over a connection that fails with this code. */
const failing = (code: string) => {
  const cause = Object.assign(new Error(`it failed: ${code}`), { code })
  const client = HttpClient.make((request) =>
    Effect.fail(new HttpClientError({ reason: new TransportError({ request, cause }) }))
  )
  const { ask } = server("https://api.example/", Redacted.make("the token"))
  return Effect.flip(ask(HttpClientRequest.post("https://api.example/send"))).pipe(
    Effect.provideService(HttpClient.HttpClient, client)
  )
}

describe("a call that has no answer", () => {
  it.effect("was not sent where no connection came about, also for a proxy or a certificate that is in the way", () =>
    Effect.gen(function* () {
      for (const code of ["ECONNREFUSED", "ENOTFOUND", "ERR_PROXY_TUNNEL", "CERT_HAS_EXPIRED"]) {
        const { _tag, reason } = yield* failing(code)
        assert.deepStrictEqual([code, _tag], [code, "NotSent"])
        assert.include(reason, `no connection to api.example: it failed: ${code}`)
      }
    })
  )

  it.effect("may have arrived where the connection broke", () =>
    Effect.gen(function* () {
      for (const code of ["ECONNRESET", "EPIPE", "ETIMEDOUT"]) {
        assert.deepStrictEqual([code, (yield* failing(code))._tag], [code, "Silent"])
      }
    })
  )
})
