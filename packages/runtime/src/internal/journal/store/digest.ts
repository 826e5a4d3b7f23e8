/**
 * Sizes and fingerprints of texts. The fingerprint stands for a body whose text
 * retention let go, so that a repeat of its id with another body is still told
 * from a plain repeat. 53 bits, so that it is exact as a number everywhere. Not
 * for secrets: whoever forges a collision only hides an edit of his own message.
 */

/** Bytes of a text in UTF-8. */
export const utf8Bytes = (text: string): number => {
  // The platform's own where there is one: a hundred times faster than looking at each character.
  if (typeof Buffer !== "undefined") return Buffer.byteLength(text)
  let bytes = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    // Each half of a surrogate pair counts two of the pair's four bytes.
    bytes += code < 0x80 ? 1 : code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 2 : 3
  }
  return bytes
}

/** A fingerprint of the parts in order; a boundary between parts counts, so ["ab",""] differs from ["a","b"]. */
export const digest = (parts: ReadonlyArray<string>): number => {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (const part of parts) {
    for (let i = 0; i < part.length; i++) {
      const code = part.charCodeAt(i)
      a = Math.imul(a ^ code, 2654435761)
      b = Math.imul(b ^ code, 1597334677)
    }
    a = Math.imul(a ^ 0x10000, 2654435761)
    b = Math.imul(b ^ 0x10000, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  return 4294967296 * (2097151 & b) + (a >>> 0)
}
