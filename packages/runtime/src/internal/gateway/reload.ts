/**
 * Exchanges agents, personas and channels while everything runs. Agents change at
 * a session's next turn; channels one after the other, each ending its receiving
 * before the new one begins, and coming back when the new one is not ready. A
 * crash in between loses nothing: what is accepted is in the journal.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Channel } from "../../Channel.ts"
import type { Outbox } from "../../Outbox.ts"
import type { Sessions } from "../../Sessions.ts"
import { cross } from "../boundary.ts"
import type { Running } from "../channels/Running.ts"
import type { Entries, Registered } from "../registry.ts"

interface Surroundings {
  readonly registered: Registered["Service"]
  readonly running: Running
  readonly outbox: Outbox["Service"]
  readonly sessions: Sessions["Service"]
}

const withChannel = (entries: Entries, name: string, channel: Channel | undefined): Entries => {
  const channels = new Map(entries.channels)
  if (channel === undefined) channels.delete(name)
  else channels.set(name, channel)
  return { ...entries, channels }
}

const exchange = Effect.fnUntraced(function* (
  { outbox, registered, running }: Surroundings,
  name: string,
  before: Channel | undefined,
  after: Channel | undefined
) {
  if (before !== undefined) yield* running.stop(name)
  registered.entries = withChannel(registered.entries, name, after)
  // At once: a reload that ends with this channel would take along what has not begun.
  yield* Effect.forkChild(outbox.reconnect(name), { startImmediately: true })
  if (after === undefined) return `channel "${name}" is gone; what it owes is kept`
  const started = yield* Effect.result(running.start(name, after))
  if (Result.isSuccess(started) && started.success)
    return `channel "${name}" ${before === undefined ? "is new" : "was exchanged"}`
  if (running.isOver(after.kind)) return `channel "${name}" is not started: the gateway is stopping`
  const reason = Result.isFailure(started) ? started.failure.reason : (running.problem(name) ?? "not ready within 10 s")
  if (before === undefined) return `channel "${name}" does not start: ${reason}`
  yield* running.stop(name)
  registered.entries = withChannel(registered.entries, name, before)
  yield* Effect.forkChild(outbox.reconnect(name), { startImmediately: true })
  const again = yield* Effect.result(running.start(name, before))
  return Result.isSuccess(again)
    ? `channel "${name}" does not start (${reason}); the old one runs again`
    : `channel "${name}" does not start (${reason}), nor does the old one: ${again.failure.reason}`
})

/** What is new, gone or different among entries of a kind, a line each. */
const differences = <A>(
  kind: string,
  before: ReadonlyMap<string, A>,
  next: ReadonlyMap<string, A>,
  same: (one: A, other: A) => boolean
): ReadonlyArray<string> =>
  [...new Set([...before.keys(), ...next.keys()])].flatMap((name) => {
    const [old, now] = [before.get(name), next.get(name)]
    if (now === undefined) return [`${kind} "${name}" is gone`]
    if (old === undefined) return [`${kind} "${name}" is new`]
    return same(old, now) ? [] : [`${kind} "${name}" has changed`]
  })

/** Takes over checked entries; returns what changed, a line each, none when nothing did. */
export const reload = Effect.fnUntraced(function* (
  surroundings: Surroundings,
  next: Entries,
  same: (name: string) => boolean
) {
  const { registered, sessions } = surroundings
  yield* cross("reload:validated")
  const before = registered.entries
  registered.entries = { ...next, channels: before.channels }
  yield* sessions.reloaded
  yield* cross("reload:agents")
  const lines = [
    ...differences("agent", before.agents, next.agents, (one, other) => one === other),
    ...differences(
      "persona",
      before.personas,
      next.personas,
      (one, other) => one.agent === other.agent && one.systemPrompt === other.systemPrompt
    )
  ]
  if (JSON.stringify(before.spending) !== JSON.stringify(next.spending))
    lines.push("prices, budgets or the time zone of their days have changed")
  for (const name of new Set([...before.channels.keys(), ...next.channels.keys()])) {
    if (same(name)) continue
    lines.push(yield* exchange(surroundings, name, before.channels.get(name), next.channels.get(name)))
    yield* cross("reload:channels")
  }
  yield* sessions.reloaded
  yield* cross("reload:done")
  return lines
})
