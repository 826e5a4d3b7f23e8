/**
 * Text from outside, made safe to show. A control character can move a
 * terminal's cursor or rename its window, a bidirectional one can show a line as
 * something that it is not: both become visible codes. What is stored stays as
 * it came; this is for screens, logs and error texts.
 */

// C0 and C1 controls, delete, line and paragraph separators, bidirectional marks and overrides, lone surrogates
const unsafe =
  // oxlint-disable-next-line no-control-regex -- these are the characters it is about
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

const code = (character: string): string => `\\u{${character.charCodeAt(0).toString(16)}}`

/** Whether the text has no character that must not reach a screen. */
export const isVisible = (text: string): boolean => {
  unsafe.lastIndex = 0
  return !unsafe.test(text)
}

/** One line of visible text, cut after `max` characters. */
export const visible = (text: string, max = 80): string => {
  const cut = text.length > max ? `${text.slice(0, max)}...` : text
  return cut.replaceAll(unsafe, code)
}

/** A value of somebody's JSON as one line of visible text. What nests some thousand levels deep can be read, but not written again. */
export const visibleValue = (value: unknown): string => {
  try {
    return visible(JSON.stringify(value) ?? "")
  } catch {
    return "(nests too deep to be shown)"
  }
}

/** Visible text that may have lines and tabs. */
export const visibleLines = (text: string): string =>
  text
    .replaceAll("\r\n", "\n")
    .replaceAll(unsafe, (character) => (character === "\n" || character === "\t" ? character : code(character)))
