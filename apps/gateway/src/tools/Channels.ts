/**
 * `sluice channels`: how each channel of the running gateway is, what is wrong with
 * it, and its stop and start by hand. The store knows nothing of this: it is about
 * connections, which are the process's.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { ListedChannel } from "../ChannelOperations.ts"
import type { Place } from "../configuration/Sources.ts"
import { codes, Ending } from "../process/Exit.ts"
import { escape } from "../LogEncoder.ts"
import { ask } from "./Ask.ts"
import * as Words from "./Words.ts"

const wrong = ({ lastError, problems, state, waiting }: ListedChannel, now: number): string => {
  const owed = waiting === 0 ? [] : [`${Words.count(waiting, "conversation")} waiting`]
  if (problems.length > 0) return [...problems, ...owed].join("; ")
  const last =
    lastError === undefined || state === "stopped" ? [] : [`last: ${lastError.reason}, ${Words.ago(lastError.at, now)}`]
  return [...owed, ...last].join("; ")
}

/** `sluice channels`: 1 when one is not as it should be. */
export const list = Effect.fnUntraced(function* (place: Place, json: boolean) {
  const { body } = yield* ask(place, { method: "GET", path: "/v1/channels" })
  const { channels } = body as { readonly channels: ReadonlyArray<ListedChannel> }
  const now = yield* Clock.currentTimeMillis
  if (json) yield* Words.json(body)
  else {
    // Reasons are longer than a cell: each has a line of its own below its channel.
    const table = Words.table(
      ["channel", "state", "for", "delivery", "at"],
      channels.map(({ at, delivery, name, since, state }) => [name, state, Words.span(now - since), delivery, at])
    )
    const lines = channels.flatMap((channel) => {
      const what = wrong(channel, now)
      return what === "" ? [] : [`${escape(channel.name)}: ${escape(what)}`]
    })
    yield* Words.lines([...table, ...lines])
  }
  if (channels.some(({ problems }) => problems.length > 0)) {
    return yield* new Ending({ code: codes.failed, lines: [] })
  }
})

/** `sluice channels stop|start <name>`. */
export const control = Effect.fnUntraced(function* (
  place: Place,
  action: "stop" | "start",
  name: string,
  json: boolean
) {
  const path = `/v1/admin/channels/${encodeURIComponent(name)}/${action}` as const
  const { body } = yield* ask(place, { method: "POST", path, patience: 15_000 })
  if (json) return yield* Words.json(body)
  const { channel, lasts } = body as { readonly channel: ListedChannel; readonly lasts?: string }
  const [problem] = channel.problems
  yield* Words.lines([
    `${escape(channel.name)} is ${channel.state}${problem === undefined ? "" : `: ${escape(problem)}`}`,
    ...(lasts === undefined ? [] : [`It stays so ${escape(lasts)}. Nothing is lost meanwhile.`])
  ])
})
