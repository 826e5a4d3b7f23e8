/**
 * Programs of agents run at a lower priority than the gateway. What they do after an answer (collecting garbage,
 * writing transcripts, a dozen threads at once) would otherwise hold the processors at the very moment at which the
 * gateway has to store and deliver that answer. Linux weighs sessions against each other before it looks at a process's
 * own priority (autogroups), and an agent's program leads a session of its own: both are lowered.
 */
import type { ChildProcess } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { constants, getPriority, setPriority } from "node:os"

/** The lowest priority that there is. */
const lowest = constants.priority.PRIORITY_LOW

const isRefusedForNow = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "EAGAIN"

/** A system without autogroups, or a process that has ended, has none. */
const autogroupOf = (pid: number | "self"): { readonly name: string; readonly nice: number } | undefined => {
  try {
    const [, name = "", nice] = /^(\S+) nice (-?\d+)/.exec(readFileSync(`/proc/${pid}/autogroup`, "latin1")) ?? []
    return nice === undefined ? undefined : { name, nice: Number(nice) }
  } catch {
    return undefined
  }
}

/** Without privileges the system takes one change in 100 ms, whoever makes it; then it is tried again, a few times. */
const lowerAutogroup = (child: ChildProcess, pid: number, nice: number, tries: number): void => {
  const [own, its] = [autogroupOf("self"), autogroupOf(pid)]
  // The same one, where the system made none for the program's session: lowering it would lower the gateway.
  if (its === undefined || own?.name === its.name) return
  try {
    // A gateway that was started by the first process, as in many containers, is in no group: it weighs for itself.
    writeFileSync(`/proc/${pid}/autogroup`, String(Math.min(lowest, (own?.nice ?? getPriority()) + nice)))
  } catch (error) {
    // Refused by a sandbox, or gone: it runs as it is.
    if (!isRefusedForNow(error) || tries <= 1) return
    const again = () => {
      if (child.exitCode === null && child.signalCode === null) lowerAutogroup(child, pid, nice, tries - 1)
    }
    setTimeout(again, 110).unref()
  }
}

/** What is wrong with such a number, with its remedy. */
export const niceProblem = (nice: number | undefined): string | undefined =>
  nice === undefined || (Number.isSafeInteger(nice) && nice >= 0 && nice <= lowest)
    ? undefined
    : `nice ${nice}: is not a priority; give a whole number from 0 to ${lowest}`

/** Makes a program, and what it starts from here on, give way: by this much below the gateway's own priority. */
export const lower = (child: ChildProcess, pid: number, nice: number): void => {
  if (nice <= 0) return
  try {
    setPriority(pid, Math.min(lowest, getPriority() + nice))
  } catch {
    // It has ended already, or a sandbox refuses: it runs as it is.
    return
  }
  lowerAutogroup(child, pid, nice, 20)
}
