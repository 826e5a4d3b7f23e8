/**
 * What follows from how a request ended: the table of docs/delivery.md as pure
 * functions. A request without an answer (a crash, a defect, an interruption, a
 * timeout, or the channel's own `Unknown`) is decided here and only here, by the
 * delivery class, both when it happens and at the next boot.
 */
import type { Delivery } from "../../Channel.ts"

/** How a request to the other side ended. */
export type Outcome =
  | { readonly _tag: "Answered"; readonly remoteId: string | undefined }
  | { readonly _tag: "NotSent"; readonly error: string }
  | { readonly _tag: "NoAnswer"; readonly error: string }
  | { readonly _tag: "Refused"; readonly error: string }
  | { readonly _tag: "Throttled"; readonly wait: number; readonly scope: "conversation" | "channel" }
  | { readonly _tag: "Unauthorized"; readonly error: string }

/** What is committed next for the row. `Later` without `wait` means at once. */
export type Verdict =
  | { readonly _tag: "Sent"; readonly remoteId: string | undefined }
  | { readonly _tag: "Later"; readonly wait: number; readonly marked: boolean; readonly why: string }
  | { readonly _tag: "Throttled"; readonly wait: number; readonly scope: "conversation" | "channel" }
  | { readonly _tag: "Hold"; readonly error: string }
  | { readonly _tag: "Unknown"; readonly error: string }
  | { readonly _tag: "Dead"; readonly error: string }

/** The facts that a verdict depends on, besides class and outcome. */
export interface Facts {
  /** The row is the one further copy already. */
  readonly marked: boolean
  /** Tries that failed before this one. */
  readonly failures: number
  readonly row: number
  /** Milliseconds since the reply was stored, as far as the clocks can tell. */
  readonly age: number
  /** Milliseconds of this process since a try failed and nothing has got through to the conversation. */
  readonly failingFor: number
}

/** Bounds in milliseconds. */
export interface Bounds {
  readonly base: number
  readonly cap: number
  readonly deadAfter: number
}

/**
 * The age of what an earlier process left is wall time: a clock that jumped, or a gateway that was off, looks like days
 * of tries. So no reply is given up before this process has tried for so long.
 */
const tryFor = 3_600_000

/** A stored wait is never longer than this, whatever the other side asks for. */
export const longestWait = 86_400_000

/** Exponential with a cap, spread by the row's number so that lanes that failed together don't come back together. */
export const backoff = (bounds: Bounds, failures: number, row: number): number => {
  const spread = 0.8 + 0.4 * ((row * 0.618_033_988_749_895) % 1)
  return Math.round(Math.min(bounds.cap, bounds.base * 2 ** Math.min(failures, 40)) * spread)
}

const again = (bounds: Bounds, facts: Facts, error: string): Verdict =>
  facts.age >= bounds.deadAfter && facts.failingFor >= Math.min(bounds.deadAfter, tryFor)
    ? { _tag: "Dead", error: `not delivered within ${Math.round(bounds.deadAfter / 3_600_000)} h; last: ${error}` }
    : { _tag: "Later", wait: backoff(bounds, facts.failures, facts.row), marked: facts.marked, why: error }

/** A request of which nobody knows whether it arrived. */
export const unanswered = (delivery: Delivery<unknown>, bounds: Bounds, facts: Facts, error: string): Verdict => {
  switch (delivery._tag) {
    // The other side deduplicates, or the same text is edited in again: repeating is harmless.
    case "Pull":
    case "Keyed":
    case "Edit":
      return again(bounds, facts, error)
    case "Ambiguous":
      return delivery.policy === "hold" || facts.marked
        ? { _tag: "Unknown", error }
        : { _tag: "Later", wait: backoff(bounds, facts.failures, facts.row), marked: true, why: error }
  }
}

/** What follows from an outcome. */
export const verdict = (delivery: Delivery<unknown>, bounds: Bounds, facts: Facts, outcome: Outcome): Verdict => {
  switch (outcome._tag) {
    case "Answered":
      return { _tag: "Sent", remoteId: outcome.remoteId }
    case "NotSent":
      return again(bounds, facts, outcome.error)
    case "NoAnswer":
      return unanswered(delivery, bounds, facts, outcome.error)
    case "Refused":
      return { _tag: "Dead", error: `refused: ${outcome.error}` }
    case "Throttled":
      return { _tag: "Throttled", wait: Math.min(Math.max(1, outcome.wait), longestWait), scope: outcome.scope }
    case "Unauthorized":
      return { _tag: "Hold", error: outcome.error }
  }
}
