/**
 * The n-th call on the store's files fails, once, in a world of a few messages: for
 * n = 1, 2, 3, ... until a world is over before its n-th call. First every kind of call
 * is counted; then each number has its world. The gateway may go on, or end with 74;
 * the one after it finishes what is open, and nothing acknowledged is lost. The long
 * form does the same to a gateway that finds what a crash has left.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { mkdirSync, realpathSync } from "node:fs"
import { join } from "node:path"
import type { Bundle } from "../../world/bundle.ts"
import * as World from "../../world/World.ts"
import * as Shim from "../L3/Shim.ts"
import { alone, deeds } from "./deeds.ts"
import { finished, leave, type Lived, prepared } from "./lives.ts"

/** What a call fails with. */
interface Failure {
  readonly call: Shim.Call
  readonly error: keyof typeof Shim.errors
}

const failures: ReadonlyArray<Failure> = [
  { call: "sync", error: "EIO" },
  { call: "write", error: "EIO" },
  { call: "write", error: "ENOSPC" },
  { call: "truncate", error: "EIO" },
  { call: "map", error: "EIO" },
  { call: "read", error: "EIO" },
  { call: "open", error: "EIO" }
]

/** Those of the short form: what a commit stands on. */
const short: ReadonlyArray<Failure> = [{ call: "sync", error: "EIO" }]

/** What the gateway under the fault finds. */
const stores = {
  new: { name: "", parts: ["long", alone("keyed")] },
  left: { name: " after a crash", parts: ["cut", "taken"] }
} as const
type Store = keyof typeof stores

/** So many numbers in a row have to be beyond all calls: no two worlds are quite the same. */
const beyond = 4

interface Given {
  readonly bundle: Bundle
  readonly seed: number
  readonly long: boolean
  /** Milliseconds that a world may take to come to rest. */
  readonly bound: number
}

/** What came of one failure. */
export interface Struck extends Pick<Lived, "file" | "broken"> {
  /** Calls that could have failed. */
  readonly seen: number
  readonly hit: boolean
}

/** A boot under the fault: until everything is done, or until it ends by itself. */
const struck = Effect.fnUntraced(function* (world: World.World, shim: Shim.Shim, done: Effect.Effect<void>) {
  const gateway = yield* world.boot({ environment: shim.environment })
  const through = yield* Effect.forkScoped(
    Effect.gen(function* () {
      yield* world.arrive(gateway)
      yield* done
      yield* gateway.beginStop("none")
    }).pipe(Effect.exit)
  )
  const { code, signal } = yield* gateway.exited
  yield* Fiber.interrupt(through)
  leave(world)
  shim.clear()
  // 70 would be a mistake of the program; a failing disk is 74, and a store that can't be opened is said so, with 78.
  const known = [0, 74, 78, 80].includes(code ?? -1)
  return known ? [] : [`I8 the gateway ended with ${code ?? signal}: ${gateway.printed().slice(-3).join(" | ")}`]
}, Effect.scoped)

/** A world whose n-th call of a kind fails. */
const world = Effect.fnUntraced(function* (
  given: Given,
  library: string,
  { call, error }: Failure,
  store: Store,
  n: number
): Effect.fn.Return<Struck, never, Scope.Scope> {
  const world = yield* World.make({ bundle: given.bundle, seed: given.seed })
  mkdirSync(world.stateDirectory, { recursive: true })
  const database = join(realpathSync(world.stateDirectory), "journal.db")
  const shim = Shim.make(library, join(world.folder, "shim"), database)
  yield* Effect.addFinalizer(() => Effect.sync(() => shim.close()))
  const todo = deeds(world)
  if (store === "left") {
    yield* prepared(world, todo)
    yield* todo.between
  }
  shim.set(call, { mode: "fail", error, skip: n - 1, times: 1 })
  const doing = yield* Effect.forkScoped(todo.parts(stores[store].parts))
  const ended = yield* struck(world, shim, Fiber.join(doing))
  const [seen, injected] = [shim.seen(call), shim.injected(call)]
  if (shim.loadedBy() === 0) return yield* Effect.die(new Error("the gateway has not loaded the shim"))
  const broken = [...ended, ...(yield* finished(world, todo, doing, given.bound))]
  return { file: world.file, broken, seen, hit: injected > 0 }
})

type Worlds = ReadonlyArray<{ readonly name: string; readonly run: Effect.Effect<Struck, never, Scope.Scope> }>

/** Runs all of it through `all`; returns what is worth a line. */
export const storage = Effect.fnUntraced(function* (
  given: Given,
  all: (what: string, worlds: Worlds) => Effect.Effect<ReadonlyArray<Struck>>
): Effect.fn.Return<ReadonlyArray<string>> {
  const compiled = Shim.compile()
  if ("missing" in compiled) return [`no call on the store's files was made to fail: ${compiled.missing}`]
  const notes: Array<string> = []
  const kinds = given.long
    ? (["new", "left"] as const).flatMap((store) => failures.map((failure) => ({ store, failure })))
    : short.map((failure) => ({ store: "new" as const, failure }))
  for (const { failure, store } of kinds) {
    const named = `${failure.call} ${failure.error}${stores[store].name}`
    const one = (n: number) => ({ name: `${named}, call ${n}`, run: world(given, compiled.library, failure, store, n) })
    // A number beyond all calls: how many there are.
    const [counted] = yield* all(`calls of ${failure.call}${stores[store].name}`, [one(1_000_000)])
    // Not among those that are looked at again, or a broken promise was what was looked for.
    if (counted === undefined) continue
    const found: Array<Struck> = []
    while (found.length < counted.seen || found.slice(-beyond).some(({ hit }) => hit)) {
      const next = Array.from({ length: Math.max(counted.seen - found.length, 0) + beyond }, (_, n) => found.length + n)
      const more = yield* all(
        named,
        next.map((n) => one(n + 1))
      )
      found.push(...more)
      if (more.length < next.length) break
    }
    const hits = found.filter(({ hit }) => hit).length
    notes.push(`${named}: ${hits} calls failed, one in each of ${found.length} worlds`)
  }
  return notes
})
