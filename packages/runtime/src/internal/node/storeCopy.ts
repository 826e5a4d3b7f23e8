/**
 * A verified copy of a store, made before a migration changes it. It is made by
 * SQLite in a child process: a copy by any other means would drop this process's
 * locks, and a long one here would look like a hang to the watchdog.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as Effect from "effect/Effect"

const script = `
import { DatabaseSync } from "node:sqlite"
const [, source, target] = process.argv
const from = new DatabaseSync(source, { readOnly: true, timeout: 5000 })
from.prepare("vacuum into ?").run(target)
from.close()
const copy = new DatabaseSync(target, { readOnly: true })
const [row] = copy.prepare("pragma quick_check").all()
copy.close()
if (row.quick_check !== "ok") throw new Error("the copy is not sound: " + row.quick_check)
`

/** Puts a copy that is whole in its place and removes one that is not; what went wrong, if anything did. */
const finish = (partial: string, target: string, error: Error | null): Error | undefined => {
  try {
    if (error === null) {
      fs.chmodSync(partial, 0o600)
      fs.renameSync(partial, target)
      return undefined
    }
    fs.rmSync(partial, { force: true })
    return error
  } catch (cause) {
    return error ?? (cause instanceof Error ? cause : new Error(String(cause)))
  }
}

/** Copies `source` to `target` (replaced if it is there) and checks the copy. */
export const storeCopy = (source: string, target: string): Effect.Effect<void, Error> =>
  Effect.callback((resume) => {
    const partial = `${target}.partial`
    fs.rmSync(partial, { force: true })
    const child = execFile(
      process.execPath,
      ["--no-warnings", "--input-type=module", "--eval", script, source, partial],
      (error) => {
        const failed = finish(partial, target, error)
        resume(failed === undefined ? Effect.void : Effect.fail(failed))
      }
    )
    return Effect.sync(() => {
      child.kill("SIGKILL")
    })
  })
