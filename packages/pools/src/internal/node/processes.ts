/**
 * What the system tells of processes: who is in a group, how much memory they hold, and whose workers they are. Every
 * worker that is a process carries a marker in its environment, which names the host that started it. One whose host is
 * gone is nobody's: it was left behind by a crash, and keeps its memory and its port until somebody ends it. Processes
 * are known by number and start time, because numbers are used again. Without /proc nothing is told.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import * as process from "node:process"

/** The variable that carries the marker. */
export const markerVariable = "SLUICE_POOL_WORKER"

/** Whether this system shows its processes. */
export const supported: boolean = existsSync("/proc/self/stat")

interface Entry {
  readonly pid: number
  readonly parent: number
  readonly group: number
  /** Ticks from the machine's boot to its start. */
  readonly start: number
  /** Where its stack begins: somewhere else after each `execve`, which changes neither number nor start time. */
  readonly stack: string
}

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, "latin1")
  } catch {
    // It has ended, or is somebody else's.
    return undefined
  }
}

/** The process with this number; `undefined` when there is none, or only its zombie. */
const entryOf = (pid: number | "self"): Entry | undefined => {
  const stat = read(`/proc/${pid}/stat`)
  if (stat === undefined) return undefined
  // The name stands in parentheses and may hold anything: read behind the last one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const state = fields[0]
  if (state === undefined || state === "Z" || state === "X" || state === "x") return undefined
  return {
    pid: pid === "self" ? process.pid : pid,
    parent: Number(fields[1]),
    group: Number(fields[2]),
    start: Number(fields[19]),
    stack: fields[25] ?? ""
  }
}

const all = (): ReadonlyMap<number, Entry> => {
  const table = new Map<number, Entry>()
  if (!supported) return table
  for (const name of readdirSync("/proc")) {
    if (!/^[1-9]/.test(name)) continue
    const entry = entryOf(Number(name))
    if (entry !== undefined) table.set(entry.pid, entry)
  }
  return table
}

/** Bytes of memory that a process group holds; `undefined` where the system does not tell, or nobody is left. */
export const memoryOf = (group: number): number | undefined => {
  let sum = 0
  for (const entry of all().values()) {
    if (entry.group !== group) continue
    const found = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${entry.pid}/status`) ?? "")
    sum += Number(found?.[1] ?? 0) * 1024
  }
  return sum > 0 ? sum : undefined
}

/** Numbers mean something within a namespace only: a container's processes are seen from outside under other ones. */
const namespace = (): string => {
  try {
    return readlinkSync("/proc/self/ns/pid").replace(/\D+/g, "")
  } catch {
    return ""
  }
}

let host: string | undefined
let workers = 0

/** The part of a marker that names this process. */
const ownHost = (): string => {
  const own = entryOf("self")
  return (host ??= own === undefined ? "" : `${namespace()}/${own.pid}/${own.start}/${own.stack}`)
}

/** A marker for the next worker; `undefined` where it would be of no use. */
export const nextMarker = (): string | undefined => {
  const name = ownHost()
  return name === "" ? undefined : `${name}/${++workers}`
}

const variableOf = (pid: number): string | undefined => {
  const key = `${markerVariable}=`
  const found = read(`/proc/${pid}/environ`)
    ?.split("\0")
    .find((variable) => variable.startsWith(key))
  return found?.slice(key.length)
}

/** Every living process that carries a marker, without this one and what it descends from. */
const marked = (table: ReadonlyMap<number, Entry>): ReadonlyArray<readonly [pid: number, marker: string]> => {
  const above = new Set<number>()
  for (let entry = table.get(process.pid); entry !== undefined && !above.has(entry.pid);) {
    above.add(entry.pid)
    entry = table.get(entry.parent)
  }
  return [...table.keys()].flatMap((pid) => {
    const marker = above.has(pid) ? undefined : variableOf(pid)
    return marker === undefined ? [] : [[pid, marker] as const]
  })
}

/** Processes that carry exactly this marker: a worker, and what it started, whatever groups that made for itself. */
export const carriers = (marker: string): ReadonlyArray<number> =>
  marked(all()).flatMap(([pid, found]) => (found === marker ? [pid] : []))

/** Workers whose host is gone: killed, or replaced by what it executed. */
export const orphans = (): ReadonlyArray<number> => {
  const table = all()
  const own = ownHost()
  const ours = own.split("/")[0]
  return marked(table).flatMap(([pid, marker]) => {
    const [room, number, start, stack] = marker.split("/")
    if (own === "" || room !== ours) return []
    const found = table.get(Number(number))
    if (found === undefined || String(found.start) !== start) return [pid]
    return found.pid === process.pid && found.stack !== stack ? [pid] : []
  })
}

/** Whether any of them still lives. */
export const anyLives = (pids: ReadonlyArray<number>): boolean => pids.some((pid) => entryOf(pid) !== undefined)
