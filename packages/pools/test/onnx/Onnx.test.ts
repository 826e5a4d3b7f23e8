// Real inference: the library that runs ONNX models, in its thread, with models that are made on the spot. The library is
// too large to be a dependency: without `node scripts/library.mjs` these tests are skipped.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Capabilities from "../../src/Capabilities.ts"
import * as Onnx from "../../src/Onnx.ts"
import * as Pool from "../../src/Pool.ts"
import type { PoolError } from "../../src/PoolError.ts"
import { memory } from "../workers.ts"
import * as Installed from "./installed.ts"
import * as Models from "./models.ts"
import { address, png } from "./png.ts"

const { library = "", missing } = Installed

const reason = <A>(effect: Effect.Effect<A, PoolError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)
const workers = { start: 1, max: 1 } as const
const layer = memory(10_000_000_000)

/** Numbers of 32 bits, as people write them. */
const rounded = (vectors: ReadonlyArray<ReadonlyArray<number>>) =>
  vectors.map((vector) => vector.map((value) => Math.round(value * 1000) / 1000))

const words = Effect.fnUntraced(function* (more: Partial<Onnx.EmbeddingOptions> = {}) {
  const folder = yield* Models.folder(Models.embedder())
  return yield* Pool.make({
    name: "words",
    capability: Capabilities.textEmbedding,
    load: Onnx.textEmbedding({ folder, library, ...more }),
    workers
  })
})

describe.skipIf(library === "")(`a model in a thread ${missing}`, () => {
  it.live("P1: embeds texts, each as it would alone, and counts what it read", () =>
    Effect.gen(function* () {
      const pool = yield* words({ batch: 2, maxBatch: 4 })
      const texts = ["up", "right up up up up", "what", "right"]
      const { tokens, vectors } = yield* pool.submit({ texts })
      // The mean of four and of one word; the second text is longer, so the first one is padded.
      assert.deepStrictEqual(rounded(vectors), [
        [0, 1],
        [0.447, 0.894],
        [0, 0],
        [1, 0]
      ])
      assert.strictEqual(tokens, 8)
      const alone = yield* Effect.forEach(texts, (text) => pool.submit({ texts: [text] }))
      assert.deepStrictEqual(
        alone.flatMap(({ vectors }) => vectors),
        [...vectors]
      )
      assert.deepStrictEqual(rounded((yield* pool.submit({ texts: ["right up"], dimensions: 1 })).vectors), [[1]])
      assert.deepStrictEqual(yield* reason(pool.submit({ texts: ["up"], dimensions: 3 })), {
        _tag: "ModelError",
        detail: "dimensions 3: the model's vectors have 2 values; ask for fewer"
      })
      assert.strictEqual((yield* reason(pool.submit({ texts: [...texts, "one more"] })))._tag, "ModelError")
      // Measured: nobody has said how large it is.
      assert.isAbove((yield* pool.status).memory, 10_000_000)
    }).pipe(Effect.provide(layer))
  )

  it.live("P1, P10: sees images as its folder says that it wants them, and refuses what is none", () =>
    Effect.gen(function* () {
      const folder = yield* Models.folder(Models.eye())
      const pool = yield* Pool.make({
        name: "eyes",
        capability: Capabilities.imageEmbedding,
        load: Onnx.imageEmbedding({ folder, library, normalize: false, batch: 2 }),
        workers
      })
      const images = [png(255, 0, 0), png(0, 255, 51, 16), png(0, 0, 0)].map(address)
      assert.deepStrictEqual(rounded((yield* pool.submit({ images })).vectors), [
        [1, 0, 0],
        [0, 1, 0.2],
        [0, 0, 0]
      ])
      const bent = png(255, 0, 0)
      bent.fill(0, 40)
      const refused = yield* reason(pool.submit({ images: [...images, address(bent)] }))
      assert.match(refused._tag === "ModelError" ? refused.detail : refused._tag, /^image 4: it can't be read: /)
      assert.deepStrictEqual(yield* reason(pool.submit({ images: ["https://example.com/cat.png"] })), {
        _tag: "ModelError",
        detail: "image 1: this model reads images from data: addresses only; send the image itself"
      })
      assert.strictEqual((yield* pool.status).retried, 0)
    }).pipe(Effect.provide(layer))
  )

  it.live("P1: writes text, whole and in parts, to its end, to a limit, or to a word", () =>
    Effect.gen(function* () {
      const folder = yield* Models.folder(Models.writer())
      const pool = yield* Pool.make({
        name: "writer",
        capability: Capabilities.textGeneration,
        load: Onnx.textGeneration({ folder, library }),
        workers
      })
      const messages = [
        { role: "system", content: "a" },
        { role: "user", content: [{ type: "text", text: "b" }] }
      ]
      assert.deepStrictEqual(yield* pool.submit({ messages }), {
        text: "c d e f g h",
        finish: "stop",
        message: { role: "assistant", content: "c d e f g h" },
        tokens: { input: 2, output: 7 }
      })
      const stopped = yield* pool.submit({ messages, settings: { stop: ["e f"], temperature: 0 } })
      assert.deepStrictEqual([stopped.text, stopped.finish], ["c d ", "stop"])
      const parts = yield* Stream.runCollect(pool.stream({ messages, settings: { max_tokens: 3 } }))
      assert.strictEqual(parts.map(({ text }) => text ?? "").join(""), "c d e")
      assert.isAbove(parts.length, 3)
      assert.deepStrictEqual(parts.at(-1), { finish: "length", delta: {}, tokens: { input: 2, output: 3 } })
      // Who leaves after the first part leaves the thread to the next one.
      assert.strictEqual((yield* Stream.runHead(pool.stream({ messages })))._tag, "Some")
      assert.strictEqual((yield* pool.submit({ messages })).text, "c d e f g h")
      const refusals = yield* Effect.forEach(
        [
          { messages, settings: { tools: [{ type: "function" }] } },
          { messages: [{ role: "user", content: "a ".repeat(40) }] }
        ],
        (request) => Effect.map(reason(pool.submit(request)), (found) => found._tag === "ModelError" && found.detail)
      )
      assert.deepStrictEqual(refusals, [
        "tools: this model calls none; leave them out",
        "the messages have 40 tokens, and the model takes 32; send less"
      ])
    }).pipe(Effect.provide(layer))
  )

  it.live("P8: whose file is no model fails the load with the file's fault", () =>
    Effect.gen(function* () {
      const folder = yield* Models.folder({ ...Models.embedder(), "onnx/model.onnx": Buffer.from("<html>") })
      const pool = yield* words({ folder })
      const failed = yield* reason(pool.submit({ texts: ["up"] }))
      assert.strictEqual(failed._tag, "LoadFailed")
      assert.include(JSON.stringify(failed), "model.onnx")
    }).pipe(Effect.provide(layer))
  )
})
