// What every agent of the benchmarks does beside answering: it writes down when it saw a prompt and when it said its
// answer, by the clock that all processes of a machine share. What is left of a turn's time is not the agent's own.
import { appendFileSync } from "node:fs"

/** Milliseconds of the monotonic clock, the same for all processes. */
export const now = () => Number(process.hrtime.bigint()) / 1e6

/**
 * The mark of a prompt: the last one, where a prompt holds the conversation so far.
 * @param {string} text
 */
export const markOf = (text) =>
  text
    .match(/turn [a-z]+-\d+/g)
    ?.at(-1)
    ?.slice("turn ".length)

/** The answer, in the pieces in which it is said. */
export const answer = ["I have read ", "your message, ", "and this is what I say."]

/**
 * Writes down the times of a turn.
 * @param {string | undefined} file
 * @param {{ turn: string | undefined, seen: number, first: number, said: number }} times
 */
export const stamp = (file, times) => {
  if (file === undefined) throw new Error("no file for the times was named")
  appendFileSync(file, `${JSON.stringify(times)}\n`)
}
