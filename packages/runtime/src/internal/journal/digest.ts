/**
 * A fingerprint of a message's body, kept with its row so that a repeat of an
 * id with another body is told from a plain repeat, also after the text itself
 * was compacted. 53 bits, so that it is exact as a number everywhere. Not for
 * secrets: whoever forges a collision only hides an edit of his own message.
 */

/** The fingerprint, and the UTF-8 length of the last part. */
export interface Digest {
  readonly hash: number
  readonly bytes: number
}

/** Digests the parts in order; a boundary between parts counts, so ["ab",""] differs from ["a","b"]. */
export const digest = (parts: ReadonlyArray<string>): Digest => {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  let bytes = 0
  for (const part of parts) {
    bytes = 0
    for (let i = 0; i < part.length; i++) {
      const code = part.charCodeAt(i)
      a = Math.imul(a ^ code, 2654435761)
      b = Math.imul(b ^ code, 1597334677)
      // Each half of a surrogate pair counts two of the pair's four bytes.
      bytes += code < 0x80 ? 1 : code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 2 : 3
    }
    a = Math.imul(a ^ 0x10000, 2654435761)
    b = Math.imul(b ^ 0x10000, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  return { hash: 4294967296 * (2097151 & b) + (a >>> 0), bytes }
}
