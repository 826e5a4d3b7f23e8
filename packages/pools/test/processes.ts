// Whether real processes live, for tests that start them.
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"

/** A zombie is gone: nobody has collected it yet. */
export const lives = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

/** Waits until it does not live: the system tells nobody but its parent. */
export const gone = (pid: number) =>
  Effect.gen(function* () {
    while (lives(pid)) yield* Effect.sleep("5 millis")
  })
