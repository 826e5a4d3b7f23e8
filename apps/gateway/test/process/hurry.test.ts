// Somebody who waits for `sluice stop` and has had enough: Ctrl-C there hurries the gateway, as a second Ctrl-C at its own
// terminal does, and one more leaves the gateway to itself.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { launch, reportIn, start, until } from "../harness.ts"

describe("S7: Ctrl-C while a stop is waited for", () => {
  it.live("hurries the gateway, which cuts what runs and says who asked", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.client.send("kim", "work 5m long")
      yield* until("a turn runs", Effect.orDie(gateway.client.call("/v1/status")), ({ body }) =>
        JSON.stringify(body).includes('"attempt":1')
      )
      const stop = yield* launch({ folder: gateway.folder, args: ["stop"] })
      yield* until("the stop has begun", Effect.orDie(gateway.client.call("/readyz")), ({ status }) => status === 503)
      yield* stop.signal("SIGINT")
      assert.strictEqual((yield* gateway.exited).code, 81)
      assert.strictEqual((yield* stop.exited).code, 0, stop.output().err.join("\n"))
      assert.match(stop.output().out[0] ?? "", /forced, exit 81$/)
      assert.include(stop.output().err.join("\n"), "hurrying the gateway")
      const report = reportIn(gateway)
      assert.deepStrictEqual(report.by, ["POST /v1/admin/stop", "POST /v1/admin/stop with force"])
      assert.deepStrictEqual(
        report.sessions.map(({ key, outcome }) => `${key} ${outcome}`),
        ["http/kim interrupted"]
      )
    }).pipe(Effect.scoped)
  )
})
