/**
 * A disk that fails under the store: errors, no space, syncs that fail or take long,
 * writes that do half of what was asked; once, or until it is mended. Nobody may be
 * told that a message is stored while its commit can't reach the disk, and the process
 * goes on with a new connection or ends by 74 and is started again.
 */
import * as Effect from "effect/Effect"
import { until } from "../Ground.ts"
import { acknowledgedBetween } from "../proofs.ts"
import type { Ground, Group, HowEnded, Scenario } from "../Scenario.ts"
import { type Call, files, type Rule } from "../Shim.ts"

/** Ends by which a gateway may leave a broken disk: the storage failed. */
const storage: ReadonlyArray<HowEnded> = [74]

const set = (ground: Ground, call: Call, rule: Rule) =>
  Effect.sync(() => {
    const before = ground.shim.injected(call)
    ground.shim.set(call, rule)
    return () => ground.shim.injected(call) - before
  })

const mend = (ground: Ground) => Effect.sync(() => ground.shim.clear())

const scenario = (
  name: string,
  call: Call,
  during: Scenario["during"],
  expects: Scenario["expects"] = { ends: storage }
): Scenario => ({ name, during: (ground) => during(ground), mend, expects })

/** Strikes so many times, and is gone by itself. */
const passing = (call: Call, rule: Rule & { readonly times: number }): Scenario["during"] =>
  Effect.fnUntraced(function* (ground) {
    const struck = yield* set(ground, call, rule)
    yield* until(`${call} is hit`, () => struck() >= rule.times)
    return { count: struck(), of: `${call}s hit` }
  })

/** Strikes whatever comes, until the gateway has ended by it and has met it at its next start too. */
const lasting = (call: Call, rule: Rule): Scenario["during"] =>
  Effect.fnUntraced(function* (ground) {
    const before = ground.ends.length
    const struck = yield* set(ground, call, rule)
    yield* ground.endAfter(before)
    yield* ground.endAfter(before + 1)
    return { count: struck(), of: `${call}s hit` }
  })

/** Strikes everything for a while; the gateway goes on. */
const slow = (call: Call, rule: Rule, acknowledgements: number): Scenario["during"] =>
  Effect.fnUntraced(function* (ground) {
    const struck = yield* set(ground, call, rule)
    yield* ground.people.more(acknowledgements)
    return { count: struck(), of: `${call}s hit` }
  })

/** Strikes at the next start, which then fails, as often as it is tried. */
const atBoot = (call: Call, rule: Rule): Scenario["during"] =>
  Effect.fnUntraced(function* (ground) {
    const gateway = yield* ground.gateway
    const struck = yield* set(ground, call, rule)
    const before = ground.ends.length
    yield* gateway.kill(`${call} fails at the next start`)
    yield* ground.endAfter(before + 1)
    return { count: struck(), of: `${call}s hit` }
  })

/**
 * Strikes while a gateway stops and closes its store, and never at the start of the next one, which would be another
 * fault. A stop that is ended by its watchdog before it gets there is followed by another.
 */
const atStop = (call: Call, rule: Rule): Scenario["during"] =>
  Effect.fnUntraced(function* (ground) {
    for (let n = 0; n < 5; n++) {
      const gateway = yield* ground.gateway
      const ends = ground.ends.length
      yield* ground.hold
      const struck = yield* set(ground, call, rule)
      yield* gateway.stop(`a disk whose ${call} fails`)
      yield* ground.endAfter(ends)
      if (struck() > 0) return { count: struck(), of: `${call}s hit` }
      yield* mend(ground)
      yield* ground.release
    }
    return { count: 0, of: `${call}s hit` }
  })

/** While no commit can reach the disk nobody may hear that one did. */
const nothingAcknowledged: Scenario["expects"] = {
  ends: storage,
  proof: ({ world }, from, to) =>
    acknowledgedBetween(world.file, from, to).map((id) => `C1: ${id} was acknowledged while no commit could be stored`)
}

const eio = { mode: "fail", error: "EIO" } as const
const enospc = { mode: "fail", error: "ENOSPC" } as const
const { all, database, shm, wal } = files

export const disk: Group = {
  name: "disk",
  needs: ["shim"],
  prepare: Effect.succeed({
    options: { configuration: { drain: { timeout: "2 seconds", startWithin: "200 millis" } } }
  }),
  scenarios: [
    scenario("a write fails once", "write", passing("write", { ...eio, files: wal, times: 1 })),
    scenario("every write fails", "write", lasting("write", { ...eio, files: all }), nothingAcknowledged),
    scenario("a write finds no space once", "write", passing("write", { ...enospc, files: wal, times: 1 })),
    scenario("no space for anything", "write", lasting("write", { ...enospc, files: all }), nothingAcknowledged),
    scenario("a sync of the log fails once", "sync", passing("sync", { ...eio, files: wal, times: 1 })),
    scenario("every sync fails", "sync", lasting("sync", { ...eio, files: all }), nothingAcknowledged),
    scenario("syncs take 150 ms", "sync", slow("sync", { mode: "slow", millis: 150, files: wal }, 6), { ends: [] }),
    scenario("writes take 10 ms", "write", slow("write", { mode: "slow", millis: 10, files: wal }, 6), { ends: [] }),
    scenario("writes are short", "write", slow("write", { mode: "short", files: all }, 12), { ends: [] }),
    scenario("reads fail at a start", "read", atBoot("read", { ...eio, files: database | wal }), {
      ends: ["SIGKILL", 74, 78]
    }),
    scenario("the store can't be opened", "open", atBoot("open", { mode: "fail", error: "EACCES", files: all }), {
      ends: ["SIGKILL", 74, 78]
    }),
    scenario("the log's index can't be mapped", "map", atBoot("map", { ...eio, files: shm }), {
      ends: ["SIGKILL", 74, 78]
    }),
    scenario("syncs of the database fail at a stop", "sync", atStop("sync", { ...eio, files: database }), {
      ends: [0, 74, 80]
    }),
    scenario("nothing can be cut off at a stop", "truncate", atStop("truncate", { ...eio, files: all }), {
      ends: [0, 74, 80]
    })
  ]
}
