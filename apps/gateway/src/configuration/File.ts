/**
 * The configuration file: found, read and parsed, with the line of each key so
 * that a problem names it. YAML, TOML or JSON by the file's extension; the parser
 * is loaded only when there is a file of its kind.
 */
import * as Effect from "effect/Effect"
import { readFileSync, statSync } from "node:fs"
import { basename, dirname, extname, resolve } from "node:path"
import { ConfigurationError, type Problem, shown } from "./Problem.ts"
import { isTree, type Tree } from "./Setting.ts"

/** A parsed file. */
export interface File {
  readonly path: string
  /** Folder that its relative paths belong to. */
  readonly folder: string
  readonly tree: Tree
  /** `sluice.yaml:3`, or the name alone when the line is not known. */
  readonly place: (path: ReadonlyArray<PropertyKey>) => string
}

/** Files that are looked for in the working folder, the first one wins. */
export const defaultNames = ["sluice.yaml", "sluice.yml", "sluice.toml", "sluice.json"]

/** No configuration needs more; a bigger file is another one. */
const mostBytes = 1024 * 1024

const failed = (problem: Problem) => new ConfigurationError({ problems: [problem] })

const exists = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === true

/** The file to read: `given` (from a flag or a variable, which must exist), else the first default name that exists. */
export const find = (given: string | undefined, folder: string): string | undefined =>
  given === undefined ? defaultNames.map((name) => resolve(folder, name)).find(exists) : resolve(folder, given)

const read = (path: string, origin: string): Effect.Effect<string, ConfigurationError> =>
  Effect.try({
    try: () => {
      const found = statSync(path)
      if (!found.isFile()) throw new Error("it is not a file")
      if (found.size > mostBytes) throw new Error(`it has ${found.size} bytes, at most ${mostBytes} are read`)
      return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path))
    },
    catch: (cause) =>
      failed({
        field: "configuration file",
        value: JSON.stringify(path),
        origin,
        remedy: `${reason(cause)}; name a file that can be read with --config or SLUICE_CONFIG`
      })
  })

const reason = (cause: unknown): string => {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  if (code === "ENOENT") return "it does not exist"
  if (code === "EACCES") return "it may not be read"
  if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") return "it is not UTF-8"
  return cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause)
}

/** Keys without a value (`http:` and nothing below) count as not written. */
const withoutNulls = (value: unknown): unknown =>
  isTree(value)
    ? Object.fromEntries(
        Object.entries(value)
          .filter(([, inner]) => inner !== null)
          .map(([key, inner]) => [key, withoutNulls(inner)])
      )
    : value

/** What to do about a file that can't be parsed, by the parser's code: its own words only say what it met. */
const remedies: { readonly [code: string]: string } = {
  TAB_AS_INDENT: "indent with spaces",
  BAD_INDENT: "keys of one section begin in the same column, and what belongs to a key is indented further",
  BLOCK_AS_IMPLICIT_KEY:
    "keys of one section begin in the same column, each on a line of its own; a text with a colon in it needs quotation marks",
  MULTILINE_IMPLICIT_KEY: "each key needs a colon and a space behind it, and what belongs to it is indented further",
  MISSING_CHAR: "what is opened has to be closed: quotation marks, { and [; a key needs a colon and a space behind it",
  DUPLICATE_KEY: "write the key once, with everything that belongs to it below",
  BAD_SCALAR_START: "put the text into quotation marks",
  BAD_ALIAS: "put a text that begins with * or & into quotation marks",
  UNEXPECTED_TOKEN: "a text with {, }, [, ], # or a colon in it needs quotation marks"
}

/** A line as it is shown, without what stands behind a key that may hold a secret. */
const lineOf = (text: string, line: number | undefined): string => {
  const found = text.split("\n")[(line ?? 0) - 1]?.trim() ?? ""
  return found === "" ? "" : shown(found.replace(/((?:token|secret|key|password)"?\s*[:=]\s*)\S.*/i, "$1..."))
}

const syntax = (name: string, text: string, line: number | undefined, message: string, remedy?: string) =>
  failed({
    field: "configuration file",
    value: lineOf(text, line),
    origin: line === undefined ? name : `${name}:${line}`,
    remedy: `${message.split("\n")[0] ?? message}${remedy === undefined ? "" : `; ${remedy}`}`
  })

type Parsed = Pick<File, "place"> & { readonly value: unknown }

const parseYaml = Effect.fnUntraced(function* (
  text: string,
  name: string
): Effect.fn.Return<Parsed, ConfigurationError> {
  const yaml = yield* Effect.promise(() => import("yaml"))
  const lines = new yaml.LineCounter()
  const document = yaml.parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    stringKeys: true
  })
  const [error] = document.errors
  if (error !== undefined) {
    // What is not closed is found where the text ends: the last line that says something.
    const line = lines.linePos(Math.min(error.pos[0], text.trimEnd().length)).line
    return yield* syntax(
      name,
      text,
      line,
      error.message,
      remedies[error.message.startsWith("Flow ") ? "MISSING_CHAR" : error.code]
    )
  }
  // A document of a few lines can stand for gigabytes by its aliases.
  const value = yield* Effect.try({
    try: (): unknown => document.toJS({ maxAliasCount: 100 }),
    catch: (cause) => syntax(name, text, undefined, reason(cause))
  })
  const place = (path: ReadonlyArray<PropertyKey>): string => {
    for (let length = path.length; length > 0; length--) {
      const node: unknown = document.getIn(path.slice(0, length), true)
      if (yaml.isNode(node) && node.range) return `${name}:${lines.linePos(node.range[0]).line}`
    }
    return name
  }
  return { value, place }
})

const parseToml = Effect.fnUntraced(function* (
  text: string,
  name: string
): Effect.fn.Return<Parsed, ConfigurationError> {
  const toml = yield* Effect.promise(() => import("smol-toml"))
  const value = yield* Effect.try({
    try: (): unknown => toml.parse(text),
    catch: (cause) => syntax(name, text, cause instanceof toml.TomlError ? cause.line : undefined, reason(cause))
  })
  return { value, place: () => name }
})

const parseJson = Effect.fnUntraced(function* (
  text: string,
  name: string
): Effect.fn.Return<Parsed, ConfigurationError> {
  yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: (cause) => syntax(name, text, undefined, reason(cause))
  })
  // JSON is YAML: the second reading gives the lines and finds a key that is written twice.
  return yield* parseYaml(text, name)
})

const parsers: { readonly [extension: string]: typeof parseYaml } = {
  ".yaml": parseYaml,
  ".yml": parseYaml,
  ".toml": parseToml,
  ".json": parseJson
}

/** Reads and parses a file. `origin` says who named it. */
export const load = Effect.fnUntraced(function* (
  path: string,
  origin: string
): Effect.fn.Return<File, ConfigurationError> {
  const name = basename(path)
  const parse = parsers[extname(path).toLowerCase()]
  if (parse === undefined) {
    const remedy = `its format follows from its extension; use one of ${Object.keys(parsers).join(", ")}`
    return yield* failed({ field: "configuration file", value: JSON.stringify(path), origin, remedy })
  }
  const text = yield* read(path, origin)
  const { place, value } = yield* parse(text, name)
  const tree = withoutNulls(value ?? {})
  if (!isTree(tree))
    return yield* syntax(name, text, 1, "the file must hold keys and values, such as `http: { port: 4747 }`")
  return { path, folder: dirname(path), tree, place }
})

/** The same for who needs only some keys: a file that can't be parsed counts as none unless its text names one of them. */
export const loadFor = Effect.fnUntraced(function* (
  path: string,
  origin: string,
  keys: ReadonlyArray<string>
): Effect.fn.Return<File | undefined, ConfigurationError> {
  const text = yield* read(path, origin)
  return yield* Effect.catch(load(path, origin), (error) =>
    keys.some((key) => text.includes(key)) ? Effect.fail(error) : Effect.undefined
  )
})
