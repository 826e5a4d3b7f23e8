/**
 * Asking a platform until it answers: what passes is tried again, what doesn't is
 * told at once, and who says nothing for a while is told to be away. The gateway
 * shows what the channel ended with and starts it again.
 */
import { ChannelError } from "@sluice/runtime/Channel"
import * as Effect from "effect/Effect"

/** What a failure means for the whole channel. */
export interface Trouble {
  readonly reason: string
  /** Asking on at once changes nothing: the channel ends, and begins anew later. */
  readonly fatal: boolean
  /** It may be over soon, by itself; else somebody has to correct something, and the waits are longer. */
  readonly passes?: boolean
  /** Milliseconds that the platform asks to wait. */
  readonly wait?: number | undefined
}

/** Tries in a row without an answer, and the wait between them, before the channel says that it can't receive. */
export const patience = { tries: 3, wait: 1000 }

/** Asks until there is an answer; fails when there is none for a while, or none that could get better. */
export const persist = <A, E, R>(
  channel: string,
  asked: Effect.Effect<A, E, R>,
  troubleOf: (failure: E) => Trouble
): Effect.Effect<A, ChannelError, R> =>
  Effect.gen(function* () {
    for (let failures = 1; ;) {
      const result = yield* Effect.result(asked)
      if (result._tag === "Success") return result.success
      const { fatal, passes = !fatal, reason, wait } = troubleOf(result.failure)
      if (fatal || (wait === undefined && failures >= patience.tries)) {
        return yield* new ChannelError({ channel, reason, refused: !passes })
      }
      // Somebody who asks for patience is there.
      failures = wait === undefined ? failures + 1 : 1
      yield* Effect.logDebug("The platform is asked again", reason).pipe(Effect.annotateLogs({ channel }))
      yield* Effect.sleep(wait ?? patience.wait)
    }
  })
