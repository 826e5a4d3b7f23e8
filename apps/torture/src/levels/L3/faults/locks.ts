/**
 * Somebody else at the store: a process that holds the write lock, one that reads an
 * old state for long, a backup, a copy. The gateway waits without blocking, tells its
 * senders to come again, and goes on when it is free; nobody has to end.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { backup, DatabaseSync } from "node:sqlite"
import { acknowledgedBetween } from "../proofs.ts"
import type { Ground, Group, Scenario } from "../Scenario.ts"

/** A connection of somebody else's, gone with the scope. It waits for nobody, so that the harness stays awake. */
const stranger = (ground: Ground): Effect.Effect<DatabaseSync, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(join(ground.world.stateDirectory, "journal.db"), { timeout: 0 })),
    (database) => Effect.sync(() => database.close())
  )

const isBusy = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "errcode" in error && (Number(error.errcode) & 0xff) === 5

/** Gets the lock between two of the gateway's commits. */
const locked = (database: DatabaseSync, statement: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    try {
      database.exec(statement)
      return Effect.void
    } catch (error) {
      if (!isBusy(error)) return Effect.die(error)
      return Effect.andThen(Effect.sleep("1 millis"), locked(database, statement))
    }
  })

const nothingToMend: Scenario["mend"] = () => Effect.void

/** Holds the lock for so long, then lets it go by itself: the moments between which nothing can be stored. */
const holding = (name: string, statement: string, millis: number): Scenario => {
  // Of each ground: worlds run beside each other.
  const spans = new WeakMap<Ground, { readonly from: number; readonly to: number }>()
  return {
    name,
    during: Effect.fnUntraced(function* (ground) {
      const database = yield* stranger(ground)
      yield* locked(database, statement)
      const from = ground.world.history.now()
      yield* Effect.sleep(ground.long ? millis * 2 : millis)
      spans.set(ground, { from, to: ground.world.history.now() })
      yield* Effect.sync(() => database.exec("rollback"))
      return { count: 1, of: "locks held" }
    }),
    mend: nothingToMend,
    expects: {
      ends: [],
      proof: (ground) => {
        const { from, to } = spans.get(ground) ?? { from: 0, to: 0 }
        return acknowledgedBetween(ground.world.file, from, to).map(
          (id) => `C1: ${id} was acknowledged while somebody else held the write lock`
        )
      }
    }
  }
}

const sound = (file: string): boolean => {
  const copy = new DatabaseSync(file, { readOnly: true })
  try {
    return copy.prepare("pragma integrity_check").get()?.["integrity_check"] === "ok"
  } finally {
    copy.close()
    rmSync(file)
  }
}

/** Copies of a store in use, each of which has to be whole. */
const copying = (name: string, copy: (from: DatabaseSync, to: string) => Promise<unknown>): Scenario => ({
  name,
  during: Effect.fnUntraced(function* (ground) {
    const database = yield* stranger(ground)
    let count = 0
    for (let n = 0; n < (ground.long ? 12 : 4); n++) {
      const file = join(ground.world.folder, `copy-${n}.db`)
      yield* Effect.promise(() => copy(database, file))
      if (!sound(file)) return yield* Effect.die(new Error("a copy of the running store is broken"))
      count++
      yield* ground.people.more(3)
    }
    return { count, of: "whole copies" }
  }),
  mend: nothingToMend,
  expects: { ends: [] }
})

const reading: Scenario = {
  name: "somebody reads an old state for long",
  during: Effect.fnUntraced(function* (ground) {
    const database = yield* stranger(ground)
    const count = () => Number(database.prepare("select count(*) as n from sluice_inbound").get()?.["n"])
    yield* Effect.sync(() => database.exec("begin"))
    const before = count()
    yield* ground.people.more(ground.long ? 60 : 15)
    const after = count()
    yield* Effect.sync(() => database.exec("rollback"))
    return { count: before === after && count() > before ? 1 : 0, of: "old states read" }
  }),
  mend: nothingToMend,
  expects: { ends: [] }
}

export const locks: Group = {
  name: "locks",
  needs: [],
  prepare: Effect.succeed({}),
  scenarios: [
    holding("the write lock is held for a moment", "begin immediate", 300),
    holding("the write lock is held for longer than anybody waits", "begin immediate", 2_200),
    holding("the whole store is locked", "begin exclusive", 700),
    reading,
    copying("a backup runs, page by page", (from, to) => backup(from, to, { rate: 4 })),
    copying("a copy is made in one statement", async (from, to) => from.exec(`vacuum into '${to}'`))
  ]
}
