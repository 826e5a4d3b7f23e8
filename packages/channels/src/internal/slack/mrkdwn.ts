/**
 * Slack's own marks, both ways: Markdown is written in them, with everything else
 * escaped, so that nothing that somebody wrote names a person or a channel; and what
 * people write is read back as the plain text that they saw.
 */
import { commands } from "@sluice/runtime/Channel"
import { type Looks, write, Writer } from "../chat/markdown.ts"

/** The three characters that Slack reads as marks of its own. */
export const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const unescaped = (text: string): string =>
  text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&")

/** Marks count where no word goes on beside them; this is nothing to see, and no word. */
const apart = "\u200b"
const marks = { bold: "*", italic: "_", strikethrough: "~" } as const

class MrkdwnWriter extends Writer {
  #closed = false

  override write(text: string): void {
    if (this.#closed && /^[\p{L}\p{N}]/u.test(text)) this.text += apart
    if (text !== "") this.#closed = false
    this.text += escaped(text)
  }

  /** What is written meanwhile, taken out again. */
  #inside(write: () => void): string {
    const before = this.text
    this.text = ""
    write()
    const inside = this.text
    this.text = before
    return inside
  }

  #marked(mark: string, inside: string): void {
    const [, head = "", core = "", tail = ""] = /^(\s*)([\s\S]*?)(\s*)$/.exec(inside) ?? []
    if (core === "") return void (this.text += inside)
    const glued = /[\p{L}\p{N}]$/u.test(this.text + head) ? apart : ""
    // A mark holds for a line.
    const lines = core.split("\n").map((line) => (line.trim() === "" ? line : `${mark}${line}${mark}`))
    this.text += `${head}${glued}${lines.join("\n")}${tail}`
    this.#closed = tail === ""
  }

  override as({ type, url }: Looks, write: () => void): void {
    const inside = this.#inside(write)
    switch (type) {
      case "bold":
      case "italic":
      case "strikethrough":
        return this.#marked(marks[type], inside)
      case "code":
        return this.#marked("`", inside.replaceAll("`", "ˋ"))
      case "pre":
        this.text += `\`\`\`\n${inside.replaceAll("```", `\`${apart}\`${apart}\``)}\n\`\`\``
        return
      case "text_link":
        this.text += `<${escaped(url ?? "").replaceAll("|", "%7C")}|${inside.replaceAll("|", "¦").replaceAll("\n", " ")}>`
        return
      case "blockquote":
        this.text += inside
          .trimEnd()
          .split("\n")
          .map((line) => `> ${line}`)
          .join("\n")
    }
  }
}

/** Renders Markdown. A text that can't be read as such, or of which nothing would be left, stays as it is. */
export const render = (markdown: string): string => {
  const writer = new MrkdwnWriter()
  return write(writer, markdown) ? writer.text.trimEnd() : escaped(markdown)
}

const named = (sign: string, inner: string): string => {
  const [id = "", name] = inner.slice(1).split("|")
  return `${sign}${name ?? id}`
}

/** What stands between angle brackets, as people see it. */
const seen = (inner: string): string => {
  if (inner.startsWith("@")) return named("@", inner)
  if (inner.startsWith("#")) return named("#", inner)
  const bar = inner.indexOf("|")
  const [target, label] = bar === -1 ? [inner, ""] : [inner.slice(0, bar), inner.slice(bar + 1)]
  if (target.startsWith("!")) return label === "" ? `@${target.slice(1)}` : label
  const plain = target.replace(/^mailto:|^tel:/, "")
  return label === "" ||
    label === target ||
    label === plain ||
    `http://${label}` === target ||
    `https://${label}` === target
    ? target.startsWith("http")
      ? target
      : plain
    : `${label} (${target})`
}

/** What somebody wrote, as it looks to them. */
export const plainOf = (text: string): string =>
  unescaped(text.replaceAll(/<([^<>\s][^<>]*)>/g, (_, inner: string) => seen(inner)))

const words = commands.map(({ command }) => command.slice(1)).join("|")
const written = new RegExp(`^!(?=(?:${words})(?:\\s|$))`)
const told = new RegExp(`(?<![\\w/])/(?=(?:${words})\\b(?!/))`, "g")

/** Slack keeps what begins with a slash for itself: `!stop` is `/stop`. */
export const orderOf = (text: string): string => text.replace(written, "/")

/** A sentence that tells of orders, with the mark that people can write. */
export const ordersIn = (text: string): string => text.replaceAll(told, "!")
