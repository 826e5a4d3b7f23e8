/**
 * docs/performance.md: what is measured stands between markers, each block with its command, machine, date and versions;
 * the prose around it is written by hand and never touched.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { join } from "node:path"

const root = join(import.meta.dirname, "../../..")
const page = join(root, "docs/performance.md")

/** Where plots and the numbers behind them go. */
export const plotsFolder = join(root, "docs/performance")

const versionIn = (path: string): string =>
  (JSON.parse(readFileSync(join(root, path), "utf8")) as { readonly version: string }).version

const machine = (): string => {
  const model = cpus()[0]?.model ?? "unknown processor"
  return `${cpus().length} cores of ${model}, ${Math.round(totalmem() / 1e9)} GB, ${process.platform} ${process.arch}`
}

const versions = (): string =>
  [
    `Node ${process.versions.node}`,
    `effect ${versionIn("node_modules/effect/package.json")}`,
    `SQLite ${process.versions["sqlite"] ?? "of unknown version"}`,
    `sluice ${versionIn("package.json")}`
  ].join(", ")

/** The line above a block: how it was measured. */
export const origin = (command: string): string =>
  `\`${command}\` on ${new Date().toISOString().slice(0, 10)}: ${machine()}; ${versions()}.`

/** Replaces what stands between `<!-- name -->` and `<!-- /name -->`. */
export const writeBlock = (name: string, content: string): void => {
  const text = readFileSync(page, "utf8")
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [at, until] = [text.indexOf(begin), text.indexOf(end)]
  if (at < 0 || until < at) throw new Error(`${page} has no ${begin} ... ${end}`)
  writeFileSync(page, `${text.slice(0, at)}${begin}\n\n${content}\n\n${text.slice(until)}`)
}
