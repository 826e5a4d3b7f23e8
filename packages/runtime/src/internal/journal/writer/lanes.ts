/**
 * The two lanes before the writer. Messages wait in a bounded one and are refused
 * at its bound, before anything is stored. Claims, ends and steps have the other:
 * bounded by their callers, taken first, never refused, so that a flood of intake
 * can't keep a finished turn from being stored.
 */
import type { Entry, Kind } from "./entries.ts"

/** Most entries of a round. */
export const maxRound = 256
/** Most bytes of a round, beyond its first entry. */
const maxRoundBytes = 8 * 1024 * 1024

/** See the header. */
export class Lanes {
  #urgent: Array<Entry> = []
  #intake: Array<Entry> = []
  #intakeFrom = 0
  #bytes = 0
  #wake: (() => void) | undefined
  readonly #maxEntries: number
  readonly #maxBytes: number

  constructor(maxEntries: number, maxBytes: number) {
    this.#maxEntries = maxEntries
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#urgent.length + this.#intake.length - this.#intakeFrom
  }

  /** Whether a message of this size still fits. */
  fits(bytes: number): boolean {
    const waiting = this.#intake.length - this.#intakeFrom
    return waiting < this.#maxEntries && (this.#bytes + bytes <= this.#maxBytes || waiting === 0)
  }

  /** Adds an entry; intake must have been asked whether it fits. */
  add(entry: Entry): void {
    if (isIntake(entry.kind)) {
      this.#bytes += entry.bytes
      this.#intake.push(entry)
    } else if (entry.kind === "premark") {
      this.#urgent.unshift(entry)
    } else {
      this.#urgent.push(entry)
    }
    this.rouse()
  }

  /** Calls once, as soon as something waits. */
  onWork(wake: () => void): void {
    if (this.size > 0) wake()
    else this.#wake = wake
  }

  /** Wakes the writer although nothing waits: it is to end. */
  rouse(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  /** What the next round writes: a mark alone, else urgent entries and then intake, up to the bounds. */
  take(): ReadonlyArray<Entry> {
    if (this.#urgent[0]?.kind === "premark") return this.#urgent.splice(0, 1)
    const round = this.#urgent.splice(0, maxRound)
    let bytes = 0
    while (round.length < maxRound && this.#intakeFrom < this.#intake.length) {
      const next = this.#intake[this.#intakeFrom]
      if (next === undefined || (round.length > 0 && bytes + next.bytes > maxRoundBytes)) break
      bytes += next.bytes
      this.#bytes -= next.bytes
      this.#intakeFrom++
      round.push(next)
    }
    this.#compact()
    return round
  }

  /** Puts the entries of a round that could not begin back where they came from. */
  putBack(entries: ReadonlyArray<Entry>): void {
    const intake = entries.filter((entry) => isIntake(entry.kind))
    for (const entry of intake) this.#bytes += entry.bytes
    this.#intake = [...intake, ...this.#intake.slice(this.#intakeFrom)]
    this.#intakeFrom = 0
    this.#urgent = [...entries.filter((entry) => !isIntake(entry.kind)), ...this.#urgent]
  }

  /** Takes out the intake entries that match. */
  takeIntake(matches: (entry: Entry) => boolean): ReadonlyArray<Entry> {
    const waiting = this.#intake.slice(this.#intakeFrom)
    const taken = waiting.filter(matches)
    this.#intake = waiting.filter((entry) => !matches(entry))
    this.#intakeFrom = 0
    for (const entry of taken) this.#bytes -= entry.bytes
    return taken
  }

  /** Takes out the urgent entries that match. */
  takeUrgent(matches: (entry: Entry) => boolean): ReadonlyArray<Entry> {
    const taken = this.#urgent.filter(matches)
    this.#urgent = this.#urgent.filter((entry) => !matches(entry))
    return taken
  }

  /** Takes out everything, and wakes the writer to see it. */
  clear(): ReadonlyArray<Entry> {
    const all = () => true
    const taken = [...this.takeUrgent(all), ...this.takeIntake(all)]
    this.rouse()
    return taken
  }

  #compact(): void {
    if (this.#intakeFrom === this.#intake.length) {
      this.#intake = []
      this.#intakeFrom = 0
    } else if (this.#intakeFrom > 1024) {
      this.#intake = this.#intake.slice(this.#intakeFrom)
      this.#intakeFrom = 0
    }
  }
}

/** Whether a kind waits in the bounded lane. */
export const isIntake = (kind: Kind): boolean => kind === "admit" || kind === "post"
