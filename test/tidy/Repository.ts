// The project as the tidy tests read it: its files, and of each TypeScript file the imports, declarations, functions
// and test titles, taken from a syntax tree so that a word in a comment or a string is never mistaken for code. What is
// installed, built or left behind by a running gateway is not part of it.
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { parseAst } from "rolldown/parseAst"

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const skipped = new Set(["node_modules", "dist", "coverage"])
/** Of folders that begin with a dot only this one; in others tools and build machines keep their own things. */
const ci = ".ci"

function* walkFolder(folder: string): Generator<string> {
  for (const item of readdirSync(folder, { withFileTypes: true })) {
    if (skipped.has(item.name) || (item.isDirectory() && item.name.startsWith(".") && item.name !== ci)) continue
    const path = join(folder, item.name)
    if (item.isDirectory()) yield* walkFolder(path)
    else if (item.isFile()) yield relative(root, path)
  }
}

/** All files of the project, relative to its root, in a stable order. */
export const files: ReadonlyArray<string> = [...walkFolder(root)].sort()

/** The files whose path matches. */
export const matching = (pattern: RegExp): ReadonlyArray<string> => files.filter((path) => pattern.test(path))

export const read = (path: string): string => readFileSync(join(root, path), "utf8")

export const exists = (path: string): boolean => existsSync(join(root, path))

/** The manifest of the project (`.`), a package or an app. */
export interface Manifest {
  readonly files?: ReadonlyArray<string>
  readonly name: string
  readonly version: string
  readonly private?: boolean
  readonly exports?: Readonly<Record<string, unknown>>
  readonly publishConfig?: { readonly exports?: Readonly<Record<string, unknown>> }
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

export const manifest = (path: string): Manifest => JSON.parse(read(path)) as Manifest

export interface Import {
  readonly from: string
  readonly line: number
  /** Erased when the types are stripped. */
  readonly typeOnly: boolean
  /** `import("...")`. */
  readonly dynamic: boolean
  /** The names in `import { a }` of values, as opposed to `import * as A` and `import type`. */
  readonly named: ReadonlyArray<string>
}

export interface Declaration {
  readonly name: string
  readonly line: number
}

export interface TestCall {
  readonly title: string
  readonly line: number
  /** `it.effect.only` has effect and only. */
  readonly modifiers: ReadonlyArray<string>
}

export interface Measured {
  readonly line: number
  readonly length: number
  /** Without the lines of the functions inside it. */
  readonly own: number
}

export interface Module {
  readonly path: string
  readonly lines: number
  readonly header: ReadonlyArray<string>
  readonly imports: ReadonlyArray<Import>
  /** Declarations at the top level. */
  readonly declarations: ReadonlyArray<Declaration>
  readonly functions: ReadonlyArray<Measured>
  readonly tests: ReadonlyArray<TestCall>
  /** Calls like `process.on`, as written, without arguments. */
  readonly calls: ReadonlyArray<Declaration>
}

type Node = { readonly type: string; readonly start: number; readonly end: number } & Readonly<Record<string, unknown>>

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string"

const nodes = (value: unknown): ReadonlyArray<Node> => (Array.isArray(value) ? value.filter(isNode) : [])

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

function* descendants(node: Node): Generator<Node> {
  yield node
  for (const value of Object.values(node)) {
    if (isNode(value)) yield* descendants(value)
    else for (const child of nodes(value)) yield* descendants(child)
  }
}

const literal = (node: unknown): string | undefined => {
  if (!isNode(node)) return undefined
  if (node.type === "Literal") return text(node["value"])
  if (node.type !== "TemplateLiteral") return undefined
  const parts = nodes(node["quasis"]).map((part) => (part["value"] as { readonly cooked?: string }).cooked ?? "")
  return parts.join("...")
}

const importOf = (node: Node, line: (offset: number) => number): Import | undefined => {
  const source = node["source"] ?? node["argument"]
  const from = literal(source)
  if (from === undefined) return undefined
  switch (node.type) {
    case "ImportDeclaration": {
      const specifiers = nodes(node["specifiers"])
      const typeOnly =
        node["importKind"] === "type" ||
        (specifiers.length > 0 && specifiers.every((specifier) => specifier["importKind"] === "type"))
      const named = specifiers
        .filter((one) => !typeOnly && one.type === "ImportSpecifier" && one["importKind"] !== "type")
        .flatMap(({ imported }) => (isNode(imported) ? [text(imported["name"]) ?? ""] : []))
      return { from, line: line(node.start), typeOnly, dynamic: false, named }
    }
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration":
      return {
        from,
        line: line(node.start),
        typeOnly: node["exportKind"] === "type",
        dynamic: false,
        named: []
      }
    case "ImportExpression":
      return { from, line: line(node.start), typeOnly: false, dynamic: true, named: [] }
    case "TSImportType":
      return { from, line: line(node.start), typeOnly: true, dynamic: false, named: [] }
    default:
      return undefined
  }
}

/** `it.effect.prop(...)("title")` as ["it", "effect", "prop"]. */
const chain = (callee: unknown): ReadonlyArray<string> => {
  if (!isNode(callee)) return []
  switch (callee.type) {
    case "Identifier":
      return [text(callee["name"]) ?? ""]
    case "MemberExpression": {
      const property = callee["property"]
      return [...chain(callee["object"]), isNode(property) ? (text(property["name"]) ?? "") : ""]
    }
    case "CallExpression":
      return chain(callee["callee"])
    default:
      return []
  }
}

const testRoots = new Set(["it", "test", "describe"])

const declarationsOf = (node: Node): ReadonlyArray<Node> => {
  if (node.type.startsWith("Export") && isNode(node["declaration"])) return declarationsOf(node["declaration"])
  if (node.type === "VariableDeclaration") return nodes(node["declarations"])
  return isNode(node["id"]) ? [node] : []
}

const isFunction = ({ type }: Node): boolean =>
  /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(type)

/** The functions directly inside a function. */
const outermost = (node: Node): ReadonlyArray<Node> =>
  Object.values(node).flatMap((value) =>
    (isNode(value) ? [value] : nodes(value)).flatMap((child) => (isFunction(child) ? [child] : outermost(child)))
  )

const parse = (path: string): Module => {
  const source = read(path)
  const starts = [0]
  for (let i = source.indexOf("\n"); i !== -1; i = source.indexOf("\n", i + 1)) starts.push(i + 1)
  const line = (offset: number): number => starts.findLastIndex((start) => start <= offset) + 1
  const program = parseAst(source, { lang: path.endsWith(".ts") ? "ts" : "js" }, path) as unknown as Node
  const all = [...descendants(program)]
  const calls = all
    .filter((node) => node.type === "CallExpression")
    .map((node) => ({ node, names: chain(node["callee"]), line: line(node.start) }))
  return {
    path,
    lines: source.endsWith("\n") ? starts.length - 1 : starts.length,
    header: headerOf(source),
    imports: all.map((node) => importOf(node, line)).filter((found) => found !== undefined),
    declarations: nodes(program["body"])
      .flatMap(declarationsOf)
      .flatMap(({ id, start }) => (isNode(id) ? [{ name: text(id["name"]) ?? "", line: line(start) }] : [])),
    functions: all.filter(isFunction).map((node) => {
      const length = line(node.end) - line(node.start) + 1
      const inner = outermost(node).map(({ end, start }) => Math.max(0, line(end) - line(start) - 1))
      return { line: line(node.start), length, own: length - inner.reduce((sum, lines) => sum + lines, 0) }
    }),
    tests: calls.flatMap(({ names, node, line }) => {
      const title = literal(nodes(node["arguments"])[0])
      return title !== undefined && testRoots.has(names[0] ?? "") ? [{ title, line, modifiers: names.slice(1) }] : []
    }),
    calls: calls.map(({ names, line }) => ({ name: names.join("."), line }))
  }
}

/** The prose of the comment that opens the file, without diagrams, which are indented. */
const headerOf = (source: string): ReadonlyArray<string> => {
  const body = source.replace(/^#!.*\n/, "")
  const block = /^\/\*\*?([\s\S]*?)\*\//.exec(body)?.[1]
  const raw = block === undefined ? (/^(?:\/\/.*\n)+/.exec(body)?.[0] ?? "") : block
  return raw
    .split("\n")
    .map((line) => line.replace(/^\s*(\/\/|\*)?\s?/, ""))
    .filter((line) => line.trim() !== "" && !line.startsWith(" "))
}

/** Every TypeScript file of packages, apps and tests, parsed once. */
export const modules: ReadonlyArray<Module> = matching(/^(packages|apps|test)\/.*\.ts$/).map(parse)

export const modulesIn = (pattern: RegExp): ReadonlyArray<Module> =>
  modules.filter((module) => pattern.test(module.path))

/** Where a relative import leads, relative to the root. */
export const resolve = (from: string, to: string): string => join(dirname(from), to)
