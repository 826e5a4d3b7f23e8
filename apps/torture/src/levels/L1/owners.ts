/**
 * Two owners: the lock of a store is lost by accident (somebody removed its file), and
 * a second gateway opens the store beside the first. The first one must notice at its
 * next write and end with 69, and whatever it was doing is the second one's.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { rmSync } from "node:fs"
import { join } from "node:path"
import type { Bundle } from "../../world/bundle.ts"
import * as World from "../../world/World.ts"
import { deeds } from "./deeds.ts"
import { arrived, finished, type Lived } from "./lives.ts"

const fenced = 69

/** One world, in which the second gateway comes while a turn of the first one runs. */
const meeting = Effect.fnUntraced(function* (
  bundle: Bundle,
  seed: number,
  bound: number
): Effect.fn.Return<Pick<Lived, "file" | "broken">, never, Scope.Scope> {
  const world = yield* World.make({ bundle, seed })
  const todo = deeds(world)
  const first = yield* world.boot()
  yield* arrived(world, first)
  const doing = yield* Effect.forkScoped(todo.parts(["long", "talk"]))
  yield* todo.runs("http/long")
  rmSync(join(world.stateDirectory, "journal.db.lock"))
  const broken = yield* finished(world, todo, doing, bound)
  const { code } = yield* first.exited
  return code === fenced
    ? { file: world.file, broken }
    : { file: world.file, broken: [...broken, `I6 the first owner ended with ${code}`] }
})

/** The worlds of this part. */
export const owners = (bundle: Bundle, seed: number, bound: number) => [
  { name: "two owners", run: meeting(bundle, seed, bound) }
]
