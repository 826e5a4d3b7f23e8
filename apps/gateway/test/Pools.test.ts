// The pools of the program without the program: what a reload leaves alone and what it lets go of, what a stop finds, what
// is counted, and a worker that does not end although there is no more time.
import { assert, describe, it } from "@effect/vitest"
import type { Model } from "@sluice/pools/Routes"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import type { ServerResponse } from "node:http"
import { dirname, join } from "node:path"
import { sendJson, server } from "../../../packages/pools/test/server.ts"
import * as Sources from "../src/configuration/Sources.ts"
import { poolScope } from "../src/pools/Closing.ts"
import * as Pools from "../src/pools/Pools.ts"
import { lives } from "../src/tools/Ask.ts"
import { inFolder, yaml } from "./configurations.ts"
import { program, until } from "./harness.ts"

const bounds = { memory: 0.5, bodyLimit: 1024, bodiesLimit: 4096, bodyStall: "10 seconds" } as const

/** A server that holds every request until the test lets it go. */
const holding = Effect.gen(function* () {
  const held: Array<ServerResponse> = []
  const { url } = yield* server({ "/v1/embeddings": (_, response) => void held.push(response) })
  const letGo = (at: number) =>
    Effect.sync(() => {
      const response = held[at]
      if (response === undefined) throw new Error(`there is no request ${at}`)
      sendJson(response, { data: [{ index: 0, embedding: [1] }] })
    })
  const arrived = (count: number) =>
    until(
      `${count} requests are there`,
      Effect.sync(() => held.length),
      (n) => n === count
    )
  return { url, letGo, arrived }
})

const planOf = (pools: string) =>
  inFolder(yaml(`pools:\n${pools}\n`), (sources) => Effect.flatMap(Sources.load(sources), Pools.decide)).pipe(
    Effect.map((plan) => ({
      ...plan,
      // Each was read in a folder of its own, as they would not be.
      recipes: plan.recipes.map((recipe) => ({ ...recipe, text: JSON.stringify(recipe.settings) }))
    })),
    Effect.orDie
  )

const embed = (model: Model | undefined, text = "x") =>
  model?.capability === "text-embedding"
    ? Effect.forkChild(model.pool.submit({ texts: [text] }), { startImmediately: true })
    : Effect.die(new Error("there is no such model"))

const statesOf = (pools: Pools.Pools) =>
  Effect.map(pools.opened?.states ?? Effect.die(new Error("no pools")), (found) =>
    found.pools.map(({ leaving, name, running }) => `${name}${leaving ? " leaving" : ""} ${running}`)
  )

const workersOf = (pools: Pools.Pools) =>
  Effect.map(pools.opened?.states ?? Effect.die(new Error("no pools")), (found) =>
    found.pools.map(({ workers }) => workers)
  )

describe("pools of the program", () => {
  it.live("nothing is opened, and nothing loaded, as long as no pool is configured", () =>
    Effect.gen(function* () {
      const pools = Pools.make()
      assert.deepStrictEqual(yield* Pools.apply(pools, yield* planOf("  {}"), bounds), [])
      assert.strictEqual(pools.opened, undefined)
      assert.strictEqual(Pools.find(pools, "a"), undefined)
    }).pipe(Effect.scoped)
  )

  it.live("P2: a reload leaves other pools and their requests alone; what it lets go of finishes what it has", () =>
    Effect.gen(function* () {
      const { arrived, letGo, url } = yield* holding
      const pool = (name: string, more = "") =>
        `  ${name}: { capability: text-embedding, kind: openai, url: "${url}", model: m${more} }`
      const pools = Pools.make()
      const first = yield* planOf([pool("a"), pool("b")].join("\n"))
      assert.deepStrictEqual(yield* Pools.apply(pools, first, bounds), ["pool a is new", "pool b is new"])
      const ofA = yield* embed(Pools.find(pools, "a"))
      yield* arrived(1)
      const ofB = yield* embed(Pools.find(pools, "b"))
      yield* arrived(2)

      const second = yield* planOf([pool("a", ", queue: 5"), pool("b")].join("\n"))
      assert.deepStrictEqual(yield* Pools.apply(pools, second, bounds), ["pool a has changed"])
      assert.deepStrictEqual(yield* statesOf(pools), ["a 0", "b 1", "a leaving 1"])
      const again = yield* embed(Pools.find(pools, "a"))
      yield* arrived(3)
      yield* Effect.forEach([0, 1, 2], letGo)
      for (const fiber of [ofA, ofB, again]) {
        assert.deepStrictEqual((yield* Fiber.join(fiber)).vectors, [[1]])
      }
      yield* until("it has gone", statesOf(pools), (found) => found.length === 2)
      // The counters of a model are those of all pools that had its name.
      const [a] = (yield* pools.opened?.states ?? Effect.die("none")).pools
      assert.strictEqual(a?.models[0]?.outcomes.served, 2)

      assert.deepStrictEqual(yield* Pools.apply(pools, yield* planOf(pool("b")), bounds), ["pool a is gone"])
      assert.strictEqual(Pools.find(pools, "a"), undefined)
    }).pipe(Effect.scoped)
  )

  it.live(
    "P2, S6: a stop finds the pools that a reload has let go of, too, and a reload changes nothing any more",
    () =>
      Effect.gen(function* () {
        const { arrived, letGo, url } = yield* holding
        const pool = (more: string) =>
          `  a: { capability: text-embedding, kind: openai, url: "${url}", model: m${more} }`
        const pools = Pools.make()
        yield* Pools.apply(pools, yield* planOf(pool("")), bounds)
        const held = yield* embed(Pools.find(pools, "a"))
        yield* arrived(1)
        yield* Pools.apply(pools, yield* planOf(pool(", queue: 5")), bounds)
        const drains = pools.opened?.drains("1 second") ?? []
        assert.deepStrictEqual(
          drains.map(({ name }) => name),
          ["pool a", "pool a (as it was before)"]
        )
        assert.deepStrictEqual(yield* Pools.apply(pools, yield* planOf("  {}"), bounds), [])
        yield* Effect.forEach(drains, ({ refuse }) => refuse)
        const late = yield* Effect.flip(Effect.flatMap(embed(Pools.find(pools, "a")), Fiber.join))
        assert.strictEqual(late.reason._tag, "ShuttingDown")
        yield* letGo(0)
        yield* Fiber.join(held)
        const now = Number(yield* Clock.monotonicTimeNanos) / 1e6
        const counts = yield* Effect.forEach(drains, ({ drain }) => drain(now + 1000))
        assert.deepStrictEqual(counts, [
          { drained: 0, aborted: 0, rejected: 1 },
          { drained: 1, aborted: 0, rejected: 0 }
        ])
      }).pipe(Effect.scoped)
  )

  it.live("metrics have each model and pool once, also while a reload has let go of one of the same name", () =>
    Effect.gen(function* () {
      const { arrived, letGo, url } = yield* holding
      const pool = (more: string) =>
        `  a: { capability: text-embedding, kind: openai, url: "${url}", model: m, models: [a, b]${more} }`
      const pools = Pools.make()
      yield* Pools.apply(pools, yield* planOf(pool("")), bounds)
      const first = yield* embed(Pools.find(pools, "a"))
      yield* arrived(1)
      yield* Pools.apply(pools, yield* planOf(pool(", queue: 5")), bounds)
      const second = yield* embed(Pools.find(pools, "b"))
      yield* arrived(2)
      const text = yield* pools.opened?.scrape ?? Effect.succeed("")
      const series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
      const names = series.map((line) => line.slice(0, line.lastIndexOf(" ")))
      assert.deepStrictEqual([...new Set(names)], names)
      assert.include(series, 'sluice_pool_running{pool="a"} 2')
      yield* Effect.forEach([0, 1], letGo)
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      const after = yield* pools.opened?.scrape ?? Effect.succeed("")
      for (const model of ["a", "b"]) {
        assert.include(after, `sluice_pool_requests_total{pool="a",model="${model}",outcome="served"} 1\n`)
        assert.include(after, `sluice_pool_request_seconds_bucket{pool="a",model="${model}",le="+Inf"} 1\n`)
      }
    }).pipe(Effect.scoped)
  )

  it.live(
    "P8: a reload says which port a server waits for, and it has it when the last request of before has ended",
    () =>
      Effect.gen(function* () {
        const free = yield* Effect.scoped(Effect.map(server({}), ({ url }) => new URL(url).port))
        const script = join(import.meta.dirname, "../../../packages/pools/test/programs/server.mjs")
        const argv = JSON.stringify([process.execPath, script, "plain", "{port}"])
        const pool = (more: string) =>
          `  a: { capability: text-embedding, kind: server, argv: ${argv}, cwd: ${import.meta.dirname}, port: ${free}, workers: { start: 1, max: 1 }${more} }`
        const pools = Pools.make()
        yield* Pools.apply(pools, yield* planOf(pool("")), bounds)
        const first = yield* Effect.flatMap(embed(Pools.find(pools, "a")), Fiber.join)
        const held = yield* embed(Pools.find(pools, "a"), "hang")
        yield* until("it runs", statesOf(pools), (found) => found[0] === "a 1")
        assert.deepStrictEqual(yield* Pools.apply(pools, yield* planOf(pool(", queue: 5")), bounds), [
          `pool a has changed; its server waits for port ${free}, which the old one has until a request has ended`
        ])
        const next = yield* embed(Pools.find(pools, "a"))
        yield* until("it waits", workersOf(pools), ([now]) => now?.loading === 1)
        yield* Fiber.interrupt(held)
        // Another process, at the same port.
        assert.notDeepEqual((yield* Fiber.join(next)).vectors, first.vectors)
        assert.deepStrictEqual(yield* Pools.apply(pools, yield* planOf(pool(", queue: 6")), bounds), [
          "pool a has changed"
        ])
      }).pipe(Effect.scoped)
  )

  it.effect("P8: a pool whose server is back is well again before anybody asks it", () =>
    Effect.gen(function* () {
      let status = 500
      const { asked, url } = yield* server({ "/v1/models": (_, response) => sendJson(response, { data: [] }, status) })
      const pools = Pools.make()
      const plan = yield* planOf(`  a: { capability: text-embedding, kind: openai, url: "${url}", model: m }`)
      yield* Pools.apply(pools, plan, bounds)
      const failed = yield* Effect.flip(Effect.flatMap(embed(Pools.find(pools, "a")), Fiber.join))
      assert.strictEqual(failed.reason._tag, "LoadFailed")
      const health = Effect.map(pools.opened?.states ?? Effect.die("none"), ({ pools }) => pools[0]?.health)
      assert.strictEqual(yield* health, "degraded")
      status = 200
      const before = asked.length
      yield* TestClock.adjust("5 seconds")
      while ((yield* health) !== "healthy") yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.strictEqual(asked.length, before + 1)
    }).pipe(Effect.scoped)
  )

  it.effect("C9: bodies of requests that don't come are given up after the time of the configuration", () =>
    Effect.gen(function* () {
      const pools = Pools.make()
      const plan = yield* planOf("  a: { capability: text-embedding, kind: openai, url: http://127.0.0.1:9, model: m }")
      yield* Pools.apply(pools, plan, { ...bounds, bodyStall: "3 seconds" })
      const body = new ReadableStream({ pull: () => new Promise<void>(() => undefined) })
      const request = new Request("http://host/v1/embeddings", { method: "POST", body, duplex: "half" })
      const answer = pools.opened?.answers.embeddings ?? Effect.die("none")
      const asked = yield* answer.pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, HttpServerRequest.fromWeb(request)),
        Effect.provideService(HttpRouter.RouteContext, { params: {}, route: undefined as never }),
        Effect.scoped,
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(asked)).status, 408)
    }).pipe(Effect.scoped)
  )

  it.live("P9: programs of an earlier run are looked for when there is a word of them, and only then", () =>
    inFolder({}, ({ folder }) =>
      Effect.gen(function* () {
        const record = join(folder, "pool-programs")
        const none = yield* planOf("  {}")
        const starts = yield* planOf("  a: { capability: vision, kind: program, argv: [sh] }")
        const without = Pools.make(record)
        yield* Pools.apply(without, none, bounds)
        yield* without.orphans.forget
        assert.isFalse(existsSync(record))
        // Written before anything is started; a reload that lets go of the pool does not take it away.
        const first = Pools.make(record)
        yield* Pools.apply(first, starts, bounds)
        assert.isTrue(existsSync(record))
        yield* first.orphans.forget
        yield* Pools.apply(first, none, bounds)
        assert.isTrue(existsSync(record))
        // The next one, without pools, looks; it is forgotten by who holds the store, unless pools have come meanwhile.
        const second = Pools.make(record)
        yield* Pools.apply(second, none, bounds)
        assert.isTrue(existsSync(record))
        yield* Pools.apply(second, starts, bounds)
        yield* second.orphans.forget
        assert.isTrue(existsSync(record))
        const third = Pools.make(record)
        yield* Pools.apply(third, none, bounds)
        yield* third.orphans.forget
        assert.isFalse(existsSync(record))
      }).pipe(Effect.scoped)
    )
  )

  it("the program's own chunk has nothing of them: whoever configures none does not load any", () => {
    const folder = dirname(program)
    const chunks = readdirSync(folder).filter((name) => name.endsWith(".cjs"))
    const holding = (text: string) => chunks.filter((name) => readFileSync(join(folder, name), "utf8").includes(text))
    const own = holding("@sluice/gateway/Loaded")
    const theirs = holding("@sluice/pools/Governor")
    assert.isAbove(own.length, 0)
    assert.isAbove(theirs.length, 0)
    assert.deepStrictEqual(
      own.filter((name) => theirs.includes(name)),
      []
    )
  })

  it.live(
    "C9, S11: a worker that ends by nothing is killed when a stop has no more time, and nothing waits for it",
    () =>
      inFolder({}, ({ folder }) =>
        Effect.gen(function* () {
          const file = join(folder, "pid")
          const script = [
            "trap '' TERM",
            `echo $$ > '${file}'`,
            `echo '{"ready": true}'`,
            `while read line; do echo '{"id": "1", "answer": {"vectors": [[1]]}}'; done`,
            "while :; do sleep 60; done"
          ].join("\n")
          const pools = Pools.make()
          yield* Effect.gen(function* () {
            const soon = Number(yield* Clock.monotonicTimeNanos) / 1e6 + 2000
            const { scope } = yield* poolScope(pools, { until: () => soon, hurried: Deferred.makeUnsafe<void>() })
            const argv = JSON.stringify(["sh", "-c", script])
            const plan = yield* planOf(
              `  a: { capability: text-embedding, kind: program, argv: ${argv}, cwd: ${folder}, workers: { start: 1 } }`
            )
            yield* Scope.provide(Pools.apply(pools, plan, bounds), scope)
            const answer = yield* Effect.flatMap(embed(Pools.find(pools, "a")), Fiber.join)
            assert.deepStrictEqual(answer.vectors, [[1]])
            assert.isTrue(existsSync(file))
          }).pipe(Effect.scoped)
          assert.isFalse(lives(Number(readFileSync(file, "utf8"))))
        })
      )
  )
})
