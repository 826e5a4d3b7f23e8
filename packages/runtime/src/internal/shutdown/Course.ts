/**
 * The course of one stop: who asked for it, its timetable, and how its phases went. It answers for the phase that hangs:
 * each runs in a fiber of its own, waited for until its limit and then left behind, because waiting for the finalizers
 * of something that hangs would be to hang with it.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { codeOf, type ExitReason, forced, overdue } from "./exitCode.ts"
import { type PhaseName, type PhaseOutcome, type PhaseRow, tenths } from "./Report.ts"
import { inWords } from "./reportText.ts"
import { hasten, limitOf, type Timetable } from "./Timetable.ts"

/** The pieces of a phase by name: they run together, and one that hangs or fails is named. */
export type Pieces = { readonly [name: string]: Effect.Effect<unknown, unknown> }

/** How something that was waited for ended. */
export interface Ending {
  readonly outcome: PhaseOutcome
  readonly detail: string | undefined
  readonly cause: Cause.Cause<unknown> | undefined
}

/** An error in one line, for operators. */
export const inOneLine = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (!(error instanceof Error)) return String(error)
  // Our own errors are sentences; a defect is known by its class.
  return Predicate.hasProperty(error, "_tag") ? error.message : `${error.name}: ${error.message}`
}

/** How an exit is called in a report. */
export const endingOf = (exit: Exit.Exit<unknown, unknown>): Ending =>
  Exit.isSuccess(exit)
    ? { outcome: "done", detail: undefined, cause: undefined }
    : { outcome: Cause.hasDies(exit.cause) ? "died" : "failed", detail: inOneLine(exit.cause), cause: exit.cause }

/** What a phase that went wrong says about the exit code. */
export const reasonOf = (name: PhaseName, { cause, detail, outcome }: Ending): ExitReason => ({
  code: cause === undefined ? overdue : codeOf(Cause.squash(cause)),
  why: `${name} ${outcome}${detail === undefined ? "" : `: ${detail}`}`
})

/** The exit of an effect that is waited for no longer than that; it is left behind then, interrupted. */
export const within = <A>(effect: Effect.Effect<A, unknown>, millis: number): Effect.Effect<Exit.Exit<A, unknown>> =>
  Effect.flatMap(Effect.forkDetach(effect), (fiber) =>
    Fiber.await(fiber).pipe(
      Effect.timeoutOrElse({
        duration: Duration.millis(Math.max(0, millis)),
        orElse: () =>
          Effect.sync(() => {
            fiber.interruptUnsafe()
            return Exit.fail(new Cause.TimeoutError(`it did not end within ${inWords(millis)}`))
          })
      })
    )
  )

/** Phases that hurry ends where they are; the others are only given less time. */
const patient: ReadonlySet<PhaseName> = new Set<PhaseName>(["intake", "flush", "drain"])

export class Course {
  timetable: Timetable
  readonly phases: Array<PhaseRow> = []
  readonly reasons: Array<ExitReason> = []
  /** Completed by the request that does not want to wait. */
  readonly hurried = Deferred.makeUnsafe<void>()
  /** The phase that runs, and since when. */
  current: { readonly name: PhaseName; readonly since: number } | undefined
  readonly #clock: Clock.Clock

  constructor(timetable: Timetable, clock: Clock.Clock) {
    this.timetable = timetable
    this.#clock = clock
  }

  /** The monotonic clock in milliseconds. */
  now(): number {
    return Number(this.#clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  /** When a phase that begins now must be over. */
  limitOf(name: PhaseName): number {
    return limitOf(this.timetable, name, this.now())
  }

  /** The phases so far, the one that runs included. */
  rows(): ReadonlyArray<PhaseRow> {
    const { current } = this
    if (current === undefined) return this.phases
    return [...this.phases, { name: current.name, millis: tenths(this.now() - current.since), outcome: "running" }]
  }

  get isHurried(): boolean {
    return Deferred.isDoneUnsafe(this.hurried)
  }

  /** Interrupts what runs at once and leaves a second for the rest. Only the first time; returns whether it was. */
  hurry(by: string): boolean {
    if (this.isHurried) return false
    this.timetable = hasten(this.timetable, this.now(), by)
    this.reasons.push({ code: forced, why: `forced by ${by}` })
    Deferred.doneUnsafe(this.hurried, Exit.void)
    return true
  }

  /** Runs a phase under its limit and `extra` milliseconds, notes how it went, and never fails. */
  phase(name: PhaseName, pieces: Pieces, extra = 0): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const since = this.now()
      if (patient.has(name) && this.isHurried) {
        this.phases.push({ name, millis: 0, outcome: "cut short" })
        return
      }
      this.current = { name, since }
      const waiting = new Set(Object.keys(pieces))
      const fiber = yield* Effect.forkDetach(together(pieces, waiting))
      const ending = yield* this.#wait(fiber, name, waiting, extra)
      this.current = undefined
      this.phases.push({
        name,
        millis: tenths(this.now() - since),
        outcome: ending.outcome,
        ...(ending.detail === undefined ? {} : { detail: ending.detail })
      })
      this.#judge(name, ending)
      if (ending.cause !== undefined) {
        yield* Effect.logError(`Phase ${name} of the stop ${ending.outcome}; the next one runs`, ending.cause)
      }
    })
  }

  /** Waits for a fiber until the phase's limit, which hurry brings nearer. What does not end is left behind, interrupted. */
  #wait(
    fiber: Fiber.Fiber<unknown, unknown>,
    name: PhaseName,
    waiting: ReadonlySet<string>,
    extra: number
  ): Effect.Effect<Ending> {
    return Effect.gen({ self: this }, function* () {
      const ended = Effect.asSome(Fiber.await(fiber))
      const hurried = Effect.as(Deferred.await(this.hurried), Option.none())
      while (true) {
        const wasHurried = this.isHurried
        const now = this.now()
        const limit = limitOf(this.timetable, name, now)
        const left = wasHurried
          ? limit - now
          : Math.min(limit + extra, Math.max(limit, this.timetable.drainUntil)) - now
        const exit = yield* (wasHurried ? ended : Effect.raceFirst(ended, hurried)).pipe(
          Effect.timeoutOrElse({ duration: Duration.millis(Math.max(0, left)), orElse: () => Effect.succeedNone })
        )
        if (Option.isSome(exit)) return endingOf(exit.value)
        if (!wasHurried && this.isHurried && !patient.has(name)) continue
        // Named before they are interrupted: what lets go at once is waited for no longer.
        const ending = this.#left(name, waiting)
        // Not awaited: its finalizers may be what hangs.
        fiber.interruptUnsafe()
        return ending
      }
    })
  }

  #left(name: PhaseName, waiting: ReadonlySet<string>): Ending {
    const outcome = patient.has(name) && this.isHurried ? "cut short" : "timed out"
    return { outcome, detail: `still waiting for: ${[...waiting].join(", ")}`, cause: undefined }
  }

  #judge(name: PhaseName, ending: Ending): void {
    if (ending.cause !== undefined || ending.outcome === "timed out") this.reasons.push(reasonOf(name, ending))
  }
}

/** Runs all pieces to their ends, whatever becomes of the others, and only then fails with what failed. */
const together = (pieces: Pieces, waiting: Set<string>): Effect.Effect<void, unknown> =>
  Effect.forEach(
    Object.entries(pieces),
    ([name, piece]) => Effect.onExit(Effect.exit(piece), () => Effect.sync(() => waiting.delete(name))),
    { concurrency: "unbounded" }
  ).pipe(
    Effect.flatMap((exits) => {
      const [first, ...rest] = exits.flatMap((exit) => (Exit.isFailure(exit) ? [exit.cause] : []))
      return first === undefined ? Effect.void : Effect.failCause(rest.reduce(Cause.combine, first))
    })
  )
