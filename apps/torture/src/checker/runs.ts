/**
 * I6 and I7. A conversation, and each session of one, has one run at a time, and an agent that outlives its
 * gateway is one: a run lasts from its first line to its last, whatever it says of
 * its end, and longer when the next one finds its process alive. And each further run
 * of a message has a cause between the two: the gateway ended, or the run did not
 * answer. What a process does in silence after its last line is not seen.
 */
import type { Findings } from "./Findings.ts"
import {
  bySession,
  deathOf,
  type Gathered,
  isAnswer,
  isEnd,
  type Message,
  type RunSeen,
  type Shown
} from "./Gathered.ts"
import { begunBefore, type Causes, Moments } from "./Moments.ts"

const judgeSession = (conversation: string, runs: ReadonlyArray<RunSeen>, findings: Findings): void => {
  let longest: RunSeen | undefined
  for (const run of runs) {
    if (longest !== undefined && run.begin.at < longest.last.at) {
      const what = `run ${run.run} (pid ${run.pid}) began while run ${longest.run} (pid ${longest.pid}) went on`
      const lines = [longest.begin.line, run.begin.line, longest.last.line]
      findings.breaks("I6", what, { conversation, ids: [...new Set([...longest.ids, ...run.ids])], lines })
    }
    const others = run.besides.filter((pid) => pid !== run.pid)
    if (others.length > 0) {
      const what = `run ${run.run} (pid ${run.pid}) found other runs alive: pid ${others.join(", ")}`
      const earlier = runs.filter(({ pid }) => others.includes(pid)).map(({ begin }) => begin.line)
      findings.breaks("I6", what, { conversation, ids: run.ids, lines: [...earlier, run.begin.line] })
    }
    if (longest === undefined || run.last.at >= longest.last.at) longest = run
  }
}

/** I6: no two runs of a session overlap. */
export const judgeOverlaps = (gathered: Gathered, findings: Findings): void => {
  for (const { name: conversation, runs: all } of gathered.conversations.values()) {
    for (const runs of bySession(all, ({ session }) => session)) judgeSession(conversation, runs, findings)
  }
}

/** A death of a gateway that counts for whoever ran in it. */
interface Death {
  readonly at: number
  /** Sessions, this one among them or not, whose trial as a suspect may have kept the others from being counted. */
  readonly suspects: ReadonlySet<string>
}

interface Deaths {
  /** In time. */
  readonly list: ReadonlyArray<Death>
  readonly places: Moments
}

const deathsAt = (list: ReadonlyArray<Death>): Deaths => ({ list, places: new Moments(list.map(({ at }) => at)) })

const nameOf = ({ conversation, session }: Pick<RunSeen, "conversation" | "session">): string =>
  `${conversation}\0${session}`

/** Names the session of a message: where it was run. One that never was may be of any session. */
const sessionsOf = ({ conversations, runs }: Gathered): ((message: Message) => string) => {
  const known = new Map([...runs.values()].flatMap((run) => run.ids.map((id) => [id, nameOf(run)] as const)))
  const only = new Map(
    [...conversations].flatMap(([name, seen]) => {
      const sessions = new Set(seen.runs.map(nameOf))
      const [first] = sessions
      return first === undefined || sessions.size > 1 ? [] : [[name, first] as const]
    })
  )
  return ({ conversation, id }) => known.get(id) ?? only.get(conversation) ?? conversation
}

/**
 * Deaths without a stop before them, which are crashes, and those in a stop, which are crashes or cuts, in time. While a
 * suspect is tried a crash counts for it only. A suspect is a message without an end that has seen two deaths.
 */
const deathsOf = (gathered: Gathered, ends: ReadonlyMap<string, ReadonlyArray<Shown>>) => {
  const deaths = [...gathered.boots.values()]
    .flatMap((seen) => {
      const death = deathOf(seen)
      return death === undefined ? [] : [{ at: death.at, stopping: seen.stop !== undefined }]
    })
    .toSorted((a, b) => a.at - b.at)
  const places = new Moments(deaths.map(({ at }) => at))
  const suspects = deaths.map(() => new Set<string>())
  const sessionOf = sessionsOf(gathered)
  for (const message of gathered.messages.values()) {
    if (message.post) continue
    const end = ends.get(message.id)?.[0]?.at ?? Infinity
    const from = places.before(message.first.at)
    const name = sessionOf(message)
    for (let n = from + 2; n < deaths.length && (deaths[n]?.at ?? Infinity) < end; n++) suspects[n]?.add(name)
  }
  const of = (inStop: boolean) =>
    deathsAt(
      deaths.flatMap(({ at, stopping }, n) =>
        stopping === inStop ? [{ at, suspects: suspects[n] ?? new Set<string>() }] : []
      )
    )
  return { crashes: of(false), cuts: of(true) }
}

/** How often a turn is tried that fails without a crash, and how many crashes or cuts set it aside. */
const [errors, crashesAllowed, cutsAllowed] = [3, 3, 10]
/** With so many of which nobody knows whether they were crashes or cuts, one of the two is reached. */
const deathsAllowed = crashesAllowed + cutsAllowed - 1

interface Tries {
  /** Failures in a row, without an end of the gateway between them. */
  failed: number
  crashed: number
  /** Deaths in a stop, which may have been crashes. */
  cut: number
}

/** What may explain that a message is run again. */
interface Reasons {
  readonly causes: Causes
  readonly crashes: Deaths
  readonly cuts: Deaths
  readonly begun: (at: number) => number
}

/** Whether the gateway that began a run was gone when the next one began. */
const endedBetween = ({ begun, causes }: Reasons, run: RunSeen, next: RunSeen): boolean =>
  run.epoch !== undefined && next.epoch !== undefined
    ? run.epoch !== next.epoch
    : causes.ends.any(begun(run.begin.at), next.begin.at)

/** Whether a run certainly died in a crash: the first thing that ended a gateway after it began, and nobody else's trial. */
const crashed = ({ begun, causes, crashes }: Reasons, run: RunSeen, next: RunSeen): boolean => {
  const { begin, end } = run
  if (begun(begin.at) !== begin.at) return false
  const crash = crashes.list[crashes.places.before(begin.at)]
  if (crash === undefined || crash.at >= next.begin.at || causes.ends.any(begin.at, crash.at)) return false
  // It had failed by itself: its turn waited for the next try, and nobody was dispatched.
  if (end?.phase === "fail" && end.at < crash.at) return false
  return [...crash.suspects].every((suspect) => suspect === nameOf(run))
}

/** Whether a run certainly was open when its gateway died in a stop: it was alive after that. */
const wasCut = ({ begun, cuts }: Reasons, run: RunSeen, next: RunSeen): boolean => {
  const { begin, last } = run
  if (begun(begin.at) !== begin.at) return false
  const death = cuts.list[cuts.places.before(begin.at)]
  if (death === undefined || death.at >= next.begin.at || last.at < death.at) return false
  return [...death.suspects].every((suspect) => suspect === nameOf(run))
}

/** What is wrong with running a message again, or nothing. */
const wrongAgain = (tries: Tries, run: RunSeen, next: RunSeen, reasons: Reasons): string | undefined => {
  const same = run.ids.join("\0") === next.ids.join("\0")
  if (endedBetween(reasons, run, next)) {
    // A turn that others have joined is asked anew; the same one is answered by what is there.
    if (same && run.stored !== undefined && run.stored.at < next.begin.at) return "although its answer was written down"
    tries.failed = 0
    if (crashed(reasons, run, next)) tries.crashed++
    else if (wasCut(reasons, run, next)) tries.cut++
    // Another turn has taken it over, with its crashes only.
    if (!same) tries.cut = 0
    if (tries.crashed >= crashesAllowed) return `after ${tries.crashed} crashes`
    const { crashed: crashes, cut } = tries
    return crashes + cut >= deathsAllowed ? `after ${crashes} crashes and ${cut} cuts or crashes in stops` : undefined
  }
  if (run.end?.phase === "ok") return "although the first had answered and no gateway ended in between"
  tries.failed++
  return tries.failed >= errors ? `after ${tries.failed} runs that failed` : undefined
}

/** I7: each further run of a message has its cause, and after three crashes, or ten cuts, there is none. */
export const judgeAttempts = (
  gathered: Gathered,
  ends: ReadonlyMap<string, ReadonlyArray<Shown>>,
  causes: Causes,
  findings: Findings
): void => {
  const reasons = { causes, ...deathsOf(gathered, ends), begun: begunBefore(gathered, "ready") }
  for (const { name: conversation, runs } of gathered.conversations.values()) {
    const latest = new Map<string, RunSeen>()
    const tries = new Map<string, Tries>()
    for (const next of runs) {
      const wrong = new Map<string, { readonly run: RunSeen; readonly ids: Array<string> }>()
      for (const id of next.ids) {
        const run = latest.get(id)
        latest.set(id, next)
        if (run === undefined || run === next) continue
        // It may have been in the line still, where crashes and failures don't count for it.
        if (run.joined.has(id) && run.end?.phase !== "ok") continue
        const tried = tries.get(id) ?? { failed: 0, crashed: 0, cut: 0 }
        tries.set(id, tried)
        const why = wrongAgain(tried, run, next, reasons)
        if (why === undefined) continue
        const found = wrong.get(why)
        if (found === undefined) wrong.set(why, { run, ids: [id] })
        else found.ids.push(id)
      }
      for (const [why, { ids, run }] of wrong) {
        const what = `${ids.join(", ")} was run by ${run.run} and again by ${next.run}, ${why}`
        findings.breaks("I7", what, { conversation, ids, lines: [run.begin.line, run.last.line, next.begin.line] })
      }
    }
  }
}

/** I7: nothing is run, nor answered by another run, once its answer was shown. */
export const judgeAfterwards = (
  gathered: Gathered,
  ends: ReadonlyMap<string, ReadonlyArray<Shown>>,
  findings: Findings
): void => {
  for (const { name: conversation, runs } of gathered.conversations.values()) {
    for (const { begin, ids, joined, run } of runs) {
      const done = ids.flatMap((id) => {
        const given = joined.get(id) ?? begin
        const end = ends.get(id)?.find((one) => isEnd(one) && one.at < given.at)
        return end === undefined ? [] : [{ id, end }]
      })
      const [first] = done
      if (first === undefined) continue
      const how = isAnswer(first.end) ? "answered" : "told its end"
      const what = `run ${run} was given ${done.map(({ id }) => id).join(", ")}, which had been ${how}`
      findings.breaks("I7", what, { conversation, ids: done.map(({ id }) => id), lines: [first.end.line, begin.line] })
    }
  }
}

/** I7: an agent that keeps conversations goes on in the one in which it gave an answer that was shown. */
export const judgeMemories = (gathered: Gathered, findings: Findings): void => {
  for (const { name: conversation, runs: all, shown } of gathered.conversations.values()) {
    const answers = new Map(
      shown.toReversed().flatMap((one) => (one.run === undefined ? [] : [[one.run, one] as const]))
    )
    for (const runs of bySession(all, ({ session }) => session)) {
      let known: RunSeen | undefined
      for (const run of runs) {
        const answer = known === undefined ? undefined : answers.get(known.run)
        if (known !== undefined && run.memory !== known.memory && answer !== undefined && answer.at < run.begin.at) {
          const what = `run ${run.run} knew nothing of ${known.ids.join(", ")}, which another conversation of its agent's had answered`
          const lines = [known.begin.line, answer.line, run.begin.line]
          findings.breaks("I7", what, { conversation, ids: [...known.ids, ...run.ids], lines })
        }
        if (run.memory !== undefined && answers.has(run.run)) known = run
      }
    }
  }
}
