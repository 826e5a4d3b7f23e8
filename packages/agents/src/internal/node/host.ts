/**
 * What the agents ask of the process that they run in: variables of its
 * environment, its folder, and for the demo a way to end it as a crash would.
 */
import { resolve } from "node:path"

/** The variables of this process that are named and set. */
export const inherited = (names: Iterable<string>): Record<string, string> => {
  const found: Record<string, string> = {}
  for (const name of names) {
    const value = process.env[name]
    if (value !== undefined) found[name] = value
  }
  return found
}

/** Ends this process the way a crash does: nothing runs after it, no finalizer, no handler. */
export const crash = (): void => {
  process.kill(process.pid, "SIGKILL")
}

/** A folder as an absolute path; this process's own when none is named. */
export const absolute = (folder: string | undefined): string => resolve(folder ?? "")
