/**
 * Readings of Effect's Clock as plain numbers. Lengths of time are measured on the
 * monotonic one: the wall clock may jump by a year in either direction.
 */
import type * as Clock from "effect/Clock"

// `Number` of a bigint is a call out of compiled code; its two halves are read in place.
const nanos = new BigInt64Array(1)
const halves = new Uint32Array(nanos.buffer)
const high = new Int32Array(nanos.buffer)
const [low, upper] = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? [0, 1] : [1, 0]

/** The monotonic clock in milliseconds. */
export const monotonic = (clock: Clock.Clock) => (): number => {
  nanos[0] = clock.monotonicTimeNanosUnsafe()
  return ((high[upper] ?? 0) * 4_294_967_296 + (halves[low] ?? 0)) / 1e6
}
