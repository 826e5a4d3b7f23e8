/**
 * Too little of what a machine has: a file system that is really full, a heap that is
 * too small for what comes in, a kernel that gives no more memory. The process may end
 * by it; whatever it acknowledged is there when it is started with more.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { acknowledgedBetween } from "../proofs.ts"
import type { Ground, Group, Scenario } from "../Scenario.ts"

const megabytes = 12

/** A small file system that is unmounted with the scope. */
const smallDisk = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-small-disk-"))
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=0700`, "tmpfs", folder])
    return folder
  }),
  (folder) =>
    Effect.sync(() => {
      execFileSync("umount", ["-l", folder])
      rmSync(folder, { recursive: true, force: true })
    })
)

/** Whether this user may mount one. */
export const canMount = (): boolean => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-mount-"))
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).status === 0
  if (mounted) execFileSync("umount", [folder])
  rmSync(folder, { recursive: true })
  return mounted
}

const filler = (ground: Ground) => join(ground.world.stateDirectory, "..", "filler")

/** Takes what is left. */
const fill = (ground: Ground) => {
  const { bavail, bsize } = statfsSync(ground.world.stateDirectory)
  try {
    writeFileSync(filler(ground), Buffer.alloc(bavail * bsize))
  } catch {
    // It took what there was.
  }
}

const empty = (ground: Ground) => rmSync(filler(ground), { force: true })

const long = `hello ${"x".repeat(30_000)}`

const filling: Scenario = {
  name: "the disk is full while people write",
  during: Effect.fnUntraced(function* (ground) {
    const ends = ground.ends.length
    ground.behaviours.splice(0, 1, long)
    fill(ground)
    const end = yield* ground.endAfter(ends)
    return { count: end.code === 74 ? 1 : 0, of: "ends by a full disk" }
  }),
  mend: (ground) =>
    Effect.sync(() => {
      empty(ground)
      ground.behaviours.splice(0, 1, "hello")
    }),
  expects: { ends: [74] }
}

const fullAtStop: Scenario = {
  name: "the disk is full when the gateway stops",
  during: Effect.fnUntraced(function* (ground) {
    const gateway = yield* ground.gateway
    yield* ground.world.running(yield* ground.people.say("sam", "slow"))
    yield* ground.hold
    fill(ground)
    const end = yield* gateway.stop("a disk that is full")
    return { count: end.signal === null ? 1 : 0, of: "stops on a full disk" }
  }),
  mend: (ground) =>
    Effect.andThen(
      Effect.sync(() => empty(ground)),
      ground.release
    ),
  expects: { ends: [0, 74, 80] }
}

export const fullDisk: Group = {
  name: "full disk",
  needs: ["mount"],
  prepare: Effect.map(smallDisk, (folder) => ({
    options: {
      stateDirectory: join(folder, "state"),
      configuration: { drain: { timeout: "2 seconds", startWithin: "200 millis" } }
    }
  })),
  scenarios: [filling, fullAtStop]
}

/** Everybody writes almost as much at once as is accepted, and insists, whoever dies of it; how many were accepted. */
const flooding = Effect.fnUntraced(function* ({ people, world }: Ground, flooders: ReadonlyArray<string>) {
  const from = world.history.now()
  const ids = yield* Effect.forEach(flooders, (guest) => people.say(guest, `work0 ${"y".repeat(250_000)}`), {
    concurrency: "unbounded"
  })
  const told = acknowledgedBetween(world.file, from, Infinity)
  return ids.filter((id) => told.includes(id)).length
})

const flood: Scenario = {
  name: "a heap of 40 MB and a flood of messages",
  during: Effect.fnUntraced(function* (ground) {
    const flooders = guests.slice(0, ground.long ? 60 : 10)
    // Whether it dies of it is its own affair.
    const count = yield* flooding(ground, flooders)
    return { count: count === flooders.length ? count : 0, of: "messages of 250 kB at once" }
  }),
  mend: () => Effect.void,
  expects: { ends: ["SIGABRT", "SIGKILL", 134, 74] }
}

const guests = Array.from({ length: 60 }, (_, n) => `guest${n}`)

export const memory: Group = {
  name: "memory",
  needs: [],
  prepare: Effect.succeed({
    boot: { command: [process.execPath, "--max-old-space-size=40"] as const },
    options: { habits: { guests: ["sam", ...guests] } }
  }),
  scenarios: [flood]
}

/** Whether somebody else's limits can be set here. */
export const canLimit = (): boolean => spawnSync("prlimit", ["--version"]).status === 0

/** From now on the kernel gives a process no more memory than it has, and a few bytes. The soft limit: a hard one can't be raised again. */
const limit = (pid: number, bytes: number) => {
  const [, size] = /^VmSize:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
  execFileSync("prlimit", ["--pid", String(pid), `--as=${Number(size) * 1024 + Math.trunc(bytes)}:`])
}

/** Refusals of memory that V8, the C library, the store or the program itself notices first. */
const outOfMemory = ["SIGTRAP", "SIGABRT", "SIGILL", "SIGSEGV", "SIGBUS", 133, 134, 139, 74] as const

const refused: Scenario = {
  name: "the kernel gives no more memory while people write",
  during: Effect.fnUntraced(function* (ground) {
    let count = 0
    for (let n = 0; n < (ground.long ? 6 : 2); n++) {
      const gateway = yield* ground.gateway
      const end = yield* Effect.forkScoped(ground.endAfter(ground.ends.length))
      let accepted = 0
      // What was freed before may be enough for a flood: each further one is larger and meets a narrower limit.
      for (let again = 1; again <= 12 && end.pollUnsafe() === undefined; again++) {
        if (existsSync(`/proc/${gateway.pid}`)) limit(gateway.pid, (ground.random() * 16e6) / again ** 2)
        accepted += yield* flooding(ground, guests.slice(0, Math.min(guests.length, again * 10)))
      }
      const { code, signal } = yield* Fiber.join(end)
      if (accepted > 0 && outOfMemory.some((how) => how === (signal ?? code))) count++
    }
    return { count, of: "deaths by lack of memory" }
  }),
  mend: () => Effect.void,
  expects: { ends: outOfMemory }
}

export const exhaustion: Group = {
  name: "no memory",
  needs: ["limit"],
  prepare: Effect.succeed({ options: { habits: { guests: ["sam", ...guests] } } }),
  scenarios: [refused]
}
