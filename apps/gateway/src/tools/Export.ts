/**
 * `sluice export <conversation> [name]`: what was said in a session, as Markdown on
 * the standard output. An export has no control characters, whoever wrote them: it
 * can be shown on a terminal as well.
 */
import * as Effect from "effect/Effect"
import type { Place } from "../configuration/Sources.ts"
import { codes, Ending } from "../process/Exit.ts"
import type { ConfigurationError } from "../configuration/Problem.ts"
import { ask, type Refused, type Silent } from "./Ask.ts"
import * as Words from "./Words.ts"

/** See the header. */
export const transcript = Effect.fnUntraced(function* (
  place: Place,
  conversation: string,
  name: string | undefined
): Effect.fn.Return<void, Silent | Refused | ConfigurationError | Ending> {
  const search = name === undefined ? "" : `?${new URLSearchParams({ session: name }).toString()}`
  const path = `/v1/conversations/${encodeURIComponent(conversation)}/transcript${search}` as const
  // A long one is read from the store page by page.
  const { body, status } = yield* ask(place, { method: "GET", path, patience: 60_000 })
  if (typeof body !== "string" || status !== 200) {
    return yield* new Ending({
      code: codes.failed,
      lines: ["the gateway is starting or stopping; try again in a moment"]
    })
  }
  yield* Words.lines(body.trimEnd().split("\n"))
})
