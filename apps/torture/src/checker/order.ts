/**
 * I5. In a conversation, and in each session of one, messages were accepted in the order of their numbers and in
 * which each client sent them; runs begin in that order, answers appear in it, and
 * they stand in it: by number for those who pull, by place where placeholders hold it.
 * Notices and commands may overtake. A fault that only time would hide, because turns
 * are shorter than messages are apart, is not seen.
 */
import type { Findings } from "./Findings.ts"
import {
  bySession,
  type ConversationSeen,
  type Gathered,
  isAnswer,
  type Mark,
  type Message,
  type Shown
} from "./Gathered.ts"

interface Step {
  readonly message: Message
  readonly line: number
}

/** Walks through messages in the order in which something happened to them, and calls `fault` for each step back. */
const stepsBack = (steps: Iterable<Step>, fault: (before: Step, after: Step) => void): void => {
  let highest: Step | undefined
  const lastOf = new Map<string, Step>()
  for (const step of steps) {
    const { by, n, seq } = step.message
    const own = lastOf.get(by)
    const highestSeq = highest?.message.seq
    if (own !== undefined && n < own.message.n) fault(own, step)
    else if (highest !== undefined && seq !== undefined && highestSeq !== undefined && seq < highestSeq)
      fault(highest, step)
    if (own === undefined || n > own.message.n) lastOf.set(by, step)
    if (seq !== undefined && (highestSeq === undefined || seq > highestSeq)) highest = step
  }
}

interface Item {
  readonly ids: ReadonlyArray<string>
  readonly line: number
  readonly part?: number
}

/**
 * Each message once, where it comes first, without those whose order does not count. The further parts of an answer stand
 * behind the last message that it answers.
 */
function* firsts(gathered: Gathered, items: Iterable<Item>) {
  const seen = new Set<string>()
  for (const { ids, line, part = 1 } of items) {
    for (const id of part === 1 ? ids : ids.slice(-1)) {
      const message = gathered.messages.get(id)
      const key = `${id}\0${part}`
      if (message === undefined || message.command || seen.has(key)) continue
      seen.add(key)
      yield { message, line }
    }
  }
}

/** The answers of a conversation as they stand there: those who pull see numbers, others what came first. */
const standing = (shown: ReadonlyArray<Shown>): ReadonlyArray<Shown> => {
  const answers = shown.filter(isAnswer)
  if (answers[0]?.class === "pull") return answers.toSorted((a, b) => Number(a.remoteId) - Number(b.remoteId))
  if (answers[0]?.class !== "edit") return answers
  const places = new Map<string, number>()
  for (const { remoteId } of shown) if (!places.has(remoteId)) places.set(remoteId, places.size)
  return answers.toSorted((a, b) => (places.get(a.remoteId) ?? 0) - (places.get(b.remoteId) ?? 0))
}

/** Replies that a reader would have missed: their number became visible after a higher one. */
const lateNumbers = function* (shown: ReadonlyArray<Shown>) {
  let highest: Shown | undefined
  for (const one of shown) {
    if (one.class !== "pull") continue
    const number = Number(one.remoteId)
    if (highest !== undefined && number < Number(highest.remoteId)) yield { highest, one }
    else highest = one
  }
}

/** Parts of one text that came after a later part of it. */
const lateParts = function* (shown: ReadonlyArray<Shown>) {
  const highest = new Map<string, Shown>()
  const seen = new Set<string>()
  for (const one of shown) {
    const text = `${one.run ?? ""}\0${one.ids.join("\0")}`
    const key = `${text}\0${one.part}`
    if (one.parts === 1 || seen.has(key)) continue
    seen.add(key)
    const before = highest.get(text)
    if (before !== undefined && one.part < before.part) yield { before, one }
    else highest.set(text, one)
  }
}

/** Judges one conversation; returns its faults. */
const judge = (gathered: Gathered, conversation: ConversationSeen, findings: Findings): number => {
  const { messages, name, runs, shown } = conversation
  let faults = 0
  const seen = new Set<string>()
  const fault = (what: string, ids: ReadonlyArray<string>, marks: ReadonlyArray<Pick<Mark, "line"> | undefined>) => {
    // What began in the wrong order ends in it: said once.
    const pair = ids.join("\0")
    if (seen.has(pair)) return
    seen.add(pair)
    faults++
    const lines = marks.flatMap((mark) => (mark === undefined ? [] : [mark.line]))
    findings.breaks("I5", what, { conversation: name, ids, lines })
  }
  const pair = (verb: string) => (before: Step, after: Step) => {
    const [a, b] = [before.message, after.message]
    const numbers = a.seq === undefined || b.seq === undefined ? `${a.n} and ${b.n}` : `${a.seq} and ${b.seq}`
    fault(
      `${a.id} ${verb} before ${b.id}, and they are ${numbers}`,
      [a.id, b.id],
      [...[before, after, a.acknowledged, b.acknowledged]]
    )
  }
  const accepted = messages
    .filter(({ seq }) => seq !== undefined)
    .toSorted((a, b) => (a.seq ?? 0) - (b.seq ?? 0))
    .map((message) => ({ message, line: message.acknowledged?.line ?? 0 }))
  stepsBack(accepted, pair("was accepted"))
  for (const some of bySession(runs, ({ session }) => session)) {
    const begun = some.map(({ begin, ids }) => ({ ids, line: begin.line }))
    stepsBack(firsts(gathered, begun), pair("was run"))
  }
  const sessionOf = ({ run = "" }: Shown) => gathered.runs.get(run)?.session ?? ""
  for (const answers of bySession(standing(shown), sessionOf)) {
    stepsBack(firsts(gathered, answers), pair("was answered"))
  }
  if (shown.some(({ class: promised }) => promised === "edit")) {
    for (const answers of bySession(shown.filter(isAnswer), sessionOf)) {
      stepsBack(firsts(gathered, answers), pair("was answered"))
    }
  }
  for (const { before, one } of lateParts(shown)) {
    const what = `part ${one.part} of what ended ${one.ids.join(", ")} was shown after part ${before.part}`
    fault(what, [...one.ids, `${one.part}`], [before, one])
  }
  for (const { highest, one } of lateNumbers(shown)) {
    fault(`number ${one.remoteId} became visible after ${highest.remoteId}`, [...one.ids], [highest, one])
  }
  return faults
}

/** I5: returns how many steps back there are. */
export const judgeOrder = (gathered: Gathered, findings: Findings): number => {
  let faults = 0
  for (const conversation of gathered.conversations.values()) faults += judge(gathered, conversation, findings)
  return faults
}
