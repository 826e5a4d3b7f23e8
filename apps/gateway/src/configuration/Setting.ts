/**
 * One setting of the configuration: a Schema that also knows its default, its
 * meaning, its variable and what to do about a bad value. The tree of settings is
 * walked for defaults, for variables, for error messages and for the reference in
 * docs/configuration.md, so none of them can drift from the Schema.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** How a text from a variable or a flag is read, and how the reference names the type. */
export type Kind = "text" | "path" | "integer" | "number" | "size" | "boolean" | "duration" | "list" | "durations"

/** What is known of a setting beside its Schema. */
export interface Facts {
  readonly kind: Kind
  /** The type in words, for the reference and for the remedy ("use {expected}"). */
  readonly expected: string
  /** Undefined: unset unless configured. */
  readonly default: unknown
  readonly meaning: string
  /** Name of its variable, when it is not the one that follows from the path. */
  readonly variable: string | undefined
  /** It can't change while the gateway runs. */
  readonly needsRestart: boolean
}

/** A setting with its place: `agents.<name>.argv` is `["agents", "<name>", "argv"]`. */
export interface Setting extends Facts {
  readonly path: ReadonlyArray<string>
  /** Undefined for settings below a name of the user's own. */
  readonly variable: string | undefined
  /** The `kind` that it belongs to, where what may stand there depends on one. */
  readonly member?: string
}

const annotation = "@sluice/gateway/setting"

/** A tree of values as a file has it. */
export type Tree = { readonly [key: string]: unknown }

/** Attaches facts to a Schema; the value that it accepts does not change. */
const setting = <S extends Schema.Top>(schema: S, facts: Facts): S["Rebuild"] =>
  schema.annotate({ [annotation]: facts })

interface Options<A> {
  readonly default?: A
  readonly meaning: string
  readonly variable?: string
  readonly expected?: string
  readonly needsRestart?: boolean
}

const facts = <A>(kind: Kind, expected: string, options: Options<A>): Facts => ({
  kind,
  expected: options.expected ?? expected,
  default: options.default,
  meaning: options.meaning,
  variable: options.variable,
  needsRestart: options.needsRestart ?? false
})

const units: { readonly [unit: string]: string } = {
  ms: "millis",
  s: "seconds",
  m: "minutes",
  min: "minutes",
  h: "hours",
  d: "days"
}

/** `30s` and `300ms` in the long form that Effect reads; other texts stay as they are. */
export const longDuration = (text: string): string => {
  const [, number, unit = ""] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(text) ?? []
  return number === undefined ? text : `${number} ${units[unit.toLowerCase()] ?? unit.toLowerCase()}`
}

/** A duration as somebody wrote it; nothing has no unit. */
export const durationOf = (value: unknown): unknown =>
  value === 0 || value === "0" ? "0 millis" : typeof value === "string" ? longDuration(value) : value

/** Milliseconds of a duration in words; undefined when it is not one. */
export const millisOf = (text: string): number | undefined => {
  const duration = Duration.fromInput(longDuration(text) as Duration.Input)
  return Option.isSome(duration) && Duration.isFinite(duration.value) ? Duration.toMillis(duration.value) : undefined
}

const bounded = (least: string, most: string) => {
  const [from = 0, to = 0] = [millisOf(least), millisOf(most)]
  return Schema.makeFilter((value: string) => {
    const millis = millisOf(value)
    return millis !== undefined && millis >= from && millis <= to
  })
}

/** A duration with a unit: `300 millis`, `10 minutes`, also `30s`. */
export const duration = (least: string, most: string, options: Options<string>) =>
  setting(
    Schema.String.check(bounded(least, most)),
    facts("duration", `a duration from ${least} to ${most}, such as "${options.default ?? least}"`, options)
  )

/** Several durations, in order. */
export const durations = (least: string, most: string, options: Options<ReadonlyArray<string>>) =>
  setting(
    Schema.Array(Schema.String.check(bounded(least, most))),
    facts("durations", `a list of durations from ${least} to ${most}`, options)
  )

/** A whole number within bounds. */
export const integer = (least: number, most: number, options: Options<number>) =>
  setting(
    Schema.Int.check(Schema.isBetween({ minimum: least, maximum: most })),
    facts("integer", `a whole number from ${least} to ${most}`, options)
  )

/** A number within bounds, also with a fraction. */
export const number = (least: number, most: number, options: Options<number>) =>
  setting(
    Schema.Finite.check(Schema.isBetween({ minimum: least, maximum: most })),
    facts("number", `a number from ${least} to ${most}`, options)
  )

/** A number of bytes; a text such as `1 MiB` is read as one. */
export const size = (least: number, most: number, options: Options<number>) =>
  setting(
    Schema.Int.check(Schema.isBetween({ minimum: least, maximum: most })),
    facts("size", `a size from ${sizeText(least)} to ${sizeText(most)}, such as "1 MiB"`, options)
  )

const sizes = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** `1 MiB` in bytes; other texts stay as they are. */
export const bytesOf = (text: string): number | string => {
  const [, number, unit] = /^\s*(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB)?\s*$/i.exec(text) ?? []
  const factor = Object.entries(sizes).find(([name]) => name.toLowerCase() === (unit ?? "b").toLowerCase())
  return number === undefined || factor === undefined ? text : Math.round(Number(number) * factor[1])
}

/** Bytes as a person writes them. */
export const sizeText = (bytes: number): string => {
  const [unit, factor] = Object.entries(sizes).findLast(([, factor]) => bytes >= factor && bytes % factor === 0) ?? [
    "B",
    1
  ]
  return `${bytes / factor} ${unit}`
}

/** True or false. */
export const flag = (options: Options<boolean>) => setting(Schema.Boolean, facts("boolean", "true or false", options))

/** A text that is not empty, has at most `most` characters (4096) and passes `test`. */
export const text = (
  options: Options<string> & { readonly test?: (value: string) => boolean; readonly most?: number }
) =>
  setting(
    Schema.String.check(
      Schema.makeFilter(
        (value: string) => value.length > 0 && value.length <= (options.most ?? 4096) && (options.test?.(value) ?? true)
      )
    ),
    facts("text", "a text that is not empty", options)
  )

/** A file or folder; relative ones belong to the folder of the configuration file. */
export const path = (options: Options<string>) =>
  setting(
    Schema.String.check(Schema.makeFilter((value: string) => value.length > 0 && !value.includes("\0"))),
    facts("path", "a path", options)
  )

/** One of several words. */
export const choice = <const Words extends ReadonlyArray<string>>(words: Words, options: Options<Words[number]>) =>
  setting(Schema.Literals(words), facts("text", `one of ${words.join(", ")}`, options))

/** The word that tells the members of a union apart. */
export const tag = <const Word extends string>(word: Word, options: Options<Word>) =>
  setting(Schema.Literal(word), facts("text", word, options))

/** Several texts, at least `least` (0) and at most 256, each passing `test`. */
export const list = (
  options: Options<ReadonlyArray<string>> & { readonly test?: (value: string) => boolean; readonly least?: number }
) =>
  setting(
    Schema.Array(
      Schema.String.check(
        Schema.makeFilter(
          (value: string) => value.length > 0 && !value.includes("\0") && (options.test?.(value) ?? true)
        )
      )
    ).check(Schema.isMinLength(options.least ?? 0), Schema.isMaxLength(256)),
    facts("list", "a list of texts", options)
  )

/** The facts of a Schema, when it is a setting. */
const factsOf = (schema: Schema.Top): Facts | undefined => {
  const found = Schema.resolveAnnotations(schema)?.[annotation] ?? Schema.resolveAnnotationsKey(schema)?.[annotation]
  return found as Facts | undefined
}

const upper = (segment: string): string => segment.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()

interface Inner {
  readonly fields?: { readonly [key: string]: Inner & Schema.Top }
  readonly schema?: Inner & Schema.Top
  readonly value?: Inner & Schema.Top
  readonly members?: ReadonlyArray<Inner & Schema.Top>
}

/** The settings of one member of a union, with the word that tells it apart. */
const ofMember = (settings: ReadonlyArray<Setting>, path: ReadonlyArray<string>): ReadonlyArray<Setting> => {
  const kind = settings.find((one) => one.path.length === path.length + 1 && one.path.at(-1) === "kind")
  return kind === undefined ? settings : settings.map((one) => ({ ...one, member: kind.expected }))
}

/** Every setting below a Schema, in the order in which it is written; `<name>` stands for a name of the user's own. */
export const settingsOf = (schema: Schema.Top, path: ReadonlyArray<string> = []): ReadonlyArray<Setting> => {
  const own = factsOf(schema)
  if (own !== undefined) {
    const variable = path.includes("<name>") ? undefined : (own.variable ?? `SLUICE_${path.map(upper).join("_")}`)
    return [{ ...own, path, variable }]
  }
  const { fields, members, schema: inner, value } = schema as Inner
  if (fields !== undefined) return Object.entries(fields).flatMap(([key, field]) => settingsOf(field, [...path, key]))
  if (members !== undefined) return members.flatMap((member) => ofMember(settingsOf(member, path), path))
  if (value !== undefined) return settingsOf(value, [...path, "<name>"])
  return inner === undefined ? [] : settingsOf(inner, path)
}

/** Writes a value into a tree, making the branches on the way. A branch that is no tree stays: it is somebody's mistake to be told. */
export const put = (tree: Tree, [head, ...rest]: ReadonlyArray<string>, value: unknown): Tree => {
  if (head === undefined) return tree
  if (rest.length === 0) return { ...tree, [head]: value }
  const branch = Object.hasOwn(tree, head) ? tree[head] : {}
  return isTree(branch) ? { ...tree, [head]: put(branch, rest, value) } : tree
}

/** `upper` over `lower`, branch by branch; lists and other values are replaced as a whole. A value where a branch belongs stays. */
export const merge = (lower: Tree, upper: Tree): Tree =>
  Object.entries(upper).reduce<Tree>((tree, [key, value]) => {
    if (!isTree(value) || !Object.hasOwn(tree, key)) return { ...tree, [key]: value }
    const below = tree[key]
    return isTree(below) ? { ...tree, [key]: merge(below, value) } : tree
  }, lower)

/** Reads a value; undefined when there is none. */
export const get = (tree: unknown, path: ReadonlyArray<PropertyKey>): unknown =>
  path.reduce<unknown>(
    (at, key) =>
      Array.isArray(at) ? at[Number(key)] : isTree(at) && Object.hasOwn(at, key) ? at[String(key)] : undefined,
    tree
  )

/** Whether a value has keys of its own. */
export const isTree = (value: unknown): value is Tree =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date)

/** The defaults of all settings that have one. */
export const defaultsOf = (settings: ReadonlyArray<Setting>): Tree =>
  settings
    .filter((one) => one.default !== undefined && !one.path.includes("<name>"))
    .reduce<Tree>((tree, one) => put(tree, one.path, one.default), {})

/** Several numeric ids; from a variable they come as texts. */
export const ids = (options: Options<ReadonlyArray<number | string>>) =>
  setting(
    Schema.Array(
      Schema.Union([
        Schema.Int,
        Schema.String.check(Schema.makeFilter((value: string) => /^-?[1-9]\d{0,15}$/.test(value.trim())))
      ])
    ).check(Schema.isMaxLength(256)),
    facts("list", "a list of numbers", options)
  )
