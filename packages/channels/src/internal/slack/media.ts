/**
 * Files of messages, fetched from where Slack keeps them. Without the right to read
 * them Slack answers with the page of its login: that is never taken for the file.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { FileToFetch, Missed } from "../chat/files.ts"
import type { Failure, WebApi } from "./webApi.ts"

const missed = (failure: Failure): Missed => {
  const { reason } = failure
  const because = { _tag: "Missed", reason } as const
  if (failure._tag !== "Denied") return { ...because, verdict: "not-now" }
  return failure.retryAfter === undefined
    ? { ...because, verdict: "never" }
    : { ...because, verdict: "not-now", wait: failure.retryAfter }
}

const isPage = (type: string): boolean => type.toLowerCase().startsWith("text/html")

/** Begins to read a file. */
export const opening = (api: WebApi) => (file: FileToFetch) =>
  Effect.flatMap(Effect.mapError(api.file(file.id), missed), (found) => {
    if (found._tag === "Bytes" && !(isPage(found.type) && !isPage(file.type))) {
      return Effect.succeed(Stream.mapError(found.content, missed))
    }
    const status = found._tag === "Bytes" ? "a page" : found.status
    const passes = found._tag === "Not" && (found.status >= 500 || found.status === 429)
    return Effect.fail<Missed>({
      _tag: "Missed",
      verdict: passes ? "not-now" : "never",
      reason: `a file was answered with ${status}`
    })
  })
