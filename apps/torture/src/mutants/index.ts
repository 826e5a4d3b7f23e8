/**
 * Whether the levels can see: each mutant is put into a copy of the tree, and the
 * levels that are expected to see it run there, one after the other, until one of them
 * finds a broken promise. A mutant that nobody catches is a hole in the levels, and a
 * patch that does not fit any more is one in the mutants.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { join } from "node:path"
import process from "node:process"
import type { Budget, Verdict } from "../levels/Level.ts"
import { copyOf, remove } from "./copy.ts"
import { apply, type Mutant, mutants, repository } from "./patches.ts"

/** What became of a mutant. */
export interface Caught {
  readonly name: string
  readonly breaks: string
  readonly caught: boolean
  /** The invariants of which one must see it. */
  readonly expected: ReadonlyArray<string>
  /** The level and the invariant that did. */
  readonly level?: string
  readonly invariant?: string
  /** Runs and kills of that level until then. */
  readonly runs?: number
  readonly kills?: number
  readonly seconds: number
  /** Why it was not caught, or what showed it. */
  readonly what: string
}

/** How the mutants are run. */
export interface Options {
  readonly seed: number
  /** Names of mutants, or parts of them; all by default. */
  readonly only?: ReadonlyArray<string>
  readonly progress: (line: string) => void
  /** Ends the level that runs and everything that it started. */
  readonly signal?: AbortSignal
}

/** Minutes that a level gets to catch a mutant; the exhaustive ones take what they need. */
const minutes: Readonly<Record<string, number>> = { L0: 0.5, L1: 1, L2: 4, L3: 2, L4: 2 }

/** No level takes so many times its minutes: it hangs. */
const patience = 10

interface Told {
  readonly levels: ReadonlyArray<Verdict>
}

/** The verdict of the one level that ran; nothing when it printed none. */
const verdictIn = (out: string): Verdict | undefined => {
  try {
    return (JSON.parse(out) as Told).levels[0]
  } catch {
    // It ended before it could print one: its exit says why.
    return undefined
  }
}

const lastWords = (text: string): string => text.trim().split("\n").slice(-3).join(" | ")

/** Runs a level in a copy; what it printed as its verdict, or why there is none. */
const runLevel = (copy: string, level: string, { seed, signal: abort }: Options): Promise<Verdict | string> =>
  new Promise((resolve) => {
    const length = minutes[level] ?? 1
    const child = spawn(
      process.execPath,
      [
        join(copy, "apps/torture/src/main.ts"),
        ...["--levels", level, "--minutes", String(length), "--seed", String(seed), "--stop-at-first", "--json"]
      ],
      { cwd: copy, stdio: ["ignore", "pipe", "pipe"] }
    )
    let out = ""
    let err = ""
    child.stdout.on("data", (data: Buffer) => (out += data.toString("utf8")))
    child.stderr.on("data", (data: Buffer) => (err = (err + data.toString("utf8")).slice(-2000)))
    // It closes what it has opened: its gateways must not stay behind.
    const end = () => void child.kill("SIGTERM")
    abort?.addEventListener("abort", end)
    const timer = setTimeout(end, Math.max(length, 1) * 60_000 * patience)
    child.once("close", (code, signal) => {
      clearTimeout(timer)
      abort?.removeEventListener("abort", end)
      resolve(verdictIn(out) ?? `${level} ended with ${code ?? signal} and without a verdict: ${lastWords(err)}`)
    })
  })

/** What of a verdict shows the mutant: a broken promise that it was expected to break. */
const shown = ({ violations }: Verdict, { invariants }: Mutant) =>
  violations.find(({ invariant }) => invariants.includes(invariant))

/** What a level did that caught nothing; one that saw something else, or could not go on, says what. */
const nothingIn = ({ level, runs, violations }: Verdict): string =>
  [
    `${level} did not see it in ${runs} runs`,
    ...violations.slice(0, 2).map(({ invariant, what }) => `${invariant} ${what.slice(0, 400)}`)
  ].join(": ")

/** Puts one mutant into a copy and looks for it. */
const hunt = async (mutant: Mutant, options: Options): Promise<Caught> => {
  const began = performance.now()
  const known = { name: mutant.name, breaks: mutant.breaks, expected: mutant.invariants }
  const seconds = () => Math.round((performance.now() - began) / 100) / 10
  const copy = copyOf(repository)
  try {
    const wrong = apply(mutant, copy, "write")
    if (wrong !== undefined) return { ...known, caught: false, seconds: seconds(), what: wrong }
    const missed: Array<string> = []
    for (const level of mutant.levels) {
      const verdict = await runLevel(copy, level, options)
      const found = typeof verdict === "string" ? undefined : shown(verdict, mutant)
      if (typeof verdict === "string" || found === undefined) {
        missed.push(typeof verdict === "string" ? verdict : nothingIn(verdict))
        options.progress(`${mutant.name}: ${missed.at(-1)}`)
        continue
      }
      const { kills, runs } = verdict
      const { invariant, what } = found
      return { ...known, caught: true, level, invariant, runs, kills, seconds: seconds(), what }
    }
    return { ...known, caught: false, seconds: seconds(), what: missed.join("; ") }
  } finally {
    remove(copy)
  }
}

const lineOf = (one: Caught): string =>
  one.caught
    ? `${one.name}: caught by ${one.level} (${one.invariant}) after ${one.runs} runs, ${one.kills} kills, ${one.seconds} s`
    : `${one.name}: NOT caught: ${one.what}`

/** Runs the mutants one after the other. */
export const runMutants = async (options: Options): Promise<ReadonlyArray<Caught>> => {
  const chosen = mutants().filter(
    ({ name }) => options.only === undefined || options.only.some((one) => name.includes(one))
  )
  const found: Array<Caught> = []
  for (const mutant of chosen) {
    if (options.signal?.aborted === true) break
    const one = await hunt(mutant, options)
    found.push(one)
    options.progress(lineOf(one))
  }
  return found
}

const pad = (text: string, width: number): string => text.padEnd(width)

/** The table for a terminal. */
export const table = (found: ReadonlyArray<Caught>): string => {
  const rows = [
    ["mutant", "caught by", "invariant", "runs", "kills", "seconds"],
    ...found.map((one) =>
      one.caught
        ? [one.name, one.level, one.invariant, one.runs, one.kills, one.seconds].map((cell) => String(cell ?? ""))
        : [one.name, "NOBODY", one.expected.join(" "), "", "", String(one.seconds)]
    )
  ]
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const lines = rows.map((row) =>
    row
      .map((cell, column) => pad(cell, widths[column] ?? 0))
      .join("  ")
      .trimEnd()
  )
  const caught = found.filter((one) => one.caught).length
  return [
    ...lines,
    "",
    `${caught} of ${found.length} mutants caught`,
    ...found.filter((one) => !one.caught).map(lineOf)
  ].join("\n")
}

/** Runs the mutants, all unless some are named: the table, the same as data, and whether each was caught. */
export const run = ({ progress, seed }: Budget, only?: ReadonlyArray<string>) =>
  Effect.map(
    Effect.promise((signal) =>
      runMutants({
        seed,
        signal,
        progress: (line) => progress(`mutants  ${line}`),
        ...(only === undefined ? {} : { only })
      })
    ),
    (found) => ({ text: table(found), found, caught: found.length > 0 && found.every(({ caught }) => caught) })
  )
