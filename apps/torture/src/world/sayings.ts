/**
 * What a text is, as whoever gets it can tell: an agent's answer, which names its run
 * and its messages, the gateway's word that a text may be there twice, and its word
 * that it has set something aside, with the reason and the count that it gives.
 */
import type { Deliver } from "../history/Operation.ts"

/** `[[<run> <id>,<id>]]`, as the agent writes it; `[[<run> <id>,<id> 2/3]]` in one that is cut into parts. */
export const answerOf = (text: string): Pick<Deliver, "ids" | "part" | "parts" | "run"> | undefined => {
  const [, run, ids = "", part, parts] = /\[\[(\S+) ([^\] ]*)(?: (\d+)\/(\d+))?\]\]/.exec(text) ?? []
  if (run === undefined) return undefined
  const cut = part === undefined ? {} : { part: Number(part), parts: Number(parts) }
  return { run, ids: ids.split(",").filter((id) => id !== ""), ...cut }
}

/**
 * On a network that has no room for it, the gateway under test writes behind the first line what a reply is and which
 * messages it is for, by the ids that the network knows them by.
 */
export const withMark = (text: string, kind: string, inReplyTo: ReadonlyArray<string>): string =>
  text.replace(/$/m, () => ` {{${kind} ${inReplyTo.join(",")}}}`)

/** Reads what `withMark` wrote. */
export const markIn = (
  text: string
): { readonly kind: string; readonly inReplyTo: ReadonlyArray<string> } | undefined => {
  const [, kind, ids = ""] = /\{\{(\w+) ([^}]*)\}\}/.exec(text) ?? []
  return kind === undefined ? undefined : { kind, inReplyTo: ids.split(",").filter((id) => id !== "") }
}

const copyMark = "(You may have seen this before"

const asides = {
  crashed: /\bI broke down (\d+) times? while working on ".*", so I've set it aside/s,
  cut: /" was cut off (\d+) times?, so I've set it aside/,
  failed: /" failed (\d+) times?, so I've set it aside/
} as const

/** Why something was set aside, and after how many times, when a text says that it was. */
export const asideOf = (text: string): Pick<Deliver, "aside"> => {
  for (const why of Object.keys(asides) as ReadonlyArray<keyof typeof asides>) {
    const [, times] = asides[why].exec(text) ?? []
    if (times !== undefined) return { aside: { why, times: Number(times) } }
  }
  return {}
}

/** What a text is, by itself and by what the gateway calls it. */
export const toldBy = (
  text: string,
  reply: { readonly kind?: string; readonly inReplyTo?: ReadonlyArray<string> }
): Pick<Deliver, "what" | "ids" | "run" | "aside" | "part" | "parts"> => {
  const answer = answerOf(text)
  const copy = text.startsWith(copyMark)
  if (answer !== undefined) return { what: copy ? "copy" : "answer", ...answer }
  const ids = reply.inReplyTo ?? []
  if (copy) return { what: "copy", ids, ...asideOf(text) }
  return reply.kind === "command" ? { what: "command", ids } : { what: "notice", ids, ...asideOf(text) }
}
