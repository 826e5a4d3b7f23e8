/**
 * Tells a person whose turn shows nothing for a long time that it is still being
 * worked on. Only where people are written to: whoever pulls sees its state. The
 * pauses between two such sentences double, so that a day's work is a dozen of them.
 */
import * as Effect from "effect/Effect"
import type { Running, Session } from "../../Session.ts"

/** Silence after which a person is told the first time, milliseconds. */
const silence = 60_000

/** Never completes; ends with the attempt. */
export const stillAtIt = (session: Session, running: Running): Effect.Effect<never> => {
  const { env } = session
  const { conversation, address } = running.claimed.session
  const tell = Effect.suspend(() =>
    env.outbox.notify({ conversation, address }, "slow", {
      doing: [...running.tools.values()].at(-1)?.name ?? "",
      elapsed: env.now() - running.startedAt
    })
  )
  const wait = (after: number): Effect.Effect<never> =>
    Effect.suspend(() => {
      // A question waits for the person, not the person for it.
      const left = running.pulse.waiting ? after : running.pulse.shownAt + after - env.now()
      if (left > 0) return Effect.andThen(Effect.sleep(left), wait(after))
      // Steps that went by while a question was open are not made up for.
      let next = after * 2
      while (running.pulse.shownAt + next <= env.now()) next *= 2
      return Effect.catch(tell, (error) => Effect.logWarning("A person could not be told of a long turn", error)).pipe(
        Effect.andThen(wait(next))
      )
    })
  return wait(silence)
}
