/**
 * What clients were told, and what follows from it. A client writes down each acknowledgement and each reply that it
 * pulled; the promises are proved from these records alone, without a look into the program. A proof is a list of
 * broken promises, so that a test shows all of them at once.
 */
import type { Reply } from "./client.ts"

/** An acknowledged message. */
export interface Told {
  readonly id: string
  readonly text: string
  readonly seq: number
}

/** What a client read: everything that was pulled, in the order of its numbers. */
export type Pulled = Reply & { readonly kind?: string }

/** How the messages of a conversation ended, as its client can tell. */
export interface Proof {
  readonly broken: ReadonlyArray<string>
  readonly lost: number
  readonly duplicated: number
  readonly answered: number
  /** Told that it was set aside, with the message named. */
  readonly setAside: number
  readonly turns: number
}

const increasing = (numbers: ReadonlyArray<number>): boolean =>
  numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? 0))

/** Answers of the demo agent to messages without tools: their texts, a line each. */
const isAnswerTo = (reply: Pulled, told: ReadonlyMap<string, Told>): boolean =>
  reply.text === reply.inReplyTo.map((id) => told.get(id)?.text ?? "").join("\n")

/**
 * Compares a conversation's acknowledgements, in the order in which its one client was given them, with its replies:
 * each message is in exactly one of them, in order, and their numbers have no hole.
 */
export const prove = (
  conversation: string,
  told: ReadonlyArray<Told>,
  replies: ReadonlyArray<Pulled>,
  check: { readonly texts: boolean } = { texts: true }
): Proof => {
  const broken: Array<string> = []
  const say = (what: string) => void broken.push(`${conversation}: ${what}`)
  const known = new Map(told.map((one) => [one.id, one]))
  if (!increasing(told.map(({ seq }) => seq))) say("C3: later messages have lower numbers")
  const holes = replies.map(({ number }) => number).findIndex((number, index) => number !== index + 1)
  if (holes !== -1) say(`C5: reply ${holes + 1} is number ${replies[holes]?.number}`)
  const seen = new Map<string, number>()
  for (const { inReplyTo } of replies) for (const id of inReplyTo) seen.set(id, (seen.get(id) ?? 0) + 1)
  const lost = told.filter(({ id }) => !seen.has(id))
  const duplicated = [...seen].filter(([, times]) => times > 1)
  if (lost.length > 0) say(`C8: never answered: ${lost.map(({ id }) => id).join(", ")}`)
  if (duplicated.length > 0) say(`C5: answered more than once: ${duplicated.map(([id]) => id).join(", ")}`)
  const strangers = [...seen.keys()].filter((id) => !known.has(id))
  if (strangers.length > 0) say(`C1: answers to what was never sent: ${strangers.join(", ")}`)
  const turns = replies.filter(({ inReplyTo, kind }) => inReplyTo.length > 0 && kind !== "command")
  const commands = new Set(replies.filter(({ kind }) => kind === "command").flatMap(({ inReplyTo }) => inReplyTo))
  const order = turns.flatMap(({ inReplyTo }) => inReplyTo)
  const wanted = told.map(({ id }) => id).filter((id) => seen.has(id) && !commands.has(id))
  const place = order.findIndex((id, index) => id !== wanted[index])
  if (place !== -1 && strangers.length + duplicated.length === 0) {
    say(`C3: answer ${place + 1} is to ${order[place]} and not to ${wanted[place]}`)
  }
  const answers = turns.filter(({ kind }) => kind === "answer")
  for (const reply of check.texts ? answers : []) {
    if (!isAnswerTo(reply, known)) say(`C5: reply ${reply.number} has another text: ${reply.text.slice(0, 200)}`)
  }
  const count = (list: ReadonlyArray<Pulled>) => list.reduce((sum, { inReplyTo }) => sum + inReplyTo.length, 0)
  return {
    broken,
    lost: lost.length,
    duplicated: duplicated.length,
    answered: count(answers),
    setAside: count(turns.filter(({ kind }) => kind === "notice")),
    turns: answers.length
  }
}

/** Random numbers below 1 that a seed gives again (mulberry32). */
export const randomOf = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
