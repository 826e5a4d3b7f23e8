/**
 * Markdown as chats show it: walked through once, and written to somebody who knows
 * how a platform says bold, code or link. What is not understood stays as it is
 * written; only marks are ever left out.
 */
import { lexer, type Token, type Tokens } from "marked"

/** How a stretch of a text looks. */
export interface Looks {
  readonly type: "bold" | "italic" | "strikethrough" | "code" | "pre" | "text_link" | "blockquote"
  readonly url?: string
  readonly language?: string
}

/** Writes a text as it is shown; what can show looks does more in `as`. */
export class Writer {
  text = ""

  write(text: string): void {
    this.text += text
  }

  /** Writes something that looks in this way. */
  as(_looks: Looks, write: () => void): void {
    write()
  }

  /** Ends the line, if one has begun. */
  line(): void {
    if (this.text !== "" && !this.text.endsWith("\n")) this.text += "\n"
  }
}

// Telegram makes a mention of a link to somebody's account: nothing that an agent writes calls anybody by their number.
const linkable = /^(?:https?|mailto|tel):|^tg:(?!\/*user)/i

const link = (writer: Writer, href: string, text: () => void): void => {
  const before = writer.text.length
  if (linkable.test(href) && URL.canParse(href)) writer.as({ type: "text_link", url: href }, text)
  else text()
  const shown = writer.text.slice(before)
  if (shown === "") writer.write(href)
  // A path, or whatever else can't be opened from a chat: it is told in words.
  else if (!linkable.test(href) && href !== "" && href !== shown) writer.write(` (${href})`)
}

const inline = (writer: Writer, tokens: ReadonlyArray<Token>): void => {
  for (const token of tokens) span(writer, token)
}

const span = (writer: Writer, token: Token): void => {
  const inner = () => inline(writer, (token as { readonly tokens?: ReadonlyArray<Token> }).tokens ?? [])
  switch (token.type) {
    case "strong":
      return writer.as({ type: "bold" }, inner)
    case "em":
      return writer.as({ type: "italic" }, inner)
    case "del":
      return writer.as({ type: "strikethrough" }, inner)
    case "codespan":
      return writer.as({ type: "code" }, () => writer.write((token as Tokens.Codespan).text))
    case "br":
      return writer.write("\n")
    case "link":
    case "image":
      return link(writer, (token as Tokens.Link).href, inner)
    case "escape":
      return writer.write((token as Tokens.Escape).text)
    case "checkbox":
      return writer.write((token as { readonly checked?: boolean }).checked === true ? "☑ " : "☐ ")
    case "text":
      return (token as Tokens.Text).tokens === undefined ? writer.write((token as Tokens.Text).text) : inner()
    default:
      return writer.write(token.raw)
  }
}

/** Columns as wide as their widest cell: in code, where every character is as wide as the others. */
const table = (writer: Writer, { header, rows }: Tokens.Table): void => {
  const plain = (cell: Tokens.TableCell) => {
    const own = new Writer()
    inline(own, cell.tokens)
    return own.text
  }
  const lines = [header, ...rows].map((row) => row.map(plain))
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  const row = (line: ReadonlyArray<string>) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd()
  const [first = [], ...others] = lines
  const rule = widths.map((width) => "-".repeat(width)).join("  ")
  writer.as({ type: "pre" }, () => writer.write([row(first), rule, ...others.map(row)].join("\n")))
}

const list = (writer: Writer, { items, ordered, start }: Tokens.List, depth: number): void => {
  for (const [index, item] of items.entries()) {
    writer.line()
    writer.write(`${"  ".repeat(depth)}${ordered ? `${Number(start) + index}. ` : item.task ? "" : "• "}`)
    for (const token of item.tokens) {
      if (token.type === "list") list(writer, token as Tokens.List, depth + 1)
      else block(writer, token, depth)
    }
  }
}

const block = (writer: Writer, token: Token, depth = 0): void => {
  switch (token.type) {
    case "space":
      writer.line()
      return writer.write("\n")
    case "heading":
      return writer.as({ type: "bold" }, () => inline(writer, (token as Tokens.Heading).tokens))
    case "paragraph":
      return inline(writer, (token as Tokens.Paragraph).tokens)
    case "code": {
      const { codeBlockStyle, lang = "", raw, text } = token as Tokens.Code
      // Four spaces are mostly somebody's layout.
      if (codeBlockStyle === "indented" || text === "") return writer.write(raw.trimEnd())
      const [language = ""] = lang.split(/\s/, 1)
      writer.line()
      return writer.as({ type: "pre", ...(language === "" ? {} : { language }) }, () => writer.write(text))
    }
    case "blockquote":
      return writer.as({ type: "blockquote" }, () => blocks(writer, (token as Tokens.Blockquote).tokens, depth))
    case "list":
      return list(writer, token as Tokens.List, depth)
    case "table":
      return table(writer, token as Tokens.Table)
    case "hr":
      return writer.write("———")
    case "text":
    case "checkbox":
      return span(writer, token)
    default:
      return writer.write(token.raw.trimEnd())
  }
}

const blocks = (writer: Writer, tokens: ReadonlyArray<Token>, depth = 0): void => {
  for (const [index, token] of tokens.entries()) {
    if (index > 0 && token.type !== "space") writer.line()
    block(writer, token, depth)
  }
}

/** Quotations in quotations, so many that nobody has meant them: to read those takes as long as the cube of their number. */
const tooDeep = /^(?:[ \t]{0,8}>){32}/m

/** Writes Markdown; says whether it could be read as such, and anything of it is left. */
export const write = (writer: Writer, markdown: string): boolean => {
  if (tooDeep.test(markdown)) return false
  try {
    blocks(writer, lexer(markdown))
  } catch {
    // A parser that gives up on what somebody wrote: the words themselves are what matters.
    return false
  }
  return writer.text.trim() !== ""
}
