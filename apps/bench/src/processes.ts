/**
 * Other processes as the system shows them: what one weighs, what it has started, and how it was started, so that the
 * same can be started again beside it. A process that ends while we look has no text, and weighs nothing.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs"

/** Processes come and go while we look: one that ended has no text. */
export const readIfThere = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined
    if (code === "ENOENT" || code === "ESRCH") return ""
    throw error
  }
}

const parentOf = (pid: string): number => Number(/PPid:\s+(\d+)/.exec(readIfThere(`/proc/${pid}/status`))?.[1] ?? 0)

const parents = (): ReadonlyArray<{ readonly pid: number; readonly parent: number }> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({ pid: Number(pid), parent: parentOf(pid) }))

/** What a process has started itself and is still there. */
export const childrenOf = (parent: number): ReadonlyArray<number> =>
  parents()
    .filter((one) => one.parent === parent)
    .map(({ pid }) => pid)

/** A process and all below it. */
export const tree = (root: number): ReadonlyArray<number> => {
  const all = parents()
  const found = [root]
  for (const pid of found) found.push(...all.filter(({ parent }) => parent === pid).map(({ pid }) => pid))
  return found
}

/** Whether a process runs: one that has ended and waits to be looked at does not. */
export const runs = (pid: number): boolean => /^State:\s+[^ZX]/m.test(readIfThere(`/proc/${pid}/status`))

/** Resident memory in bytes. */
export const residentOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readIfThere(`/proc/${pid}/status`))?.[1] ?? Number.NaN) * 1024

/** Milliseconds of a core that a process has used, counted in hundredths of a second as Linux shows them to programs. */
export const cpuOf = (pid: number): number => {
  const stat = readIfThere(`/proc/${pid}/stat`)
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** How a process was started. */
export interface Launch {
  readonly argv: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
}

/** Each ends with a NUL, also an empty one. */
const words = (path: string): ReadonlyArray<string> => readFileSync(path, "utf8").split("\0").slice(0, -1)

/** How a running process was started, without what marks it as the gateway's own. */
export const launchOf = (pid: number): Launch => {
  const variables = words(`/proc/${pid}/environ`).map((word): [string, string] => {
    const at = word.indexOf("=")
    return [word.slice(0, at), word.slice(at + 1)]
  })
  return {
    argv: words(`/proc/${pid}/cmdline`),
    env: Object.fromEntries(variables.filter(([name]) => !name.startsWith("SLUICE_"))),
    cwd: readlinkSync(`/proc/${pid}/cwd`)
  }
}
