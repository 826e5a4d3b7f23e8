/**
 * I3 and I4. On keyed, pull and edit channels a message ends once: one answer, or one
 * notice, under one id of the far side. On ambiguous ones a further copy needs a
 * reason between the first and the second, says that it is a copy, is written by the
 * same run, and there is no third. `hold` has none at all.
 */
import type { Findings } from "./Findings.ts"
import { type Gathered, isEnd, type Message, type Shown } from "./Gathered.ts"
import { begunBefore, type Causes } from "./Moments.ts"

const ambiguous = new Set(["resend-once", "hold"])

/** The ends of one message that stand under different ids of the far side, by the part that they are. */
const apart = (ends: ReadonlyArray<Shown>): ReadonlyArray<ReadonlyArray<Shown>> => {
  if (ends.length === 1) return []
  const parts = new Map<number, Map<string, Shown>>()
  for (const end of ends) {
    const part = parts.get(end.part) ?? new Map<string, Shown>()
    const place = `${end.channel}\0${end.remoteId}`
    if (!part.has(place)) part.set(place, end)
    parts.set(end.part, part)
  }
  return [...parts.values()].flatMap((places) => (places.size > 1 ? [[...places.values()]] : []))
}

interface Group {
  readonly copies: ReadonlyArray<Shown>
  readonly ids: Array<string>
}

/** Messages that were answered together have their copies together. */
const groups = (ends: ReadonlyMap<string, ReadonlyArray<Shown>>): ReadonlyArray<Group> => {
  const found = new Map<string, Group>()
  for (const [id, list] of ends) {
    for (const copies of apart(list)) {
      const key = copies.map(({ line }) => line).join()
      const group = found.get(key)
      if (group === undefined) found.set(key, { copies, ids: [id] })
      else group.ids.push(id)
    }
  }
  return [...found.values()]
}

const named = (ids: ReadonlyArray<string>): string => ids.join(", ")

/** What is wrong with the copies of an ambiguous channel, or nothing. */
const unexplained = (
  [first, second, ...more]: ReadonlyArray<Shown>,
  causes: Causes,
  begun: (at: number) => number
): string | undefined => {
  if (first === undefined || second === undefined) return undefined
  if (first.class === "hold") return "where every doubt is held"
  if (more.length > 0) return "where one further copy is the most"
  if (first.run !== second.run) return `of the two runs ${first.run} and ${second.run}`
  if (second.what !== "copy") return "and the second does not say that it is a copy"
  if (!first.told || causes.any.any(begun(first.at), second.at)) return undefined
  return "although the first was acknowledged and no gateway ended in between"
}

/** Each message has one place where it ends; returns the extra copies by class. */
export const judgeCopies = (
  gathered: Gathered,
  ends: ReadonlyMap<string, ReadonlyArray<Shown>>,
  causes: Causes,
  findings: Findings
): Record<string, number> => {
  const begun = begunBefore(gathered, "invoked")
  const duplicated: Record<string, number> = {}
  for (const promised of gathered.classes.values()) duplicated[promised] ??= 0
  for (const { copies, ids } of groups(ends)) {
    const promised = copies[0]?.class ?? "keyed"
    const conversation = copies[0]?.conversation ?? ""
    const places = copies.map(({ remoteId, what }) => `${what} ${remoteId}`).join(", ")
    duplicated[promised] = (duplicated[promised] ?? 0) + copies.length - 1
    const about = { conversation, ids, lines: copies.map(({ line }) => line) }
    if (!ambiguous.has(promised)) {
      findings.breaks("I3", `${promised}: ${named(ids)} ended ${copies.length} times (${places})`, about)
      continue
    }
    const why = unexplained(copies, causes, begun)
    if (why !== undefined) findings.breaks("I4", `${promised}: ${named(ids)} shown as ${places}, ${why}`, about)
  }
  return duplicated
}

/** One id of the far side is one text, except where it is edited, and then an end is the last. */
export const judgePlaces = (gathered: Gathered, findings: Findings): void => {
  for (const { name: conversation, shown } of gathered.conversations.values()) {
    const first = new Map<string, Shown>()
    for (const one of shown) {
      const place = `${one.channel}\0${one.remoteId}`
      const known = first.get(place)
      first.set(place, one)
      if (known === undefined || (one.class === "edit" && !isEnd(known))) continue
      const what =
        one.class === "edit"
          ? `edit: what stood under ${one.remoteId} was the end of ${named(known.ids)} and was edited`
          : `${one.class}: ${one.remoteId} was ${known.what} of ${named(known.ids)} and is ${one.what} of ${named(one.ids)}`
      const lines = [known.line, one.line]
      findings.breaks(ambiguous.has(one.class) ? "I4" : "I3", what, {
        conversation,
        ids: [...known.ids, ...one.ids],
        lines
      })
    }
  }
}

/** On channels that edit: at most one placeholder is left for each end of a gateway and each lost answer. */
export const judgePlaceholders = (gathered: Gathered, causes: Causes, findings: Findings): void => {
  if (gathered.rest === undefined) return
  for (const { name: conversation, shown } of gathered.conversations.values()) {
    const left = shown.filter(({ replaced, what }) => what === "placeholder" && !replaced)
    const [first] = left
    if (first === undefined) continue
    const lost = shown.filter(({ told }) => !told).length
    const explained = lost + causes.any.count(shown[0]?.at ?? 0, gathered.end.at)
    if (left.length <= explained) continue
    const what = `edit: ${left.length} placeholders are left and ${explained} are explained`
    findings.breaks("I3", what, { conversation, lines: left.map(({ line }) => line) })
  }
}

/** A message is stored once: one number for it, and the number is nobody else's. */
export const judgeNumbers = (gathered: Gathered, findings: Findings): void => {
  const numbers = new Map<number, Message>()
  for (const message of gathered.messages.values()) {
    const { acknowledged, conversation, id, renumbered, seq } = message
    if (acknowledged === undefined || seq === undefined) continue
    if (renumbered !== undefined) {
      const lines = [acknowledged.line, renumbered.line]
      findings.breaks("I3", `${id} is stored as ${seq} and as ${renumbered.seq}`, { conversation, ids: [id], lines })
    }
    const other = numbers.get(seq)
    numbers.set(seq, message)
    if (other === undefined) continue
    const lines = [acknowledged.line, ...(other.acknowledged === undefined ? [] : [other.acknowledged.line])]
    findings.breaks("I3", `${other.id} and ${id} are both stored as ${seq}`, {
      conversation,
      ids: [other.id, id],
      lines
    })
  }
}
