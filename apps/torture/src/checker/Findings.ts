/**
 * What the checker found: broken promises, each with the conversation, the messages
 * and the lines of the history that show it, and the counts and times that a reader
 * wants beside them. A gateway that is broken everywhere breaks them by the thousand,
 * so only the first of each invariant are kept, and the rest is counted.
 */

import type { OfKind } from "./agents.ts"

export const invariants = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10"] as const
export type Invariant = (typeof invariants)[number]

/** A broken promise. */
export interface Broken {
  readonly invariant: Invariant
  readonly conversation?: string
  /** The messages concerned. */
  readonly ids: ReadonlyArray<string>
  /** Numbers of the lines of the history that show it, in their order. */
  readonly lines: ReadonlyArray<number>
  readonly what: string
}

/** What the checker's process prints. */
export interface CheckerVerdict {
  readonly file: string
  readonly lines: number
  /** Lines that a dying process left in pieces. */
  readonly torn: number
  /** Messages that may have been accepted, and those that somebody was told are. */
  readonly sent: number
  readonly acknowledged: number
  /** Acknowledged messages by what ended them. */
  readonly answered: number
  readonly noticed: number
  readonly commands: number
  /** Without an end where the class allows it: an ambiguous channel and a request that nobody can tell of. */
  readonly unknown: number
  /** Without an end where its reply is a dead letter: requests for it were lost for a day, or a clock said so. */
  readonly undeliverable: number
  /** Without an end otherwise. */
  readonly lost: number
  /** Extra copies by delivery class, those that the class allows too. */
  readonly duplicated: Readonly<Record<string, number>>
  readonly orderFaults: number
  readonly runs: number
  readonly boots: number
  readonly kills: number
  readonly stops: number
  readonly broken: ReadonlyArray<Broken>
  /** Broken promises beyond those that are listed, by invariant. */
  readonly more: Readonly<Record<string, number>>
  /** What this history can't prove, and why. */
  readonly unjudged: ReadonlyArray<string>
  /** What agents did, by their kind. */
  readonly agents: Readonly<Record<string, OfKind>>
  /** Milliseconds: stops by what agents did, crash to resumed, boot to ready by open messages. */
  readonly times: Readonly<Record<string, ReadonlyArray<number>>>
}

const listedOfEach = 100

/** Collects what is broken. */
export class Findings {
  readonly broken: Array<Broken> = []
  readonly unjudged: Array<string> = []
  readonly #counts = new Map<Invariant, number>()

  /** One broken promise; `lines` in any order and with repeats. */
  breaks(
    invariant: Invariant,
    what: string,
    about: {
      readonly conversation?: string
      readonly ids?: ReadonlyArray<string>
      readonly lines: ReadonlyArray<number>
    }
  ): void {
    const count = (this.#counts.get(invariant) ?? 0) + 1
    this.#counts.set(invariant, count)
    if (count > listedOfEach) return
    const lines = [...new Set(about.lines)].sort((a, b) => a - b)
    const conversation = about.conversation === undefined ? {} : { conversation: about.conversation }
    this.broken.push({ invariant, ...conversation, ids: about.ids ?? [], lines, what })
  }

  /** How many there are beyond those that are listed. */
  get more(): Record<string, number> {
    return Object.fromEntries(
      [...this.#counts].flatMap(([invariant, count]) =>
        count > listedOfEach ? [[invariant, count - listedOfEach]] : []
      )
    )
  }
}
