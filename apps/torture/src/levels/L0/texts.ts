/**
 * What is written in a simulation and how it is read again: an answer names its run
 * and its messages, a post itself, and each part of a long one its place. The channels
 * cut where the writer wants it; short ones also between a sentence that goes ahead
 * and what it is about.
 */
import { conversationKey, type Reply } from "@sluice/runtime/Message"
import type { Deliver } from "../../history/Operation.ts"
import { asideOf } from "../../world/sayings.ts"

/** Where a long text is cut. */
const cut = "\v"

const inParts = (parts: number, part: (place: string) => string): string =>
  parts === 1 ? part("") : Array.from({ length: parts }, (_, n) => part(` ${n + 1}/${parts}`)).join(cut)

/** An answer of a run to these messages. */
export const answerText = (run: string, ids: ReadonlyArray<string>, parts: number): string =>
  inParts(parts, (place) => `[${run}${place}] ${ids.join(" ")}`)

/** What the host says by itself. */
export const postText = (id: string, parts: number): string => inParts(parts, (place) => `post ${id}${place}`)

/** How a channel cuts its texts. */
export const splitOf = (short: boolean) => (text: string) => text.split(short ? /\v|\n\n(?=\[r|post )/ : cut)

/** What a far side knows of something that it is to show. */
export type Shown = Pick<Deliver, "kind" | "remoteId" | "key" | "what" | "ids" | "run" | "part" | "parts" | "aside">

const placeholder = "…"
const maybeTwice = "(You may have seen this before:"
const answered = /\[(r\d+)(?: (\d+)\/(\d+))?\] ([^\n]*)$/
const posted = /(?:^|\n)post (\w+)(?: (\d+)\/(\d+))?$/

const lastOf = (text: string): string => text.slice(text.lastIndexOf(cut) + 1)

/** Nobody cut it where the channel was missing when it was written: then its last part says it all. */
const partOf = (text: string, [, , part, parts]: RegExpExecArray): Pick<Shown, "part" | "parts"> =>
  part === undefined || text.includes(cut) ? {} : { part: Number(part), parts: Number(parts) }

/** Reads texts. It remembers which replies were announced as copies, for those that come without a mark of their own. */
export class Texts {
  readonly #announced = new Set<string>()
  readonly #named: (id: string, conversation: string) => string

  /** `named`: what the history calls a message of a conversation. */
  constructor(named: (id: string, conversation: string) => string) {
    this.#named = named
  }

  /** Something that belongs to no reply: it stands in the place of one, or goes ahead of it. */
  #loose(text: string, kind: Deliver["kind"], remoteId: string): Shown {
    return { kind, remoteId, what: kind === "edit" || text === placeholder ? "placeholder" : "notice", ids: [] }
  }

  #isCopy(text: string, reply: Reply): boolean {
    return text.includes(maybeTwice) || this.#announced.has(reply.id)
  }

  describe(kind: Deliver["kind"], remoteId: string, text: string, reply: Reply | undefined): Shown {
    if (reply === undefined) return this.#loose(text, kind, remoteId)
    if (reply.id.endsWith("/mark")) {
      if (text.includes(maybeTwice)) this.#announced.add(reply.id.slice(0, -"/mark".length))
      return { ...this.#loose(text, kind, remoteId), key: reply.id }
    }
    const told = { kind, remoteId, key: reply.id }
    const copy = this.#isCopy(text, reply) ? ("copy" as const) : undefined
    const answer = reply.kind === "answer" ? answered.exec(lastOf(text)) : null
    if (answer !== null) {
      const ids = (answer[4] ?? "").split(" ").filter((id) => id !== "")
      return { ...told, what: copy ?? "answer", ids, run: answer[1] ?? "", ...partOf(text, answer) }
    }
    const post = reply.kind === "post" ? posted.exec(lastOf(text)) : null
    if (post !== null) return { ...told, what: copy ?? "notice", ids: [post[1] ?? ""], ...partOf(text, post) }
    const what = copy ?? (reply.kind === "command" ? "command" : "notice")
    const conversation = conversationKey(reply.conversation)
    return { ...told, what, ids: reply.inReplyTo.map((id) => this.#named(id, conversation)), ...asideOf(text) }
  }
}
