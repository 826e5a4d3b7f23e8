/**
 * Who started this process and starts it again. A wrong answer costs either a gateway that stays down after a restart or
 * two that fight for one store, so only what proves it counts: a unit of systemd that the process really runs in, or
 * the word of whoever set `SLUICE_SUPERVISED`.
 */
import { readFileSync } from "node:fs"

/** A unit of systemd, of the system's manager or of a user's. */
export interface Unit {
  readonly name: string
  readonly user: boolean
}

/** Where a process runs, as it can tell by itself. */
export interface Surroundings {
  readonly environment: { readonly [name: string]: string | undefined }
  readonly pid: number
  /** Somebody sits at it. */
  readonly terminal: boolean
  /** Text of /proc/self/cgroup, empty where there is none. */
  readonly cgroup: string
  readonly container: boolean
}

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    // Not Linux, or not for us: then nothing speaks for a unit or a container.
    return ""
  }
}

const exists = (path: string): boolean => {
  try {
    readFileSync(path)
    return true
  } catch {
    return false
  }
}

/** The surroundings of this process. */
export const surroundings = (environment: Surroundings["environment"]): Surroundings => {
  const cgroup = read("/proc/self/cgroup")
  return {
    environment,
    pid: process.pid,
    terminal: process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY,
    cgroup,
    container:
      exists("/.dockerenv") ||
      exists("/run/.containerenv") ||
      (environment["KUBERNETES_SERVICE_HOST"] ?? "") !== "" ||
      /\/(docker|kubepods|containerd|libpod|lxc)[/-]/.test(cgroup)
  }
}

/** The unit that a process runs in; a login session or a terminal's scope is none. */
export const unitOf = ({ cgroup, environment }: Surroundings): Unit | undefined => {
  // Both are handed down to whatever a unit starts: alone they prove nothing.
  if (environment["INVOCATION_ID"] === undefined && environment["NOTIFY_SOCKET"] === undefined) return undefined
  const path = /^(?:0:|\d+:name=systemd):(\/.*)$/m.exec(cgroup)?.[1] ?? ""
  const names = path.split("/")
  const name = names.at(-1) ?? ""
  if (!name.endsWith(".service") || name.startsWith("user@")) return undefined
  return { name, user: names.some((each) => /^user@\d+\.service$/.test(each)) }
}

/** Whether somebody starts this process again when it ends with 75. */
export const isSupervised = (here: Surroundings): boolean =>
  here.environment["SLUICE_SUPERVISED"] === "1" || unitOf(here) !== undefined
