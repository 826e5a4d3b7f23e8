/**
 * From a Schema's issue to problems that a person can act on: the key as it is
 * written in the file, where it stands, its value, and what would be right.
 */
import type * as SchemaIssue from "effect/SchemaIssue"
import { settings } from "./Configuration.ts"
import { didYouMean, isSecret, type Problem, shown } from "./Problem.ts"
import * as Setting from "./Setting.ts"

type Path = ReadonlyArray<PropertyKey>
type Origin = (path: Path) => string

interface Leaf {
  readonly path: Path
  readonly issue: SchemaIssue.Issue
}

const leaves = (issue: SchemaIssue.Issue, path: Path): ReadonlyArray<Leaf> => {
  switch (issue._tag) {
    case "Pointer":
      return leaves(issue.issue, [...path, ...issue.path])
    case "Filter":
    case "Encoding":
      return leaves(issue.issue, path)
    case "Composite":
      return issue.issues.flatMap((inner) => leaves(inner, path))
    case "AnyOf":
      return issue.issues.length === 0 ? [{ path, issue }] : issue.issues.flatMap((inner) => leaves(inner, path))
    default:
      return [{ path, issue }]
  }
}

const matches = (setting: Setting.Setting, path: Path): boolean =>
  setting.path.length <= path.length && setting.path.every((part, index) => part === "<name>" || part === path[index])

/** Without those of other kinds, where it is known which kind is meant. */
const ofKind = (found: ReadonlyArray<Setting.Setting>, path: Path, tree: unknown): ReadonlyArray<Setting.Setting> => {
  const kind = Setting.get(tree, [...path.slice(0, 2), "kind"])
  const known = kind !== undefined && found.some(({ member }) => member === kind)
  return known ? found.filter(({ member }) => member === undefined || member === kind) : found
}

/** The settings that a path leads to (several where a key means different things by kind). */
const settingsAt = (path: Path, tree: unknown): ReadonlyArray<Setting.Setting> =>
  ofKind(
    settings.filter((setting) => matches(setting, path)),
    path,
    tree
  )

/** Keys that may stand below a path. */
const keysBelow = (path: Path, tree: unknown): ReadonlyArray<string> => [
  ...new Set(
    ofKind(settings, path, tree)
      .filter((one) => path.every((part, index) => one.path[index] === "<name>" || one.path[index] === part))
      .flatMap((one) => one.path[path.length] ?? [])
      .filter((key) => key !== "<name>")
  )
]

/** What other programs call a thing that has another name here. */
const otherNames: { readonly [key: string]: ReadonlyArray<string> } = {
  command: ["argv"],
  cmd: ["argv"],
  args: ["argv"],
  env: ["variables", "environment"],
  apiKey: ["keyFile", "keyVariable"],
  baseUrl: ["url"],
  endpoint: ["url"],
  prompt: ["systemPrompt"],
  system: ["systemPrompt"]
}

/** The key that was probably meant among those that may stand here. */
const meant = (key: string, siblings: ReadonlyArray<string>): string => {
  const others = Object.entries(otherNames).find(
    ([name]) => name.toLowerCase() === key.toLowerCase().replace(/[-_]/g, "")
  )
  const known = (others?.[1] ?? []).filter((one) => siblings.includes(one))
  return known.length === 0
    ? didYouMean(key, siblings)
    : `; did you mean ${known.map((one) => `"${one}"`).join(" or ")}?`
}

/** `port:4747` is one word in YAML; the key in it, when there is one. */
const withoutSpace = (text: unknown): string | undefined =>
  typeof text === "string" ? /^([A-Za-z]\w*):(?=[^\s/])/.exec(text)?.[1] : undefined

const spaced = (key: string) => `a colon needs a space behind it, as in \`${key}: ...\``

const named = (path: Path): string => (path.length === 0 ? "configuration" : path.map(String).join("."))

const unknownKey = (path: Path, tree: unknown, origin: Origin): Problem => {
  const key = String(path.at(-1))
  const siblings = keysBelow(path.slice(0, -1), tree)
  // What another kind has in this very place is no place to move it to, and neither is an entry of another section.
  const isNear = (one: Setting.Setting) => !one.path.includes("<name>") || one.path[0] === path[0]
  const elsewhere = [
    ...new Set(
      settings
        .filter((one) => one.path.at(-1) === key && one.path.length > 1 && !matches(one, path) && isNear(one))
        .map((one) => one.path.join("."))
    )
  ]
  const unspaced = withoutSpace(key)
  const near = unspaced === undefined || !siblings.includes(unspaced) ? meant(key, siblings) : `; ${spaced(unspaced)}`
  const hint = near !== "" || elsewhere.length === 0 ? near : `; did you mean ${elsewhere.slice(0, 3).join(" or ")}?`
  const value = Setting.get(tree, path)
  const isHidden = isSecret(key) && typeof value === "string"
  const file = isHidden ? "; a secret stands in a file of its own, which is named here" : ""
  return {
    field: named(path),
    value: isHidden ? '"..."' : shown(value),
    origin: origin(path),
    remedy: `unknown key${file}${hint}${hint === "" ? `; known here: ${siblings.join(", ")}` : ""}`
  }
}

const badName = (path: Path, origin: Origin): Problem => ({
  field: named(path.slice(0, -1)),
  value: shown(path.at(-1)),
  origin: origin(path),
  remedy:
    path.length === 2
      ? "use a name of letters, digits, _ and - that begins with a letter and has at most 64 characters"
      : "use the name of a variable, letters, digits and _, without the gateway's own (SLUICE_...)"
})

/** An agent or a pool whose kind is missing or not known. */
const badKind = (path: Path, tree: unknown, origin: Origin): Problem => {
  const kinds = settings
    .filter((one) => one.path[0] === path[0] && one.path.at(-1) === "kind")
    .map((one) => one.expected)
  const kind = Setting.get(tree, [...path, "kind"])
  return {
    field: named([...path, "kind"]),
    value: kind === undefined ? "" : shown(kind),
    origin: origin(kind === undefined ? path : [...path, "kind"]),
    remedy: `${kind === undefined ? "is missing; " : ""}use one of ${kinds.join(", ")}${typeof kind === "string" ? didYouMean(kind, kinds) : ""}`
  }
}

const kubernetes = (value: unknown): string =>
  typeof value === "string" && /^(tcp|udp):\/\//.test(value)
    ? '. Kubernetes sets this variable for a service named "sluice": set enableServiceLinks: false in the pod, or rename the service'
    : ""

/** An entry of each section whose names are the user's own. */
const entries: { readonly [section: string]: string } = {
  agents: "{ main: { kind: demo } }",
  personas: "{ default: { agent: main } }",
  prices: "{ some-model: { input: 3, output: 15 } }",
  pools: '{ writer: { kind: openai, capability: text-generation, url: "http://localhost:11434", model: some-model } }'
}

/** What belongs where something else than keys stands. */
const branch = (path: Path, value: unknown, tree: unknown): string => {
  const [section, name] = path.map(String)
  const keys = keysBelow(path, tree)
  const example = entries[section ?? ""]
  if (path.length === 1 && example !== undefined) {
    return `use names, each with its keys below it, such as \`${section}: ${example}\``
  }
  if (path.length === 2 && example !== undefined && name !== undefined && keys.includes(name)) {
    return `stands beside a name instead of below it; indent it one step further, so that it is ${section}.<name>.${name}`
  }
  const unspaced = withoutSpace(value)
  if (unspaced !== undefined && keys.includes(unspaced)) return spaced(unspaced)
  return keys.length === 0 ? "use keys and values" : `use keys and values; known here: ${keys.join(", ")}`
}

/** The same value as it was probably meant: a size in units of 1024, a number without quotation marks or as a share. */
const corrected = (value: unknown, expected: string): string => {
  if (typeof value !== "string") return ""
  const [, size, unit = ""] = /^\s*(\d+(?:\.\d+)?)\s*([KMG])(?:B|i|igs?)?\s*$/i.exec(value) ?? []
  if (size !== undefined && expected.startsWith("a size ")) return `; did you mean "${size} ${unit.toUpperCase()}iB"?`
  if (!/^a (?:whole )?number /.test(expected)) return ""
  if (/^-?\d+(?:\.\d+)?$/.test(value)) return ", without quotation marks"
  const [, percent] = /^(\d{1,3})\s*%$/.exec(value) ?? []
  return percent === undefined ? "" : `; did you mean ${Number(percent) / 100}?`
}

const words = (expected: string): ReadonlyArray<string> =>
  expected.startsWith("one of ") ? expected.slice("one of ".length).split(", ") : []

const badValue = ({ issue, path }: Leaf, tree: unknown, origin: Origin): Problem => {
  const found = settingsAt(path, tree)
  const at = found[0]?.path.length ?? path.length
  const where = path.slice(0, at)
  const value = Setting.get(tree, where)
  if (found.length === 0 && issue._tag !== "MissingKey") {
    return { field: named(path), value: shown(value), origin: origin(path), remedy: branch(path, value, tree) }
  }
  const expected = [...new Set(found.map((one) => one.expected))].join(" or ")
  const near = typeof value === "string" ? didYouMean(value, words(expected)) : ""
  return {
    field: named(where),
    value: value === undefined ? "" : shown(value),
    origin: origin(value === undefined ? where.slice(0, -1) : where),
    remedy: `${value === undefined ? "is missing; " : ""}use ${expected}${near}${corrected(value, expected)}${kubernetes(value)}`
  }
}

const isNameOfOwn = (path: Path): boolean =>
  settings.some(
    (one) => one.path[path.length - 1] === "<name>" && matches({ ...one, path: one.path.slice(0, path.length) }, path)
  )

const problemOf = (leaf: Leaf, tree: unknown, origin: Origin): Problem => {
  const { issue, path } = leaf
  if (path[0] === "channels" && path.length === 2 && issue._tag === "UnexpectedKey") {
    const known = keysBelow(["channels"], tree)
    const remedy = `there is no such channel${didYouMean(String(path[1]), known)}; known here: ${known.join(", ")}; HTTP is configured under http, the terminal is \`sluice chat\``
    return { field: named(path), value: "", origin: origin(path), remedy }
  }
  if (issue._tag === "UnexpectedKey") {
    return isNameOfOwn(path) ? badName(path, origin) : unknownKey(path, tree, origin)
  }
  if (isNameOfOwn(path)) {
    const value = Setting.get(tree, path)
    if ((path[0] === "agents" || path[0] === "pools") && Setting.isTree(value)) return badKind(path, tree, origin)
    if (Setting.isTree(value)) return badName(path, origin)
  }
  return badValue(leaf, tree, origin)
}

/** All problems of a failed decoding of `tree`, without repeats. */
export const problemsOf = (error: unknown, tree: unknown, origin: Origin): ReadonlyArray<Problem> => {
  const issue = (error as { readonly issue: SchemaIssue.Issue }).issue
  const problems = leaves(issue, []).map((leaf) => problemOf(leaf, tree, origin))
  return [...new Map(problems.map((one) => [`${one.field} ${one.remedy}`, one])).values()]
}
