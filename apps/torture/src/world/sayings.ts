/**
 * What a text is, as whoever gets it can tell: an agent's answer, which names its run
 * and its messages, the gateway's word that a text may be there twice, and its word
 * that it has set something aside, with the reason and the count that it gives.
 */
import type { Deliver } from "../history/Operation.ts"

/** `[[<run> <id>,<id>]]`, as the agent writes it. */
export const answerOf = (text: string): { readonly run: string; readonly ids: ReadonlyArray<string> } | undefined => {
  const [, run, ids = ""] = /\[\[(\S+) ([^\]]*)\]\]/.exec(text) ?? []
  return run === undefined ? undefined : { run, ids: ids.split(",").filter((id) => id !== "") }
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
): Pick<Deliver, "what" | "ids" | "run" | "aside"> => {
  const answer = answerOf(text)
  const copy = text.startsWith(copyMark)
  if (answer !== undefined) return { what: copy ? "copy" : "answer", ...answer }
  const ids = reply.inReplyTo ?? []
  if (copy) return { what: "copy", ids, ...asideOf(text) }
  return reply.kind === "command" ? { what: "command", ids } : { what: "notice", ids, ...asideOf(text) }
}
