/**
 * How each channel is, from the two sides that it has: whether it receives, and
 * whether replies may go out. Computed when somebody asks, so it can't differ from
 * what it is about.
 */
import * as Channel from "../../Channel.ts"
import type { HeldChannel } from "../../Outbox.ts"
import type { Mishap, Receiving } from "./Running.ts"

/** How a channel is. */
export interface ChannelState {
  readonly name: string
  readonly delivery: string
  /**
   * `up`: receives and sends. `degraded`: receives, but can't send, or its platform says that something is wrong. `down`:
   * can't receive, and is tried again. `starting`: has not said yet that it receives. `stopped`: by hand.
   */
  readonly state: "starting" | "up" | "degraded" | "down" | "stopped"
  /** Since when, epoch milliseconds. */
  readonly since: number
  /** What is wrong; empty when nothing is. */
  readonly problems: ReadonlyArray<string>
  /** Milliseconds until receiving is tried again, while it is down. */
  readonly retryIn?: number
  /** Conversations to which nothing is sent while it is held or stopped. */
  readonly waiting: number
  /** What went wrong last since the start, also when it is right again. */
  readonly lastError?: Mishap
}

const stateOf = ({ state, trouble }: Receiving, held: HeldChannel | undefined): ChannelState["state"] =>
  state === "up" && (held !== undefined || trouble !== undefined) ? "degraded" : state

const again = (millis: number): string => `tried again in ${Math.max(1, Math.round(millis / 1000))} s`

const latest = (...mishaps: ReadonlyArray<Mishap | undefined>): Mishap | undefined =>
  mishaps.reduce((last, one) => (one !== undefined && (last === undefined || one.at > last.at) ? one : last), undefined)

const sending = ({ reason, retryIn }: HeldChannel): string =>
  `nothing is sent: ${reason}${retryIn === undefined ? "" : `; ${again(retryIn)}`}`

const one = (name: string, receiving: Receiving, out: HeldChannel | undefined): ChannelState => {
  const { channel, last, problem, retryIn, since, trouble } = receiving
  // What is stopped by hand holds its replies, too: that is no problem of its own.
  const held = out?.why === "unauthorized" ? out : undefined
  const state = stateOf(receiving, held)
  const lastError = latest(last, held === undefined ? undefined : { at: held.since, reason: held.reason })
  return {
    name,
    delivery: Channel.deliveryName(channel.delivery),
    state,
    since: state === "degraded" ? Math.max(since, Math.min(held?.since ?? Infinity, trouble?.at ?? Infinity)) : since,
    problems: [
      ...(problem === undefined ? [] : [`${problem}${retryIn === undefined ? "" : `; ${again(retryIn)}`}`]),
      ...(trouble === undefined ? [] : [trouble.reason]),
      ...(held === undefined || receiving.state === "stopped" ? [] : [sending(held)])
    ],
    ...(retryIn === undefined ? {} : { retryIn }),
    waiting: out?.conversations ?? 0,
    ...(lastError === undefined ? {} : { lastError })
  }
}

/** All of them, as they are now. */
export const statesOf = (
  running: ReadonlyMap<string, Receiving>,
  held: ReadonlyArray<HeldChannel>
): ReadonlyArray<ChannelState> =>
  [...running].map(([name, receiving]) =>
    one(
      name,
      receiving,
      held.find(({ channel }) => channel === name)
    )
  )

/** What of it keeps the gateway from being ready. Who stopped a channel by hand knows. */
export const problemsOf = (states: ReadonlyArray<ChannelState>): ReadonlyArray<string> =>
  states.flatMap(({ name, problems, state }) =>
    state === "starting"
      ? [`channel "${name}": is starting`]
      : problems.map((problem) => `channel "${name}": ${problem}`)
  )
