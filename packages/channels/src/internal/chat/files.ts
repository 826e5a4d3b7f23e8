/**
 * Photos, documents, voice: fetched and on disk before their message is accepted, so
 * a crash in between costs another fetch and never leaves a message without its
 * file. One that can't be had, or is too large, is told in the message's text: it
 * must not hold up its chat for ever.
 */
import { Attachments } from "@sluice/runtime/Attachments"
import { type Attachment, sizeText, Storage } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Stream from "effect/Stream"

/** A file that has to be fetched before its message is accepted. */
export interface FileToFetch {
  /** By what its platform finds it. */
  readonly id: string
  readonly type: string
  readonly name: string | undefined
  readonly size: number | undefined
}

/** Why a file could not be had: too large for the platform, for good, or for now, with what it asks to wait in milliseconds. */
export interface Missed {
  readonly _tag: "Missed"
  readonly verdict: "too-large" | "never" | "not-now"
  readonly reason: string
  readonly wait?: number | undefined
}

/** What was fetched, and what to say of what was not. */
export interface Fetched {
  readonly attachments: ReadonlyArray<Attachment>
  readonly notes: ReadonlyArray<string>
}

/** Tries of one file, milliseconds for each, files that are remembered, and the wait in between. */
const bounds = { tries: 3, timeout: 60_000, remembered: 1000, wait: 2000 }

const mediaType = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}$/i
const unplain = /[/\\\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

const nameOf = ({ name }: FileToFetch): string | undefined => {
  // As over HTTP: whoever makes an argument or a file of it meets no option and nothing that is hidden.
  const plain = (name ?? "")
    .replaceAll(unplain, "")
    .replace(/^[-.\s]+/, "")
    .trim()
  return plain === "" ? undefined : Array.from(plain).slice(0, 120).join("")
}

const tooLarge = (file: FileToFetch, size: number | undefined): string =>
  `[file: ${nameOf(file) ?? file.type}${size === undefined ? "" : `, ${sizeText(size)}`}: too large to be fetched]`

const unfetched = (file: FileToFetch): string => `[file: ${nameOf(file) ?? file.type}: could not be fetched]`

/** Fetches the files of messages; `open` begins to read one. */
export const fetcher = (
  open: (file: FileToFetch) => Effect.Effect<Stream.Stream<Uint8Array, Missed>, Missed, HttpClient.HttpClient>,
  limit: number
) => {
  // A file that fails again and again is given up; a restart forgives.
  const failures = new Map<string, number>()

  const failedAgain = (key: string): boolean => {
    const count = (failures.get(key) ?? 0) + 1
    failures.delete(key)
    if (count >= bounds.tries) return true
    failures.set(key, count)
    const [oldest] = failures.keys()
    if (failures.size > bounds.remembered && oldest !== undefined) failures.delete(oldest)
    return false
  }

  const stored = Effect.fnUntraced(function* (file: FileToFetch) {
    const attachments = yield* Attachments
    const name = nameOf(file)
    return yield* attachments.put(yield* open(file), {
      type: mediaType.test(file.type) ? file.type : "application/octet-stream",
      limit,
      ...(name === undefined ? {} : { name })
    })
  })

  /** The file, or what to say instead; fails with what passes. */
  const one = (key: string, file: FileToFetch) => {
    if ((file.size ?? 0) > limit) return Effect.succeed(tooLarge(file, file.size))
    const missed = ({ reason, verdict, wait }: Missed): Effect.Effect<string, Storage> => {
      if (verdict === "too-large") return Effect.succeed(tooLarge(file, file.size))
      if (verdict === "never" || failedAgain(key)) return Effect.succeed(unfetched(file))
      return new Storage({ retryAfter: wait ?? bounds.wait, cause: new Error(reason) })
    }
    const late: Missed = { _tag: "Missed", verdict: "not-now", reason: "a file did not come in time" }
    return stored(file).pipe(
      Effect.timeoutOrElse({ duration: bounds.timeout, orElse: () => Effect.fail(late) }),
      Effect.catchTags({
        Missed: missed,
        TooLarge: () => Effect.succeed(tooLarge(file, file.size))
      })
    )
  }

  return (
    key: string,
    files: ReadonlyArray<FileToFetch>
  ): Effect.Effect<Fetched, Storage, HttpClient.HttpClient | Attachments> =>
    Effect.map(
      Effect.forEach(files, (file, index) => one(`${key}/${index}`, file)),
      (found) => ({
        attachments: found.filter((one) => typeof one !== "string"),
        notes: found.filter((one) => typeof one === "string")
      })
    )
}
