/**
 * Files of messages, as the Bot API hands them out: asked for by their id, then
 * fetched by the path that it names. What it says about one that can't be had is
 * told apart from what may pass.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { FileToFetch, Missed } from "../chat/files.ts"
import type { BotApi, Failure } from "./botApi.ts"

const Found = Schema.Struct({ file_path: Schema.String })

const missed = (failure: Failure): Missed => {
  const { reason } = failure
  const because = { _tag: "Missed", reason } as const
  if (failure._tag !== "Denied") return { ...because, verdict: "not-now" }
  if (failure.code !== 400) return { ...because, verdict: "not-now", wait: failure.retryAfter }
  return { ...because, verdict: /too big/i.test(reason) ? "too-large" : "never" }
}

/** Begins to read a file. */
export const opening = (api: BotApi) => (file: FileToFetch) =>
  api.call("getFile", { file_id: file.id }, Found).pipe(
    Effect.flatMap(({ file_path }) => api.file(file_path)),
    Effect.mapBoth({ onFailure: missed, onSuccess: Stream.mapError(missed) })
  )
