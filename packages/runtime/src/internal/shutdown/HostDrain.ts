/**
 * One of the host's drains on its way through a stop. It has a budget of its own: a pool that hangs in phase 4 keeps
 * neither the turns nor the other drains from ending, and what it still counts until the end of phase 5 is reported.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Exit from "effect/Exit"
import { endingOf } from "./Course.ts"
import type { Drain, DrainCounts } from "./Parts.ts"
import { type DrainRow, type PhaseOutcome, tenths } from "./Report.ts"

/** The budget of a drain that names none. */
const defaultTimeout: Duration.Input = "5 seconds"

/** A drain that returns just at its limit still has its counts taken. */
const grace: Duration.Input = "50 millis"

const rank: Record<PhaseOutcome, number> = { done: 0, running: 0, "cut short": 1, "timed out": 2, failed: 3, died: 4 }

export class HostDrain {
  readonly name: string
  readonly #drain: Drain
  readonly #now: () => number
  #fiber: Fiber.Fiber<DrainCounts, unknown> | undefined
  #outcome: PhaseOutcome = "done"
  #detail: string | undefined
  #counts: Record<string, number> = {}
  #since: number | undefined
  #endedAt: number | undefined
  #isTaken = false

  constructor(drain: Drain, now: () => number) {
    this.name = drain.name
    this.#drain = drain
    this.#now = now
  }

  /** Phase 2. */
  get refuse(): Effect.Effect<void> {
    return this.#noted(this.#drain.refuse)
  }

  /** Phase 4: waits for the drain until its budget or `limit`, monotonic milliseconds, whichever is nearer. */
  finish(limit: number): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      this.#since = this.#now()
      const timeout = Duration.toMillis(this.#drain.timeout ?? defaultTimeout)
      const until = Math.min(limit, this.#since + timeout)
      // When it ended is its own affair: turns may go on long after its budget, and two timers of one moment race.
      const ends = Effect.sync(() => (this.#endedAt ??= this.#now()))
      const fiber = yield* Effect.forkDetach(
        Effect.ensuring(
          Effect.suspend(() => this.#drain.drain(until)),
          ends
        )
      )
      this.#fiber = fiber
      const exit = yield* Fiber.await(fiber).pipe(Effect.timeoutOption(Duration.millis(until - this.#now())))
      if (exit._tag === "Some") this.#ended(exit.value)
    })
  }

  /** Phase 5: stops what is left, then takes what the drain has counted. */
  get interrupt(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const counts = yield* this.#noted(this.#drain.interrupt ?? Effect.void)
      const fiber = this.#fiber
      if (fiber === undefined) {
        this.#worse("cut short", undefined)
      } else if (!this.#isTaken) {
        const exit = yield* Fiber.await(fiber).pipe(Effect.timeoutOption(grace))
        if (exit._tag === "Some") this.#ended(exit.value)
        else this.#worse("timed out", "it did not end within its budget")
        fiber.interruptUnsafe()
      }
      if (counts !== undefined) this.#count(counts)
    })
  }

  row(): DrainRow {
    return {
      name: this.name,
      millis: this.#since === undefined ? 0 : tenths((this.#endedAt ?? this.#now()) - this.#since),
      outcome: this.#outcome,
      counts: { ...this.#counts },
      ...(this.#detail === undefined ? {} : { detail: this.#detail })
    }
  }

  #ended(exit: Exit.Exit<DrainCounts, unknown>): void {
    this.#isTaken = true
    const { detail, outcome } = endingOf(exit)
    this.#worse(outcome, detail)
    if (exit._tag === "Success") this.#count(exit.value)
  }

  /** The host's own numbers: one that is none must not cost the report. */
  #count(counts: DrainCounts): void {
    for (const [name, n] of Object.entries(counts)) if (Number.isFinite(n)) this.#counts[name] = n
  }

  #worse(outcome: PhaseOutcome, detail: string | undefined): void {
    if (rank[outcome] <= rank[this.#outcome]) return
    this.#outcome = outcome
    this.#detail = detail
  }

  /** A step of the host that fails belongs to its own line of the report, not to the phase. */
  #noted<A>(step: Effect.Effect<A, unknown>): Effect.Effect<A | undefined> {
    return Effect.matchCauseEffect(step, {
      onSuccess: (value) => Effect.succeed<A | undefined>(value),
      onFailure: (cause) =>
        Effect.sync(() => {
          const { detail, outcome } = endingOf({ _tag: "Failure", cause } as Exit.Exit<never, unknown>)
          this.#worse(outcome, detail)
          return undefined
        })
    })
  }
}
