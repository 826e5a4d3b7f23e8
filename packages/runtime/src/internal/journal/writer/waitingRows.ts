/**
 * Messages that this boot admitted and nobody claimed yet, so that a claim that
 * follows soon needs no read. A bounded copy of rows: each has its place by its
 * seq, and the one that comes 8,192 later takes it. What is not here is read.
 */
import type { Row } from "../records.ts"

const places = 8192
const maxBytes = 16 * 1024 * 1024

/** See the header. */
export class WaitingRows {
  readonly #rows: Array<Row | undefined> = Array<Row | undefined>(places).fill(undefined)
  #bytes = 0

  get(seq: number): Row | undefined {
    const row = this.#rows[seq % places]
    return row?.seq === seq ? row : undefined
  }

  /** Keeps rows that were committed, in order. */
  keep(rows: ReadonlyArray<Row>): void {
    for (const row of rows) if (!row.command) this.#put(row)
    const newest = rows.at(-1)
    if (newest !== undefined && this.#bytes > maxBytes) this.#shrink(newest.seq)
  }

  /** A message stopped waiting. */
  drop(seq: number, undo: Array<() => void>): void {
    const row = this.get(seq)
    if (row === undefined) return
    this.#remove(row)
    undo.push(() => this.#put(row))
  }

  #put(row: Row): void {
    const place = row.seq % places
    const before = this.#rows[place]
    // A claim that is taken back: its place is a newer row's by now.
    if (before !== undefined && before.seq > row.seq) return
    if (before !== undefined) this.#bytes -= before.bytes
    this.#rows[place] = row
    this.#bytes += row.bytes
  }

  /** Behind the newest one's place stand the oldest. */
  #shrink(newest: number): void {
    for (let step = 1; step <= places && this.#bytes > maxBytes; step++) {
      const row = this.#rows[(newest + step) % places]
      if (row !== undefined) this.#remove(row)
    }
  }

  #remove(row: Row): void {
    this.#rows[row.seq % places] = undefined
    this.#bytes -= row.bytes
  }
}
