/**
 * Asks the checker about a history. It runs in a process of its own, so that nothing
 * of the harness, nor of a gateway that a level runs in its own process, can reach it.
 */
import { execFile } from "node:child_process"
import process from "node:process"
import { fileURLToPath } from "node:url"
import type { Violation } from "../levels/Level.ts"
import type { CheckerVerdict } from "./Findings.ts"

const program = fileURLToPath(new URL("main.ts", import.meta.url))

/** Has a history judged. Fails when the checker can't: then nothing is known. */
export const check = (file: string): Promise<CheckerVerdict> =>
  new Promise((resolve, reject) => {
    const args = ["--no-warnings", "--max-old-space-size=4096", program, file]
    execFile(process.execPath, args, { maxBuffer: 1 << 28 }, (error, out, err) => {
      if (error !== null && error.code !== 1) {
        reject(new Error(`the checker ended with ${String(error.code ?? error.signal)}: ${err}`))
      } else resolve(JSON.parse(out) as CheckerVerdict)
    })
  })

/** The broken promises of a history as a level reports them; `history` when the file is kept. */
export const violationsOf = (
  { broken, more }: CheckerVerdict,
  seed: number,
  history?: string
): ReadonlyArray<Violation> => [
  ...broken.map(({ conversation, invariant, lines, what }) => ({
    invariant,
    what: `${conversation === undefined ? "" : `${conversation}: `}${what} (lines ${lines.join(", ")})`,
    seed,
    ...(history === undefined ? {} : { history })
  })),
  ...Object.entries(more).map(([invariant, count]) => ({
    invariant,
    what: `${count} more of the same kind`,
    seed,
    ...(history === undefined ? {} : { history })
  }))
]
