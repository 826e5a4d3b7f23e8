/**
 * What people are told of a restart: that their answer will be late, and that it
 * is being worked on again. Only on channels that write to people: who pulls hears
 * of a stop over the wire. It is said for the last moment of a stop, so what is in
 * the way of it (a throttle, a slow network) costs the sentence and not the stop.
 */
import type * as Channel from "../../Channel.ts"
import * as Effect from "effect/Effect"
import type { Journal, JournalError, Spoken, Told } from "../../Journal.ts"
import { type Said, type Speaker, sentences } from "../../Notices.ts"
import type { Registered } from "../registry.ts"
import { parts, routeOf, textOf } from "./compose.ts"

/**
 * Most conversations of a channel that a stop tells. More could not hear of it in the second or two that are left, and what
 * a platform asks to wait for then is stored and would hold up the answers after the return.
 */
const mostTold = 30

/** How long nobody hears of a stop or a return again, in milliseconds. */
const within = sentences.goingDown.cap?.within ?? 0

interface Surroundings {
  readonly journal: Journal["Service"]
  readonly registered: Registered["Service"]
  readonly speaker: Speaker
  readonly wallNow: () => number
  /** Whether anybody is told at all. */
  readonly wanted: boolean
}

const tells = (channel: Channel.AnyChannel | undefined): channel is Channel.AnyChannel =>
  channel !== undefined && channel.delivery._tag !== "Pull" && channel.restartNotices !== false

const spokenOn = (channel: Channel.AnyChannel, said: Said): Spoken => ({
  parts: parts(channel, textOf(said)),
  route: routeOf(channel)
})

/** The words of a stop and of a return. */
export const restarts = ({ journal, registered, speaker, wallNow, wanted }: Surroundings) => {
  const expiry = (said: Said) => (said.expiresAfter === undefined ? undefined : wallNow() + said.expiresAfter)
  return {
    tellsOfRestarts: (channel: string): boolean => wanted && tells(registered.entries.channels.get(channel)),
    farewell: (sessions: ReadonlyArray<number>, reason: string): Effect.Effect<number, JournalError> =>
      Effect.suspend(() => {
        const channels = [...registered.entries.channels].filter(([, channel]) => tells(channel))
        if (!wanted || sessions.length === 0 || channels.length === 0) return Effect.succeed(0)
        const said = speaker.say("goingDown", { restarts: reason === "restart" })
        return journal.farewell({
          sessions,
          most: mostTold,
          channels: Object.fromEntries(channels.map(([name, channel]) => [name, spokenOn(channel, said)])),
          expiresAt: expiry(said),
          within
        })
      }),
    /** `words` are the first of what is gone on with; empty when nothing is. */
    comeBack: (
      told: ReadonlyArray<{ readonly who: Told; readonly words: string }>
    ): Effect.Effect<number, JournalError> =>
      Effect.suspend(() =>
        journal.return(
          told.map(({ who: { address, conversation }, words }) => {
            const channel = registered.entries.channels.get(address.channel)
            const said = speaker.say("back", { words })
            const spoken = wanted && tells(channel) ? spokenOn(channel, said) : undefined
            return { conversation, spoken, expiresAt: expiry(said) }
          })
        )
      )
  }
}
