/**
 * Where the configuration comes from: the defaults, the file over them, the
 * variables over it, the flags over those. Everything that is wrong is found in
 * one reading and told with its place; a program with half of its configuration
 * never starts.
 */
import { markerVariable } from "@sluice/runtime/Agent"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Cause from "effect/Cause"
import * as Schema from "effect/Schema"
import * as Configuration from "./Configuration.ts"
import * as ConfigurationFile from "./File.ts"
import { problemsOf } from "./Issues.ts"
import { crossChecks } from "./Checks.ts"
import { ConfigurationError, didYouMean, type Problem, shown } from "./Problem.ts"
import * as Setting from "./Setting.ts"
import { resolve } from "node:path"

/** A value from the command line: `--set drain.timeout=10s`, or a flag with a name of its own. */
export interface Flag {
  readonly path: ReadonlyArray<string>
  readonly value: string
  readonly name: string
}

/** What the program is started with. */
export interface Sources {
  readonly environment: { readonly [name: string]: string | undefined }
  readonly folder: string
  readonly flags?: ReadonlyArray<Flag>
  /** Path of the file, from a flag. */
  readonly file?: string | undefined
  readonly renames?: ReadonlyArray<Configuration.Rename>
}

/** A configuration that is complete and valid. */
export interface Loaded {
  readonly configuration: Configuration.Configuration
  /** The file that was read; undefined when there is none. */
  readonly file: string | undefined
  /** Folder that commands of agents run in unless they say otherwise. */
  readonly folder: string
  readonly warnings: ReadonlyArray<string>
  /** Where a value was written: `sluice.yaml:3`, `SLUICE_PORT`, `--port`, or `default`. */
  readonly origin: (path: ReadonlyArray<PropertyKey>) => string
}

/** Variables that are no settings, for whoever starts the program. */
export const ownVariables = ["SLUICE_CONFIG", "SLUICE_TOKEN", "SLUICE_STOP_BUDGET", "SLUICE_SUPERVISED"]

/** What the gateway itself gives the processes of its agents: a gateway that is started by one has it, too. */
const givenVariables = [markerVariable]

const integerPattern = /^\s*-?\d+\s*$/
const numberPattern = /^\s*-?\d+(?:\.\d+)?\s*$/

/** A text from a variable or a flag, as its setting's kind reads it; what can't be read stays a text for the Schema to refuse. */
const fromText = (kind: Setting.Kind, text: string): unknown => {
  const items = () => (text.trim() === "" ? [] : text.split(",").map((item) => item.trim()))
  switch (kind) {
    case "integer":
      return integerPattern.test(text) ? Number(text) : text
    case "number":
      return numberPattern.test(text) ? Number(text) : text
    case "boolean":
      return /^(true|1|yes|on)$/i.test(text.trim()) ? true : /^(false|0|no|off)$/i.test(text.trim()) ? false : text
    case "list":
    case "durations":
      return items()
    default:
      return text
  }
}

/** Sizes and durations in the form that the Schema has, relative paths made absolute. */
const normalized = (setting: Setting.Setting, value: unknown, folder: string): unknown => {
  if (setting.kind === "duration") return Setting.durationOf(value)
  if (typeof value === "string") {
    if (setting.kind === "size") return Setting.bytesOf(value)
    if (setting.kind === "path" && value.length > 0) return resolve(folder, value)
  }
  return setting.kind === "durations" && Array.isArray(value) ? value.map(Setting.durationOf) : value
}

/** Applies `normalized` to every setting of a tree, below names of the user's own too. */
const normalize = (tree: Setting.Tree, folder: string): Setting.Tree =>
  Configuration.settings.reduce<Setting.Tree>((whole, setting) => {
    const fill = (at: Setting.Tree, [head, ...rest]: ReadonlyArray<string>): Setting.Tree => {
      if (head === undefined) return at
      return (head === "<name>" ? Object.keys(at) : [head]).reduce<Setting.Tree>((branch, key) => {
        if (!Object.hasOwn(branch, key)) return branch
        const value = branch[key]
        if (rest.length === 0) return { ...branch, [key]: normalized(setting, value, folder) }
        return Setting.isTree(value) ? { ...branch, [key]: fill(value, rest) } : branch
      }, at)
    }
    return fill(whole, setting.path)
  }, tree)

interface Layer {
  readonly tree: Setting.Tree
  readonly origins: ReadonlyMap<string, string>
}

const fromVariables = (sources: Sources): Layer => {
  const origins = new Map<string, string>()
  const tree = Configuration.settings.reduce<Setting.Tree>((tree, setting) => {
    const text = setting.variable === undefined ? undefined : sources.environment[setting.variable]
    // An empty variable is how compose files and shells say "not set".
    if (setting.variable === undefined || text === undefined || text === "") return tree
    origins.set(setting.path.join("."), setting.variable)
    return Setting.put(tree, setting.path, normalized(setting, fromText(setting.kind, text), sources.folder))
  }, {})
  return { tree, origins }
}

const fromFlags = (sources: Sources): Layer & { readonly problems: ReadonlyArray<Problem> } => {
  const origins = new Map<string, string>()
  const problems: Array<Problem> = []
  const known = Configuration.settings.filter((setting) => setting.variable !== undefined)
  const tree = (sources.flags ?? []).reduce<Setting.Tree>((tree, flag) => {
    const key = flag.path.join(".")
    const setting = known.find((one) => one.path.join(".") === key)
    if (setting === undefined) {
      const names = known.map((one) => one.path.join("."))
      problems.push({
        field: key,
        value: shown(flag.value),
        origin: flag.name,
        remedy: `there is no such setting${didYouMean(key, names)}; docs/configuration.md has them all`
      })
      return tree
    }
    origins.set(key, flag.name)
    return Setting.put(tree, flag.path, normalized(setting, fromText(setting.kind, flag.value), sources.folder))
  }, {})
  return { tree, origins, problems }
}

const unknownVariables = (environment: Sources["environment"]): ReadonlyArray<string> => {
  const known = [...ownVariables, ...givenVariables, ...Configuration.settings.flatMap((one) => one.variable ?? [])]
  return Object.keys(environment)
    .filter((name) => name.startsWith("SLUICE_") && !known.includes(name) && environment[name] !== "")
    .map((name) => `variable ${shown(name).slice(1, -1)} is not known and has no effect${didYouMean(name, known)}`)
}

/** Moves values from old names to new ones. A new name that is set as well wins. */
const applyRenames = (tree: Setting.Tree, renames: ReadonlyArray<Configuration.Rename>) => {
  const warnings: Array<string> = []
  const without = (at: Setting.Tree, [head = "", ...rest]: ReadonlyArray<string>): Setting.Tree => {
    if (rest.length === 0) return Object.fromEntries(Object.entries(at).filter(([key]) => key !== head))
    const branch = at[head]
    if (!Setting.isTree(branch)) return at
    const left = without(branch, rest)
    return Object.keys(left).length === 0 ? without(at, [head]) : { ...at, [head]: left }
  }
  const renamed = renames.reduce<Setting.Tree>((at, rename) => {
    const value = Setting.get(at, rename.from)
    if (value === undefined) return at
    const [from, to] = [rename.from.join("."), rename.to.join(".")]
    warnings.push(`key ${from} is called ${to} now; the old name works until version ${rename.until}`)
    const rest = without(at, rename.from)
    return Setting.get(rest, rename.to) === undefined ? Setting.put(rest, rename.to, value) : rest
  }, tree)
  return { tree: renamed, warnings }
}

const givenFile = (sources: Sources): { readonly path: string | undefined; readonly origin: string } => {
  if (sources.file !== undefined) return { path: sources.file, origin: "--config" }
  const variable = sources.environment["SLUICE_CONFIG"]
  return variable === undefined || variable === ""
    ? { path: undefined, origin: "" }
    : { path: variable, origin: "SLUICE_CONFIG" }
}

const decode = Schema.decodeUnknownExit(Configuration.Configuration, { errors: "all", onExcessProperty: "error" })

/** Reads and checks everything; fails with all problems at once. */
export const load = Effect.fnUntraced(function* (sources: Sources): Effect.fn.Return<Loaded, ConfigurationError> {
  const given = givenFile(sources)
  const path = ConfigurationFile.find(given.path, sources.folder)
  const file = path === undefined ? undefined : yield* ConfigurationFile.load(path, given.origin)
  const renamed = applyRenames(file?.tree ?? {}, sources.renames ?? Configuration.renames)
  const variables = fromVariables(sources)
  const flags = fromFlags(sources)
  const folder = file?.folder ?? sources.folder
  const written = [normalize(renamed.tree, folder), variables.tree, flags.tree].reduce(Setting.merge)
  const origin = (path: ReadonlyArray<PropertyKey>): string => {
    const key = path.join(".")
    const found = flags.origins.get(key) ?? variables.origins.get(key)
    if (found !== undefined) return found
    const old = (sources.renames ?? Configuration.renames).find((one) => one.to.join(".") === key)
    if (Setting.get(file?.tree, path) !== undefined || path.length === 0) return file?.place(path) ?? "default"
    return old !== undefined && Setting.get(file?.tree, old.from) !== undefined
      ? (file?.place(old.from) ?? "default")
      : "default"
  }
  const whole = withAgents(normalize(Setting.merge(Configuration.builtIn, written), sources.folder))
  const exit = decode(whole)
  if (Exit.isFailure(exit) || flags.problems.length > 0) {
    const issue = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
    return yield* new ConfigurationError({
      problems: [...flags.problems, ...(issue === undefined ? [] : problemsOf(issue, whole, origin))]
    })
  }
  const problems = crossChecks(exit.value, origin)
  if (problems.length > 0) return yield* new ConfigurationError({ problems })
  return {
    configuration: exit.value,
    file: path,
    folder,
    warnings: [...renamed.warnings, ...unknownVariables(sources.environment)],
    origin
  }
})

/** What a tool needs to find a gateway: nothing else of the configuration has to be right for it. */
export interface Place {
  readonly stateDirectory: string
  readonly tokenFile: string | undefined
  readonly timeZone?: string | undefined
  readonly environment: Sources["environment"]
}

/**
 * Finds the state directory. A gateway can be asked and stopped also while somebody is editing its configuration; but a
 * file that can't be parsed and may name another directory is no reason to stop the gateway of the default one.
 */
export const place = Effect.fnUntraced(function* (sources: Sources): Effect.fn.Return<Place, ConfigurationError> {
  const given = givenFile(sources)
  const path = ConfigurationFile.find(given.path, sources.folder)
  const [variables, flags] = [fromVariables(sources).tree, fromFlags(sources).tree]
  const named = [variables, flags].some((tree) => Setting.get(tree, ["stateDirectory"]) !== undefined)
  const needed = named ? [] : ["stateDirectory"]
  const file = path === undefined ? undefined : yield* ConfigurationFile.loadFor(path, given.origin, needed)
  const written = normalize(file?.tree ?? {}, file?.folder ?? sources.folder)
  const all = [normalize(Configuration.builtIn, sources.folder), written, variables, flags].reduce(Setting.merge)
  const text = (key: ReadonlyArray<string>) => {
    const value = Setting.get(all, key)
    return typeof value === "string" ? value : undefined
  }
  const stateDirectory = text(["stateDirectory"]) ?? resolve(sources.folder, ".sluice")
  if (stateDirectory === "") {
    const origin =
      Setting.get(flags, ["stateDirectory"]) === "" ? "--state-dir" : (file?.place(["stateDirectory"]) ?? "")
    const problem = { field: "stateDirectory", value: shown(stateDirectory), origin, remedy: "use a path" }
    return yield* new ConfigurationError({ problems: [problem] })
  }
  return {
    stateDirectory,
    tokenFile: text(["http", "tokenFile"]),
    timeZone: text(["timeZone"]),
    environment: sources.environment
  }
})

/** Without agents there is the demo agent; without a default persona one speaks for `main`, else for the first agent. */
const withAgents = (tree: Setting.Tree): Setting.Tree => {
  const { agents, personas } = tree
  const named = Setting.isTree(agents) && Object.keys(agents).length === 0 ? { demo: { kind: "demo" } } : agents
  if (!Setting.isTree(named) || !Setting.isTree(personas)) return tree
  const first = Object.hasOwn(named, "main") ? "main" : (Object.keys(named)[0] ?? "")
  return { ...tree, agents: named, personas: { default: { agent: first }, ...personas } }
}
