/**
 * I8 and I9. A stop is over by its deadline and a second, whatever agents and clients
 * do; one that was killed by the harness in time proves nothing, one that had to be
 * killed after that second is broken. And when a gateway has ended as it was asked to,
 * none of its agents is left: not in the list of processes, and not in the history.
 */
import type { Findings } from "./Findings.ts"
import { type BootSeen, type Gathered, plannedExitOf } from "./Gathered.ts"

const reserve = 1_000

/** I8. */
export const judgeStops = (gathered: Gathered, findings: Findings): void => {
  for (const { boot, exited, killed, starved, stop, stopped } of gathered.boots.values()) {
    if (stop === undefined) continue
    if (stop.deadline === undefined) {
      findings.unjudged.push(`I8: boot ${boot} was stopped and the history has no deadline`)
      continue
    }
    const over = exited ?? killed ?? stopped ?? gathered.end
    const took = over.at - stop.at
    // Time in which it could not run is the machine's, not the gateway's.
    if (took - starved <= stop.deadline + reserve) continue
    const how = killed !== undefined ? "and was killed" : exited === undefined ? "and had not ended" : "to end"
    const what = `boot ${boot} took ${Math.round(took)} ms ${how}; its deadline was ${stop.deadline} ms`
    findings.breaks("I8", what, { lines: [stop.line, over.line] })
  }
}

/** The one gateway that lived at a moment; undefined when there were several, and when there was none. */
const aliveAt = (boots: ReadonlyArray<BootSeen>, at: number): ReadonlyArray<BootSeen> =>
  boots.filter(({ exited, invoked }) => (invoked?.at ?? Infinity) <= at && at <= (exited?.at ?? Infinity))

/** For each moment in time, who lived then: boots in the order of their beginnings, and a place that moves on. */
const lives = (gathered: Gathered) => {
  const boots = [...gathered.boots.values()].toSorted((a, b) => (a.invoked?.at ?? 0) - (b.invoked?.at ?? 0))
  let from = 0
  /** Moments must not go back. */
  return (at: number): { readonly alive: ReadonlyArray<BootSeen>; readonly before: BootSeen | undefined } => {
    while (from < boots.length && (boots[from]?.exited?.at ?? Infinity) < at) from++
    let until = from
    while (until < boots.length && (boots[until]?.invoked?.at ?? Infinity) <= at) until++
    return { alive: aliveAt(boots.slice(from, until), at), before: boots[from - 1] }
  }
}

/** I9. */
export const judgeLeftovers = (gathered: Gathered, findings: Findings): void => {
  for (const seen of gathered.boots.values()) {
    const { left = [], ...exited } = plannedExitOf(seen) ?? { line: 0 }
    if (left.length === 0) continue
    const what = `${left.length} processes were left when boot ${seen.boot} had ended: pid ${left.join(", ")}`
    findings.breaks("I9", what, { lines: [exited.line] })
  }
  const at = lives(gathered)
  const runs = [...gathered.runs.values()].toSorted((a, b) => a.begin.at - b.begin.at)
  for (const { begin, conversation, ids, last, pid, run } of runs) {
    const { alive, before } = at(begin.at)
    const [own, ...others] = alive
    if (others.length > 0) continue
    // Nobody lives: the child of a gateway that was killed may begin so late, that of one that ended may not.
    const exited = plannedExitOf(own ?? before ?? seenNothing)
    if (exited === undefined || last.at <= exited.at) continue
    const what = `run ${run} (pid ${pid}) wrote a line after boot ${(own ?? before)?.boot} had ended`
    findings.breaks("I9", what, { conversation, ids, lines: [begin.line, exited.line, last.line] })
  }
}

const seenNothing: BootSeen = {
  boot: 0,
  invoked: undefined,
  ready: undefined,
  killed: undefined,
  exited: undefined,
  stop: undefined,
  stopped: undefined,
  starved: 0
}
