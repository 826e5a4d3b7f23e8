/**
 * The system's processes, read from /proc in one go. Life is judged by the state
 * that stands there: without an init a killed grandchild stays a zombie, and
 * `kill(pid, 0)` calls it alive for ever. A process is known by its number *and*
 * its start time, because numbers are used again. Without /proc (macOS) there is
 * no table: callers then know only the group that they started.
 */
import * as fs from "node:fs"

/** One living process. `start` is in ticks since the machine's boot. */
export interface Entry {
  readonly pid: number
  readonly parent: number
  readonly group: number
  readonly session: number
  readonly start: number
}

/** Every process that lives, by number. */
export type Table = ReadonlyMap<number, Entry>

/** The number of this process. */
export const self: number = process.pid

/** Whether this system shows its processes. */
export const supported: boolean = fs.existsSync("/proc/self/stat")

const parse = (pid: number, stat: string): Entry | undefined => {
  // The name stands in parentheses and may hold anything, parentheses and spaces too: read from its end.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const state = fields[0]
  if (state === undefined || state === "Z" || state === "X" || state === "x") return undefined
  return {
    pid,
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    start: Number(fields[19])
  }
}

/** The process with this number; `undefined` when there is none or only its zombie. */
export const readOne = (pid: number): Entry | undefined => {
  try {
    return parse(pid, fs.readFileSync(`/proc/${pid}/stat`, "latin1"))
  } catch {
    // It ended between two reads, or was never there.
    return undefined
  }
}

/**
 * The start time of a child that was started in this very step. It is there even
 * when the child is a zombie already: nobody can have waited for it yet.
 */
export const startOf = (pid: number): number | undefined => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19])
  } catch {
    // No /proc here.
    return undefined
  }
}

/** Reads the whole table. Synchronous on purpose: a signal follows before anything else can run. */
export const readAll = (): Table => {
  const table = new Map<number, Entry>()
  if (!supported) return table
  for (const name of fs.readdirSync("/proc")) {
    const first = name.charCodeAt(0)
    if (first < 49 || first > 57) continue
    const entry = readOne(Number(name))
    if (entry !== undefined) table.set(entry.pid, entry)
  }
  return table
}

/** A variable of the environment that a process was started with; `undefined` when unset or not ours to read. */
export const variableOf = (pid: number, name: string): string | undefined => {
  let environment: Buffer
  try {
    environment = fs.readFileSync(`/proc/${pid}/environ`)
  } catch {
    // Somebody else's process, or gone.
    return undefined
  }
  const key = `${name}=`
  for (let at = environment.indexOf(key); at !== -1; at = environment.indexOf(key, at + 1)) {
    if (at !== 0 && environment[at - 1] !== 0) continue
    const end = environment.indexOf(0, at)
    return environment.toString("utf8", at + key.length, end === -1 ? environment.length : end)
  }
  return undefined
}

/** This process and everything above it: never to be signalled, whatever a marker says. */
export const lineage = (table: Table): ReadonlyMap<number, Entry> => {
  const above = new Map<number, Entry>()
  for (let entry = table.get(process.pid); entry !== undefined; entry = table.get(entry.parent)) {
    if (above.has(entry.pid)) break
    above.set(entry.pid, entry)
  }
  return above
}

/** Sends a signal to a process, or to a group when `pid` is negative; says whether there was anybody to get it. */
export const signal = (pid: number, name: NodeJS.Signals | 0): boolean => {
  try {
    process.kill(pid, name)
    return true
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    // EPERM on macOS: only zombies are left in the group. On Linux: it became somebody else's.
    if (code === "ESRCH" || code === "EPERM") return false
    throw cause
  }
}
