/**
 * The state directory under a running gateway: moved away, replaced by another, made
 * read-only, its token deleted. What is written to files that nobody can open any more
 * must not be called stored, so the gateway ends by 74 and says so; with the folder
 * back in its place everything is there.
 */
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { until } from "../Ground.ts"
import { acknowledgedBetween } from "../proofs.ts"
import type { Ground, Group, Scenario } from "../Scenario.ts"

const away = (ground: Ground) => `${ground.world.stateDirectory}.away`

/** The folder is somewhere else while no gateway is started, and `instead` makes what is in its place. */
const moved = (name: string, instead: (ground: Ground) => void): Scenario => ({
  name,
  alone: true,
  during: Effect.fnUntraced(function* (ground) {
    const ends = ground.ends.length
    yield* ground.hold
    renameSync(ground.world.stateDirectory, away(ground))
    instead(ground)
    const end = yield* ground.endAfter(ends)
    return { count: end.code === 74 ? 1 : 0, of: "gateways that missed their store" }
  }),
  mend: (ground) =>
    Effect.andThen(
      Effect.sync(() => {
        if (!existsSync(away(ground))) return
        rmSync(ground.world.stateDirectory, { recursive: true, force: true })
        renameSync(away(ground), ground.world.stateDirectory)
      }),
      ground.release
    ),
  expects: {
    ends: [74],
    proof: ({ world }, from, to) =>
      acknowledgedBetween(world.file, from, to).map((id) => `C1: ${id} was acknowledged in a store that was gone`)
  }
})

const empty = (ground: Ground) => {
  mkdirSync(ground.world.stateDirectory, { mode: 0o700 })
}

/** Another store of the same make, as a backup that was put there too early. */
const another = (ground: Ground) => {
  empty(ground)
  const from = new DatabaseSync(join(away(ground), "journal.db"), { readOnly: true })
  from.exec(`vacuum into '${join(ground.world.stateDirectory, "journal.db")}'`)
  from.close()
}

const isRoot = () => process.getuid?.() === 0

/** Whether this user can; root in a container often may not mount. */
export const canLock = (canMount: boolean): boolean => canMount || !isRoot()

/** Takes the right to write into the folder: by its mode, or, for root, who may do everything, by a mount. */
const lock = (folder: string): (() => void) => {
  if (!isRoot()) {
    chmodSync(folder, 0o500)
    return () => chmodSync(folder, 0o700)
  }
  execFileSync("mount", ["--bind", folder, folder])
  execFileSync("mount", ["-o", "remount,bind,ro", folder])
  return () => void execFileSync("umount", ["-l", folder])
}

const writable = (folder: string): boolean => {
  try {
    mkdirSync(join(folder, "probe"))
    rmSync(join(folder, "probe"), { recursive: true })
    return true
  } catch {
    return false
  }
}

const readOnly: Scenario = {
  name: "the state directory is read-only for a while",
  needs: ["lock"],
  during: Effect.fnUntraced(function* (ground) {
    const { stateDirectory } = ground.world
    const gateway = yield* ground.gateway
    yield* Effect.acquireRelease(
      Effect.sync(() => lock(stateDirectory)),
      (unlock) => Effect.sync(unlock)
    )
    if (writable(stateDirectory)) return { count: 0, of: "folders that can't be written" }
    // What was opened before can still be written, so the gateway goes on; a stop finds what it can't write.
    yield* ground.people.more(6)
    yield* ground.hold
    yield* gateway.stop("a state directory that became read-only")
    return { count: 1, of: "folders that can't be written" }
  }),
  mend: ({ release }) => release,
  expects: { ends: [0, 74, 80] }
}

const tokenless: Scenario = {
  name: "the token's file is deleted",
  during: Effect.fnUntraced(function* (ground) {
    const file = join(ground.world.stateDirectory, "token")
    const gateway = yield* ground.gateway
    unlinkSync(file)
    const count = existsSync(file) ? 0 : 1
    yield* ground.people.more(6)
    // Whoever has the token is still let in afterwards.
    yield* gateway.reload
    yield* ground.people.more(6)
    // The next gateway makes a new one; without it nobody would be let in.
    const ends = ground.ends.length
    yield* gateway.stop("a token that is gone")
    yield* ground.endAfter(ends)
    yield* until("there is a token again", () => existsSync(file))
    return { count, of: "tokens gone" }
  }),
  mend: () => Effect.void,
  expects: { ends: [0, 80] }
}

export const folders: Group = {
  name: "folders",
  needs: [],
  prepare: Effect.succeed({}),
  scenarios: [
    moved("the state directory is deleted from its place", () => undefined),
    moved("an empty one is in its place", empty),
    moved("another store is in its place", another),
    readOnly,
    tokenless
  ]
}
