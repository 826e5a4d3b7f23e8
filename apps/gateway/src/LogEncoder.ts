/**
 * The one way from a text of unknown origin to a line that is printed: control
 * characters, escape sequences and the characters that turn the direction of
 * writing are written out, so that nobody's message can forge a log line or
 * repaint an operator's terminal.
 */

// Controls, formats (bidirectional, zero-width, byte order mark, tags), line and paragraph separators, half surrogate pairs.
const unsafe = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

const written = (character: string): string => {
  if (character === "\n") return "\\n"
  if (character === "\t") return "\\t"
  if (character === "\r") return "\\r"
  const code = character.codePointAt(0) ?? 0
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`
}

/** A text on one line without anything that a terminal or a reader would obey. */
export const escape = (text: string): string => text.replace(unsafe, written)

const unit = (code: number): string => `\\u${code.toString(16).padStart(4, "0")}`

/** The same for JSON: what JSON leaves as it is and a terminal would obey, as `\uXXXX`. */
export const escapeJson = (json: string): string =>
  json.replace(unsafe, (character) =>
    Array.from({ length: character.length }, (_, index) => unit(character.charCodeAt(index))).join("")
  )

/** A text of at most `most` characters, with its true length when it was longer. */
export const shorten = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, most)}... (${text.length} characters)`
