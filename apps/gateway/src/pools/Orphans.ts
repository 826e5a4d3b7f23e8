/**
 * Servers and programs of pools that an earlier run of this gateway could not end, because it was killed: they hold memory
 * that nobody has booked. They are looked for at the first sight of a pool that starts any, and, where none is configured any
 * more, when a file in the state directory says that there ever was one; without that file such a start pays nothing.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { existsSync, rmSync } from "node:fs"
import { writeWhole } from "../StateFolder.ts"
import type { Plan } from "./Pools.ts"

/** Looks for them. */
export interface Orphans {
  /** To be called with each plan before its pools are opened; what it finds is ended in a fiber of the scope. */
  readonly look: (plan: Plan) => Effect.Effect<void, never, Scope.Scope>
  /** Removes the file when all are gone and no pool starts any. Only for who holds the store: the file is another's else. */
  readonly forget: Effect.Effect<void>
}

const words =
  "Pools of this gateway have started servers or programs: a start looks for those that a crash left behind.\n"

/** `record` is the file; without one only a plan that starts programs is a reason to look. */
export const make = (record?: string): Orphans => {
  const gone = Deferred.makeUnsafe<void>()
  let hasLooked = false
  let starts = false

  // Before any is started: a crash right after its start must find it.
  const keep = Effect.sync(() => {
    if (record !== undefined && !existsSync(record)) writeWhole(record, words)
  }).pipe(
    Effect.catchDefect((cause) =>
      Effect.logWarning("Programs of pools that a crash leaves behind may not be found by a start without pools", cause)
    )
  )

  const look = Effect.fnUntraced(function* ({ recipes }: Plan) {
    starts = recipes.some(({ settings }) => "argv" in settings)
    if (starts) yield* keep
    if (hasLooked || !(starts || (record !== undefined && existsSync(record)))) return
    hasLooked = true
    const { reap } = yield* Effect.promise(() => import("@sluice/pools/Server"))
    yield* Effect.forkScoped(Effect.andThen(reap, Deferred.succeed(gone, undefined)))
  })

  const remove = Effect.sync(() => {
    if (record !== undefined && !starts) rmSync(record, { force: true })
  }).pipe(
    // The next start looks once more, for nothing.
    Effect.catchDefect((cause) => Effect.logWarning("The file that names programs of pools can't be removed", cause))
  )
  const forget = Effect.suspend(() => (hasLooked ? Effect.andThen(Deferred.await(gone), remove) : Effect.void))
  return { look, forget }
}
