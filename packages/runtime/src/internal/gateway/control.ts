/**
 * One channel by itself: how it is, and its stop and start by hand. A stop by hand
 * ends its receiving and holds its replies; what is stored stays stored. It lasts
 * until somebody starts it, a reload exchanges it, or the gateway starts again.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Semaphore from "effect/Semaphore"
import { GatewayError } from "./options.ts"
import type { Running } from "../channels/Running.ts"
import { type ChannelState, statesOf } from "../channels/states.ts"
import type { Outbox } from "../../Outbox.ts"
import type { Registered } from "../registry.ts"
import { hostChannel } from "./registry.ts"

interface Surroundings {
  readonly registered: Registered["Service"]
  readonly running: Running
  readonly outbox: Outbox["Service"]
}

/** How each channel is; the host's own has nothing that could go wrong. */
export const channelStates = (
  running: Running,
  outbox: Outbox["Service"]
): Effect.Effect<ReadonlyArray<ChannelState>> =>
  Effect.map(outbox.held, (held) => statesOf(running.all(), held).filter(({ name }) => name !== hostChannel))

/** The channels as people at the controls see them; `one` keeps them from meeting a reload. */
export const channelControl = (
  { outbox, registered, running }: Surroundings,
  one: Semaphore.Semaphore,
  isStopping: () => boolean
) => {
  const list = channelStates(running, outbox)
  const wrong = (name: string, value: string, remedy: string) =>
    Effect.fail(new GatewayError({ field: `channels.${name}`, value, remedy }))

  const known = Effect.fnUntraced(function* (name: string) {
    if (isStopping()) return yield* wrong(name, "is too late", "the gateway is stopping")
    const channel = name === hostChannel ? undefined : registered.entries.channels.get(name)
    if (channel !== undefined) return channel
    const names = [...registered.entries.channels.keys()].filter((other) => other !== hostChannel)
    return yield* wrong(
      name,
      "is not configured",
      names.length === 0 ? "there is none" : `name one of: ${names.join(", ")}`
    )
  })

  const now = Effect.fnUntraced(function* (name: string) {
    const found = (yield* list).find((state) => state.name === name)
    return found ?? (yield* wrong(name, "has gone meanwhile", "look at the others"))
  })

  const stop = Effect.fnUntraced(function* (name: string) {
    const channel = yield* known(name)
    if (!running.isStopped(name)) {
      yield* outbox.pause(name)
      yield* running.halt(name, channel)
      yield* Effect.logInfo("A channel was stopped by hand").pipe(Effect.annotateLogs({ channel: name }))
    }
    return yield* now(name)
  })

  const start = Effect.fnUntraced(function* (name: string) {
    const channel = yield* known(name)
    if (running.isStopped(name)) {
      yield* Effect.logInfo("A channel was started by hand").pipe(Effect.annotateLogs({ channel: name }))
      yield* Effect.forkChild(outbox.reconnect(name), { startImmediately: true })
      const started = yield* Effect.result(running.start(name, channel))
      if (Result.isFailure(started)) return yield* wrong(name, "does not start", started.failure.reason)
    }
    return yield* now(name)
  })

  return {
    list,
    stop: (name: string) => one.withPermits(1)(stop(name)),
    start: (name: string) => one.withPermits(1)(start(name))
  }
}
