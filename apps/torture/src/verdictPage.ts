/**
 * Where the figures of runs are kept: a list of all runs that were written down, so
 * that kills may be summed over runs whose seeds are known, and a block in the
 * guarantees' page that is made from that list. A run that broke a promise is written
 * down like any other.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { join } from "node:path"
import { added } from "./checker/agents.ts"
import type { Agents, Verdict } from "./levels/Level.ts"
import { copies, grouped, percentile, span, timesOf } from "./verdict.ts"

/** The figures of one level in one run. */
export interface LevelOfRun {
  readonly level: Verdict["level"]
  readonly runs: number
  readonly kills: number
  readonly sent: number
  readonly acknowledged: number
  readonly lost: number
  readonly duplicated: Readonly<Record<string, number>>
  readonly orderFaults: number
  readonly broken: number
  /** What agents did, by their kind, where it was told. */
  readonly agents?: Agents
}

/** A time of one run: how many were measured, and milliseconds. */
export interface TimeOfRun {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** What became of a mutant: a fault that was put into a copy of the source. */
export interface MutantOfRun {
  readonly name: string
  /** The promise that it breaks, in words. */
  readonly breaks: string
  readonly caught: boolean
  /** The level and the invariant that saw it, and after how many of its runs and kills. */
  readonly level?: string
  readonly invariant?: string
  readonly runs?: number
  readonly kills?: number
}

/** One run as it is written down. */
export interface Run {
  /** The day, `2026-11-21`. */
  readonly date: string
  readonly command: string
  readonly machine: string
  readonly seed: number
  readonly levels: ReadonlyArray<LevelOfRun>
  readonly times: Readonly<Record<string, TimeOfRun>>
  readonly mutants?: ReadonlyArray<MutantOfRun>
}

/** What it runs on, in words. */
export const machine = (): string => {
  const model = cpus()[0]?.model ?? "unknown processor"
  const memory = Math.round(totalmem() / 1e9)
  return `${cpus().length} cores of ${model}, ${memory} GB, ${process.platform} ${process.arch}, Node ${process.version}`
}

/** What of a mutant is written down. */
const figures = ({ breaks, caught, invariant, kills, level, name, runs }: MutantOfRun): MutantOfRun => ({
  ...{ name, breaks, caught },
  ...(level === undefined ? {} : { level }),
  ...(invariant === undefined ? {} : { invariant }),
  ...(runs === undefined ? {} : { runs }),
  ...(kills === undefined ? {} : { kills })
})

/** A run's figures from its verdicts. */
export const runOf = (
  verdicts: ReadonlyArray<Verdict>,
  about: Pick<Run, "command" | "date" | "machine" | "seed">,
  mutants: ReadonlyArray<MutantOfRun> = []
): Run => ({
  ...about,
  ...(mutants.length === 0 ? {} : { mutants: mutants.map(figures) }),
  levels: verdicts.map((verdict) => {
    const { acknowledged, agents = {}, duplicated, kills, level, lost, orderFaults, runs, sent, violations } = verdict
    return {
      ...{ level, runs, kills, sent, acknowledged, lost, duplicated, orderFaults },
      broken: violations.length,
      ...(Object.keys(agents).length === 0 ? {} : { agents })
    }
  }),
  times: Object.fromEntries(
    Object.entries(timesOf(verdicts)).flatMap(([name, values]) => {
      if (values.length === 0) return []
      const sorted = values.toSorted((a, b) => a - b)
      const [p50, p99, max] = [50, 99, 100].map((at) => Math.round(percentile(sorted, at) * 10) / 10)
      return [[name, { count: sorted.length, p50: p50 ?? 0, p99: p99 ?? 0, max: max ?? 0 }]]
    })
  )
})

const add = (total: Record<string, number>, more: Readonly<Record<string, number>>): Record<string, number> => {
  for (const [name, count] of Object.entries(more)) total[name] = (total[name] ?? 0) + count
  return total
}

/** The figures of each level over all runs, in the order of the levels. */
export const summed = (runs: ReadonlyArray<Run>): ReadonlyArray<LevelOfRun> => {
  const levels = new Map<string, LevelOfRun>()
  for (const one of runs.flatMap(({ levels }) => levels)) {
    const known = levels.get(one.level)
    if (known === undefined) {
      levels.set(one.level, one)
      continue
    }
    levels.set(one.level, {
      level: one.level,
      runs: known.runs + one.runs,
      kills: known.kills + one.kills,
      sent: known.sent + one.sent,
      acknowledged: known.acknowledged + one.acknowledged,
      lost: known.lost + one.lost,
      duplicated: add({ ...known.duplicated }, one.duplicated),
      orderFaults: known.orderFaults + one.orderFaults,
      broken: known.broken + one.broken,
      ...(known.agents === undefined && one.agents === undefined
        ? {}
        : { agents: added(known.agents ?? {}, one.agents ?? {}) })
    })
  }
  return [...levels.values()].toSorted((a, b) => a.level.localeCompare(b.level))
}

const row = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

const levelTable = (levels: ReadonlyArray<LevelOfRun>): ReadonlyArray<string> => [
  row(["level", "runs", "kills", "sent", "acknowledged", "lost", "extra copies", "order faults", "broken"]),
  "|---|--:|--:|--:|--:|--:|---|--:|--:|",
  ...levels.map((one) =>
    row([
      one.level,
      ...[one.runs, one.kills, one.sent, one.acknowledged, one.lost].map(grouped),
      copies(one.duplicated),
      ...[one.orderFaults, one.broken].map(grouped)
    ])
  )
]

/** What agents did, over all levels, in the runs that told it. */
const agentTable = (levels: ReadonlyArray<LevelOfRun>): ReadonlyArray<string> => {
  const agents = levels.reduce<Agents>((sum, one) => added(sum, one.agents ?? {}), {})
  const rows = Object.entries(agents).toSorted(([a], [b]) => a.localeCompare(b))
  if (rows.length === 0) return []
  return [
    "",
    "By kind of agent, of the runs that say so (a run of an agent is run again after a crash, a stop or a failure):",
    "",
    row([
      "kind of agent",
      "its runs",
      "messages answered",
      "run again",
      "answers of one that had outlived its gateway"
    ]),
    "|---|--:|--:|--:|--:|",
    ...rows.map(([kind, { again, answered, outlived, runs }]) =>
      row([kind, ...[runs, answered, again, outlived].map(grouped)])
    )
  ]
}

/** So many of a time are enough for its percentiles. */
const enough = 20

/** Each time in the newest run that measured enough of it, or else in the one that measured most: percentiles can't be added up. */
const timesOfRuns = (runs: ReadonlyArray<Run>): ReadonlyArray<readonly [string, TimeOfRun]> => {
  const found = new Map<string, TimeOfRun>()
  for (const { times } of runs) {
    for (const [name, time] of Object.entries(times)) {
      const known = found.get(name)
      if (known === undefined || time.count >= Math.min(enough, known.count)) found.set(name, time)
    }
  }
  return [...found].toSorted(([a], [b]) => a.localeCompare(b, "en", { numeric: true }))
}

const timeTable = (runs: ReadonlyArray<Run>): ReadonlyArray<string> => {
  const times = timesOfRuns(runs)
  if (times.length === 0) return []
  return [
    "",
    row([`time, in the newest run with ${enough} of it, or the one with most`, "count", "p50", "p99", "max"]),
    "|---|--:|--:|--:|--:|",
    ...times.map(([name, { count, max, p50, p99 }]) => row([name, grouped(count), span(p50), span(p99), span(max)]))
  ]
}

/** The newest hunt of each mutant. */
const mutantTable = (runs: ReadonlyArray<Run>): ReadonlyArray<string> => {
  const newest = new Map(runs.flatMap(({ mutants = [] }) => mutants.map((one) => [one.name, one] as const)))
  if (newest.size === 0) return []
  const mutants = [...newest.values()].toSorted((a, b) => a.name.localeCompare(b.name))
  const caught = mutants.filter((one) => one.caught).length
  return [
    "",
    `${caught} of ${mutants.length} mutants caught, each in the newest run that had it:`,
    "",
    row(["mutant", "breaks", "caught by", "runs", "kills"]),
    "|---|---|---|--:|--:|",
    ...mutants.map(({ breaks, caught, invariant, kills, level, name, runs }) =>
      row([
        name,
        breaks,
        caught ? `${level} (${invariant})` : "**nobody**",
        ...[runs, kills].map((one) => grouped(one ?? 0))
      ])
    )
  ]
}

/** The block of the page. */
export const block = (runs: ReadonlyArray<Run>): string => {
  const days = runs.map(({ date }) => date).toSorted()
  const machines = [...new Set(runs.map(({ machine }) => machine))]
  const commands = [...new Set(runs.map(({ command }) => command))]
  return [
    `Summed over ${runs.length} ${runs.length === 1 ? "run" : "runs"} from ${days[0]} to ${days.at(-1)}, on ${machines.join("; on ")}.`,
    `Commands: ${commands.map((command) => `\`${command}\``).join(", ")}. Seeds: ${runs.map(({ seed }) => seed).join(", ")}.`,
    "",
    ...levelTable(summed(runs)),
    ...agentTable(summed(runs)),
    ...timeTable(runs),
    ...mutantTable(runs)
  ].join("\n")
}

const [begin, end] = ["<!-- torture -->", "<!-- /torture -->"]

/** A page's text with another block between its marks. */
export const placed = (page: string, text: string): string => {
  const at = page.indexOf(begin)
  const until = page.indexOf(end)
  if (at < 0 || until < at) throw new Error(`the page has no ${begin} ... ${end}`)
  return `${page.slice(0, at)}${begin}\n\n${text}\n\n${page.slice(until)}`
}

const docs = join(import.meta.dirname, "../../../docs")

const known = (file: string): ReadonlyArray<Run> => {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as ReadonlyArray<Run>
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return []
    throw cause
  }
}

/** Writes a run down: into `torture-runs.json` and into the block of `guarantees.md` of a folder of pages. */
export const writeDown = (run: Run, folder: string = docs): void => {
  const list = join(folder, "torture-runs.json")
  const page = join(folder, "guarantees.md")
  const runs = [...known(list), run]
  const text = placed(readFileSync(page, "utf8"), block(runs))
  writeFileSync(list, `${JSON.stringify(runs, undefined, 2)}\n`)
  writeFileSync(page, text)
}
