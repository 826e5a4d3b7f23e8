/**
 * Questions and offers with buttons. What a sentence of Sluice's own says in
 * commands for those who have no buttons, `/allow 3 ...` or `[Try again: /retry]`,
 * becomes a button that says the command; a press is accepted like a message.
 * Only of sentences: what an agent writes never becomes one.
 */
import type { Reply } from "@sluice/runtime/Message"

/** A button: what is on it and what a press says. */
export interface Button {
  readonly text: string
  readonly says: string
}

/** A text and the rows of buttons under it. */
export interface Offer {
  readonly text: string
  readonly rows: ReadonlyArray<ReadonlyArray<Button>>
}

/** The most that a button may say, in UTF-8 bytes, and the most that is shown on it. */
const mostBytes = 64
const mostShown = 48

const fits = (data: string): boolean => new TextEncoder().encode(data).length <= mostBytes

const shown = (text: string): string =>
  text.length <= mostShown ? text : `${text.slice(0, mostShown - 1).replace(/[\uD800-\uDBFF]$/, "")}…`

/** A question: options from 1 on, then how to answer without buttons. */
const question = (text: string): Offer | undefined => {
  const lines = text.split("\n")
  const number = /^\(\/allow (\d{1,9})\b/.exec(lines.at(-1) ?? "")?.[1]
  if (number === undefined) return undefined
  const rows: Array<ReadonlyArray<Button>> = []
  for (let at = lines.length - 2; at >= 0; at--) {
    const [, place, option = ""] = /^(\d{1,2})\. (.*)$/.exec(lines[at] ?? "") ?? []
    // An option of several lines, or none.
    if (place === undefined) continue
    rows.unshift([{ text: shown(option), says: `/allow ${number} ${place}` }])
    if (place === "1") return { text: lines.slice(0, -1).join("\n"), rows }
  }
  return undefined
}

/** Offers in brackets on the last line: `[Try again: /retry] [Leave it]`. */
const offers = (text: string): Offer | undefined => {
  const lines = text.split("\n")
  const last = lines.at(-1) ?? ""
  if (lines.length < 2 || !/^(?:\[[^[\]]+\] ?)+$/.test(last)) return undefined
  const buttons = [...last.matchAll(/\[([^[\]]+)\]/g)].map(([, words = ""]): Button => {
    const [, label = words, command = words] = /^(.+): (\/[a-z][\w -]*)$/.exec(words) ?? []
    return { text: shown(label), says: command }
  })
  return buttons.every(({ says }) => fits(says))
    ? { text: lines.slice(0, -1).join("\n"), rows: buttons.map((button) => [button]) }
    : undefined
}

/** A reply with its buttons; none under an answer. */
export const offerOf = ({ kind, text }: Reply): Offer =>
  (kind === "notice" ? (question(text) ?? offers(text)) : undefined) ?? { text, rows: [] }

/** Whether a reply asks, with buttons that are worth nothing once the question is over. */
export const isQuestion = (reply: Reply): boolean => reply.kind === "notice" && question(reply.text) !== undefined

/** Whether showing a reply once more changes nothing: it has no buttons that may be gone by then, and no file. */
export const isRepeatable = (reply: Reply): boolean =>
  (reply.attachments ?? []).length === 0 && offerOf(reply).rows.length === 0
