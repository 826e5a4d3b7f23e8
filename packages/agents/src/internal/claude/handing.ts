/**
 * What a running turn has sent to the CLI, what the CLI has said of it, and how it
 * is made certain that it takes nothing more: it is told to stop, or asked to give
 * back what it has not begun with. One that does not is ended, because what it has
 * it could still take, into a turn that nobody hears or into the next one.
 */
import * as Agent from "@sluice/runtime/Agent"
import type { TurnMessage } from "@sluice/runtime/Message"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Connection } from "./connection.ts"
import { type Message, texts } from "./lines.ts"

/** What the turn has sent, and whether the CLI has taken it. */
export const sent = (first: string) => {
  const taken = new Set<string>()
  /** Handed over and not taken yet. */
  const waiting = new Map<string, ReadonlyArray<TurnMessage>>()
  return {
    waiting,
    /** The CLI does not have it any more, and has not read it. */
    giveBack: (uuid: string) => void waiting.delete(uuid),
    begun: () => taken.has(first),
    /** Takes note of what the CLI begins with; the ids of what was handed over and is taken now. */
    take: (uuids: ReadonlyArray<string>): ReadonlyArray<string> => {
      const now = uuids.filter((uuid) => !taken.has(uuid) && (uuid === first || waiting.has(uuid)))
      return now.flatMap((uuid) => {
        taken.add(uuid)
        const messages = waiting.get(uuid) ?? []
        waiting.delete(uuid)
        return messages.map(({ id }) => id)
      })
    },
    /** Whether a result is that of ours: what the CLI does by itself has results too. */
    owns: (result: Message): boolean =>
      texts(result, "user_message_uuids")?.some((uuid) => taken.has(uuid)) ?? taken.has(first)
  }
}

/** See {@link sent}. */
export type Ours = ReturnType<typeof sent>

/** Whom it takes to let go. */
export interface LettingGo {
  readonly connection: Connection
  /** How long the CLI has to stop when it is told to. */
  readonly interruptWithin: Duration.Input
  /** Ends the CLI's process, with the ladder. */
  readonly end: Effect.Effect<void>
}

/** How long it may take to let go, in milliseconds. Of a stop's last moments the ladder needs the better part. */
const patienceOf = ({ interruptWithin }: LettingGo): Effect.Effect<number> =>
  Effect.map(Effect.flatten(Agent.StopBudget), (left) => Math.min(Duration.toMillis(interruptWithin), left * 0.4))

/**
 * Tells the CLI to stop and waits until it has; ends it when it has not in time, and when it may still take what it was
 * handed: in a turn of its own that nobody hears, or into the next one.
 */
export const interrupt = Effect.fnUntraced(function* (
  options: LettingGo,
  stopped: Deferred.Deferred<void>,
  ours: Ours
) {
  const { connection } = options
  const wait = yield* patienceOf(options)
  const request = Effect.map(connection.request({ subtype: "interrupt", cancel_queued: true }), (response) =>
    (texts(response, "cancelled") ?? []).forEach(ours.giveBack)
  )
  const done = Effect.andThen(Effect.exit(request), Deferred.await(stopped))
  const over = yield* Effect.timeoutOption(Effect.raceFirst(done, Effect.exit(Deferred.await(connection.gone))), wait)
  if (Option.isSome(over) && ours.waiting.size === 0) return
  const problem = Option.isNone(over)
    ? `did not stop within ${Math.round(wait)} ms of being told to`
    : "stopped and did not say what became of messages that were written meanwhile"
  yield* Effect.logWarning(`agent "${connection.program}" ${problem}, it is ended`)
  yield* options.end
})

/** Asks the CLI to give back what it was handed and has said nothing of; ends it when it does not give it all back. */
export const takeBack = Effect.fnUntraced(function* (options: LettingGo, ours: Ours) {
  const { connection } = options
  const asked = Effect.forEach(
    [...ours.waiting.keys()],
    (uuid) =>
      Effect.map(connection.request({ subtype: "cancel_async_message", message_uuid: uuid }), (response) => {
        if (response["cancelled"] === true) ours.giveBack(uuid)
      }),
    { concurrency: "unbounded", discard: true }
  )
  yield* Effect.timeoutOption(Effect.exit(asked), yield* patienceOf(options))
  if (ours.waiting.size === 0) return
  yield* Effect.logWarning(
    `agent "${connection.program}" says neither that it took what was written during its turn nor that it did not, it is ended`
  )
  yield* options.end
})
