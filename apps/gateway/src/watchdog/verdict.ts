/**
 * When a watchdog ends its process, as a pure function of its ticks. It measures the main loop by the watchdog's own
 * time: a process that was stopped (SIGSTOP) or swapped out does not tick either, and what did not tick was not seen.
 */

/** How often a watchdog looks, in milliseconds. */
export const tick = 500
/** A tick that comes this much late was a pause of the whole process, not of its main loop. */
const pause = 1000
/** What a stop gets beyond its deadline, and a pause gets before anything is held against it. */
export const grace = 1000

/** What a watchdog sees at a tick. Times in milliseconds of the monotonic clock. */
export interface Sight {
  readonly now: number
  readonly beats: number
  /** 0 without a stop. */
  readonly deadline: number
}

/** Why the process has to end. `blocked`: milliseconds without a beat, pauses left out. */
export interface Verdict {
  readonly why: "overdue" | "blocked"
  readonly blocked: number
}

/** The longest time without a beat that is let pass: a stop's timeout and 2 s, at least 30 s. */
export const patienceOf = (timeout: number): number => Math.max(30_000, timeout + 2000)

export class Watch {
  readonly #patience: number
  #last: Sight
  #blocked = 0
  #paused = 0

  constructor(patience: number, first: Sight) {
    this.#patience = patience
    this.#last = first
    // A stop that was over its deadline before the first look, in a process that was paused while its watchdog began.
    if (first.deadline !== 0) this.#paused = Math.max(0, first.now - first.deadline)
  }

  /** Looks; the verdict when the process has to end now. */
  look(sight: Sight): Verdict | undefined {
    const since = sight.now - this.#last.now
    const late = since - tick > pause ? since - tick : 0
    if (this.#last.deadline !== sight.deadline) this.#paused = 0
    // The whole of it: what comes after a pause has to be found in memory and on disk again.
    if (sight.deadline !== 0 && late > 0) this.#paused += since
    this.#blocked = sight.beats === this.#last.beats ? this.#blocked + since - late : 0
    this.#last = sight
    if (sight.deadline !== 0) {
      return sight.now >= sight.deadline + grace + this.#paused ? { why: "overdue", blocked: this.#blocked } : undefined
    }
    return this.#blocked >= this.#patience ? { why: "blocked", blocked: this.#blocked } : undefined
  }

  /** Milliseconds until it has to look again. */
  next(sight: Sight): number {
    if (sight.deadline === 0) return tick
    return Math.min(tick, Math.max(1, sight.deadline + grace + this.#paused - sight.now))
  }
}
