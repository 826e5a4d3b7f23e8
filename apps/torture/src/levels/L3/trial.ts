/**
 * A trial: one group's scenarios, one after the other, in one world, with people at
 * work all the time; then mending, rest, the ledger, a clean stop, and the checker's
 * word on the history. A fault that did not strike is as bad as one that broke a
 * promise: it would be counted as survived.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { execFile } from "node:child_process"
import { copyFileSync, mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { CheckerVerdict } from "../../checker/Findings.ts"
import type { Violation } from "../Level.ts"
import * as Ground from "./Ground.ts"
import { defects, starved } from "./proofs.ts"
import type { Group, HowEnded, Scenario } from "./Scenario.ts"

const checker = fileURLToPath(new URL("../../checker/main.ts", import.meta.url))

/** What a trial saw. */
export interface Outcome {
  readonly group: string
  /** How many faults there were. */
  readonly struck: number
  readonly violations: ReadonlyArray<Violation>
  readonly verdict: CheckerVerdict | undefined
  /** Milliseconds from mended to the next acknowledgements. */
  readonly recovered: ReadonlyArray<number>
}

/** The checker's process, which knows nothing but the history. */
const check = (file: string): Effect.Effect<CheckerVerdict> =>
  Effect.callback((resume) => {
    const child = execFile(process.execPath, [checker, file], { maxBuffer: 1 << 28 }, (error, out, err) => {
      try {
        resume(Effect.succeed(JSON.parse(out) as CheckerVerdict))
      } catch {
        resume(Effect.die(new Error(`the checker said nothing: ${error?.message ?? ""} ${err}`)))
      }
    })
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

/** The files of a world that broke a promise are kept: the history, and what its gateways printed. */
const keep = (group: string, seed: number, ground: Ground.Made["ground"]): string => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-L3-"))
  const kept = join(folder, `L3-${group.replace(/\W+/g, "-")}-${seed}-${process.pid}.jsonl`)
  copyFileSync(ground.world.file, kept)
  writeFileSync(`${kept}.log`, ground.printed().join("\n"))
  return kept
}

const hasEnded = ({ code, signal }: { readonly code: number | null; readonly signal: string | null }): HowEnded =>
  (signal as NodeJS.Signals | null) ?? code ?? -1

/** How many further messages are acknowledged before a fault counts as mended. */
const further = 5

/** Scenarios that happen at once. */
export type Step = ReadonlyArray<Scenario>

/** What came of a step. */
interface Seen {
  readonly strike: string
  readonly broken: ReadonlyArray<string>
  readonly recovered: number
}

/** Ends that only a broken promise explains: a ledger out of balance, a defect. */
const never: ReadonlySet<HowEnded> = new Set([70])

/** Breaks one thing and puts it right again, whatever else is broken meanwhile. */
const strike = Effect.fnUntraced(function* (ground: Ground.Made["ground"], scenario: Scenario) {
  const { world } = ground
  const from = world.history.now()
  const { count, of } = yield* world
    .fault(scenario.name, Effect.scoped(scenario.during(ground)))
    .pipe(Effect.onExit(() => Effect.andThen(scenario.mend(ground), ground.release)))
  const broken = [...(scenario.expects.proof?.(ground, from, world.history.now()) ?? [])]
  if (count === 0) broken.push(`harness: it did not strike: 0 ${of}`)
  return { strike: `${count} ${of}`, broken }
})

/** One fault, or several at once, from the beginning to the first messages after it. */
const suffer = Effect.fnUntraced(function* (
  made: Ground.Made,
  scenarios: ReadonlyArray<Scenario>,
  before: ReadonlyArray<HowEnded>
): Effect.fn.Return<Seen> {
  const { ground } = made
  const { people, world } = ground
  const ends = ground.ends.length
  const struck = yield* Effect.forEach(scenarios, (scenario) => strike(ground, scenario), { concurrency: "unbounded" })
  const to = world.history.now()
  yield* ground.gateway
  yield* people.more(further)
  const recovered = world.history.now() - to
  const broken = struck.flatMap((one) => one.broken)
  // A stop that meets another fault may end as a stop on a broken store, with turns that it cut off, or by its watchdog.
  const together: ReadonlyArray<HowEnded> = scenarios.length > 1 ? [74, 80, "SIGKILL"] : []
  const allowed = new Set([...scenarios.flatMap(({ expects }) => expects.ends), ...before, ...together])
  const hungry = starved(world.file)
  for (const end of ground.ends.slice(ends)) {
    const how = hasEnded(end)
    if (how === "SIGKILL" && hungry.has(end.boot)) continue
    if (never.has(how) || !allowed.has(how)) broken.push(`end: gateway ${end.boot} ended with ${how}`)
  }
  return { strike: struck.map((one) => one.strike).join(" and "), broken, recovered }
})

/** Everything is over: no more people, nothing owed, a clean stop, and the checker. */
const judge = Effect.fnUntraced(function* ({ ground, retire }: Ground.Made) {
  const gateway = yield* retire
  yield* ground.world.rest(ground.people, gateway)
  yield* gateway.stop("nobody has anything to do")
  return yield* check(ground.world.file)
})

/** A violation in one word: what stands before the colon, or the harness's own. */
const violation = (text: string, seed: number, history: string): Violation => {
  const [, invariant = "L3", what = text] = /^([A-Z]\d+|end|harness): (.*)$/s.exec(text) ?? []
  return { invariant, what, seed, history }
}

const body = Effect.fnUntraced(function* (
  group: Group,
  steps: ReadonlyArray<Step>,
  options: Ground.Options,
  progress: (line: string) => void
): Effect.fn.Return<Outcome, never, Scope.Scope> {
  const made = yield* Ground.make(group, options)
  let struck = 0
  const recovered: Array<number> = []
  const broken: Array<string> = []
  const run = Effect.gen(function* () {
    let before: ReadonlyArray<HowEnded> = []
    for (const step of steps) {
      const name = step.map((scenario) => scenario.name).join(" + ")
      const seen = yield* suffer(made, step, before)
      struck += step.length
      recovered.push(seen.recovered)
      progress(`${group.name}: ${name}: ${seen.strike}, going on after ${seen.recovered.toFixed(0)} ms`)
      broken.push(...seen.broken.map((what) => what.replace(/^(\w+: )?/, `$1${name}: `)))
      before = step.flatMap(({ expects }) => expects.ends)
    }
    return yield* judge(made)
  })
  const exit = yield* Effect.exit(Effect.raceFirst(run, made.failed))
  if (Exit.isFailure(exit)) broken.push(`harness: ${Cause.pretty(exit.cause)}`)
  const verdict = Exit.isSuccess(exit) ? exit.value : undefined
  for (const one of verdict?.broken ?? []) broken.push(`${one.invariant}: ${one.what} (lines ${one.lines.join(", ")})`)
  for (const what of defects(made.ground.printed())) broken.push(`end: a gateway said: ${what}`)
  for (const why of verdict?.unjudged ?? []) broken.push(`harness: the checker could not judge: ${why}`)
  const { seed } = options
  const kept = broken.length === 0 ? "" : keep(group.name, seed, made.ground)
  const violations = broken.map((text) => violation(text, seed, kept))
  return { group: group.name, struck, recovered, verdict, violations }
})

/** Runs some of a group's scenarios in a world of their own. */
export const run = (
  group: Group,
  steps: ReadonlyArray<Step>,
  options: Ground.Options,
  progress: (line: string) => void
): Effect.Effect<Outcome> => Effect.scoped(body(group, steps, options, progress))
