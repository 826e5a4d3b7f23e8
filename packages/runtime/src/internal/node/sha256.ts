/**
 * SHA-256 over chunks, for content that is named by its hash while it is being
 * written: the platform's web crypto digests whole buffers only, and a file of
 * 25 MiB has no business in memory.
 */
import { createHash } from "node:crypto"

/** A hash that is still taking chunks; `hex` ends it. */
export interface Sha256 {
  readonly update: (chunk: Uint8Array) => void
  readonly hex: () => string
}

/** Begins a hash. */
export const sha256 = (): Sha256 => {
  const hash = createHash("sha256")
  return { update: (chunk) => void hash.update(chunk), hex: () => hash.digest("hex") }
}
