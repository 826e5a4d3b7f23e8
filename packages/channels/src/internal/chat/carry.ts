/**
 * Files of replies. A message carries one, with a short text beside it, so that a
 * reply stays one message: what doesn't fit is named in the text, and so is a file
 * that is gone or too large.
 */
import { Attachments } from "@sluice/runtime/Attachments"
import { type Attachment, type Reply, sizeText } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** The largest file that may be sent, in bytes, and the longest text beside one, in UTF-16 units. */
export interface CarryBounds {
  readonly size: number
  readonly caption: number
}

/** A file with what is said beside it. */
export interface Carried {
  readonly name: string
  readonly content: Blob
  readonly caption: string
}

const nameOf = ({ hash, name }: Attachment): string => name ?? hash.slice(0, 12)

const told = (file: Attachment): string => `[file: ${nameOf(file)}, ${sizeText(file.size)}]`

/** The reply's text with its files by name. */
export const inWords = ({ attachments = [], text }: Reply): string => [text, ...attachments.map(told)].join("\n")

/** What is said beside the first file. An answer that was put into a file is only begun: all of it is in there. */
const captionOf = ({ attachments = [], text }: Reply, most: number): string | undefined => {
  const whole = [text, ...attachments.slice(1).map(told)].join("\n")
  if (whole.length <= most) return whole
  if (attachments.length !== 1 || attachments[0]?.type !== "text/markdown") return undefined
  return `${whole.slice(0, most - 1).replace(/[\uD800-\uDBFF]$/, "")}…`
}

/** The file that the reply's message carries; `undefined` when it has none, or none that can be sent. */
export const carriedOf = (reply: Reply, bounds: CarryBounds): Effect.Effect<Carried | undefined, never, Attachments> =>
  Effect.gen(function* () {
    const [file] = reply.attachments ?? []
    const caption = captionOf(reply, bounds.caption)
    if (file === undefined || caption === undefined || file.size > bounds.size) return undefined
    const store = yield* Attachments
    const found = yield* store.read(file.hash)
    if (found === undefined) return undefined
    const chunks = yield* Stream.runCollect(found.content)
    const parts = chunks.map((chunk) => new Uint8Array(chunk))
    return { name: nameOf(file), content: new Blob(parts, { type: file.type }), caption }
  }).pipe(
    Effect.catch((error) =>
      Effect.as(Effect.logWarning("A file of a reply could not be read: its name is told", error), undefined)
    )
  )
