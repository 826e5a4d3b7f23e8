// The model in a thread of the pools' page, word for word. The library that it needs is played by a stand-in, so that the
// example runs everywhere.
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Capabilities from "../../src/Capabilities.ts"
import { Governor } from "../../src/Governor.ts"
import * as Onnx from "../../src/Onnx.ts"
import * as Pool from "../../src/Pool.ts"
import * as Models from "../onnx/models.ts"
import * as StandIn from "../onnx/standIn.ts"

class Index extends Context.Service<Index, Pool.Pool<Capabilities.TextEmbeddingRequest, Capabilities.Vectors, never>>()(
  "Index"
) {
  static readonly layer = (folder: string, library?: string) =>
    Layer.effect(
      Index,
      Pool.make({
        name: "index",
        capability: Capabilities.textEmbedding,
        load: Onnx.textEmbedding({ folder, ...(library === undefined ? {} : { library }) }),
        workers: { start: 1, max: 2, memory: 200_000_000 }
      })
    ).pipe(Layer.provide(Governor.layer()))
}

it.live("a text is embedded in a thread of this program", () =>
  Effect.gen(function* () {
    const folder = yield* Models.folder(Models.embedder())
    const library = yield* StandIn.library
    const embedded = Index.use((pool) => pool.submit({ texts: ["where is the harbour?", "there"] }))
    const { vectors } = yield* Effect.provide(embedded, Index.layer(folder, library))
    assert.deepStrictEqual(vectors, [[1], [1]])
  })
)
