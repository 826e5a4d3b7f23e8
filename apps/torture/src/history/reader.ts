/**
 * Reads a history line by line, in constant memory. A piece of a line, left by a process
 * that was killed while it wrote, is counted and left out: what it would have said is
 * unknown. A whole line that is no operation is a fault of the harness and an error.
 */
import * as Fs from "node:fs"
import type { Operation } from "./Operation.ts"

/** An operation with the number of its line in the file, counted from 1. */
export interface Line {
  readonly line: number
  readonly operation: Operation
}

/** What a file held. */
export interface Read {
  /** In the order of their moments; equal moments in the order of their lines. */
  readonly lines: ReadonlyArray<Line>
  /** Numbers of lines that a dying process left in pieces. */
  readonly torn: ReadonlyArray<number>
}

const kinds: ReadonlySet<string> = new Set<Operation["op"]>([
  "send",
  "run",
  "deliver",
  "boot",
  "kill",
  "stop",
  "exit",
  "reload",
  "fault",
  "ledger",
  "rest"
])
const phases: ReadonlySet<string> = new Set<Operation["phase"]>(["invoke", "ok", "fail", "info"])

const isOperation = (value: unknown): value is Operation => {
  if (typeof value !== "object" || value === null) return false
  const { op, phase, at } = value as Partial<Record<string, unknown>>
  return (
    typeof op === "string" && kinds.has(op) && typeof phase === "string" && phases.has(phase) && Number.isFinite(at)
  )
}

/** One line's operation, `undefined` for an empty line and for a piece of one. */
const parse = (text: string): { readonly operation?: Operation; readonly torn: boolean } => {
  if (text.trim() === "") return { torn: false }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { torn: true }
  }
  if (!isOperation(value)) throw new Error(`no operation: ${text.slice(0, 200)}`)
  return { operation: value, torn: false }
}

const pieceBytes = 1 << 20

/** Calls `each` with every text line of a file, in its order. */
const eachText = (file: string, each: (text: string, line: number) => void): void => {
  const descriptor = Fs.openSync(file, "r")
  const decoder = new TextDecoder()
  const piece = Buffer.allocUnsafe(pieceBytes)
  let rest = ""
  let line = 0
  try {
    for (;;) {
      const bytes = Fs.readSync(descriptor, piece)
      const texts = (rest + decoder.decode(piece.subarray(0, bytes), { stream: bytes > 0 })).split("\n")
      rest = texts.pop() ?? ""
      for (const text of texts) each(text, ++line)
      if (bytes === 0) break
    }
    each(rest, ++line)
  } finally {
    Fs.closeSync(descriptor)
  }
}

/** Reads a whole history. Throws with the line's number for a line that is no operation. */
export const read = (file: string): Read => {
  const lines: Array<Line> = []
  const torn: Array<number> = []
  eachText(file, (text, line) => {
    try {
      const parsed = parse(text)
      if (parsed.torn) torn.push(line)
      else if (parsed.operation !== undefined) lines.push({ line, operation: parsed.operation })
    } catch (cause) {
      throw new Error(`${file}:${line}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  })
  return { lines: inTime(lines), torn }
}

/** Orders lines by moment: writers in several processes reach the file in another order than they looked at the clock. */
export const inTime = (lines: ReadonlyArray<Line>): ReadonlyArray<Line> =>
  lines.toSorted((a, b) => a.operation.at - b.operation.at || a.line - b.line)
