/**
 * The checker's own process: `node apps/torture/src/checker/main.ts <history>` prints
 * a verdict as JSON. It exits with 0 when every promise was kept, with 1 when one is
 * broken, and with 2 when it can't read the history, which is nobody's verdict.
 */
import process from "node:process"
import { read } from "../history/reader.ts"
import { judge } from "./judge.ts"

const [file, ...more] = process.argv.slice(2)
if (file === undefined || more.length > 0) {
  process.stderr.write("usage: node apps/torture/src/checker/main.ts <history>\n")
  process.exitCode = 2
} else {
  try {
    const verdict = judge(file, read(file))
    process.stdout.write(`${JSON.stringify(verdict)}\n`)
    process.exitCode = verdict.broken.length === 0 ? 0 : 1
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n`)
    process.exitCode = 2
  }
}
