/** A terminal's screen for tests: everything that was shown on it, and a way to wait for something to appear. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

/** What a terminal shows of what was written to it: rows of text, as the few sequences that are used here leave them. */
export const drawn = (written: string, columns: number): ReadonlyArray<string> => {
  const rows: Array<string> = [""]
  let [row, column] = [0, 0]
  const put = (character: string) => {
    if (column >= columns) [row, column] = [row + 1, 0]
    rows[row] = (rows[row] ?? "").padEnd(column).slice(0, column) + character + (rows[row] ?? "").slice(column + 1)
    column++
  }
  // oxlint-disable-next-line no-control-regex -- terminals are made of these
  for (const [piece, count, letter] of written.matchAll(/\u001b\[\??(\d*)([A-Za-z])|[^]/g)) {
    const by = Number(count === "" || count === undefined ? 1 : count)
    if (letter === "A") row = Math.max(0, row - by)
    else if (letter === "B") row += by
    else if (letter === "C") column += by
    else if (letter === "D") column = Math.max(0, column - by)
    else if (letter === "G") column = by - 1
    else if (letter === "J") rows.splice(row, rows.length, (rows[row] ?? "").slice(0, column))
    else if (letter === "K") rows[row] = (rows[row] ?? "").slice(0, column)
    else if (letter !== undefined) continue
    else if (piece === "\r") column = 0
    else if (piece === "\n") [row, column] = [row + 1, 0]
    else put(piece)
  }
  return Array.from(rows, (text: string | undefined) => (text ?? "").trimEnd())
}

/** A screen that remembers, and that can be waited for. */
export const screen = Effect.map(SubscriptionRef.make(""), (shown) => ({
  shown: SubscriptionRef.get(shown),
  until: (text: string) =>
    SubscriptionRef.changes(shown).pipe(
      Stream.takeUntil((all) => all.includes(text)),
      Stream.runDrain
    ),
  write: (text: string) => SubscriptionRef.update(shown, (all) => all + text),
  note: (line: string) => SubscriptionRef.update(shown, (all) => `${all}[${line}]\n`)
}))
