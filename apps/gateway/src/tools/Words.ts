/**
 * How the tools print: tables, ages and durations for people, one JSON document
 * for programs. Everything that was written by somebody else passes the encoder.
 */
import type { LiveSession } from "@sluice/runtime/Gateway"
import * as Console from "effect/Console"
import type * as Effect from "effect/Effect"
import { escape, escapeJson, shorten } from "../LogEncoder.ts"

/** Prints one JSON document. */
export const json = (value: unknown): Effect.Effect<void> =>
  Console.log(JSON.stringify(value, null, 2).split("\n").map(escapeJson).join("\n"))

/** Prints lines for people. */
export const lines = (texts: ReadonlyArray<string>): Effect.Effect<void> => Console.log(texts.join("\n"))

const units: ReadonlyArray<readonly [name: string, millis: number]> = [
  ["day", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000]
]

/** A span of time in its largest unit: `5 min`, `3 days`, `0 s`. */
export const span = (millis: number): string => {
  const [name, size] = units.find(([, size]) => millis >= size) ?? ["s", 1000]
  const count = Math.max(0, Math.floor(millis / size))
  return `${count} ${name === "day" && count !== 1 ? "days" : name}`
}

/** How long ago a moment was. */
export const ago = (at: number | undefined, now: number): string =>
  at === undefined ? "never" : now - at < 1000 ? "just now" : `${span(now - at)} ago`

/** Rows under headings, as wide as needed; a cell has at most 60 characters. */
export const table = (
  headings: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): ReadonlyArray<string> => {
  const cells = [headings, ...rows.map((row) => row.map((cell) => escape(shorten(cell, 60))))]
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd()
  )
}

/** A count with its noun: `1 message`, `3 messages`. */
export const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? "" : "s"}`

/** What a session is doing. A turn between two tries is not called suspended, which is the name of an end. */
export const doing = ({ held, retryIn, state }: Pick<LiveSession, "held" | "retryIn" | "state">): string => {
  if (held !== undefined) return "held"
  switch (state.name) {
    case "suspended":
      return retryIn === undefined ? "waiting to resume" : `next try in ${span(Math.ceil(retryIn / 1000) * 1000)}`
    case "tool":
      return `running ${state.tool}`
    case "waiting":
      return "waiting for a decision"
    default:
      return state.name
  }
}

/** Silence of an agent that is worth saying. */
const silence = 5000

/** A session in memory on one line: what it does, for how long, and what it waits for. */
export const session = (live: LiveSession): string => {
  const { key, retryIn, state, turn, waiting, waitsFor } = live
  const self = state.name === "tool" || state.name === "waiting" || retryIn !== undefined || waitsFor === "nothing"
  return [
    `${escape(key)}: ${escape(doing(live))}${turn === undefined ? "" : ` for ${span(turn.age)}`}`,
    ...(turn === undefined ? [] : [`turn ${turn.id}, attempt ${turn.attempt}`]),
    ...(turn === undefined || turn.quietFor < silence ? [] : [`silent for ${span(turn.quietFor)}`]),
    ...(self ? [] : [`waits for ${escape(waitsFor)}`]),
    ...(waiting === 0 ? [] : [`${count(waiting, "message")} behind it`])
  ].join(", ")
}
