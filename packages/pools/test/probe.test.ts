// A pool whose worker did not load, or whose backend is not there any more, says so until one loads, or until a look says that
// one would: less and less often, only while that is in doubt, and with no fiber left when it is over. Scenarios: P6, P7, P8.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as TestClock from "effect/testing/TestClock"
import * as OpenAi from "../src/OpenAi.ts"
import { sendJson, server } from "./server.ts"
import { answer, at, bench, type EchoOptions, memory, pool, transport, until } from "./workers.ts"

/** A pool whose backend is down until the test says otherwise; each look is written down. */
const down = Effect.fnUntraced(function* (options: EchoOptions = {}, auto = false) {
  const workers = bench({ auto })
  const backend = { isUp: false, looks: 0 }
  const echo = yield* pool(workers, {
    workers: { start: 1, max: 1 },
    probe: Effect.suspend(() => {
      backend.looks++
      return backend.isUp ? Effect.void : Effect.fail(transport("nobody listens"))
    }),
    ...options
  })
  /** A request finds nobody. */
  const fail = Effect.gen(function* () {
    const seen = workers.loads.length
    const asked = yield* Effect.forkChild(Effect.exit(echo.submit("1")))
    yield* until(() => workers.loads.length > seen)
    yield* Deferred.fail(at(workers.loads, -1).gate, transport("nobody listens"))
    yield* until(() => asked.pollUnsafe() !== undefined)
  })
  return { workers, backend, echo, fail }
})

describe("a pool whose worker did not load", () => {
  it.effect("P8: is looked after from time to time, less and less often, and is well again without a request", () =>
    Effect.gen(function* () {
      const { backend, echo, fail, workers } = yield* down()
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(backend.looks, 0)
      yield* fail
      assert.strictEqual((yield* echo.status).health, "degraded")
      const looks: Array<number> = []
      for (const wait of ["5 seconds", "10 seconds", "20 seconds", "40 seconds", "1 minute", "1 minute"] as const) {
        yield* TestClock.adjust(wait)
        looks.push(backend.looks)
      }
      assert.deepStrictEqual(looks, [1, 2, 3, 4, 5, 6])
      assert.strictEqual((yield* echo.status).health, "degraded")
      backend.isUp = true
      yield* TestClock.adjust("1 minute")
      const { health, why } = yield* echo.status
      assert.deepStrictEqual([health, why], ["healthy", undefined])
      // It is only said: nothing was loaded, and nobody looks any more.
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([backend.looks, workers.loads.length], [7, 1])
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P7: and whose circuit opened for that is closed by the look that is its trial", () =>
    Effect.gen(function* () {
      const { backend, echo, fail } = yield* down({ breaker: { minimum: 2, pause: "10 seconds" } })
      yield* fail
      yield* fail
      assert.strictEqual((yield* echo.status).health, "unhealthy")
      backend.isUp = true
      // Back, but the circuit is to be left alone for five seconds more.
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual([backend.looks, (yield* echo.status).breaker], [1, "open"])
      yield* TestClock.adjust("5 seconds")
      assert.deepInclude(yield* echo.status, { health: "healthy", breaker: "closed" })
      assert.strictEqual(backend.looks, 2)
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P8: is left alone as soon as one loads for a request, and when it is stopped", () =>
    Effect.gen(function* () {
      const { backend, echo, fail, workers } = yield* down()
      yield* fail
      const asked = yield* Effect.forkChild(echo.submit("2"))
      yield* until(() => workers.loads.length === 2)
      yield* Deferred.succeed(at(workers.loads, 1).gate, undefined)
      yield* until(() => workers.runs.length === 1)
      yield* answer(at(workers.runs, 0))
      yield* until(() => asked.pollUnsafe() !== undefined)
      assert.strictEqual((yield* echo.status).health, "healthy")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(backend.looks, 0)
      yield* TestClock.adjust("2 minutes")
      yield* fail
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(backend.looks, 1)
      yield* echo.interrupt
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(backend.looks, 1)
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P8: a look that hangs has failed after the load timeout", () =>
    Effect.gen(function* () {
      let looks = 0
      const probe = Effect.suspend(() => {
        looks++
        return Effect.never
      })
      const { fail } = yield* down({ probe, workers: { start: 1, max: 1, loadTimeout: "3 seconds" } })
      yield* fail
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(looks, 1)
      yield* TestClock.adjust("12 seconds")
      assert.strictEqual(looks, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(looks, 2)
    }).pipe(Effect.provide(memory()))
  )

  it.effect("P6: a request that was lost is followed by one look, which says how the backend is", () =>
    Effect.gen(function* () {
      const { backend, echo, workers } = yield* down({}, true)
      const lose = Effect.gen(function* () {
        const seen = workers.runs.length
        const asked = yield* Effect.forkChild(Effect.flip(echo.submit("1")))
        for (const attempt of [1, 2]) {
          yield* until(() => workers.runs.length === seen + attempt)
          yield* Deferred.fail(at(workers.runs, -1).end, transport("reset"))
        }
        yield* Fiber.join(asked)
        yield* TestClock.adjust(0)
      })
      backend.isUp = true
      yield* lose
      // The request's own fault, as it seems.
      assert.deepStrictEqual([backend.looks, (yield* echo.status).health], [1, "healthy"])
      backend.isUp = false
      yield* TestClock.adjust("1 minute")
      yield* lose
      const { health, why } = yield* echo.status
      assert.deepStrictEqual([backend.looks, health], [2, "degraded"])
      assert.strictEqual(why, "its backend is not well: nobody listens")
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual([backend.looks, (yield* echo.status).health], [3, "degraded"])
      backend.isUp = true
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([backend.looks, (yield* echo.status).health], [4, "healthy"])
      // Requests that are lost one after the other are no reason to look each time.
      for (let n = 0; n < 3; n++) yield* lose
      assert.strictEqual(backend.looks, 4)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(backend.looks, 5)
    }).pipe(Effect.provide(memory()))
  )

  it.live("P8: at servers that speak as OpenAI does, is well when any of them answers that it is", () =>
    Effect.gen(function* () {
      let status = 503
      const loading = yield* server({ "/v1/models": (_, response) => sendJson(response, {}, status) })
      const dead = yield* Effect.scoped(Effect.map(server({}), ({ url }) => url))
      const probe = OpenAi.probe({ urls: [dead, loading.url], model: "m" })
      assert.strictEqual((yield* Effect.flip(probe)).status, 503)
      status = 200
      yield* probe
      assert.match((yield* Effect.flip(OpenAi.probe({ urls: [dead], model: "m" }))).message, /^no answer from /)
      yield* OpenAi.probe({ urls: [dead], model: "m", health: false })
      assert.strictEqual(loading.asked.length, 2)
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )
})
