/**
 * `npm run torture`: runs the chosen levels one after the other, says how it goes, and
 * ends with a verdict. Exit code 0: every promise was kept; 1: one was broken, or a
 * level could not go on; 2: the command line can't be understood. With --json the
 * verdict is the only thing on standard output.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { existsSync } from "node:fs"
import process from "node:process"
import type { Budget, Verdict } from "./levels/Level.ts"
import { lastLine, span, verdictText } from "./verdict.ts"
import { machine, type MutantOfRun, runOf, writeDown } from "./verdictPage.ts"

type Name = Verdict["level"]

/** The levels by name, with their part of the time. An exhaustive one has none: it is told the length of the whole. */
const shares: Readonly<Record<Name, number>> = { L0: 1, L1: 0, L2: 4, L3: 2, L4: 1 }
const names = Object.keys(shares) as ReadonlyArray<Name>

const isName = (name: string): name is Name => name in shares

const levelsOf = (text: string): ReadonlyArray<Name> => {
  const given = text.split(",").map((name) => name.trim())
  const unknown = given.filter((name) => !isName(name))
  if (unknown.length > 0) throw new Error(`some of ${names.join(", ")} with commas between them`)
  return names.filter((name) => given.includes(name))
}

const flags = {
  levels: Flag.String("levels").pipe(
    Flag.withDescription(`Levels to run (${names.join(",")}; none with --mutants)`),
    Flag.mapTryCatch(levelsOf, (error) => (error instanceof Error ? error.message : String(error))),
    Flag.optional
  ),
  minutes: Flag.Finite("minutes").pipe(
    Flag.withDescription("Time for the levels that have no end of their own, together (10)"),
    Flag.withDefault(10),
    Flag.filter(
      (minutes) => minutes > 0,
      () => "a number of minutes above 0"
    )
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDescription("Makes the same choices again; a random one is taken and printed otherwise"),
    Flag.optional
  ),
  mutants: Flag.Boolean("mutants").pipe(
    Flag.withDescription("Put faults into copies of the source and see that the levels catch each"),
    Flag.withDefault(false)
  ),
  only: Flag.String("only").pipe(
    Flag.withDescription("With --mutants: those whose names hold one of these, with commas between them"),
    Flag.map((text) => text.split(",").map((name) => name.trim())),
    Flag.optional
  ),
  agents: Flag.Literals("agents", ["stand-in", "real"]).pipe(
    Flag.withDescription("At L2: the harness's own programs, or the Claude Code CLI and its adapter in small numbers"),
    Flag.withDefault("stand-in")
  ),
  stopAtFirst: Flag.Boolean("stop-at-first").pipe(
    Flag.withDescription("End with the first broken promise"),
    Flag.withDefault(false)
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print one JSON document"), Flag.withDefault(false)),
  write: Flag.Boolean("write").pipe(
    Flag.withDescription("Put the figures into docs/torture-runs.json and docs/guarantees.md"),
    Flag.withDefault(false)
  )
}

/** A level's module: `levels/L2.ts` or `levels/L0/index.ts`. */
interface LevelModule {
  readonly run: (budget: Budget) => Effect.Effect<Verdict, never, Scope.Scope>
}

const fileOf = (name: string): string | undefined =>
  [`./${name}.ts`, `./${name}/index.ts`].find((file) => existsSync(new URL(file, import.meta.url)))

const moduleOf = <M>(file: string): Effect.Effect<M> =>
  Effect.promise((): Promise<M> => import(new URL(file, import.meta.url).href))

const nothingSeen: Omit<Verdict, "level" | "violations"> = {
  ...{ runs: 0, kills: 0, sent: 0, acknowledged: 0, lost: 0, orderFaults: 0 },
  duplicated: {},
  times: {},
  notes: []
}

/** Runs one level. One that dies has proved nothing, which is as bad as a broken promise, and the others go on. */
const runLevel = (level: Name, budget: Budget): Effect.Effect<Verdict | undefined> =>
  Effect.gen(function* () {
    const file = fileOf(`levels/${level}`)
    if (file === undefined) {
      budget.progress("is not there yet: nothing was run")
      return undefined
    }
    const { run } = yield* moduleOf<LevelModule>(file)
    return yield* run(budget)
  }).pipe(
    Effect.scoped,
    Effect.catchCause((cause) => {
      if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
      const what = `the level could not go on: ${Cause.pretty(cause)}`
      return Effect.succeed({
        ...nothingSeen,
        level,
        violations: [{ invariant: "harness", what, seed: budget.seed }]
      })
    })
  )

interface Chosen {
  readonly levels: ReadonlyArray<Name>
  readonly minutes: number
  readonly stopAtFirst: boolean
  readonly json: boolean
  readonly agents: "real" | "stand-in"
}

const say = (json: boolean) => {
  const began = performance.now()
  return (line: string): void => {
    const words = `${span(performance.now() - began).padStart(8)}  ${line}\n`
    if (json) process.stderr.write(words)
    else process.stdout.write(words)
  }
}

/** Runs the chosen levels one after the other, each with its part of the time. */
const runLevels = Effect.fnUntraced(function* (
  { agents, json, levels, minutes, stopAtFirst }: Chosen,
  seed: number
): Effect.fn.Return<ReadonlyArray<Verdict>> {
  const tell = say(json)
  if (levels.length > 0) tell(`seed ${seed}, levels ${levels.join(", ")}`)
  const parts = levels.filter((level) => fileOf(`levels/${level}`) !== undefined)
  const whole = parts.reduce((sum, level) => sum + shares[level], 0)
  const verdicts: Array<Verdict> = []
  for (const level of levels) {
    const part = shares[level] === 0 ? 1 : shares[level] / whole
    const millis = Math.round(minutes * 60_000 * part)
    const progress = (line: string) => tell(`${level}  ${line}`)
    const verdict = yield* runLevel(level, { seed, millis, stopAtFirst, agents, progress })
    if (verdict === undefined) continue
    verdicts.push(verdict)
    tell(`${level}  ${lastLine([verdict])}`)
    if (stopAtFirst && verdict.violations.length > 0) break
  }
  return verdicts
})

/** What the mutants' runner gives: a report for people, the same as data, and whether each was caught. */
interface Hunt {
  readonly text: string
  readonly found: ReadonlyArray<MutantOfRun>
  readonly caught: boolean
}

interface MutantsModule {
  readonly run: (budget: Budget, only?: ReadonlyArray<string>) => Effect.Effect<Hunt>
}

const runMutants = Effect.fnUntraced(function* (budget: Budget, only: Option.Option<ReadonlyArray<string>>) {
  const file = fileOf("mutants")
  if (file === undefined) {
    budget.progress("the mutants' runner is not there yet: nothing was run")
    return undefined
  }
  const { run } = yield* moduleOf<MutantsModule>(file)
  return yield* run(budget, Option.getOrUndefined(only))
})

/** The command line without the command: what the figures were measured with. */
const commandLine = (): string => {
  const given = process.argv.slice(2).filter((one) => one !== "--write")
  return `npm run torture${given.length === 0 ? "" : ` -- ${given.join(" ")}`}`
}

const torture = Command.make("torture", flags, (given) =>
  Effect.gen(function* () {
    const seed = Option.getOrElse(given.seed, () => Math.floor(Math.random() * 2 ** 32))
    const { agents, json, minutes, stopAtFirst } = given
    const levels = Option.getOrElse(given.levels, () => (given.mutants ? [] : names))
    const verdicts = yield* runLevels({ agents, levels, minutes, stopAtFirst, json }, seed)
    const budget = { seed, millis: minutes * 60_000, stopAtFirst, progress: say(json) }
    const mutants = given.mutants ? yield* runMutants(budget, given.only) : undefined
    // Nothing run is nothing proved.
    const ran = verdicts.length > 0 || mutants !== undefined
    const kept = ran && verdicts.every(({ violations }) => violations.length === 0) && mutants?.caught !== false
    if (json) process.stdout.write(`${JSON.stringify({ seed, kept, levels: verdicts, mutants })}\n`)
    else {
      const texts = [
        ...(mutants === undefined ? [] : [mutants.text]),
        ...(levels.length > 0 ? [verdictText(verdicts)] : [])
      ]
      process.stdout.write(`\n${texts.join("\n\n")}\n`)
    }
    if (given.write) {
      const about = { command: commandLine(), date: new Date().toISOString().slice(0, 10), machine: machine(), seed }
      writeDown(runOf(verdicts, about, mutants?.found))
    }
    process.exitCode = kept ? 0 : 1
  })
).pipe(Command.withDescription("Kills, faults and a checker: proves what the gateway promises"))

const services = Layer.mergeAll(
  NodeServices.layer,
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version] })
)

const codeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return Number(process.exitCode ?? 0)
  if (Cause.hasInterruptsOnly(exit.cause)) return 130
  return CliError.isCliError(Cause.squash(exit.cause)) ? 2 : 1
}

NodeRuntime.runMain(
  Command.runWith(torture, { version: "0.1.0" })(process.argv.slice(2)).pipe(Effect.provide(services)),
  {
    disableErrorReporting: true,
    teardown: (exit, end) => {
      if (Exit.isFailure(exit) && codeOf(exit) === 1) process.stderr.write(`${Cause.pretty(exit.cause)}\n`)
      end(codeOf(exit))
    }
  }
)
