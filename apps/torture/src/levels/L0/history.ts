/**
 * Where a simulation writes what everybody did and saw. Two things that happen in
 * the same millisecond still happen one after the other: each line's moment is a
 * little later than that of the line before it.
 */
import type { Operation } from "../../history/Operation.ts"
import type { Time } from "./time.ts"

// `Omit` over each kind of operation by itself.
type Telling = Operation extends infer O ? (O extends Operation ? Omit<O, "at"> : never) : never

/** A thousand million lines fit into a millisecond. */
const instant = 1e-6

export class History {
  readonly operations: Array<Operation> = []
  readonly #time: Time
  #last = -1

  constructor(time: Time) {
    this.#time = time
  }

  tell(operation: Telling): void {
    this.#last = Math.max(this.#time.now, this.#last + instant)
    this.operations.push({ at: this.#last, ...operation })
  }

  /** As a file has it. */
  text(): string {
    return this.operations.map((operation) => `${JSON.stringify(operation)}\n`).join("")
  }
}
