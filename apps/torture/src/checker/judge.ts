/**
 * The checker: all invariants over one history. It knows the history and nothing
 * else: no line of the gateway's code, and never its journal.
 */
import type { Read } from "../history/reader.ts"
import { agentsOf } from "./agents.ts"
import { judgeAsides } from "./asides.ts"
import { judgeCopies, judgeNumbers, judgePlaceholders, judgePlaces } from "./copies.ts"
import { endsOf, judgeEnds, judgeOrigins } from "./ends.ts"
import { type CheckerVerdict, Findings } from "./Findings.ts"
import { gather } from "./gather.ts"
import { deathOf, mayBeAccepted } from "./Gathered.ts"
import { judgeLedgers } from "./ledgers.ts"
import { causesOf } from "./Moments.ts"
import { judgeOrder } from "./order.ts"
import { judgeAfterwards, judgeAttempts, judgeMemories, judgeOverlaps } from "./runs.ts"
import { judgeLeftovers, judgeStops } from "./stops.ts"
import { timesOf } from "./times.ts"

/** Judges what was read from `file`. */
export const judge = (file: string, read: Read): CheckerVerdict => {
  const gathered = gather(read)
  const findings = new Findings()
  const ends = endsOf(gathered)
  const causes = causesOf(gathered)
  const fates = judgeEnds(gathered, ends, causes, findings)
  judgeOrigins(gathered, findings)
  const duplicated = judgeCopies(gathered, ends, causes, findings)
  judgePlaces(gathered, findings)
  judgePlaceholders(gathered, causes, findings)
  judgeNumbers(gathered, findings)
  const orderFaults = judgeOrder(gathered, findings)
  judgeOverlaps(gathered, findings)
  judgeAttempts(gathered, ends, causes, findings)
  judgeAsides(gathered, findings)
  judgeAfterwards(gathered, ends, findings)
  judgeMemories(gathered, findings)
  judgeStops(gathered, findings)
  judgeLeftovers(gathered, findings)
  judgeLedgers(gathered, ends, findings)
  const messages = [...gathered.messages.values()]
  const boots = [...gathered.boots.values()]
  return {
    file,
    lines: gathered.lines,
    torn: gathered.torn,
    sent: messages.filter(mayBeAccepted).length,
    acknowledged: messages.filter(({ acknowledged }) => acknowledged !== undefined).length,
    ...fates,
    duplicated,
    orderFaults,
    runs: gathered.runs.size,
    boots: boots.length,
    kills: boots.filter((seen) => deathOf(seen) !== undefined).length,
    stops: boots.filter(({ stop }) => stop !== undefined).length,
    broken: findings.broken,
    more: findings.more,
    unjudged: findings.unjudged,
    agents: agentsOf(gathered, ends, causes),
    times: timesOf(gathered, ends)
  }
}
