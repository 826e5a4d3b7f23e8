/**
 * Level 4: a long life. One world under constant load, whose gateway is restarted every
 * few minutes, mostly by a stop and now and then by a kill. At the same age of each
 * boot its memory, descriptors, threads and children, the store's open rows and its
 * write-ahead log are measured; none of them may grow from boot to boot. The history is
 * judged like any other.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { bundled } from "../world/bundle.ts"
import type { Habits } from "../world/clients.ts"
import type { Ended, Ready } from "../world/Gateway.ts"
import type { Unanswered } from "../world/wire.ts"
import * as World from "../world/World.ts"
import { type Figure, judge } from "./growth.ts"
import type { Budget, Verdict } from "./Level.ts"
import * as Tally from "./Tally.ts"

/** How the level is laid out. */
export interface Plan {
  /** Age of a gateway at its restart, in milliseconds; by default a twelfth of the time, 2 s to 3 min. */
  readonly age: number
  /** Each so many-th restart is a kill. */
  readonly killEach: number
}

/** What is measured at the end of each boot. */
type Sample = Readonly<Record<keyof typeof figures, number>>

const figures = {
  rss: { name: "memory (RSS)", unit: "MB", slack: 16 },
  descriptors: { name: "descriptors", unit: "", slack: 8 },
  threads: { name: "threads", unit: "", slack: 2 },
  wal: { name: "write-ahead log", unit: "MB", slack: 4 },
  openRows: { name: "open messages", unit: "", slack: 50 },
  openTurns: { name: "open turns", unit: "", slack: 10 },
  bytesPerMessage: { name: "store for each message", unit: "KB", slack: 2 }
} as const satisfies Record<string, Figure>

const statusOf = (pid: number, field: string): number => {
  const [, value = "0"] =
    new RegExp(`^${field}:\\s*(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
  return Number(value)
}

const sum = (counts: unknown) => Object.values(counts as Record<string, number>).reduce((all, one) => all + one, 0)

/** One gateway as the kernel sees it, and its store as it says itself. */
const measure = Effect.fnUntraced(function* (gateway: Ready, stateDirectory: string) {
  const { body } = yield* gateway.wire.ask("/v1/status", { token: gateway.token })
  const { accepted, ends, openTurns, walBytes } = body["figures"] as Readonly<Record<string, unknown>>
  const { size } = statSync(join(stateDirectory, "journal.db"))
  return {
    rss: statusOf(gateway.pid, "VmRSS") / 1024,
    descriptors: readdirSync(`/proc/${gateway.pid}/fd`).length,
    threads: statusOf(gateway.pid, "Threads"),
    wal: Number(walBytes) / 1024 ** 2,
    openRows: Number(accepted) - sum(ends),
    openTurns: sum(openTurns),
    bytesPerMessage: size / Math.max(1, Number(accepted)) / 1024
  } satisfies Sample
})

/** People who write all the time, at a pace that agents keep up with. */
const habits: Partial<Habits> = {
  behaviours: [
    "hello",
    "hello",
    "hello",
    "hello",
    "hello",
    "hello",
    "slow",
    "stubborn work300",
    "fork",
    "exit",
    "crash"
  ],
  pause: 400,
  burst: 2
}

/** One boot up to its age, measured, and ended. */
const life = (world: World.World, age: number, kill: boolean) =>
  Effect.gen(function* () {
    const gateway = yield* world.boot()
    const ready = yield* world.arrive(gateway)
    // A chain of kills would pause what is open; here the load is to go on.
    yield* ready.wire.ask("/v1/admin/resume", { method: "POST", token: ready.token })
    yield* Effect.sleep(`${age} millis`)
    const sample = yield* measure(ready, world.stateDirectory)
    if (kill) yield* gateway.kill("load")
    else yield* gateway.stop("load")
    return sample
  }).pipe(Effect.scoped)

/** The whole soak; returns what was measured, boot by boot. */
const soak = Effect.fnUntraced(function* (
  options: World.Options,
  { age, killEach }: Plan,
  until: number,
  seen: (samples: ReadonlyArray<Sample>) => void
): Effect.fn.Return<ReadonlyArray<Sample>, Ended | Unanswered, Scope.Scope> {
  const world = yield* World.make(options)
  const people = yield* world.people
  const samples: Array<Sample> = []
  while ((yield* Clock.currentTimeMillis) < until) {
    samples.push(yield* life(world, age, samples.length % killEach === killEach - 1))
    seen(samples)
  }
  const last = yield* world.boot()
  yield* world.rest(people, yield* world.arrive(last))
  yield* last.stop("idle")
  return samples
})

const names = Object.keys(figures) as ReadonlyArray<keyof typeof figures>

/** What grows, and what the rest did. */
const growth = (tally: Tally.Tally, samples: ReadonlyArray<Sample>, seed: number): void => {
  for (const name of names) {
    const { text, verdict } = judge(
      figures[name],
      samples.map((sample) => sample[name])
    )
    tally.notes.push(text)
    if (verdict === "grows") tally.violations.push({ invariant: "C9", what: text, seed })
  }
}

/** Lets one world live until the time is over. */
export const run = (budget: Budget, changes: Partial<Plan> = {}): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const { millis, progress, seed } = budget
    const plan = { age: Math.min(180_000, Math.max(2000, millis / 12)), killEach: 4, ...changes }
    const bundle = yield* bundled
    const tally = Tally.make("L4")
    const folder = mkdtempSync(join(tmpdir(), `sluice-L4-${seed}-`))
    const until = (yield* Clock.currentTimeMillis) + millis
    const options = { bundle, seed, folder, habits, agent: { turnTimeout: "60 seconds" } }
    const seen = (samples: ReadonlyArray<Sample>) => {
      const { descriptors = 0, openRows = 0, rss = 0, threads = 0 } = samples.at(-1) ?? {}
      const words = `${Math.round(rss)} MB, ${descriptors} descriptors, ${threads} threads, ${openRows} open`
      progress(`boot ${samples.length}, ${Math.round(plan.age / 1000)} s old: ${words}`)
    }
    const exit = yield* Effect.exit(Effect.scoped(soak(options, plan, until, seen)))
    if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return yield* Effect.interrupt
    const strange = Exit.isSuccess(exit) ? [] : [Cause.pretty(exit.cause)]
    const samples = Exit.isSuccess(exit) ? exit.value : []
    const broken = yield* Tally.judge(tally, { history: join(folder, "history.jsonl"), seed, strange })
    growth(tally, samples, seed)
    tally.runs = samples.length
    if (broken === 0) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
    return Tally.verdict(tally)
  }).pipe(Effect.scoped)
