// An example that runs: a build watcher that gathers file changes per repository and builds one repository at a time.
// Debouncer and FollowupQueue are used alone here, without a journal; the order of the two makes is the order of the stop.
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Debouncer from "../../src/Debouncer.ts"
import * as FollowupQueue from "../../src/FollowupQueue.ts"

interface Change {
  readonly file: string
}

class Build extends Context.Service<
  Build,
  { readonly run: (repo: string, changes: ReadonlyArray<Change>) => Effect.Effect<void> }
>()("acme/Build") {}

class Watcher extends Context.Service<
  Watcher,
  { readonly changed: (repo: string, c: Change) => Effect.Effect<void> }
>()("acme/Watcher") {
  static readonly layer: Layer.Layer<Watcher, never, Build> = Layer.effect(
    Watcher,
    Effect.gen(function* () {
      const build = yield* Build
      const builds = yield* FollowupQueue.make({
        mode: "collect",
        cap: 20,
        drop: "old",
        concurrency: 4,
        run: (repo: string, changes: readonly [Change, ...Array<Change>]) => build.run(repo, changes)
      })
      const burst = yield* Debouncer.make({
        quiet: "300 millis",
        atMost: "2 seconds",
        flush: (repo: string, changes: readonly [Change, ...Array<Change>]) =>
          Effect.forEach(changes, (c) => builds.push(repo, c))
      })
      return Watcher.of({ changed: burst.push }) // made last = released first: flush, then drain
    })
  )
}

it.effect("S4: a watcher builds a burst once, and its stop flushes, then drains", () =>
  Effect.gen(function* () {
    const gate = yield* Latch.make()
    const built: Array<string> = []
    const slow = Layer.succeed(Build, {
      run: (repo, changes) =>
        Effect.andThen(
          gate.await,
          Effect.sync(() => built.push(`${repo}: ${changes.map(({ file }) => file).join(" ")}`))
        )
    })
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(Layer.provide(Watcher.layer, slow), scope)
    const watcher = Context.get(context, Watcher)

    for (const file of ["a.ts", "b.ts", "c.ts"]) yield* watcher.changed("web", { file })
    yield* TestClock.adjust("300 millis")
    yield* watcher.changed("web", { file: "d.ts" })
    yield* watcher.changed("docs", { file: "e.md" })
    const stopping = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
    yield* Effect.yieldNow
    assert.deepStrictEqual(built, [])
    yield* gate.open
    yield* Fiber.join(stopping)
    assert.deepStrictEqual(built.sort(), ["docs: e.md", "web: a.ts b.ts c.ts", "web: d.ts"])
  })
)
