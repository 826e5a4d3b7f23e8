// The thread that a model runs in, with a stand-in for the library: whatever it does, its requests end, it ends, and the
// next one comes. The library itself and real models are in Onnx.test.ts.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { connect } from "node:net"
import * as Capabilities from "../../src/Capabilities.ts"
import * as Onnx from "../../src/Onnx.ts"
import * as Pool from "../../src/Pool.ts"
import type { PoolError } from "../../src/PoolError.ts"
import { memory } from "../workers.ts"
import * as Models from "./models.ts"
import * as StandIn from "./standIn.ts"

const reason = <A>(effect: Effect.Effect<A, PoolError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)

/** A pool of one thread; the vector of any text is the thread's number. */
const words = Effect.fnUntraced(function* (more: Partial<Onnx.EmbeddingOptions> = {}, requestTimeout = 20_000) {
  const library = yield* StandIn.library
  const folder = yield* Models.folder(Models.embedder())
  const pool = yield* Pool.make({
    name: "words",
    capability: Capabilities.textEmbedding,
    load: Onnx.textEmbedding({ folder, library, normalize: false, cancelGrace: 50, ...more }),
    workers: { start: 1, max: 1 },
    requestTimeout,
    drainTimeout: 0
  })
  const ask = (text: string) => Effect.map(pool.submit({ texts: [text] }), ({ vectors }) => vectors[0]?.[0] ?? 0)
  return { ...pool, ask }
})

/** Whether somebody listens there. */
const listens = (port: number) =>
  Effect.callback<boolean>((resume) => {
    const socket = connect(port, "127.0.0.1")
    socket.on("connect", () => resume(Effect.succeed(true)))
    socket.on("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

describe("a thread", () => {
  it.live("P6, P9: that ends, throws or needs too much heap breaks its request, here and at a second one", () =>
    Effect.gen(function* () {
      const pool = yield* words({ heap: 32 })
      const first = yield* pool.ask("a")
      const details: Array<string> = []
      for (const text of ["exit", "throw", "heap", "fail", "nonsense"]) {
        const found = yield* reason(pool.ask(text))
        details.push(found._tag === "Transport" ? found.detail.replace(/^the thread of .*?: /, "") : found._tag)
      }
      assert.deepStrictEqual(details, [
        "it ended with code 5: loaded",
        "it failed: out of the blue",
        "it needed more than its heap of 32 MiB; raise `heap`",
        "the model failed",
        "the model gave what is no number"
      ])
      assert.isAbove(yield* pool.ask("a"), first)
      assert.strictEqual((yield* pool.status).retried, 5)
    }).pipe(Effect.provide(memory(10_000_000_000)))
  )

  it.live("P6, P9: that does not let go of a request that was given up is ended, and replaced", () =>
    Effect.gen(function* () {
      const pool = yield* words()
      let last = yield* pool.ask("a")
      for (const text of ["hang", "loop"]) {
        const given = { _tag: "Timeout", after: 50, started: true } as const
        assert.deepStrictEqual(yield* reason(pool.submit({ texts: [text] }, { timeout: 50 })), given)
        const next = yield* pool.ask("a")
        assert.isAbove(next, last)
        last = next
      }
    }).pipe(Effect.provide(memory(10_000_000_000)))
  )

  it.live("P2, P9: ends with its pool, in the middle of a request too", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const pool = yield* Effect.provideService(words(), Scope.Scope, scope)
      const port = yield* pool.ask("port")
      assert.isTrue(yield* listens(port))
      const asked = yield* Effect.forkChild(reason(pool.ask("loop")))
      while ((yield* pool.status).running === 0) yield* Effect.sleep("1 millis")
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(yield* listens(port))
      assert.deepStrictEqual(yield* Fiber.join(asked), { _tag: "ShuttingDown" })
    }).pipe(Effect.provide(memory(10_000_000_000)))
  )

  it.live("P4: takes what it really takes: its heap and its buffers are asked for after requests", () =>
    Effect.gen(function* () {
      const pool = yield* words()
      yield* pool.ask("a")
      assert.isAbove((yield* pool.status).memory, 1_000_000)
      yield* pool.ask("grow")
      while ((yield* pool.status).memory < 200_000_000) yield* Effect.sleep("5 millis")
    }).pipe(Effect.provide(memory(10_000_000_000)))
  )

  it.live("P8: that is stuck while it loads is ended when its time is over", () =>
    Effect.gen(function* () {
      const library = yield* StandIn.library
      const folder = yield* Models.folder(
        Object.fromEntries(Object.entries(Models.embedder()).map(([path, content]) => [`stuck/${path}`, content]))
      )
      const pool = yield* Pool.make({
        name: "words",
        capability: Capabilities.textEmbedding,
        load: Onnx.textEmbedding({ folder: `${folder}/stuck`, library }),
        workers: { start: 1, max: 1, loadTimeout: 300 }
      })
      const detail = "it was not ready within 0.3 s"
      assert.deepStrictEqual(yield* reason(pool.submit({ texts: ["a"] })), { _tag: "LoadFailed", detail })
      while ((yield* pool.status).workers.leaving > 0) yield* Effect.sleep("5 millis")
    }).pipe(Effect.provide(memory(10_000_000_000)))
  )

  it.live("P8: says what is missing: the library, the folder, or which of the model's files", () =>
    Effect.gen(function* () {
      const library = yield* StandIn.library
      const failure = (options: Onnx.EmbeddingOptions) =>
        Effect.scoped(Effect.map(Effect.flip(Onnx.textEmbedding(options)(0)), ({ message }) => message))
      const files = Models.embedder()
      const folder = yield* Models.folder(files)
      const none = yield* Models.folder({ "config.json": {} })
      const { "onnx/model.onnx": _, ...rest } = files
      const headless = yield* Models.folder(rest)
      assert.deepStrictEqual(
        [
          yield* failure({ folder, library: none }),
          yield* failure({ folder: `${none}/nowhere`, library }),
          yield* failure({ folder: none, library }),
          yield* failure({ folder: headless, library }),
          yield* failure({ folder, dtype: "q4", library })
        ],
        [
          `@huggingface/transformers is not installed; run \`npm install --prefix ${none} @huggingface/transformers@4\``,
          `${none}/nowhere does not exist; name the folder that holds the model`,
          `${none}: tokenizer.json is missing`,
          `${headless}: onnx/model.onnx is missing`,
          `${folder}: onnx/model_q4.onnx is missing`
        ]
      )
    })
  )

  it("says what is wrong with its options", () => {
    assert.strictEqual(Onnx.invalid({ folder: " " }), "folder: is empty; name the folder that holds the model")
    assert.include(Onnx.invalid({ folder: "x", dtype: "q3" }), 'dtype "q3": is not known; use one of fp32, fp16')
    assert.strictEqual(Onnx.invalid({ folder: "x", batch: 0 }), "batch 0: is no count; give a whole number from 1")
    assert.isUndefined(Onnx.invalid({ folder: "x", dtype: "q8", threads: 2 }))
  })
})
