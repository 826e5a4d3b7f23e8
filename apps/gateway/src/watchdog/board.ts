/**
 * What the main loop and its watchdog share: a few numbers in memory that both see, because a loop that is blocked sends
 * no messages and answers none. Every field has one writer, the main loop.
 */

/** Names by index; the board holds numbers only. */
export const phases = [
  "not stopping",
  "pre-mark",
  "intake",
  "flush",
  "drain",
  "interrupt",
  "outbox",
  "channels",
  "close",
  "after the report"
] as const

const bytes = 40

/** The board over shared memory. Times are milliseconds of the monotonic clock, which all threads of a process share. */
export class Board {
  readonly memory: SharedArrayBuffer
  readonly #beat: Int32Array<SharedArrayBuffer>
  readonly #counts: Int32Array<SharedArrayBuffer>
  readonly #times: Float64Array<SharedArrayBuffer>

  constructor(memory = new SharedArrayBuffer(bytes)) {
    this.memory = memory
    this.#beat = new Int32Array(memory, 0, 1)
    this.#counts = new Int32Array(memory, 4, 3)
    this.#times = new Float64Array(memory, 16, 3)
  }

  /** Counts the beats of the main loop. */
  get beats(): number {
    return Atomics.load(this.#beat, 0)
  }

  /** The main loop turns. */
  beat(): void {
    Atomics.add(this.#beat, 0, 1)
  }

  /** Wakes the watchdog to look at once; with `beat` the main loop has turned, too. */
  ring(): void {
    this.beat()
    Atomics.notify(this.#beat, 0)
  }

  /** Waits until somebody rings, or until the time is over. Blocks its thread; not for the main loop. */
  wait(beats: number, millis: number): void {
    Atomics.wait(this.#beat, 0, beats, millis)
  }

  /** Index of the phase of the stop, 0 without one. */
  get phase(): number {
    return Atomics.load(this.#counts, 0)
  }
  set phase(index: number) {
    Atomics.store(this.#counts, 0, index)
  }

  /** Turns that run. */
  get open(): number {
    return Atomics.load(this.#counts, 1)
  }
  set open(turns: number) {
    Atomics.store(this.#counts, 1, turns)
  }

  /** The end of all guarding: the process exits in order. */
  get released(): boolean {
    return Atomics.load(this.#counts, 2) === 1
  }
  set released(value: boolean) {
    Atomics.store(this.#counts, 2, value ? 1 : 0)
  }

  /** The deadline of a stop; 0 without one. */
  get deadline(): number {
    return this.#times[0] ?? 0
  }
  set deadline(millis: number) {
    this.#times[0] = millis
  }

  /** Number of the boot, 0 until it is known. */
  get epoch(): number {
    return this.#times[1] ?? 0
  }
  set epoch(epoch: number) {
    this.#times[1] = epoch
  }
}
