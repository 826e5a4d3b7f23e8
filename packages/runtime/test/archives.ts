/**
 * A store of files in memory that outlives boots, as a disk does: what a boot has
 * put there is there for the next one, whether or not a row refers to it.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Attachments } from "../src/Attachments.ts"
import { sha256 } from "../src/internal/node/sha256.ts"
import { Attachment, Storage } from "../src/Message.ts"

/** The disk of a test. */
export class Disk {
  readonly files = new Map<string, string>()
  broken = false

  readonly layer = Layer.succeed(
    Attachments,
    Attachments.of({
      put: (content, { name, type }) =>
        Effect.flatMap(Stream.mkString(Stream.decodeText(content)), (text) => {
          if (this.broken) return Effect.fail(new Storage({ retryAfter: 1, cause: "the disk is full" }))
          const hash = sha256()
          const bytes = new TextEncoder().encode(text)
          hash.update(bytes)
          const key = hash.hex()
          this.files.set(key, text)
          const named = name === undefined ? {} : { name }
          return Effect.succeed(new Attachment({ hash: key, size: bytes.byteLength, type, ...named }))
        }),
      find: (hash) => Effect.sync(() => this.files.get(hash)?.length),
      read: () => Effect.succeed(undefined),
      path: () => undefined,
      sweep: () => Effect.succeed([]),
      remove: (hashes) => Effect.sync(() => hashes.forEach((hash) => this.files.delete(hash)))
    })
  )
}
