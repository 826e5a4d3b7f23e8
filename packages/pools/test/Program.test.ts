// Workers that are programs, with real processes: what they answer, and what becomes of requests, of the process and of all
// that it started when it dies, prints nonsense, does not stop, or is larger than it was thought to be.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as Pool from "../src/Pool.ts"
import type { PoolError } from "../src/PoolError.ts"
import * as Program from "../src/Program.ts"
import { gone, lives } from "./processes.ts"
import { echo, memory } from "./workers.ts"

const reason = <A>(effect: Effect.Effect<A, PoolError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)
const script = `${import.meta.dirname}/programs/model.mjs`

const model = (behaviour = "", options: Partial<Program.Options<string, string>> = {}) =>
  Pool.make({
    name: "model",
    capability: echo,
    load: Program.load({
      argv: [process.execPath, script, behaviour],
      answer: Schema.String,
      part: Schema.String,
      env: { OWN: "given" },
      ...options
    }),
    workers: { start: 1, max: 1 },
    stallTimeout: 200
  })

describe("a program", () => {
  it.live("answers, whole and in parts, several requests at once, and sees only the environment that it is given", () =>
    Effect.gen(function* () {
      process.env["SECRET"] = "of the host"
      const pool = yield* model()
      const texts = yield* Effect.forEach(["a", "b", "c"], (text) => pool.submit(text), { concurrency: 3 })
      assert.deepStrictEqual(texts, ["a without given", "b without given", "c without given"])
      assert.deepStrictEqual(yield* Stream.runCollect(pool.stream("one two three")), ["one", "two", "three"])
      assert.deepStrictEqual(yield* reason(pool.submit("refuse")), { _tag: "ModelError", detail: "not with me" })
      const { memory, outcomes } = yield* pool.status
      assert.deepStrictEqual(outcomes, { served: 4, ModelError: 1 })
      // Measured: nobody has said how large it is.
      assert.isAbove(memory, 10_000_000)
    }).pipe(Effect.provide(memory(10_000_000_000)))
  )

  it.live("P6: that dies takes its requests with it to the next one, and in the middle of a stream says so", () =>
    Effect.gen(function* () {
      const pool = yield* model()
      const detail = "it ended with code 7"
      assert.deepStrictEqual(yield* reason(pool.submit("die")), { _tag: "Transport", detail })
      const heard: Array<string> = []
      const stream = Stream.runForEach(pool.stream("one two die"), (part) => Effect.sync(() => heard.push(part)))
      assert.deepStrictEqual(yield* reason(stream), { _tag: "Transport", detail })
      assert.deepStrictEqual(heard, ["one", "two"])
      assert.strictEqual(yield* pool.submit("a"), "a without given")
      assert.strictEqual((yield* pool.status).retried, 1)
    }).pipe(Effect.provide(memory(10_000_000_000)))
  )

  it.live("P6: that is silent in a stream is cancelled, and killed only when it does not let go", () =>
    Effect.gen(function* () {
      const kind = yield* model("", { stopGrace: 50 })
      const [pid = 0, child = 0] = (yield* kind.submit("pids")).split(" ").map(Number)
      const asked = yield* Effect.forkChild(kind.submit("hang"))
      while ((yield* kind.status).running === 0) yield* Effect.sleep("1 millis")
      yield* Fiber.interrupt(asked)
      assert.isTrue(lives(pid) && lives(child))
      const stubborn = yield* model("stubborn", { cancelGrace: 50 })
      const [other = 0, others = 0] = (yield* stubborn.submit("pids")).split(" ").map(Number)
      assert.deepStrictEqual(yield* reason(Stream.runDrain(stubborn.stream("one hang"))), {
        _tag: "Stalled",
        after: 200
      })
      yield* gone(other)
      yield* gone(others)
      assert.isTrue(lives(pid))
    }).pipe(Effect.provide(memory(10_000_000_000)))
  )

  it.live("P2: ends with the pool, and all that it started with it, also when it ignores every wish", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const pool = yield* Effect.provideService(model("stubborn", { stopGrace: 50 }), Scope.Scope, scope)
      const [pid = 0, child = 0] = (yield* pool.submit("pids")).split(" ").map(Number)
      assert.isTrue(lives(pid) && lives(child))
      yield* Scope.close(scope, Exit.void)
      yield* gone(pid)
      yield* gone(child)
    }).pipe(Effect.provide(memory(10_000_000_000)))
  )

  it.live("P8: that is not there, does not load or prints what is no message fails the load with the reason", () =>
    Effect.gen(function* () {
      const failures = yield* Effect.forEach(
        [
          yield* model("", { argv: ["/nowhere/model"] }),
          yield* model("", { cwd: "/nowhere" }),
          yield* model("missing"),
          yield* model("chatty")
        ],
        (pool) =>
          Effect.map(reason(pool.submit("a")), (found) => (found._tag === "LoadFailed" ? found.detail : found._tag))
      )
      assert.deepStrictEqual(failures, [
        "/nowhere/model can't be started: ENOENT",
        `${process.execPath} can't be started: its folder /nowhere does not exist`,
        "it ended with code 3: cannot open model.bin",
        "it printed what is no message (what is not meant for us belongs on standard error): Loading weights ..."
      ])
    }).pipe(Effect.provide(memory(10_000_000_000)))
  )

  it.live("P4: that lies about its size is found out by measuring, and P6: about its answer by reading it", () =>
    Effect.gen(function* () {
      const pool = yield* model()
      const lied = yield* reason(pool.submit("lie"))
      assert.deepStrictEqual(lied, {
        _tag: "Transport",
        detail: 'the worker sent what is no answer: {"not":"a text"}'
      })
      assert.deepStrictEqual(yield* reason(pool.submit("deep")), {
        _tag: "Transport",
        detail: "the worker sent an answer that nests deeper than 200 levels"
      })
      const small = yield* Effect.provide(
        Effect.flatMap(model(), (pool) => reason(pool.submit("a"))),
        memory(1_000_000)
      )
      assert.strictEqual(small._tag, "MemoryExhausted")
    }).pipe(Effect.provide(memory(10_000_000_000)))
  )
})
