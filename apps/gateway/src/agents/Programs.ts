/**
 * The programs that agents and pools of a configuration run: where they are, or what is
 * wrong and what to do about it. A gateway runs without them, because a program
 * may be installed later; but nobody should have to learn of it from a turn that
 * fails.
 */
import { accessSync, constants, statSync } from "node:fs"
import { delimiter, isAbsolute, join, resolve } from "node:path"
import type { Loaded } from "../configuration/Sources.ts"
import { shown } from "../configuration/Problem.ts"
import { exists } from "../StateFolder.ts"

/** Where a program is, or what is wrong and what to do about it. */
export type Place =
  | { readonly found: string; readonly problem?: never; readonly remedy?: never }
  | { readonly found?: never; readonly problem: string; readonly remedy: string }

/** The program of one agent. */
export type Program = Place & { readonly agent: string }

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

/** What is run, and where. */
interface Run {
  readonly argv?: ReadonlyArray<string>
  readonly cwd?: string
  readonly variables?: { readonly [name: string]: string }
}

/** Looks for a program; `folder` is where it runs unless it says otherwise. */
export const placeOf = ({ argv, cwd = "", variables }: Run, folder: string): Place => {
  const [program = ""] = argv ?? []
  const place = cwd === "" ? folder : cwd
  if (!exists(place)) {
    return { problem: `its folder ${place} does not exist`, remedy: "create it or correct cwd" }
  }
  const path = variables?.["PATH"] ?? process.env["PATH"] ?? ""
  const found = which(program, place, path)
  if (found !== undefined) return { found }
  const beside = !/[/\\]/.test(program) && which(`./${program}`, place, path) !== undefined
  return {
    problem: `program ${shown(program)} is not found`,
    remedy: beside
      ? `a name without a slash is looked for on PATH only: for the file in ${place} write ${shown(`./${program}`)}`
      : "install it, correct argv[0], or correct PATH"
  }
}

/** Looks for the program of each agent. */
export const look = ({ configuration, folder }: Loaded): ReadonlyArray<Program> =>
  Object.entries(configuration.agents).map(([name, agent]): Program => {
    if (agent.kind === "demo") return { agent: name, found: "built in" }
    if (agent.kind === "model") return { agent: name, found: agent.url ?? `pool ${agent.pool}` }
    return { agent: name, ...placeOf({ ...agent, argv: agent.argv ?? ["claude"] }, folder) }
  })

/** What is missing of the pools that start programs, a line each. */
const ofPools = ({ configuration, folder }: Loaded): ReadonlyArray<string> =>
  Object.entries(configuration.pools).flatMap(([name, pool]) => {
    if (!("argv" in pool)) return []
    const { problem, remedy } = placeOf(pool, folder)
    return problem === undefined ? [] : [`pool "${name}": ${problem}; ${remedy}`]
  })

/** What is missing, a line each. */
export const warnings = (loaded: Loaded): ReadonlyArray<string> => [
  ...look(loaded).flatMap(({ agent, problem, remedy }) =>
    problem === undefined ? [] : [`agent "${agent}": ${problem}; ${remedy}`]
  ),
  ...ofPools(loaded)
]
