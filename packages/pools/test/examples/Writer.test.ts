// The servers of the pools' page, word for word: a pool whose workers are servers that are started on demand.
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Capabilities from "../../src/Capabilities.ts"
import { Governor } from "../../src/Governor.ts"
import * as OpenAi from "../../src/OpenAi.ts"
import * as Pool from "../../src/Pool.ts"
import * as Server from "../../src/Server.ts"

class Writer extends Context.Service<
  Writer,
  Pool.Pool<Capabilities.TextRequest, Capabilities.ChatAnswer, Capabilities.ChatPart>
>()("Writer") {
  static readonly layer = (...argv: Server.Options["argv"]) =>
    Layer.effect(
      Writer,
      Pool.make({
        name: "writer",
        capability: Capabilities.textGeneration,
        load: Server.load({ argv }, (url) => OpenAi.textGeneration({ urls: [url], model: "writer", concurrency: 4 })),
        workers: { start: 1, max: 1, memory: 600_000_000 }
      })
    ).pipe(Layer.provide([Governor.layer(), FetchHttpClient.layer]))
}

it.live("a server is there when it is asked", () =>
  Effect.gen(function* () {
    const { stream } = yield* Writer
    const parts = yield* Stream.runCollect(stream({ messages: [{ role: "user", content: "one two" }] }))
    assert.strictEqual(parts.map(({ text }) => text ?? "").join(""), "onetwo")
  }).pipe(Effect.provide(Writer.layer(process.execPath, `${import.meta.dirname}/../programs/server.mjs`, "", "{port}")))
)
