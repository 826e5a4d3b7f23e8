/**
 * The arithmetic of a stop: one deadline, fixed when the stop is asked for, and what of it belongs to which phase. Every
 * limit is an absolute time of the monotonic clock that is derived from that deadline, so that no phase, however often it
 * is entered or late, can move the end. Only hurry does, and only to nearer.
 */
import type { PhaseName } from "./Report.ts"

/** When a stop must be over, in milliseconds of the monotonic clock. */
export interface Timetable {
  readonly startedAt: number
  /** Running turns may finish until then; the rest, the tail, belongs to phases 5 to 8. */
  readonly drainUntil: number
  readonly deadline: number
  /** What decided the length, in words. */
  readonly source: string
}

/** What a supervisor allows, in milliseconds, and where that is written. */
export interface Allowance {
  readonly limit: number
  readonly source: string
}

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value))

/** No stop is given less than this, whatever is configured: phases 5 to 8 need it to leave a report. */
export const shortest = 500
/** What a stop has left when it is told to hurry. */
export const hurry = 1000

/** What is kept back of a supervisor's budget, so that it never has to kill: 15 %, 1.2 s to 5 s. */
export const reserveOf = (budget: number): number => clamp(budget * 0.15, 1200, 5000)

/** What belongs to phases 5 to 8 of a stop of that length: 20 %, 0.5 s to 3 s. */
export const tailOf = (length: number): number => Math.min(length, clamp(length * 0.2, 500, 3000))

const seconds = (millis: number): string => `${Number((millis / 1000).toFixed(1))} s`

/** How long a stop may take, and why. Both in milliseconds. */
export const lengthOf = (
  timeout: number,
  budget: Allowance | undefined
): { readonly millis: number; readonly source: string } => {
  const allowed = budget === undefined ? Infinity : budget.limit - reserveOf(budget.limit)
  const millis = Math.max(shortest, Math.min(timeout, allowed))
  if (budget === undefined || timeout <= allowed) return { millis, source: "drain.timeout" }
  return {
    millis,
    source: `${budget.source}: ${seconds(budget.limit)}, of which ${seconds(budget.limit - millis)} are kept in reserve`
  }
}

/** The timetable of a stop that was asked for at `at`. */
export const plan = (at: number, timeout: number, budget: Allowance | undefined): Timetable => {
  const { millis, source } = lengthOf(timeout, budget)
  return { startedAt: at, drainUntil: at + millis - tailOf(millis), deadline: at + millis, source }
}

/** The same stop in a hurry: nothing is waited for any more, a second is left. Never later than it was. */
export const hasten = (timetable: Timetable, now: number, by: string): Timetable => {
  const { deadline, source, startedAt } = timetable
  const nearer = now + hurry < deadline
  return {
    ...timetable,
    drainUntil: Math.min(timetable.drainUntil, now),
    deadline: nearer ? now + hurry : deadline,
    source: nearer ? `hurried by ${by}; before that ${seconds(deadline - startedAt)}, ${source}` : source
  }
}

/** How much of the tail is over when a phase must be: a child that has to be killed takes the most, the disk comes last. */
const share: Partial<Record<PhaseName, number>> = { interrupt: 0.45, outbox: 0.65, channels: 0.8, close: 1 }

/** The least that a phase of the tail gets when it comes too late, but never beyond the deadline. */
const least = 50

/**
 * When a phase that begins at `now` must be over. Phases 1 to 3 are short by nature: one that hangs takes a fifth of
 * what the turns have, at most 2 s; in a hurry a quarter of a second. A phase of the tail that ends early leaves the
 * rest to those behind it.
 */
export const limitOf = (timetable: Timetable, phase: PhaseName, now: number): number => {
  if (phase === "drain") return timetable.drainUntil
  const part = share[phase]
  if (part === undefined) {
    const turns = timetable.drainUntil - now
    return turns <= 0 ? Math.min(timetable.deadline, now + hurry / 4) : now + Math.min(2000, turns / 5)
  }
  const end = timetable.deadline - (timetable.deadline - timetable.drainUntil) * (1 - part)
  return Math.min(timetable.deadline, Math.max(end, now + least))
}
