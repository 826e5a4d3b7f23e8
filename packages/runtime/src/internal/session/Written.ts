/**
 * What an attempt has written, as a person reads it: the answer, and with
 * `/verbose` the tools and the lines of progress between its parts, in the order
 * in which they came. Bounded, because an agent may say much on its way.
 */
import type { Running, Session } from "../../Session.ts"
import { cutOffAnswer, maxAnswer } from "./attempt.ts"

/** The most lines beside the answer's text that are kept, and how long they are together, in UTF-16 units. */
const bounds = { lines: 500, length: 65_536 }

/** The parts of an answer with what was done in between. */
export class Written {
  readonly #parts: Array<{ text: string; readonly isLine: boolean }> = []
  #lines = 0
  #length = 0
  /** Of the answer. */
  #said = 0
  /** How many lines did not fit. */
  #left = 0

  /** More of the answer, within the bound of every answer. */
  text(delta: string) {
    const room = maxAnswer - this.#said
    if (room < 0) return
    this.#said += delta.length
    const last = this.#parts.at(-1)
    const part = last === undefined || last.isLine ? { text: "", isLine: false } : last
    if (part !== last) this.#parts.push(part)
    part.text = delta.length > room ? cutOffAnswer(part.text + delta, part.text.length + room) : part.text + delta
  }

  /** Something beside it. */
  line(text: string) {
    if (this.#lines >= bounds.lines || this.#length + text.length > bounds.length) {
      this.#left++
      return
    }
    this.#lines++
    this.#length += text.length
    this.#parts.push({ text, isLine: true })
  }

  /** All of it; empty where nothing but lines came: that is no answer. */
  toString() {
    if (!this.#parts.some(({ isLine, text }) => !isLine && text.trim() !== "")) return ""
    const parts = this.#parts.map(({ isLine, text }) => (isLine ? `[${text}]` : text.trim()))
    if (this.#left > 0) parts.push(`[and ${this.#left} more]`)
    return parts.filter((part) => part !== "").join("\n")
  }
}

/** Whether nothing is shown of an attempt but its answer. */
export const isQuiet = (session: Session): boolean => session.row?.outputMode === "smart"

/** What is kept of an attempt beside its answer, if the session wants to read it. */
export const writtenFor = (session: Session): Written | undefined =>
  session.row?.outputMode === "verbose" ? new Written() : undefined

/** The reply of an attempt that answered. */
export const replyText = ({ written }: Running, answer: string): string =>
  written === undefined ? answer : written.toString()
