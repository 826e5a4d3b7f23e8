/**
 * How deep a document may nest. A few bytes for each level are cheap to send, while reading a million levels blocks the
 * program for a second, and writing a few thousand ends in a stack overflow: of the worker that was to pass them on, as
 * it looked, which was then closed with all that it had loaded. So the text of a request is looked at before it is read,
 * and what a backend answers before it is passed on.
 */

/** Levels of the deepest document; schemas of tools, the deepest that are meant, have some twenty. */
export const deepest = 200

const quote = 34
const backslash = 92

/** Where the text of a quotation ends that begins at `from`; -1 when it does not end. */
const closing = (text: string, from: number): number => {
  for (let end = text.indexOf('"', from + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === backslash) escapes++
    if (escapes % 2 === 0) return end
  }
  return -1
}

/** Whether a text of JSON nests deeper than is read here; what stands in quotation marks is skipped. */
export const isTooDeep = (text: string): boolean => {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case quote: {
        const end = closing(text, at)
        if (end === -1) return false
        at = end
        break
      }
      // [ and {
      case 91:
      case 123:
        if (++depth > deepest) return true
        break
      // ] and }
      case 93:
      case 125:
        depth--
        break
    }
  }
  return false
}

/** The same of a value that was read already. */
export const nestsTooDeep = (value: unknown, levels = deepest): boolean => {
  if (typeof value !== "object" || value === null) return false
  if (levels === 0) return true
  for (const inner of Array.isArray(value) ? value : Object.values(value)) {
    if (nestsTooDeep(inner, levels - 1)) return true
  }
  return false
}
