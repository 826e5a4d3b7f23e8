// An example that runs: two pools of one program under one governor, a backend that is a function, and what a caller does
// when there is no room.
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Capability from "../../src/Capability.ts"
import { Governor } from "../../src/Governor.ts"
import * as Pool from "../../src/Pool.ts"

/** What goes in, what comes out whole, and what comes out in parts. */
const translation = Capability.make<string, string, string>({
  name: "translation",
  requestTimeout: "1 minute",
  stallTimeout: "10 seconds"
})

/** One worker: loaded in a scope, given back with it. */
const load = () =>
  Effect.gen(function* () {
    const dictionary = new Map([["hello", "salut"]])
    yield* Effect.addFinalizer(() => Effect.sync(() => dictionary.clear()))
    const word = (text: string) => dictionary.get(text) ?? text
    return {
      concurrency: 4,
      answer: (text: string) => Effect.sync(() => text.split(" ").map(word).join(" ")),
      stream: (text: string) => Stream.map(Stream.fromIterable(text.split(" ")), word)
    }
  })

class Translator extends Context.Service<Translator, Pool.Pool<string, string, string>>()("Translator") {
  static readonly layer = Layer.effect(
    Translator,
    Pool.make({
      name: "translator",
      capability: translation,
      load,
      workers: { max: 2, memory: 500_000_000 },
      queue: 50
    })
  ).pipe(Layer.provide(Governor.layer()))
}

const translate = (text: string, caller: string) =>
  Translator.use((pool) => pool.submit(text, { key: caller })).pipe(
    Effect.catchTag("PoolError", ({ message, reason }) =>
      reason._tag === "Overloaded"
        ? Effect.succeed(`Come back in ${Math.ceil(reason.retryAfter / 1000)} s.`)
        : Effect.succeed(message)
    )
  )

it.effect("two callers are served, and a stop says what it found", () =>
  Effect.gen(function* () {
    assert.strictEqual(yield* translate("hello world", "kim"), "salut world")
    const pool = yield* Translator
    assert.deepStrictEqual(yield* Stream.runCollect(pool.stream("hello you")), ["salut", "you"])
    assert.deepStrictEqual(yield* pool.drain(), { drained: 0, aborted: 0, rejected: 0 })
    assert.strictEqual(yield* translate("hello", "kim"), "pool translator is being stopped")
  }).pipe(Effect.provide(Translator.layer))
)
