/**
 * Messages that this boot admitted and nobody claimed yet, so that a claim that
 * follows soon needs no read. A bounded copy of rows, oldest out first; what is
 * not here is read.
 */
import type { Row } from "./records.ts"

const maxRows = 8192
const maxBytes = 16 * 1024 * 1024

/** See the header. */
export class WaitingRows {
  readonly #rows = new Map<number, Row>()
  // Stands behind what was taken out: a new walk would begin with everything that is gone already.
  #oldest = this.#rows.values()
  #bytes = 0

  get(seq: number): Row | undefined {
    return this.#rows.get(seq)
  }

  /** Keeps rows that were committed. */
  keep(rows: ReadonlyArray<Row>): void {
    for (const row of rows) {
      if (row.command) continue
      this.#rows.set(row.seq, row)
      this.#bytes += row.bytes
    }
    while (this.#rows.size > maxRows || this.#bytes > maxBytes) {
      const { done, value } = this.#oldest.next()
      if (done === true) this.#oldest = this.#rows.values()
      else this.#remove(value)
    }
  }

  /** A message stopped waiting. */
  drop(seq: number, undo: Array<() => void>): void {
    const row = this.#rows.get(seq)
    if (row === undefined) return
    this.#remove(row)
    undo.push(() => this.keep([row]))
  }

  #remove(row: Row): void {
    if (this.#rows.delete(row.seq)) this.#bytes -= row.bytes
  }
}
