/**
 * Level 1: exhaustive. A gateway is killed at every labelled boundary, the first time
 * that it is come to (and in the long form the second and the third); chains of
 * gateways die at the same place; the n-th call on the store's files fails, for every
 * n until none does; and a gateway whose lock was taken away meets the one that took
 * over. What remains is in the histories, and the checker judges each of them.
 */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { cpSync, mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { boundaries as labels } from "../../../../../packages/runtime/src/internal/boundary.ts"
import { type Bundle, bundled } from "../../world/bundle.ts"
import type { Budget, Verdict } from "../Level.ts"
import * as Tally from "../Tally.ts"
import { live, type Lived } from "./lives.ts"
import { owners } from "./owners.ts"
import { apart, chains, missing, named, type Point, singles, together } from "./points.ts"
import { storage } from "./storage.ts"

/** How many worlds are beside each other: boots wait for the disk, agents for their time. */
const beside = 4
/** A run that is given more than this has the long form. */
const shortMillis = 120_000
/** How long a world may take to come to rest, in milliseconds. */
const bound = 45_000

interface Level {
  readonly budget: Budget
  readonly bundle: Bundle
  readonly tally: Tally.Tally
  /** No further world: a broken promise was what was looked for. */
  readonly over: () => boolean
}

/** What a world of this level gives to the checker. */
export type World = Pick<Lived, "file" | "broken">

/** Has a world judged; keeps its history where something is broken. */
const judged = Effect.fnUntraced(function* (level: Level, name: string, world: World) {
  const { budget, tally } = level
  const broken = yield* Tally.judge(tally, { history: world.file, seed: budget.seed, strange: world.broken })
  if (broken === 0) return
  const kept = join(mkdtempSync(join(tmpdir(), "sluice-L1-")), "history.jsonl")
  cpSync(world.file, kept)
  // Worlds are judged beside each other: its own are those of its own file.
  for (const [index, one] of tally.violations.entries()) {
    if (one.history !== world.file) continue
    // What the harness itself saw begins with the promise that it breaks.
    const [, invariant = one.invariant, what = one.what] = /^(I\d+) (.*)$/s.exec(one.what) ?? []
    tally.violations[index] = { ...one, invariant, what: `${name}: ${what}`, history: kept }
  }
  budget.progress(`${name}: ${broken} broken; the history is in ${kept}`)
})

/** Runs and judges worlds beside each other. */
const all = <A extends World>(
  level: Level,
  what: string,
  worlds: ReadonlyArray<{ readonly name: string; readonly run: Effect.Effect<A, never, Scope> }>
) =>
  Effect.gen(function* () {
    const began = performance.now()
    const chosen = worlds.filter(({ name }) => wanted.test(name))
    const done = yield* Effect.forEach(
      chosen,
      ({ name, run }) =>
        Effect.suspend(() =>
          level.over() ? Effect.undefined : Effect.tap(run, (world) => judged(level, name, world)).pipe(Effect.scoped)
        ),
      { concurrency: beside }
    )
    const seconds = Math.round((performance.now() - began) / 1000)
    level.budget.progress(`${what}: ${done.length} in ${seconds} s; ${Tally.line(level.tally)}`)
    return done.filter((one) => one !== undefined)
  })

/** `TORTURE_POINTS="send:after|two owners"` runs the worlds with such names only: to look at one again. */
const wanted = new RegExp(process.env["TORTURE_POINTS"] ?? "")

const pointsOf = ({ budget, bundle }: Level, points: ReadonlyArray<Point>) =>
  points.map((point) => ({ name: point.name, run: live(bundle, budget.seed, point, bound) }))

/** The world without a crash: which labels it comes to, and how often. */
const whole = Effect.fnUntraced(function* (level: Level) {
  const point: Point = { name: "no crash at a boundary", graves: [] }
  const [lived] = yield* all(level, "without a grave", pointsOf(level, [point]))
  if (lived === undefined) return new Map(labels.map((label): [string, number] => [label, 3]))
  const { crossed } = lived
  for (const label of missing(crossed)) {
    const what = `nothing comes to the boundary ${label}: what people do must be extended`
    level.tally.violations.push({ invariant: "harness", what, seed: level.budget.seed })
  }
  return crossed
})

/** Deaths at every label: the first time that it is come to, together in the short form; then the second and third. */
const boundaries = Effect.fnUntraced(function* (level: Level, crossed: ReadonlyMap<string, number>, long: boolean) {
  const { budget, tally } = level
  const missedIn = (found: ReadonlyArray<Lived>) => found.flatMap(({ missed }) => missed)
  const first = yield* all(level, "boundaries", pointsOf(level, long ? singles(crossed, 1) : together(crossed)))
  // An earlier death may have ended what would have come there: then it has a world of its own.
  const missed = missedIn(first)
  const again = missed.length === 0 ? [] : yield* all(level, "boundaries alone", pointsOf(level, apart(missed)))
  for (const grave of missedIn(again)) {
    const what = `the gateway was to die at ${named(grave)} and did not`
    tally.violations.push({ invariant: "harness", what, seed: budget.seed })
  }
  for (const nth of long ? [2, 3] : []) {
    const found = yield* all(level, `boundaries, time ${nth}`, pointsOf(level, singles(crossed, nth)))
    // How often one comes there depends on what comes together.
    tally.notes.push(...missedIn(found).map((grave) => `nothing came to ${named(grave)}`))
  }
})

/** Runs the level. */
export const run = (budget: Budget): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const tally = Tally.make("L1")
    const bundle = yield* bundled
    const over = () => budget.stopAtFirst && tally.violations.length > 0
    const level: Level = { budget, bundle, tally, over }
    const long = budget.millis > shortMillis
    const crossed = yield* whole(level)
    // The longest first, so that the worlds end together.
    const longest = chains.toSorted((one, other) => other.graves.length - one.graves.length)
    yield* all(level, "chains of crashes, two owners", [
      ...pointsOf(level, longest),
      ...owners(bundle, budget.seed, bound)
    ])
    if (!over()) yield* boundaries(level, crossed, long)
    if (!over()) {
      const given = { bundle, seed: budget.seed, long, bound }
      tally.notes.push(...(yield* storage(given, (what, worlds) => all(level, what, worlds))))
    }
    return Tally.verdict(tally)
  }).pipe(Effect.scoped)
