/**
 * I1 and I2. Every acknowledged message has its end: an answer, or a notice or a
 * command's reply that names it, and it still stands there when the history ends.
 * And nothing is delivered, nor given to an agent, that nobody sent; every answer is
 * that of a run which was given just these messages and says that it answered.
 */
import type { Findings } from "./Findings.ts"
import { type Gathered, isAnswer, isEnd, mayBeAccepted, type Message, type Shown } from "./Gathered.ts"
import type { Causes } from "./Moments.ts"

/** What ended each message, in time. */
export const endsOf = (gathered: Gathered): ReadonlyMap<string, ReadonlyArray<Shown>> => {
  const ends = new Map<string, Array<Shown>>()
  for (const { shown } of gathered.conversations.values()) {
    for (const one of shown) {
      if (!isEnd(one)) continue
      for (const id of one.ids) {
        const known = ends.get(id)
        if (known === undefined) ends.set(id, [one])
        else known.push(one)
      }
    }
  }
  return ends
}

/** The acknowledged messages by what became of them. */
export interface Fates {
  answered: number
  noticed: number
  commands: number
  unknown: number
  undeliverable: number
  lost: number
}

const fateOf = (ends: ReadonlyArray<Shown>): "answered" | "noticed" | "commands" => {
  if (ends.some(isAnswer)) return "answered"
  return ends.some(({ what }) => what === "command") ? "commands" : "noticed"
}

/** Whether an ambiguous channel may have nothing to show for a message: so many requests of its reply went missing. */
const mayBeUnknown = (gathered: Gathered, causes: Causes, { channel, first, id }: Message): boolean => {
  const promised = gathered.classes.get(channel)
  const needed = promised === "hold" ? 1 : promised === "resend-once" ? 2 : undefined
  if (needed === undefined) return false
  return (gathered.failedRequests.get(id)?.lost ?? 0) + causes.any.count(first.at, gathered.end.at) >= needed
}

const hour = 60 * 60 * 1000
const day = 24 * hour

/** How many messages the gateway says that it gave up on, at the end. */
const givenUp = ({ ledgers }: Gathered): number => {
  const { ends, posts } = (ledgers.at(-1)?.ledger ?? {}) as Readonly<
    Record<"ends" | "posts", Readonly<Record<string, unknown>> | undefined>
  >
  return Number(ends?.["undeliverable"] ?? 0) + Number(posts?.["undeliverable"] ?? 0)
}

/** Which parts of a text are not there, of the one that has most of them. */
const missingParts = (standing: ReadonlyArray<Shown>): ReadonlyArray<number> => {
  if (standing.every(({ parts }) => parts === 1)) return []
  const texts = Map.groupBy(standing, ({ parts, run }) => `${run ?? ""}\0${parts}`)
  const missing = [...texts.values()].map((text) => {
    const there = new Set(text.map(({ part }) => part))
    return Array.from({ length: text[0]?.parts ?? 1 }, (_, n) => n + 1).filter((part) => !there.has(part))
  })
  return missing.toSorted((a, b) => a.length - b.length)[0] ?? []
}

/**
 * Whether a reply may have become a dead letter: it was refused, or a request for it failed and it was tried for a
 * day, or for an hour when something outside, such as a clock that jumped, may have made it a day.
 */
const mayBeDead = ({ end, failedRequests, faults }: Gathered, { conversation, first, id }: Message): boolean => {
  const failed = [failedRequests.get(id), failedRequests.get(conversation)].filter((one) => one !== undefined)
  if (failed.some(({ refused }) => refused > 0)) return true
  const tried = end.at - first.at
  return failed.length > 0 && (tried >= day || (tried >= hour && faults.some(({ at }) => at >= first.at)))
}

/** I1: counts the ends of acknowledged messages, and says which have none. */
export const judgeEnds = (
  gathered: Gathered,
  ends: ReadonlyMap<string, ReadonlyArray<Shown>>,
  causes: Causes,
  findings: Findings
): Fates => {
  const fates = { answered: 0, noticed: 0, commands: 0, unknown: 0, undeliverable: 0, lost: 0 }
  const dead = givenUp(gathered)
  const { rest } = gathered
  if (rest === undefined) findings.unjudged.push("I1: the history does not say that everything had come to rest")
  for (const message of gathered.messages.values()) {
    const { acknowledged, conversation, first, id } = message
    if (acknowledged === undefined) continue
    const found = ends.get(id) ?? []
    const standing = found.filter(({ replaced }) => !replaced)
    const missing = missingParts(standing)
    if (standing.length > 0 && missing.length === 0) {
      fates[fateOf(standing)]++
      continue
    }
    if (found.length > 0 && standing.length === 0) {
      fates.lost++
      const lines = [acknowledged.line, ...found.map(({ line }) => line)]
      const what = `the end of ${id} was shown, and something else stands there now`
      findings.breaks("I1", what, { conversation, ids: [id], lines })
    } else if (rest?.phase === "ok" && message.unseen) fates.unknown++
    else if (rest !== undefined && mayBeUnknown(gathered, causes, message)) fates.unknown++
    else if (rest !== undefined && fates.undeliverable < dead && mayBeDead(gathered, message)) fates.undeliverable++
    else if (rest !== undefined) {
      fates.lost++
      const until = rest.phase === "ok" ? "when everything was at rest" : "when the harness gave up waiting"
      const what = missing.length === 0 ? "no end" : `no part ${missing.join(", ")} of its end`
      const lines = [first.line, acknowledged.line, ...standing.map(({ line }) => line), rest.line]
      findings.breaks("I1", `${id} was acknowledged and had ${what} ${until}`, { conversation, ids: [id], lines })
    }
  }
  return fates
}

/** Why a message can't have been there at a moment, or undefined when it can. */
const stranger = (gathered: Gathered, id: string, conversation: string, at: number): string | undefined => {
  const message = gathered.messages.get(id)
  if (message === undefined) return "which nobody sent"
  if (message.conversation !== conversation) return `which was sent in ${message.conversation}`
  if (message.first.at > at) return "before it was sent"
  return mayBeAccepted(message) ? undefined : "which was refused"
}

const lineOf = (gathered: Gathered, id: string): ReadonlyArray<number> => {
  const message = gathered.messages.get(id)
  return message === undefined ? [] : [message.first.line]
}

/** What is wrong with an answer, as its run tells it. */
const wrongAnswer = (gathered: Gathered, { conversation, ids, run }: Shown): string | undefined => {
  if (run === undefined) return undefined
  const seen = gathered.runs.get(run)
  // A torn line may be the run's beginning; one that is whole is missed.
  if (seen === undefined) return gathered.torn > 0 ? undefined : "which never began"
  if (seen.conversation !== conversation) return `which was of ${seen.conversation}`
  const given = new Set(seen.ids)
  const others = ids.filter((id) => !given.has(id))
  if (others.length > 0) return `which was not given ${others.join(", ")}`
  const answered = seen.end?.phase === "ok" || gathered.torn > 0
  return answered ? undefined : "which does not say that it answered"
}

/** I2: everything that is shown or run was sent, and every answer is a run's. */
export const judgeOrigins = (gathered: Gathered, findings: Findings): void => {
  for (const { name: conversation, runs, shown } of gathered.conversations.values()) {
    for (const one of shown) {
      for (const id of one.ids) {
        const why = stranger(gathered, id, conversation, one.at)
        const about = { conversation, ids: [id], lines: [one.line, ...lineOf(gathered, id)] }
        if (why !== undefined) findings.breaks("I2", `${one.what} ${one.remoteId} is for ${id}, ${why}`, about)
      }
      if (!isAnswer(one)) continue
      const why = wrongAnswer(gathered, one)
      if (why === undefined) continue
      const begin = gathered.runs.get(one.run ?? "")?.begin.line
      const lines = [one.line, ...(begin === undefined ? [] : [begin])]
      findings.breaks("I2", `answer ${one.remoteId} is of run ${one.run}, ${why}`, {
        conversation,
        ids: one.ids,
        lines
      })
    }
    for (const { begin, ids, joined, run } of runs) {
      for (const id of ids) {
        const given = joined.get(id) ?? begin
        const why = stranger(gathered, id, conversation, given.at)
        const about = { conversation, ids: [id], lines: [given.line, ...lineOf(gathered, id)] }
        if (why !== undefined) findings.breaks("I2", `run ${run} was given ${id}, ${why}`, about)
      }
    }
  }
}
