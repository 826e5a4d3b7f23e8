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

/** More than this without a processor, in milliseconds, and a stop is not to blame that its watchdog ended it. */
const tolerable = 500

/** Boots whose stop was given no processor for so long that its end by SIGKILL says nothing. */
export const starved = (file: string): ReadonlySet<number> =>
  new Set(
    between(file, 0, Infinity).flatMap((operation) =>
      operation.op === "stop" && (operation.starved ?? 0) > tolerable ? [operation.boot] : []
    )
  )

/** Lines of a gateway's log that only a defect explains. That no memory is to be had is none. */
export const defects = (printed: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(
    printed.flatMap((line) => {
      const [found] =
        /A request could not be handled|(Type|Reference|Range|Syntax)Error: (?!Array buffer alloc)[^"\\]{0,160}/.exec(
          line
        ) ?? []
      return found === undefined ? [] : [found]
    })
  )
]
