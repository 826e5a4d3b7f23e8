/**
 * What a run of the torture says at its end: a table of the levels, the times, every
 * broken promise with what repeats it, and one last line that says yes or no. All of
 * it is made from the levels' verdicts, so the figures on a page and on a terminal are
 * the same.
 */
import type { Times, Verdict, Violation } from "./levels/Level.ts"

/** A figure with its thousands apart. */
export const grouped = (value: number): string => value.toLocaleString("en-US")

/** Milliseconds as people read them. */
export const span = (millis: number): string => {
  if (millis < 10) return `${millis.toFixed(1)} ms`
  if (millis < 1_000) return `${Math.round(millis)} ms`
  return millis < 100_000 ? `${(millis / 1_000).toFixed(1)} s` : `${Math.round(millis / 1_000)} s`
}

/** The value that so many hundredths of the values don't exceed; `sorted` is not empty. */
export const percentile = (sorted: ReadonlyArray<number>, hundredths: number): number =>
  sorted[Math.max(0, Math.ceil((sorted.length * hundredths) / 100) - 1)] ?? Number.NaN

/** Extra copies by class, in words. */
export const copies = (duplicated: Readonly<Record<string, number>>): string =>
  Object.entries(duplicated)
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([name, count]) => `${name} ${grouped(count)}`)
    .join(", ") || "none"

type Row = ReadonlyArray<string>

/** Lines of a table, for a terminal: figures to the right. */
const aligned = (rows: ReadonlyArray<Row>, figures: ReadonlySet<number>): ReadonlyArray<string> => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) =>
        figures.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)
      )
      .join("  ")
      .trimEnd()
  )
}

const whatRuns = {
  L0: "histories",
  L1: "points",
  L2: "worlds",
  L3: "faults",
  L4: "restarts"
} as const

/** The header and a row for each level. */
export const levelRows = (verdicts: ReadonlyArray<Verdict>): ReadonlyArray<Row> => [
  ["level", "runs", "", "kills", "sent", "acknowledged", "lost", "order faults", "broken", "extra copies"],
  ...verdicts.map((verdict) => [
    verdict.level,
    grouped(verdict.runs),
    whatRuns[verdict.level],
    grouped(verdict.kills),
    grouped(verdict.sent),
    grouped(verdict.acknowledged),
    grouped(verdict.lost),
    grouped(verdict.orderFaults),
    grouped(verdict.violations.length),
    copies(verdict.duplicated)
  ])
]

/** The header and a row for each kind of agent at each level. */
export const agentRows = (verdicts: ReadonlyArray<Verdict>): ReadonlyArray<Row> => [
  ["level", "kind of agent", "runs", "answered", "again", "outlived"],
  ...verdicts.flatMap(({ agents = {}, level }) =>
    Object.entries(agents).map(([kind, { again, answered, outlived, runs }]) => [
      level,
      kind,
      ...[runs, answered, again, outlived].map(grouped)
    ])
  )
]

/** All times of all levels by their names. */
export const timesOf = (verdicts: ReadonlyArray<Verdict>): Times => {
  const times: Times = {}
  for (const verdict of verdicts) {
    for (const [name, values] of Object.entries(verdict.times)) {
      const known = (times[name] ??= [])
      for (const value of values) known.push(value)
    }
  }
  return times
}

/** The header and a row for each kind of time that was measured. */
export const timeRows = (times: Times): ReadonlyArray<Row> => [
  ["time", "count", "p50", "p99", "max"],
  ...Object.entries(times)
    .filter(([, values]) => values.length > 0)
    .toSorted(([a], [b]) => a.localeCompare(b, "en", { numeric: true }))
    .map(([name, values]) => {
      const sorted = values.toSorted((a, b) => a - b)
      return [name, grouped(sorted.length), ...[50, 99, 100].map((at) => span(percentile(sorted, at)))]
    })
]

const violationLines = ({ history, invariant, seed, what }: Violation): ReadonlyArray<string> => [
  `${invariant}  ${what}`,
  `    seed ${seed}${history === undefined ? "" : `, history ${history}`}`
]

const shownOfEach = 20

/** Broken promises of one level: the first of them, and how many more there are. */
const brokenLines = ({ level, violations }: Verdict): ReadonlyArray<string> => {
  if (violations.length === 0) return []
  const more = violations.length - shownOfEach
  return [
    "",
    `${level}: ${grouped(violations.length)} broken`,
    ...violations.slice(0, shownOfEach).flatMap(violationLines),
    ...(more > 0 ? [`... and ${grouped(more)} more`] : [])
  ]
}

const sum = (verdicts: ReadonlyArray<Verdict>, of: (verdict: Verdict) => number): number =>
  verdicts.reduce((total, verdict) => total + of(verdict), 0)

/** Yes or no, with the figures that matter. */
export const lastLine = (verdicts: ReadonlyArray<Verdict>): string => {
  const broken = sum(verdicts, ({ violations }) => violations.length)
  const figures = [
    `${grouped(sum(verdicts, ({ kills }) => kills))} kills`,
    `${grouped(sum(verdicts, ({ acknowledged }) => acknowledged))} acknowledged`,
    `${grouped(sum(verdicts, ({ lost }) => lost))} lost`,
    `${grouped(sum(verdicts, ({ orderFaults }) => orderFaults))} order faults`
  ]
  return `${broken === 0 ? "KEPT" : "BROKEN"}: ${figures.join(", ")}, ${grouped(broken)} promises broken`
}

/** The verdict for a terminal. */
export const verdictText = (verdicts: ReadonlyArray<Verdict>): string => {
  if (verdicts.length === 0) return "NOTHING was run, and nothing is proved"
  const times = timeRows(timesOf(verdicts))
  const agents = agentRows(verdicts)
  return [
    ...aligned(levelRows(verdicts), new Set([1, 3, 4, 5, 6, 7, 8])),
    ...(agents.length > 1 ? ["", ...aligned(agents, new Set([2, 3, 4, 5]))] : []),
    ...(times.length > 1 ? ["", ...aligned(times, new Set([1, 2, 3, 4]))] : []),
    ...verdicts.flatMap(({ level, notes }) =>
      notes.length === 0 ? [] : ["", ...notes.map((note) => `${level}  ${note}`)]
    ),
    ...verdicts.flatMap(brokenLines),
    "",
    lastLine(verdicts)
  ].join("\n")
}
