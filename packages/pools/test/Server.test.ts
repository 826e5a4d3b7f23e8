// Servers that are started on demand, with real processes at real ports: they come with the first request and go with the
// last, and what they do wrong (die, hang, grow, stay) ends them and nobody else.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import { createServer } from "node:net"
import * as Capabilities from "../src/Capabilities.ts"
import * as OpenAi from "../src/OpenAi.ts"
import * as Pool from "../src/Pool.ts"
import type { PoolError } from "../src/PoolError.ts"
import * as Server from "../src/Server.ts"
import { gone, lives } from "./processes.ts"
import { memory } from "./workers.ts"

const reason = <A>(effect: Effect.Effect<A, PoolError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)
const layer = (limit = 10_000_000_000) => Layer.mergeAll(memory(limit), FetchHttpClient.layer)
const script = `${import.meta.dirname}/programs/server.mjs`
const one = { start: 1, max: 1 } as const

const options = (behaviour: string): Server.Options => ({
  argv: [process.execPath, script, behaviour, "{port}"],
  stopGrace: 100
})

/** Another process with a worker, the worker's processes, and the host's end. */
const hosted = Effect.fnUntraced(function* (then: string) {
  const host = spawn(process.execPath, [`${import.meta.dirname}/programs/host.ts`, then], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  const exited = new Promise<void>((resolve) => host.once("exit", () => resolve()))
  const line = yield* Effect.callback<string>((resume) => {
    host.stdout.once("data", (chunk: Buffer) => resume(Effect.succeed(chunk.toString())))
  })
  return { host, left: JSON.parse(line) as ReadonlyArray<number>, ended: Effect.promise(() => exited) }
})

type Workers = NonNullable<Pool.Options<never, never, never, never>["workers"]>

/** A pool that embeds: the answer to any text is the number of the process, to `pids` also of those that it started. */
const words = (behaviour = "", more: Partial<Server.Options> = {}, workers: Workers = {}, requestTimeout = 20_000) =>
  Effect.map(
    Pool.make({
      name: "words",
      capability: Capabilities.textEmbedding,
      load: Server.load({ ...options(behaviour), ...more }, (url) => OpenAi.textEmbedding({ urls: [url], model: "m" })),
      workers: { ...one, ...workers },
      requestTimeout,
      drainTimeout: 0
    }),
    (pool) => ({
      ...pool,
      ask: (text: string) => Effect.map(pool.submit({ texts: [text] }), ({ vectors }) => vectors[0] ?? [])
    })
  )

const detailOf = <A>(asked: Effect.Effect<A, PoolError>) =>
  Effect.map(reason(asked), (found) => (found._tag === "LoadFailed" ? found.detail : JSON.stringify(found)))

describe("a server on demand", () => {
  it.live(
    "P3, P9: is started by the first request, when it is healthy, and ended with all that it started when it is idle",
    () =>
      Effect.gen(function* () {
        const pool = yield* words("", {}, { cooldown: "1 second" })
        const [server = 0, inside = 0, outside = 0] = yield* pool.ask("pids")
        assert.deepStrictEqual([server, inside, outside].map(lives), [true, true, true])
        // Nobody has said how large it is.
        assert.isAbove((yield* pool.status).memory, 60_000_000)
        yield* Effect.forEach([server, inside, outside], gone)
        const { memory, workers } = yield* pool.status
        assert.deepStrictEqual([memory, workers.idle + workers.busy], [0, 0])
      }).pipe(Effect.provide(layer()))
  )

  it.live("P2, P9: ends with its pool also when it ignores SIGTERM, and all that it started with it", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const pool = yield* Effect.provideService(words("stubborn"), Scope.Scope, scope)
      const pids = yield* pool.ask("pids")
      assert.isTrue(pids.every(lives))
      yield* Scope.close(scope, Exit.void)
      // Its own end was waited for.
      assert.isFalse(lives(pids[0] ?? 0))
      yield* Effect.forEach(pids, gone)
    }).pipe(Effect.provide(layer()))
  )

  it.live("P8: that dies at its start, or is never healthy, fails the load with what it said last", () =>
    Effect.gen(function* () {
      const startTimeout = "700 millis"
      const pools = [
        yield* words("dies"),
        yield* words("slow", { startTimeout }),
        yield* words("silent", { startTimeout }),
        yield* words("", { argv: ["/nowhere/server", "{port}"] })
      ]
      const details = yield* Effect.forEach(pools, (pool) => detailOf(pool.ask("a")), { concurrency: 4 })
      const [dies, slow, silent, nowhere] = details
      assert.deepStrictEqual(
        [dies, nowhere],
        [
          "node: it ended with code 3: loading model.gguf / error: model.gguf has no tensors / exiting",
          "/nowhere/server can't be started: ENOENT"
        ]
      )
      // How far each came until then is the machine's affair.
      assert.match(
        slow ?? "",
        /^node: was not healthy within 0.7 s \((not asked|\/health: (503|nobody listens|no answer))\)/
      )
      assert.match(silent ?? "", /^node: was not healthy within 0.7 s \((not asked|\/health: nobody listens)\)/)
    }).pipe(Effect.provide(layer()))
  )

  it.live("P8: whose port is somebody else's is not started, and who has no health check is asked for its models", () =>
    Effect.gen(function* () {
      const stranger = createServer()
      const port = yield* Effect.callback<number>((resume) => {
        stranger.listen(0, "127.0.0.1", () => {
          const address = stranger.address()
          resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
        })
      })
      const taken = `port ${port} of 127.0.0.1 is in use by another program; free it or name another one`
      const pool = yield* words("plain", { port })
      assert.strictEqual(yield* detailOf(pool.ask("a")), taken)
      yield* Effect.callback<void>((resume) => void stranger.close(() => resume(Effect.void)))
      assert.strictEqual((yield* pool.ask("a")).length, 1)
    }).pipe(Effect.provide(layer()))
  )

  it.live("P6: that dies in the middle of a stream says so, and the next request has a new one", () =>
    Effect.gen(function* () {
      const pool = yield* Pool.make({
        name: "talk",
        capability: Capabilities.textGeneration,
        load: Server.load(options(""), (url) => OpenAi.textGeneration({ urls: [url], model: "m" })),
        workers: one,
        drainTimeout: 0
      })
      const stream = (content: string) => pool.stream({ messages: [{ role: "user", content }] })
      const heard: Array<string> = []
      const listen = Stream.runForEach(stream("one two die"), ({ text }) => Effect.sync(() => heard.push(text ?? "")))
      assert.strictEqual((yield* reason(listen))._tag, "Transport")
      assert.deepStrictEqual(heard, ["one", "two"])
      const parts = yield* Stream.runCollect(stream("and on"))
      assert.strictEqual(
        parts
          .map(({ text }) => text ?? "")
          .join(" ")
          .trim(),
        "and on"
      )
    }).pipe(Effect.provide(layer()))
  )

  it.live("P4, P9: that lies about its size, or grows, is ended for it", () =>
    Effect.gen(function* () {
      const large = yield* words("large", {}, { memory: 1000 })
      assert.strictEqual((yield* reason(large.ask("a")))._tag, "MemoryExhausted")
      const growing = yield* words()
      const [server = 0] = yield* growing.ask("grow")
      yield* gone(server)
      // What it needs is known from now on.
      assert.strictEqual((yield* reason(growing.ask("a")))._tag, "MemoryExhausted")
    }).pipe(Effect.provide(layer(200_000_000)))
  )

  it.live("P7: that answers one request with 500 goes on, one that does so again and again is started anew", () =>
    Effect.gen(function* () {
      const pool = yield* words()
      const [first = 0] = yield* pool.ask("a")
      const failed = { _tag: "Transport", detail: "the server answered with 500: CUDA error" } as const
      // Two of the three that it is allowed: the request itself, and its second try.
      assert.deepStrictEqual(yield* reason(pool.ask("fail")), failed)
      assert.deepStrictEqual(yield* pool.ask("a"), [first])
      yield* reason(pool.ask("fail"))
      yield* reason(pool.ask("fail"))
      yield* gone(first)
      assert.notDeepEqual(yield* pool.ask("a"), [first])
    }).pipe(Effect.provide(layer()))
  )

  it.live(
    "P6, P9: that hangs is replaced after the first request that had to be given up, one that is only slow is not",
    () =>
      Effect.gen(function* () {
        const pool = yield* words("", { hangTimeout: "1 second" })
        const [server = 0] = yield* pool.ask("a")
        const brief = (text: string) => pool.submit({ texts: [text] }, { timeout: "50 millis" })
        assert.deepStrictEqual(yield* reason(brief("hang")), { _tag: "Timeout", after: 50, started: true })
        assert.deepStrictEqual(yield* pool.ask("a"), [server])
        yield* reason(brief("block"))
        yield* gone(server)
        assert.notDeepEqual(yield* pool.ask("a"), [server])
      }).pipe(Effect.provide(layer()))
  )

  it.live("P9: go with a host that exits in the middle", () =>
    Effect.gen(function* () {
      const { ended, left } = yield* hosted("exit")
      yield* ended
      yield* Effect.forEach(left, gone)
      assert.strictEqual(left.length, 3)
    })
  )

  it.live("P9: left behind by a host that was killed is found by its marker and ended, and nobody else is", () =>
    Effect.gen(function* () {
      const mine = yield* words()
      const [own = 0] = yield* mine.ask("a")
      const { ended, host, left } = yield* hosted("goes on")
      assert.deepStrictEqual(left.map(lives), [true, true, true])
      host.kill("SIGKILL")
      yield* ended
      // Any other program with pools that starts just now may be first.
      yield* Effect.provideService(Server.reap, References.MinimumLogLevel, "None")
      yield* Effect.forEach(left, gone)
      assert.isTrue(lives(own))
    }).pipe(Effect.provide(layer()))
  )

  it("says what is wrong with its options", () => {
    const wrong = (more: Partial<Server.Options>) => Server.invalid({ ...options(""), ...more })
    assert.strictEqual(
      wrong({ argv: ["llama-server", "-m", "x.gguf"] }),
      "argv: has no {port}; write it where the server takes its port, as in --port {port}"
    )
    assert.strictEqual(wrong({ port: 70_000 }), "port 70000: is no port; give a whole number from 1 to 65535, or none")
    assert.strictEqual(wrong({ health: "up" }), 'health "up": is no path; begin it with a slash')
    assert.isUndefined(wrong({ argv: ["server"], env: { PORT: "{port}" } }))
  })
})
