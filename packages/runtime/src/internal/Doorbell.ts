/**
 * A coalesced wake-up: whoever has work rings, and the work is looked at once in the scheduler's next turn. Ringing is
 * synchronous and starts nothing by itself, so it is safe where nobody may wait and where foreign code must not run (the
 * journal's hand-over, a fiber's observer, the middle of another wake-up). It goes through Effect's Scheduler, which is
 * how TestClock knows what a woken timer set off.
 */
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"

export interface Doorbell {
  /** Asks for one call of `answer` in the next turn. Ringing again before that changes nothing. */
  readonly ring: () => void
}

/** `answer` must not throw: it runs in no fiber, nobody would catch it. */
export const make = (answer: () => void): Effect.Effect<Doorbell> =>
  Effect.map(Scheduler.Scheduler, (scheduler) => {
    const dispatcher = scheduler.makeDispatcher()
    let rung = false
    const answered = () => {
      rung = false
      answer()
    }
    return {
      ring: () => {
        if (rung) return
        rung = true
        dispatcher.scheduleTask(answered, 0)
      }
    }
  })
