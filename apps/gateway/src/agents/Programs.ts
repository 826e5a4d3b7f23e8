/**
 * The programs that agents of a configuration run: where they are, or what is
 * wrong and what to do about it. A gateway runs without them, because a program
 * may be installed later; but nobody should have to learn of it from a turn that
 * fails.
 */
import { accessSync, constants, statSync } from "node:fs"
import { delimiter, isAbsolute, join, resolve } from "node:path"
import type { Loaded } from "../configuration/Sources.ts"
import { shown } from "../configuration/Problem.ts"
import { exists } from "../StateFolder.ts"

/** The program of one agent; without a `problem` it is at `found`. */
export type Program =
  | { readonly agent: string; readonly found: string; readonly problem?: never; readonly remedy?: never }
  | { readonly agent: string; readonly found?: never; readonly problem: string; readonly remedy: string }

/** Where a program is found; undefined when it is not. */
export const which = (program: string, folder: string, path: string): string | undefined => {
  const places = /[/\\]/.test(program)
    ? [isAbsolute(program) ? program : resolve(folder, program)]
    : path
        .split(delimiter)
        .filter((one) => one !== "")
        .map((one) => join(one, program))
  return places.find((one) => {
    try {
      accessSync(one, constants.X_OK)
      return statSync(one).isFile()
    } catch {
      // Not here: the next place.
      return false
    }
  })
}

/** Looks for the program of each agent. */
export const look = ({ configuration, folder }: Loaded): ReadonlyArray<Program> =>
  Object.entries(configuration.agents).map(([name, agent]): Program => {
    if (agent.kind === "demo") return { agent: name, found: "built in" }
    if (agent.kind === "model") return { agent: name, found: agent.url }
    const [program = ""] = agent.argv ?? ["claude"]
    const cwd = agent.cwd ?? folder
    if (!exists(cwd)) {
      return { agent: name, problem: `its folder ${cwd} does not exist`, remedy: "create it or correct cwd" }
    }
    const path = agent.variables?.["PATH"] ?? process.env["PATH"] ?? ""
    const found = which(program, cwd, path)
    if (found !== undefined) return { agent: name, found }
    const beside = !/[/\\]/.test(program) && which(`./${program}`, cwd, path) !== undefined
    return {
      agent: name,
      problem: `program ${shown(program)} is not found`,
      remedy: beside
        ? `a name without a slash is looked for on PATH only: for the file in ${cwd} write ${shown(`./${program}`)}`
        : "install it, correct argv[0], or correct PATH"
    }
  })

/** What is missing, a line each. */
export const warnings = (loaded: Loaded): ReadonlyArray<string> =>
  look(loaded).flatMap(({ agent, problem, remedy }) =>
    problem === undefined ? [] : [`agent "${agent}": ${problem}; ${remedy}`]
  )
