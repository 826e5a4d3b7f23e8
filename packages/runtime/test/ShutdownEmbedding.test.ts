/**
 * The shutdown program inside a host that never asks for it: a scope that just ends, a server that must close after the
 * program, a turn whose fiber must not reach into it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Shutdown from "../src/Shutdown.ts"
import { makeParts } from "./shutdownParts.ts"

describe("embedding", () => {
  it.effect("D29: the program runs before the host's server closes, and the layer's end joins it", () =>
    Effect.gen(function* () {
      class Gateway extends Context.Service<Gateway, Shutdown.Shutdown>()("test/Gateway") {}
      class Server extends Context.Service<Server, { readonly port: number }>()("test/Server") {}
      const { diary, note, parts } = yield* makeParts()
      const gateway = Layer.effect(
        Gateway,
        Effect.andThen(
          Effect.addFinalizer(() => note("gateway gone")),
          Shutdown.make(parts)
        )
      )
      const server = Layer.effect(
        Server,
        Effect.gen(function* () {
          yield* Gateway
          yield* Effect.addFinalizer(() => note("server closed"))
          return Server.of({ port: 1 })
        })
      )
      const stop = Effect.flatMap(Gateway, (shutdown) => shutdown.stop({ reason: "stop", by: "host" }))
      const main = Shutdown.drainBefore(server, stop).pipe(Layer.provideMerge(gateway))
      const scope = yield* Scope.make()
      const context = yield* Scope.provide(Layer.build(main), scope)
      assert.strictEqual(Context.get(context, Server).port, 1)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(diary.slice(-3), ["0 close", "0 server closed", "0 gateway gone"])
      const report = yield* Context.get(context, Gateway).stopped
      assert.strictEqual(diary.filter((line) => line.includes("preMark")).length, 1)
      assert.strictEqual(report.exitCode, 0)
    })
  )

  it.effect("a scope that ends without any request runs the program by itself", () =>
    Effect.gen(function* () {
      const { diary, parts } = yield* makeParts()
      const scope = yield* Scope.make()
      const shutdown = yield* Scope.provide(Shutdown.make(parts), scope)
      yield* Scope.close(scope, Exit.void)
      assert.include(diary, "0 close")
      assert.deepStrictEqual((yield* shutdown.stopped).by, ["end of the scope"])
    })
  )

  it.effect("a stop from inside a turn's fiber does not hand that turn to what it runs", () =>
    Effect.gen(function* () {
      const seen = yield* Deferred.make<unknown>()
      const { parts } = yield* makeParts(() => ({
        debouncer: {
          flush: Effect.flatMap(Shutdown.AskingTurn, (turn) => Effect.as(Deferred.succeed(seen, turn), { lastSeq: 0 }))
        }
      }))
      const shutdown = yield* Shutdown.make(parts)
      yield* Effect.provideService(shutdown.stop({ reason: "stop" }), Shutdown.AskingTurn, { turn: 1, attempt: 1 })
      assert.strictEqual(yield* Deferred.await(seen), undefined)
    })
  )
})
