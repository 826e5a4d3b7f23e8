/**
 * Readings of Effect's Clock as plain numbers. Lengths of time are measured on the
 * monotonic one: the wall clock may jump by a year in either direction.
 */
import type * as Clock from "effect/Clock"

/** The monotonic clock in milliseconds. */
export const monotonic = (clock: Clock.Clock) => (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
