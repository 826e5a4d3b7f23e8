// Ports of servers on demand: two of ours never have the same, and one that a pool was configured anew with is waited for
// until the old pool has let go of it, or for so long that an error says who has it. Scenarios: P8.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Port from "../src/internal/node/port.ts"
import * as Server from "../src/Server.ts"

const host = "127.0.0.1"

describe("a port that was named", () => {
  it.effect("P8: is waited for while another server of ours has it", () =>
    Effect.gen(function* () {
      const old = yield* Scope.make()
      const port = yield* Scope.provide(Port.take(undefined, host), old)
      const later = yield* Effect.forkChild(Port.take(port, host), { startImmediately: true })
      const left = yield* Effect.forkChild(Port.take(port, host), { startImmediately: true })
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(later.pollUnsafe())
      yield* Fiber.interrupt(left)
      yield* Scope.close(old, Exit.void)
      assert.strictEqual(yield* Fiber.join(later), port)
    })
  )

  it.effect("P8: fails the load in the end, and says who has it and what to do", () =>
    Effect.gen(function* () {
      const port = yield* Port.take(undefined, host)
      const argv = ["/nowhere/is-never-started", "{port}"] as const
      const load = Server.load({ argv, port, startTimeout: "50 seconds" }, () => () => Effect.never)
      const failed = yield* Effect.forkChild(Effect.flip(Effect.scoped(load(0))), { startImmediately: true })
      yield* TestClock.adjust("50 seconds")
      assert.strictEqual(
        (yield* Fiber.join(failed)).message,
        `port ${port} of 127.0.0.1 is still held by another server of these pools: one that was configured anew ends with its last request; wait for that, or name another port`
      )
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )
})
