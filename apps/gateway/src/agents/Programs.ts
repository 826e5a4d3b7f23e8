/**
 * The programs that agents and pools of a configuration run: where they are, or what is
 * wrong and what to do about it. A gateway runs without them, because a program
 * may be installed later; but nobody should have to learn of it from a turn that
 * fails.
 */
import { accessSync, constants, statSync } from "node:fs"
import { createRequire } from "node:module"
import { basename, delimiter, dirname, isAbsolute, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import type { Onnx, OpenAi, Pool } from "../configuration/Pools.ts"
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

const isFile = (path: string): boolean => {
  try {
    return statSync(path).isFile()
  } catch {
    // Not there, or in a folder that is closed.
    return false
  }
}

/** What mostly runs a file of that name. */
const interpreterOf = (file: string): string => {
  const known: Readonly<Record<string, string>> = { sh: "sh", py: "python3", rb: "ruby" }
  return known[file.slice(file.lastIndexOf(".") + 1)] ?? "node"
}

/** Programs whose first argument, when it is no flag, is a file that they run. */
const interpreters = /^(?:node|python\d?(?:\.\d+)?|ruby|perl|bash|sh|zsh)$/

/** The script that an interpreter is given and that is not there; undefined when all is well or nothing can be told. */
const missingScript = ([program = "", script]: ReadonlyArray<string>, place: string): string | undefined =>
  script !== undefined &&
  interpreters.test(basename(program)) &&
  /^[^-{][^{]*\.[a-z]{1,4}$/.test(script) &&
  !isFile(resolve(place, script))
    ? resolve(place, script)
    : undefined

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
  const script = missingScript(argv ?? [], place)
  if (found !== undefined && script !== undefined) {
    return { problem: `its script ${script} does not exist`, remedy: "write it, correct argv[1], or correct cwd" }
  }
  if (found !== undefined) return { found }
  const named = /[/\\]/.test(program)
  // The file that was meant, also where it is not looked for.
  const meant = named ? program : `./${program}`
  const startable = which(meant, place, path) !== undefined
  const chmod = `run chmod +x on it, or put its interpreter first, as in ${shown([interpreterOf(program), meant])}`
  if (!startable && !isFile(resolve(place, meant))) {
    return {
      problem: `program ${shown(program)} is not found`,
      remedy: "install it, correct argv[0], or correct PATH"
    }
  }
  if (named) return { problem: `program ${shown(program)} is not executable`, remedy: chmod }
  const there = `a name without a slash is looked for on PATH only: for the file in ${place} write ${shown(meant)}`
  return {
    problem: `program ${shown(program)} is not found`,
    remedy: startable ? there : `${there}; it is not executable: ${chmod}`
  }
}

/** Looks for the program of each agent. */
export const look = ({ configuration, folder }: Loaded): ReadonlyArray<Program> =>
  Object.entries(configuration.agents).map(([name, agent]): Program => {
    if (agent.kind === "demo") return { agent: name, found: "built in" }
    if (agent.kind === "model") return { agent: name, found: agent.url ?? `pool ${agent.pool}` }
    return { agent: name, ...placeOf({ ...agent, argv: agent.argv ?? ["claude"] }, folder) }
  })

/** Where the library of ONNX models is looked for: as their thread does it. */
const libraryIn = (folder: string | undefined): boolean => {
  const places = folder === undefined ? [dirname(fileURLToPath(import.meta.url)), process.cwd()] : [folder]
  return places.some((place) => {
    try {
      createRequire(join(place, "from.js")).resolve("@huggingface/transformers")
      return true
    } catch {
      // Not here: the next place.
      return false
    }
  })
}

const modelPlace = ({ folder, library }: Onnx): Place => {
  if (!exists(join(folder, "config.json"))) {
    const problem = exists(folder) ? `${folder} holds no config.json` : `its folder ${folder} does not exist`
    return { problem, remedy: "name the folder of a model in ONNX as folder" }
  }
  return libraryIn(library)
    ? { found: folder }
    : {
        problem: "@huggingface/transformers is not installed",
        remedy: "npm install @huggingface/transformers@4 in some folder, and name that as library"
      }
}

/** What a pool needs on this machine: its program, or its model. Servers elsewhere have to be asked instead. */
export const ofPool = (pool: Exclude<Pool, OpenAi>, folder: string): Place =>
  pool.kind === "onnx" ? modelPlace(pool) : placeOf(pool, folder)

const ofPools = ({ configuration, folder }: Loaded): ReadonlyArray<string> =>
  Object.entries(configuration.pools).flatMap(([name, pool]) => {
    if (pool.kind === "openai") return []
    const { problem, remedy } = ofPool(pool, folder)
    return problem === undefined ? [] : [`pool "${name}": ${problem}; ${remedy}`]
  })

/** What is missing, a line each. */
export const warnings = (loaded: Loaded): ReadonlyArray<string> => [
  ...look(loaded).flatMap(({ agent, problem, remedy }) =>
    problem === undefined ? [] : [`agent "${agent}": ${problem}; ${remedy}`]
  ),
  ...ofPools(loaded)
]
