// An example that runs: embeddings from two servers alike, behind one pool; what it asks them is answered by one that the
// test starts.
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Capabilities from "../../src/Capabilities.ts"
import { Governor } from "../../src/Governor.ts"
import * as OpenAi from "../../src/OpenAi.ts"
import * as Pool from "../../src/Pool.ts"
import { sendJson, server } from "../server.ts"

class Search extends Context.Service<
  Search,
  Pool.Pool<Capabilities.TextEmbeddingRequest, Capabilities.Vectors, never>
>()("Search") {
  static readonly layer = (...urls: readonly [string, ...ReadonlyArray<string>]) =>
    Layer.effect(
      Search,
      Pool.make({
        name: "search",
        capability: Capabilities.textEmbedding,
        load: OpenAi.textEmbedding({ urls, model: "nomic-embed-text" }),
        workers: { max: urls.length }
      })
    ).pipe(Layer.provide([Governor.layer(), FetchHttpClient.layer]))
}

it.live("a text is embedded by whichever server has a place", () =>
  Effect.gen(function* () {
    const { url } = yield* server({
      "/v1/embeddings": (_, response) => sendJson(response, { data: [{ embedding: [0.6, 0.8] }] })
    })
    const embedded = Search.use((pool) => pool.submit({ texts: ["where is the harbour?"] }, { key: "kim" }))
    assert.deepStrictEqual(yield* Effect.provide(embedded, Search.layer(url, url)), { vectors: [[0.6, 0.8]] })
  })
)
