/**
 * I10. What the gateway says of itself equals what everybody else saw: the ledger
 * that `sluice audit --json` prints at the end, and the one in the report of each
 * stop. Where nobody can know, such as a message whose acknowledgement got lost and
 * that was never seen again, the figure must lie between the bounds.
 */
import type { Findings } from "./Findings.ts"
import { type BootSeen, type Gathered, isAnswer, mayBeAccepted, type Message, type Shown } from "./Gathered.ts"
import { Moments } from "./Moments.ts"

interface Ledger {
  readonly accepted: number
  readonly open: number
  readonly ends: Readonly<Record<string, number>>
  readonly balanced: boolean
}

type Fields = Readonly<Record<string, unknown>>

const fields = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {})

const ledgerIn = (value: unknown): Ledger | undefined => {
  const { accepted, balanced, ends, open } = fields(value)
  const counts = Object.values(fields(ends))
  if (typeof accepted !== "number" || typeof open !== "number" || typeof balanced !== "boolean") return undefined
  if (ends === undefined || counts.some((count) => typeof count !== "number")) return undefined
  return { accepted, open, balanced, ends: fields(ends) as Ledger["ends"] }
}

const sum = (ends: Ledger["ends"]): number => Object.values(ends).reduce((all, one) => all + one, 0)

type Say = (what: string) => void

/** What must hold of any ledger at any time. */
const judgeBalance = ({ accepted, balanced, ends, open }: Ledger, say: Say): void => {
  const ended = sum(ends)
  if (!balanced) say("it says that it does not balance")
  if (accepted !== ended + open) say(`${accepted} accepted are not ${ended} ended and ${open} open`)
}

const between = (say: Say, what: string, value: number, low: number, high: number): void => {
  if (value < low || value > high) {
    say(`${value} ${what}, and the history has ${low === high ? low : `${low} to ${high}`}`)
  }
}

const count = (messages: Iterable<Message>, is: (message: Message) => boolean): number => {
  let found = 0
  for (const message of messages) if (is(message)) found++
  return found
}

/** How many copies of messages there may be at a moment: each command that makes some takes what came before it. */
const copiesBefore = (gathered: Gathered, at: number): number => {
  const messages = [...gathered.messages.values()]
  return messages
    .filter(({ first, retry }) => retry && first.at < at)
    .reduce(
      (sum, { conversation, first }) =>
        sum + count(messages, (one) => isRun(one) && one.conversation === conversation && one.first.at < first.at),
      0
    )
}

const isRun = ({ command, post }: Message): boolean => !command && !post

/** What the ledger says of the host's posts, where it says something. */
const judgePosts = (
  gathered: Gathered,
  ends: ReadonlyMap<string, ReadonlyArray<Shown>>,
  ledger: unknown,
  say: Say
): void => {
  const posts = [...gathered.messages.values()].filter(({ post }) => post)
  if (posts.length === 0) return
  const { accepted, open, sent, undeliverable, unknown } = fields(fields(ledger)["posts"])
  const said = [accepted, open, sent, undeliverable, unknown].map(Number)
  const [all = 0, unsent = 0, shown = 0, dead = 0, unclear = 0] = said
  if (said.some((figure) => !Number.isInteger(figure))) return say("it says nothing of posts")
  if (all !== unsent + shown + dead + unclear) say(`${all} posts are not ${unsent + shown + dead + unclear}`)
  const certain = count(posts, ({ acknowledged, id }) => acknowledged !== undefined || ends.has(id))
  between(say, "posts", all, certain, count(posts, mayBeAccepted))
  const seen = count(posts, ({ id }) => ends.has(id))
  if (shown > seen) say(`${shown} posts were sent, and the history has ${seen}`)
}

/** The last ledger, after all work is done, against the whole history. */
const judgeFigures = (
  gathered: Gathered,
  ends: ReadonlyMap<string, ReadonlyArray<Shown>>,
  { accepted, ends: said, open }: Ledger,
  say: Say
): void => {
  const messages = [...gathered.messages.values()].filter(({ post }) => !post)
  const ran = new Set([...gathered.runs.values()].flatMap(({ ids }) => ids))
  const certain = count(messages, ({ acknowledged, id }) => acknowledged !== undefined || ends.has(id) || ran.has(id))
  const possible = count(messages, mayBeAccepted) + copiesBefore(gathered, Infinity)
  between(say, "accepted", accepted, certain, possible)
  if (gathered.rest?.phase === "ok" && open !== 0) say(`${open} are open, and everything is at rest`)
  const of = (...names: ReadonlyArray<string>) => names.reduce((all, name) => all + (said[name] ?? 0), 0)
  const answered = count(messages, ({ id }) => ends.get(id)?.some(isAnswer) === true)
  const commanded = count(messages, ({ id }) => ends.get(id)?.some(({ what }) => what === "command") === true)
  const noticed = count(messages, ({ id }) => ends.get(id)?.every(({ what }) => what === "notice") === true)
  const unclear = of("unknown", "undeliverable")
  // A copy that names no run may be one of an answer whose agent names none.
  const maybe = count(messages, ({ id }) => ends.get(id)?.some((one) => isAnswer(one) || one.what === "copy") === true)
  if (of("replied") > maybe) say(`${of("replied")} replied, and the history has ${maybe} answered`)
  if (of("replied") + unclear < answered) {
    say(`${of("replied")} replied and ${unclear} unknown or undeliverable, and the history has ${answered} answered`)
  }
  const commands = count(
    messages,
    ({ command, id }) => command || ends.get(id)?.some(({ what }) => what === "command") === true
  )
  between(say, "commands", of("command"), commanded - unclear, commands)
  const otherwise = sum(said) - of("replied", "command")
  if (noticed > otherwise) say(`${otherwise} ended without an answer, and the history has ${noticed} notices`)
}

/** What is known at a moment, of all messages: looked up for each stop, so sorted once. */
interface Known {
  readonly acknowledged: Moments
  readonly sent: Moments
  readonly maybeAccepted: Moments
  /** What a reader has pulled had ended before. */
  readonly pulled: Moments
}

const knownOf = (gathered: Gathered, ends: ReadonlyMap<string, ReadonlyArray<Shown>>): Known => {
  const messages = [...gathered.messages.values()].filter(({ post }) => !post)
  const pulled = messages.flatMap(({ id }) => {
    const first = ends.get(id)?.[0]
    return first?.class === "pull" ? [first.at] : []
  })
  return {
    acknowledged: new Moments(messages.flatMap(({ acknowledged }) => acknowledged?.at ?? [])),
    sent: new Moments(messages.map(({ first }) => first.at)),
    maybeAccepted: new Moments(messages.filter(mayBeAccepted).map(({ first }) => first.at)),
    pulled: new Moments(pulled)
  }
}

/** The exit code of a gateway whose store could not be written. */
const storeFailed = 74

/** The report of a stop against the process's end and what was there when it was asked for. */
const judgeReport = (gathered: Gathered, known: Known, seen: BootSeen, findings: Findings): void => {
  const { boot, exited, stop, stopped } = seen
  if (stop === undefined || stopped?.report === undefined || stopped.report === null) return
  const say: Say = (what) =>
    findings.breaks("I10", `the report of boot ${boot}: ${what}`, { lines: [stop.line, stopped.line] })
  const report = fields(stopped.report)
  const code = exited?.code ?? stopped.exitCode
  if (typeof report["exitCode"] === "number" && code !== undefined && report["exitCode"] !== code) {
    say(`it says exit code ${report["exitCode"]}, and the process ended with ${code}`)
  }
  const ledger = ledgerIn(report["ledger"])
  if (ledger === undefined) return
  judgeBalance(ledger, say)
  const over = exited?.at ?? stopped.at
  const copies = copiesBefore(gathered, over)
  between(
    say,
    "accepted",
    ledger.accepted,
    known.acknowledged.before(stop.at),
    known.maybeAccepted.before(over) + copies
  )
  // A reply that waited for its channel to come back is pulled a moment before its end is noted: what a store that fails
  // right then keeps of it is "open", and that is what its report has to say.
  const ended = code === storeFailed ? 0 : known.pulled.before(stop.at)
  between(say, "ended", sum(ledger.ends), ended, known.sent.before(over) + copies)
}

/** I10. */
export const judgeLedgers = (
  gathered: Gathered,
  ends: ReadonlyMap<string, ReadonlyArray<Shown>>,
  findings: Findings
): void => {
  const known = knownOf(gathered, ends)
  for (const seen of gathered.boots.values()) judgeReport(gathered, known, seen, findings)
  for (const [index, { ledger: printed, line }] of gathered.ledgers.entries()) {
    const say: Say = (what) => findings.breaks("I10", `the ledger: ${what}`, { lines: [line] })
    const ledger = ledgerIn(printed)
    if (ledger === undefined) {
      say("it has not the form of one")
      continue
    }
    judgeBalance(ledger, say)
    if (index < gathered.ledgers.length - 1 || gathered.rest === undefined) continue
    judgeFigures(gathered, ends, ledger, say)
    judgePosts(gathered, ends, printed, say)
  }
  if (gathered.ledgers.length === 0) findings.unjudged.push("I10: the history has no ledger")
}
