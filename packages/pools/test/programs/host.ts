// A program that uses a pool of servers and is killed while it does: it prints the processes of its worker and goes on, or
// exits without a word to its pool.
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Capabilities from "../../src/Capabilities.ts"
import { Governor } from "../../src/Governor.ts"
import * as OpenAi from "../../src/OpenAi.ts"
import * as Pool from "../../src/Pool.ts"
import * as Server from "../../src/Server.ts"

const program = Effect.gen(function* () {
  const pool = yield* Pool.make({
    name: "left",
    capability: Capabilities.textEmbedding,
    load: Server.load({ argv: [process.execPath, `${import.meta.dirname}/server.mjs`, "", "{port}"] }, (url) =>
      OpenAi.textEmbedding({ urls: [url], model: "m" })
    ),
    workers: { start: 1 }
  })
  const { vectors } = yield* pool.submit({ texts: ["pids"] })
  yield* Effect.sync(() => {
    process.stdout.write(`${JSON.stringify(vectors[0])}\n`)
    if (process.argv[2] === "exit") process.exit(0)
  })
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(Effect.provide(program, Layer.mergeAll(Governor.layer(), FetchHttpClient.layer))))
