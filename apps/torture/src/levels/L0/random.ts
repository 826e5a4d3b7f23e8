/**
 * The one source of chance of a simulation: a small generator whose whole state is
 * its seed, so that a seed is a history. Neighbouring seeds give unrelated
 * histories, because the state is stirred before the first number is drawn.
 */

/** Draws from one sequence. */
export class Random {
  #state: number

  constructor(seed: number) {
    // Seeds beyond 32 bits differ too.
    this.#state = (seed ^ Math.imul(Math.floor(seed / 2 ** 32) + 1, 0x9e3779b1)) | 0
    for (let n = 0; n < 3; n++) this.next()
  }

  /** A number from 0 up to, not including, 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from `low` to `high`, both possible. */
  int(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<const A>(choices: readonly [A, ...ReadonlyArray<A>]): A {
    return choices[Math.floor(this.next() * choices.length)] ?? choices[0]
  }

  /** One of the choices, each as often as its weight says. */
  weighted<const A>(choices: readonly [readonly [A, number], ...ReadonlyArray<readonly [A, number]>]): A {
    let left = this.next() * choices.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [choice, weight] of choices) {
      left -= weight
      if (left < 0) return choice
    }
    return choices[0][0]
  }

  /** A seed for a sequence of its own. */
  seed(): number {
    return Math.floor(this.next() * 2 ** 32)
  }
}
