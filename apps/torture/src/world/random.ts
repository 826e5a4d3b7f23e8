/**
 * Random numbers that a seed gives again, so that a world's choices can be repeated
 * where its timing can't.
 */

/** Random numbers below 1 (mulberry32). */
export type Random = () => number

/** The numbers of a seed. */
export const randomOf = (seed: number): Random => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** One of a list. */
export const oneOf = <A>(random: Random, list: readonly [A, ...ReadonlyArray<A>]): A =>
  list[Math.floor(random() * list.length)] ?? list[0]
