/**
 * The mutants as they are stored: a patch against the repository with a head of its
 * own, which says in prose what it breaks, which invariants must see that, and which
 * levels are expected to, the quickest first. The patches are never applied to the
 * tree itself, only to copies of it, so the program that ships holds no trace of them.
 */
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"

/** The repository that this file lies in. */
export const repository = join(import.meta.dirname, "../../../..")

const folder = join(import.meta.dirname, "../../mutants")

/** A deliberate fault. */
export interface Mutant {
  readonly name: string
  readonly file: string
  /** What it breaks, in prose. */
  readonly breaks: string
  /** I1 to I10: what must see it; one of them is enough, because the first that is broken ends a run. */
  readonly invariants: ReadonlyArray<string>
  /** Where it is looked for, in this order. */
  readonly levels: ReadonlyArray<string>
}

const field = (head: string, name: string, file: string): string => {
  const value = new RegExp(`^${name}: (.+)$`, "m").exec(head)?.[1]
  if (value === undefined)
    throw new Error(`${file} does not say its ${name}: add a line "${name}: ..." before the diff`)
  return value.trim()
}

/** Reads the head of a patch. */
export const describe = (file: string, text: string): Mutant => {
  const [head = ""] = text.split(/^diff --git /m, 1)
  const breaks =
    head
      .split(/^(?:invariants|levels): /m, 1)[0]
      ?.replaceAll(/\s+/g, " ")
      .trim() ?? ""
  if (breaks === "") throw new Error(`${file} does not say what it breaks: begin it with a sentence`)
  return {
    name: basename(file, ".patch"),
    file,
    breaks,
    invariants: field(head, "invariants", file).split(/\s+/),
    levels: field(head, "levels", file).split(/\s+/)
  }
}

/** All mutants, by name. */
export const mutants = (): ReadonlyArray<Mutant> =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".patch"))
    .toSorted()
    .map((name) => describe(join(folder, name), readFileSync(join(folder, name), "utf8")))

/**
 * What is wrong with a patch in a tree, with its remedy; `undefined` when it fits. With `write` it is applied, else
 * only tried. A tree that lies in another repository is its own all the same.
 */
export const apply = (mutant: Mutant, tree: string, mode: "try" | "write"): string | undefined => {
  const { status, stderr } = spawnSync("git", ["apply", ...(mode === "try" ? ["--check"] : []), mutant.file], {
    cwd: tree,
    encoding: "utf8",
    env: { ...process.env, GIT_CEILING_DIRECTORIES: dirname(tree) }
  })
  if (status === 0) return undefined
  return [
    `the mutant ${mutant.name} does not apply any more:`,
    (stderr ?? "").trim(),
    "Make its change by hand in a copy of the tree and put the output of `git diff` behind the head of",
    `apps/torture/mutants/${basename(mutant.file)}`
  ].join("\n")
}
