/**
 * A report and the last stop in words. At most 25 lines, the verdict first, then what was cut, then what is left, so
 * that the end of a terminal or a log shows what matters.
 */
import { overdue, restart, verdict } from "./exitCode.ts"
import type { DrainRow, PhaseRow, Report, SessionRow } from "./Report.ts"

/** The most lines that a report has for people. */
export const maxTextLines = 25

/** A duration as people read it: `85 ms`, `1.2 s`, `2 min 5 s`, `3 h 12 min`. */
export const inWords = (millis: number): string => {
  const ms = Math.max(0, Math.round(millis))
  if (ms < 1000) return `${ms} ms`
  const seconds = ms / 1000
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** `1 turn`, `2 turns`. */
export const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`

/** Foreign text on one line: control characters are blanks, the rest is cut. */
const oneLine = (text: string, limit = 160): string => {
  const flat = text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").trim()
  return flat.length > limit ? `${flat.slice(0, limit - 1)}…` : flat
}

/** Drains that are named when there is no room for more. */
const leastDrains = 2

const row = (label: string, text: string): string => `  ${label.padEnd(10)}${text}`

/** The first `limit` lines, and how many more there are. */
const atMost = (lines: ReadonlyArray<string>, limit: number, more = 0): ReadonlyArray<string> => {
  const hidden = more + Math.max(0, lines.length - limit)
  return hidden === 0 ? lines : [...lines.slice(0, limit), row("", `and ${hidden} more`)]
}

const sessionText = (line: SessionRow): string => {
  const turn = line.turn === undefined ? "" : `turn ${line.turn}, attempt ${line.attempt ?? 1}, `
  const killed = line.pid === undefined ? "" : ` (pid ${line.pid}, ${oneLine(line.signal ?? "killed", 20)})`
  const age = line.age === undefined ? "" : ` after ${inWords(line.age)}`
  return row("", `${oneLine(line.key, 60)}: ${turn}${line.outcome}${killed}${age}, ${oneLine(line.state, 30)}`)
}

const turns = (report: Report): ReadonlyArray<string> => {
  if (report.sessions.length === 0) return []
  const counts = new Map<string, number>()
  for (const line of report.sessions) counts.set(line.outcome, (counts.get(line.outcome) ?? 0) + 1)
  const cut = report.sessions.filter((line) => line.outcome !== "finished").map(sessionText)
  const sums = [...counts].map(([outcome, n]) => `${n} ${outcome}`).join(", ")
  const more = report.moreSessions === 0 ? "" : `, ${report.moreSessions} more`
  return [row("turns", sums + more), ...atMost(cut, 6)]
}

const drainText = (line: DrainRow): string => {
  const counts = Object.entries(line.counts).map(([name, n]) => `${n} ${oneLine(name, 20)}`)
  const how = line.outcome === "done" ? [] : [line.outcome]
  const detail = line.detail === undefined ? "" : `: ${oneLine(line.detail, 100)}`
  return row("drains", `${oneLine(line.name, 40)}: ${[...how, ...counts, inWords(line.millis)].join(", ")}${detail}`)
}

const queued = (report: Report): ReadonlyArray<string> => {
  const all = report.queued.reduce((sum, line) => sum + line.waiting, report.moreQueued)
  if (all === 0) return []
  const named = report.queued.slice(0, 3).map((line) => `${oneLine(line.conversation, 40)} ${line.waiting}`)
  const others = all - report.queued.slice(0, 3).reduce((sum, line) => sum + line.waiting, 0)
  const list = [...named, ...(others > 0 ? [`others ${others}`] : [])].join(", ")
  return [row("queued", `${count(all, "message")} for the next boot: ${list}`)]
}

const replies = (report: Report): ReadonlyArray<string> => {
  if (report.replies === undefined) return []
  const { sent, pending, unknown } = report.replies
  return sent + pending + unknown === 0 ? [] : [row("replies", `${sent} sent, ${pending} pending, ${unknown} unknown`)]
}

const ledger = (report: Report): string => {
  if (report.ledger === undefined) return row("ledger", "not checked")
  const { accepted, balanced, ends, open } = report.ledger
  const ended = Object.values(ends).reduce((sum, n) => sum + n, 0)
  return row(
    "ledger",
    `${balanced ? "balanced" : "OUT OF BALANCE"}: ${accepted} accepted, ${ended} ended, ${open} open`
  )
}

const isCut = (line: SessionRow): boolean =>
  line.turn !== undefined && (line.outcome === "interrupted" || line.outcome === "killed")

const inPhase = ({ detail, name, outcome }: PhaseRow): string =>
  `${name} ${outcome}${detail === undefined ? "" : `: ${detail}`}`

/** The turns that it waited for are named in lines of their own. */
const isToldByTurns = (phase: PhaseRow, report: Report): boolean =>
  phase.name === "drain" && phase.detail === "still waiting for: sessions" && report.sessions.some(isCut)

const because = (report: Report): ReadonlyArray<string> => {
  const told = new Set(report.phases.filter((phase) => isToldByTurns(phase, report)).map(inPhase))
  // That it is to be started again stands in the first line.
  const isTold = (code: number) => code === 0 || (code === restart && report.exitCode === restart)
  const reasons = report.reasons.filter(({ code, why }) => !isTold(code) && !told.has(why))
  return atMost(
    [...new Set(reasons.map(({ code, why }) => `${oneLine(why)} (${code})`))].map((text) => row("because", text)),
    3
  )
}

const phaseText = ({ millis, name, outcome }: PhaseRow): string => {
  // The report is stored in the last phase, so that one is never over in it.
  if (outcome === "running") return `${name} under way`
  return `${name} ${inWords(millis)}${outcome === "done" ? "" : ` (${outcome})`}`
}

const phases = (report: Report): ReadonlyArray<string> => {
  const said = new Set(report.reasons.map(({ why }) => why))
  const details = report.phases.filter(
    (phase) => phase.detail !== undefined && !said.has(inPhase(phase)) && !isToldByTurns(phase, report)
  )
  return [
    row("phases", report.phases.map(phaseText).join(", ")),
    ...details.slice(0, 4).map((phase) => row("", oneLine(inPhase(phase))))
  ]
}

/** A restart that had to cut turns was not clean, whatever its code. */
const how = ({ exitCode, reasons }: Report): string =>
  exitCode === restart && reasons.some(({ code }) => code === overdue)
    ? `${verdict(overdue)}, for a restart`
    : verdict(exitCode)

/** The report for people. */
export const reportText = (report: Report): string => {
  const by = report.by.length === 0 ? "" : ` (${oneLine(report.by.join(", "), 60)})`
  const before = [
    `Stopped in ${inWords(report.millis)}${by}: ${how(report)}, exit ${report.exitCode}`,
    ...because(report),
    row("deadline", `${inWords(report.deadline.millis)}, ${oneLine(report.deadline.source, 100)}`),
    ...phases(report),
    ...turns(report)
  ]
  const after = [...queued(report), ...replies(report), ledger(report)]
  // A pool is a line each, as far as there is room beside what was cut; one line says how many more there are.
  const room = Math.max(leastDrains, maxTextLines - before.length - after.length - 1)
  const lines = [...before, ...atMost(report.drains.map(drainText), room), ...after]
  return lines.slice(0, maxTextLines).join("\n")
}
