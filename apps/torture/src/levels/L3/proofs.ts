/**
 * What a scenario proves beside the checker, from the same history: who was told yes
 * while a yes could not be true, and how many runs, ends and starts there were.
 */
import type { Operation } from "../../history/Operation.ts"
import { read } from "../../history/reader.ts"

/** The operations of a history between two moments. */
export const between = (file: string, from: number, to: number): ReadonlyArray<Operation> =>
  read(file)
    .lines.map(({ operation }) => operation)
    .filter(({ at }) => at >= from && at <= to)

/** Messages that were first sent after one moment and were acknowledged before another. */
export const acknowledgedBetween = (file: string, from: number, to: number): ReadonlyArray<string> => {
  const sent = new Set<string>()
  const told = new Set<string>()
  for (const operation of between(file, from, to)) {
    if (operation.op !== "send") continue
    if (operation.phase === "invoke") sent.add(operation.id)
    else if (operation.phase === "ok" && sent.has(operation.id)) told.add(operation.id)
  }
  return [...told]
}
