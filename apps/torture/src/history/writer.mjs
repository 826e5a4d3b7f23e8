/**
 * Writes a history. Clients, far sides, agents and the harness append to one file from
 * many processes, so a line is one write with O_APPEND, and it begins with its line
 * break: a process that is killed in the middle of a write leaves a piece of its own
 * line, and never spoils the next writer's. No dependency and plain JavaScript, because
 * an agent's program of a few milliseconds imports it too.
 */
import * as Fs from "node:fs"

/**
 * @typedef {import("./Operation.ts").Operation} Operation
 * @typedef {import("./Operation.ts").Untimed} Untimed
 */

/**
 * This moment in milliseconds of the machine's monotonic clock, which all its processes share.
 * @returns {number}
 */
export const now = () => Number(process.hrtime.bigint()) / 1e6

/** One process's pen for one history. */
export class History {
  /** @type {number} */
  #descriptor
  /** @readonly @type {string} */
  file

  /** @param {string} file */
  constructor(file) {
    this.file = file
    this.#descriptor = Fs.openSync(file, "a", 0o600)
  }

  /**
   * Opens the file for appending and makes it when it is not there.
   * @param {string} file
   * @returns {History}
   */
  static open(file) {
    return new History(file)
  }

  /**
   * This moment, for an operation whose `at` is not the moment of its writing.
   * @returns {number}
   */
  now() {
    return now()
  }

  /**
   * Appends one line, in the file when it returns. `at` is this moment unless it is said. Write what you are
   * about to do before you do it, and what you saw after you saw it.
   * @param {Untimed} operation
   * @returns {number} the moment that was written
   */
  append(operation) {
    const at = operation.at ?? now()
    const line = `\n${JSON.stringify({ ...operation, at })}`
    const bytes = Buffer.from(line)
    if (Fs.writeSync(this.#descriptor, bytes) !== bytes.length) {
      throw new Error(`the history ${this.file} takes no more: a line was written in part`)
    }
    return at
  }

  /** Closes the descriptor; the history can be opened again. */
  close() {
    Fs.closeSync(this.#descriptor)
  }
}
