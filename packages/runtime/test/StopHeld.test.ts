// Stops that somebody would hold up: agents and channels that never let go, hosts that close their server around the
// gateway. The deadline holds and the host answers first.
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { createServer, type Server } from "node:http"
import * as Agent from "../src/Agent.ts"
import * as Channel from "../src/Channel.ts"
import { Gateway } from "../src/Gateway.ts"
import type { Report } from "../src/Shutdown.ts"
import { TestAgent, TestGateway } from "../src/testing/index.ts"
import { boot, meanwhile, world } from "./guarantees/boots.ts"

const phases = (report: Report) => Object.fromEntries(report.phases.map(({ name, outcome }) => [name, outcome]))

const stopping = (stop: Effect.Effect<Report>) => Effect.forkChild(stop, { startImmediately: true })

describe("what does not let go", () => {
  it.effect(
    "S16: an agent that never ends its scope: the deadline holds, the report names the phase, the scope ends",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make({ onClose: Effect.never })
        const current = yield* boot(place, { agent, drain: { timeout: "10 seconds" } })
        yield* current.say("kim", "a")
        yield* agent.run(1)
        const before = yield* Clock.currentTimeMillis
        const report = yield* meanwhile(current.stop, { step: 100, steps: 400 })
        assert.isAtMost((yield* Clock.currentTimeMillis) - before, 11_100)
        assert.isAtMost(report.millis, 10_250)
        assert.strictEqual(phases(report).interrupt, "timed out")
        assert.strictEqual(phases(report).close, "done")
      })
  )

  it.effect("S16: an agent that ignores its interruption holds neither the stop nor the end of the scope", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const begun = yield* Deferred.make<void>()
      const stubborn = Agent.make({
        open: () =>
          Effect.succeed({
            answer: () =>
              Stream.fromEffect(
                Effect.uninterruptible(Effect.andThen(Deferred.succeed(begun, undefined), Effect.never))
              )
          })
      })
      const current = yield* boot(place, {
        agent: { ...TestAgent.make(), agent: stubborn },
        drain: { timeout: "10 seconds" }
      })
      yield* current.say("kim", "a")
      yield* Deferred.await(begun)
      const report = yield* meanwhile(current.stop, { step: 100, steps: 400 })
      assert.isAtMost(report.millis, 10_250)
      assert.strictEqual(report.exitCode, 80)
    })
  )

  it.effect("S16: a channel that never lets go holds neither the stop nor the end of the scope", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const hung = (kind: "poller" | "server") =>
        Channel.make({
          kind,
          delivery: Channel.pull,
          receive: ({ ready }) => Effect.uninterruptible(Effect.andThen(ready, Effect.never))
        })
      const current = yield* boot(place, {
        channels: { poller: hung("poller"), server: hung("server") },
        drain: { timeout: "10 seconds" }
      })
      const report = yield* meanwhile(current.stop, { step: 100, steps: 150 })
      assert.isAtMost(report.millis, 10_250)
      assert.deepInclude(phases(report), { intake: "timed out", channels: "timed out", close: "done" })
    })
  )

  it.effect(
    "S16: drains of a host have a budget of their own, their counts are in the report, and one that fails is named",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const begun = yield* Deferred.make<void>()
        const told: Array<string> = []
        const tell = (what: string) => Effect.sync(() => void told.push(what))
        const current = yield* boot(place, {
          agent,
          drains: [
            {
              name: "pool",
              refuse: tell("pool refuses"),
              drain: () => Effect.as(Effect.sleep("2 seconds"), { drained: 7, rejected: 1 }),
              interrupt: tell("pool interrupted")
            },
            {
              name: "hung",
              timeout: "3 seconds",
              refuse: Effect.void,
              drain: () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
            },
            { name: "broken", refuse: Effect.die(new Error("boom")), drain: () => Effect.fail("no") }
          ]
        })
        yield* current.say("kim", "a")
        const run = yield* agent.run(1)
        const stop = yield* stopping(current.gateway.stop({ reason: "stop" }))
        yield* Deferred.await(begun)
        yield* TestClock.adjust("2 seconds")
        // The running turn's own requests pass until phase 5.
        assert.deepStrictEqual(told, ["pool refuses"])
        yield* run.finish("A")
        const report = yield* meanwhile(Fiber.join(stop), { step: 10 })
        assert.deepStrictEqual(
          report.drains.map(({ name, outcome, counts }) => [name, outcome, counts]),
          [
            ["pool", "done", { drained: 7, rejected: 1 }],
            ["hung", "timed out", {}],
            ["broken", "died", {}]
          ]
        )
        assert.closeTo(report.phases.find(({ name }) => name === "drain")?.millis ?? 0, 3000, 20)
        assert.deepStrictEqual(told, ["pool refuses", "pool interrupted"])
      })
  )

  it.effect("S16: a drain that ends at its limit is told with that time, however long turns go on", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const until = (limit: number) =>
        Effect.flatMap(Clock.monotonicTimeNanos, (nanos) => Effect.sleep(limit - Number(nanos) / 1e6))
      const drains = ["first", "second"].map((name) => ({
        name,
        refuse: Effect.void,
        timeout: "2 seconds" as const,
        // As a pool does: it gives up at the same moment at which it is given up.
        drain: (limit: number) => Effect.as(until(limit), { drained: 0 })
      }))
      const current = yield* boot(place, { agent, drains })
      yield* current.say("kim", "a")
      const run = yield* agent.run(1)
      const stop = yield* stopping(current.gateway.stop({ reason: "stop" }))
      yield* TestClock.adjust("6 seconds")
      yield* run.finish("A")
      const report = yield* meanwhile(Fiber.join(stop), { step: 10 })
      for (const { millis, outcome } of report.drains) {
        assert.closeTo(millis, 2000, 5)
        assert.strictEqual(outcome, "done")
      }
    })
  )
})

describe("inside a host", () => {
  /** A real server of the host: asks the gateway, and answers with the reply. */
  const serving = (port: Deferred.Deferred<number>) =>
    Layer.effectDiscard(
      Effect.gen(function* () {
        const gateway = yield* Gateway
        const runFork = Effect.runForkWith(yield* Effect.context<never>())
        const answer = Effect.gen(function* () {
          yield* gateway.accept({ conversation: "kim", sender: "kim", text: "hello", id: "m1" })
          const [reply] = yield* Stream.runCollect(Stream.take(gateway.replies("kim"), 1))
          return reply?.text ?? ""
        })
        yield* Effect.acquireRelease(
          Effect.callback<Server>((resume) => {
            const server = createServer((_, response) => {
              runFork(Effect.map(Effect.orDie(answer), (text) => response.end(text)))
            })
            server.listen(0, "127.0.0.1", () => {
              const address = server.address()
              if (address !== null && typeof address === "object") {
                Deferred.doneUnsafe(port, Exit.succeed(address.port))
              }
              resume(Effect.succeed(server))
            })
          }),
          (server) =>
            Effect.callback<void>((resume) => {
              server.close(() => resume(Effect.void))
              server.closeAllConnections()
            })
        )
      })
    )

  it.live("D29: drainBefore: a request in flight has its answer before the host's server closes", () =>
    Effect.gen(function* () {
      const port = yield* Deferred.make<number>()
      const agent = TestAgent.make()
      const scope = yield* Scope.make()
      const gateway = TestGateway.make({ agents: { main: agent.agent }, debounce: { quiet: 0 } })
      yield* Layer.buildWithScope(Gateway.drainBefore(serving(port)).pipe(Layer.provide(gateway)), scope)
      const url = `http://127.0.0.1:${yield* Deferred.await(port)}/`
      const request = yield* Effect.forkChild(
        Effect.promise(() => fetch(url).then((response) => response.text())),
        {
          startImmediately: true
        }
      )
      const run = yield* agent.run(1)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* run.finish("in time")
      assert.strictEqual(yield* Fiber.join(request), "in time")
      yield* Fiber.join(closing)
      const gone = yield* Effect.exit(Effect.tryPromise(() => fetch(url)))
      assert.isTrue(Exit.isFailure(gone))
    })
  )
})
