/**
 * What agents of each kind did in a history: how often they ran, what they answered,
 * what was run again, and which answers came from one that had outlived its gateway.
 * The figures judge nothing; they say what the invariants were held against.
 */
import { bySession, type Gathered, isAnswer, type RunSeen, type Shown } from "./Gathered.ts"
import type { Causes } from "./Moments.ts"

/** Of agents of one kind. */
export interface OfKind {
  readonly runs: number
  /** Messages whose end is an answer of theirs. */
  readonly answered: number
  /** Runs with a message that had been run before. */
  readonly again: number
  /** Runs that ended after their gateway had, and whose answer was shown. */
  readonly outlived: number
}

const nothing: OfKind = { runs: 0, answered: 0, again: 0, outlived: 0 }

const sum = (one: OfKind, other: OfKind): OfKind => ({
  runs: one.runs + other.runs,
  answered: one.answered + other.answered,
  again: one.again + other.again,
  outlived: one.outlived + other.outlived
})

/** Adds figures to figures. */
export const added = (
  one: Readonly<Record<string, OfKind>>,
  other: Readonly<Record<string, OfKind>>
): Readonly<Record<string, OfKind>> => {
  const all: Record<string, OfKind> = { ...one }
  for (const [kind, more] of Object.entries(other)) all[kind] = sum(all[kind] ?? nothing, more)
  return all
}

/** Runs that are not the first of some message of theirs. */
const againIn = (gathered: Gathered): ReadonlySet<RunSeen> => {
  const found = new Set<RunSeen>()
  for (const { runs: all } of gathered.conversations.values()) {
    for (const runs of bySession(all, ({ session }) => session)) {
      const seen = new Set<string>()
      for (const run of runs) {
        if (run.ids.some((id) => seen.has(id))) found.add(run)
        for (const id of run.ids) seen.add(id)
      }
    }
  }
  return found
}

/** The figures by kind; nothing of runs that don't say theirs. */
export const agentsOf = (
  gathered: Gathered,
  ends: ReadonlyMap<string, ReadonlyArray<Shown>>,
  causes: Causes
): Readonly<Record<string, OfKind>> => {
  const again = againIn(gathered)
  const answers = new Map<string, number>()
  for (const shown of ends.values()) {
    const run = shown.find(isAnswer)?.run
    if (run !== undefined) answers.set(run, (answers.get(run) ?? 0) + 1)
  }
  const kinds: Record<string, OfKind> = {}
  for (const run of gathered.runs.values()) {
    if (run.kind === undefined) continue
    const answered = answers.get(run.run) ?? 0
    const late = answered > 0 && run.end !== undefined && causes.deaths.any(run.begin.at, run.end.at)
    const own = { runs: 1, answered, again: again.has(run) ? 1 : 0, outlived: late ? 1 : 0 }
    kinds[run.kind] = sum(kinds[run.kind] ?? nothing, own)
  }
  return kinds
}
