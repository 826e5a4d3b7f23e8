/**
 * One attempt of a turn: runs the agent's stream to its end, or until it is cut,
 * stalls, or takes too long. However it ends, this returns only after the agent
 * has let go, so that no second attempt can run beside it.
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { AgentError, AgentEvent, OpenAgent } from "../../Agent.ts"
import type { JournalError } from "../../Journal.ts"
import type { Turn } from "../../Message.ts"

/** Why a running attempt is told to let go. */
export type Cut =
  | { readonly _tag: "Cancelled"; readonly by: string }
  | { readonly _tag: "Interrupted"; readonly reason: string }

/** Whether one attempt is to let go. Every turn has one and hardly any is cut: nothing stands and waits for it. */
export class CutSignal {
  /** Why, once it was given. */
  cut: Cut | undefined = undefined
  #told: (() => void) | undefined = undefined

  /** Tells the attempt to let go; the first reason counts. `false` when it was told before. */
  give(cut: Cut): boolean {
    if (this.cut !== undefined) return false
    this.cut = cut
    this.#told?.()
    return true
  }

  /** Whom to tell when it is given; one at a time. */
  tell(told: (() => void) | undefined): void {
    this.#told = told
  }
}

/** How an attempt ended. */
export type Outcome =
  | { readonly _tag: "Answered"; readonly text: string }
  | {
      readonly _tag: "Failed"
      readonly reason: AgentError["reason"] | "Stalled" | "Timeout" | "Defect"
      readonly error: string
      /** With `NoModel`: those that there are, where they are known. */
      readonly models?: ReadonlyArray<string>
    }
  | { readonly _tag: "Cut"; readonly cut: Cut }

/** The longest answer that is kept, in UTF-16 code units; what is beyond is cut off with a sentence that says so. */
export const maxAnswer = 1_048_576

/** An agent that goes on and on is let go of there: nobody reads it any more, and it keeps its place and a processor. */
const endless = 16 * maxAnswer

/** An answer, or the last part of one, that has become too long: what fits, and the sentence. */
export const cutOffAnswer = (text: string, fits = maxAnswer): string =>
  `${text.slice(0, fits).replace(/[\uD800-\uDBFF]$/, "")}\n\n(The answer was longer; the rest is cut off.)`

/**
 * When the attempt last showed that it lives, and when something of it that a person could see; monotonic milliseconds.
 * `waiting` while it waits for a person.
 */
export interface Pulse {
  at: number
  shownAt: number
  waiting: boolean
}

/** What an attempt needs. Times in milliseconds; 0 = none. */
export interface Options {
  readonly open: OpenAgent
  readonly turn: Turn
  readonly stall: number
  readonly timeout: number
  readonly pulse: Pulse
  readonly now: () => number
  readonly cut: CutSignal
  /** Adds what the agent may ask for to the session's services. */
  readonly more: (services: Context.Context<never>) => Context.Context<never>
  /** Events other than Text are handled before the next one is taken. */
  readonly onEvent: (event: AgentEvent) => Effect.Effect<void, JournalError>
}

type Failed = Extract<Outcome, { _tag: "Failed" }>

const failed = (reason: Failed["reason"], error: string): Failed => ({ _tag: "Failed", reason, error })

/** What an agent says of its failure. */
export const failedBy = ({ message, models, reason }: AgentError): Failed => ({
  ...failed(reason, message),
  ...(models === undefined ? {} : { models })
})

/** The answer does not end. */
class Endless {
  readonly _tag = "Endless"
}
const tooMuch = Effect.fail(new Endless())

/** Adds up an answer within its bound. */
class Answer {
  text = ""
  said = 0
  #full = false

  add(delta: string) {
    this.said += delta.length
    if (this.#full) return
    this.text += delta
    if (this.text.length <= maxAnswer) return
    this.#full = true
    this.text = cutOffAnswer(this.text)
  }
}

const answered = ({ text }: Answer): Outcome => ({ _tag: "Answered", text })

const answer = (options: Options): Effect.Effect<Outcome> => {
  const gathered = new Answer()
  const take = (event: AgentEvent): Effect.Effect<void, JournalError | Endless> => {
    options.pulse.at = options.now()
    switch (event._tag) {
      case "Text":
        gathered.add(event.delta)
        if (gathered.said > endless) return tooMuch
        break
      case "Usage":
        return options.onEvent(event)
      case "Alive":
        return Effect.void
      case "Steered":
        // Nothing is shown, and every message of it counts.
        return options.onEvent(event)
    }
    options.pulse.shownAt = options.pulse.at
    return options.onEvent(event)
  }
  // Suspended: an agent that throws instead of answering fails its turn, not the session.
  return Effect.suspend(() => Stream.runForEach(options.open.answer(options.turn), take)).pipe(
    Effect.matchCauseEffect({
      onSuccess: () => Effect.succeed(answered(gathered)),
      onFailure: (cause) => {
        const error = Cause.findErrorOption(cause)
        if (error._tag === "Some") {
          const { value } = error
          if (value._tag === "Endless") {
            return Effect.as(
              Effect.logWarning("An answer that does not end was cut off and its agent let go of"),
              answered(gathered)
            )
          }
          // A journal that failed has told the program already; the settlement fails in the same way.
          return Effect.succeed(value._tag === "AgentError" ? failedBy(value) : failed("Defect", value.message))
        }
        // Nobody asks the race's loser; who interrupts itself has lost the turn, and the session goes on.
        if (Cause.hasInterruptsOnly(cause)) return Effect.succeed(failed("Defect", "the agent interrupted itself"))
        return Effect.succeed(failed("Defect", Cause.pretty(cause)))
      }
    })
  )
}

/** By how much a timer may be late on a main loop that turns, and the longest time that what is unread is waited for; ms. */
const [late, reading] = [20, 1000]

/**
 * Sleeps until then. A process that was held up hears of its timers before it reads what its agents have said meanwhile:
 * a timer that is late gives as much time again to that, before anybody is judged by it.
 */
const sleepUntil = (at: number, now: () => number): Effect.Effect<void> =>
  Effect.andThen(
    Effect.sleep(Math.max(0, at - now())),
    Effect.suspend(() => {
      const lateness = now() - at
      return lateness < late ? Effect.void : Effect.sleep(Math.min(lateness, reading))
    })
  )

/** Fails the attempt when it showed nothing for `stall` milliseconds. One sleep per period, not one per event. */
const stalled = (options: Options): Effect.Effect<Outcome> =>
  Effect.suspend(() => {
    const { at, waiting } = options.pulse
    return Effect.flatMap(sleepUntil((waiting ? options.now() : at) + options.stall, options.now), () =>
      waiting || options.pulse.waiting || options.pulse.at !== at
        ? stalled(options)
        : Effect.succeed(failed("Stalled", `no progress for ${options.stall} ms`))
    )
  })

/** Fails the attempt when it has not ended within `timeout` milliseconds. */
const overdue = (options: Options): Effect.Effect<Outcome> =>
  Effect.suspend(() =>
    Effect.as(
      sleepUntil(options.now() + options.timeout, options.now),
      failed("Timeout", `took longer than ${options.timeout} ms`)
    )
  )

/**
 * Runs the work in a fiber of its own until it ends or the signal is given, and completes when the fiber has let go. A
 * race against somebody who waits for the signal would be a second fiber for every turn. The fiber has the services of
 * the caller and what `more` adds to them.
 */
export const untilCut = <A>(
  work: Effect.Effect<A>,
  signal: CutSignal,
  more: (services: Context.Context<never>) => Context.Context<never>
): Effect.Effect<A | Extract<Outcome, { _tag: "Cut" }>> =>
  Effect.withFiber((parent) =>
    Effect.callback((resume) => {
      if (signal.cut !== undefined) return resume(Effect.succeed({ _tag: "Cut", cut: signal.cut }))
      const fiber = Effect.runForkWith(more(parent.context))(work)
      signal.tell(() => fiber.interruptUnsafe())
      fiber.addObserver((exit) => {
        signal.tell(undefined)
        resume(signal.cut === undefined ? exit : Effect.succeed({ _tag: "Cut", cut: signal.cut }))
      })
      // The work itself may have asked for it, before anybody was told.
      if (signal.cut !== undefined) fiber.interruptUnsafe()
      return Fiber.interrupt(fiber)
    })
  )

/** Runs the attempt; completes when the agent has let go. */
export const attempt = (options: Options): Effect.Effect<Outcome> => {
  const racers: Array<Effect.Effect<Outcome>> = []
  if (options.stall > 0) racers.push(stalled(options))
  if (options.timeout > 0) racers.push(overdue(options))
  const answered = answer(options)
  return untilCut(
    racers.length === 0 ? answered : Effect.raceAllFirst([answered, ...racers]),
    options.cut,
    options.more
  )
}
