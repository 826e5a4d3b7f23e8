// The page of guarantees against the project: every scenario whose version has come belongs to a promise, each has a test
// that names it, and the table says where. `UPDATE_DOCS=1 npm test -- guarantees` writes the table anew; a test that moved
// is an out-of-date line, a test that is gone is a broken promise.
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { exists, matching, modules, read } from "./tidy/Repository.ts"

const path = "docs/guarantees.md"
const hint = "when only the page is out of date: UPDATE_DOCS=1 npm test -- guarantees"
const begin = "<!-- scenarios -->"
const end = "<!-- /scenarios -->"

const due = [...read("docs/scenarios.md").matchAll(/^\| ([A-Z]\d+) \| .+ \| 0\.1 \|$/gm)].map(([, id = ""]) => id)

const ids = (text: string): ReadonlyArray<string> => [...text.matchAll(/\b([DSQPW]\d{1,2})\b/g)].map(([id]) => id)

/** The test files that name each scenario in a title. */
const proofs = new Map<string, Set<string>>()
for (const { path, tests } of modules) {
  for (const { title } of tests) for (const id of ids(title)) proofs.set(id, (proofs.get(id) ?? new Set()).add(path))
}

const link = (file: string): string => `[${file.replace(/^.*\/test\//, "").replace(/\.test\.ts$/, "")}](../${file})`

const table = (): string =>
  [
    "| scenario | tests |",
    "|---|---|",
    ...due.map((id) => `| ${id} | ${[...(proofs.get(id) ?? [])].toSorted().map(link).join(", ")} |`)
  ].join("\n")

const written = (page: string): string => page.slice(page.indexOf(begin) + begin.length, page.indexOf(end))

/** The scenarios of each promise, as the page lists them. */
const promised = (page: string): ReadonlyMap<string, ReadonlyArray<string>> =>
  new Map(
    page
      .split(/^## /m)
      .slice(1)
      .map((section) => [
        /^(C\d+):/.exec(section)?.[1] ?? "",
        ids(/^Scenarios: (.+?)\.(?: |$)/ms.exec(section)?.[1] ?? "")
      ])
  )

/** Files that prove a promise: those of its own name, else those whose tests name most of its scenarios. */
const provedBy = (id: string, scenarios: ReadonlyArray<string>): ReadonlyArray<string> => {
  const own = matching(new RegExp(`^packages/runtime/test/guarantees/${id}\\..*\\.test\\.ts$`))
  if (own.length > 0) return own
  const counts = new Map<string, number>()
  for (const scenario of scenarios) {
    for (const file of proofs.get(scenario) ?? []) counts.set(file, (counts.get(file) ?? 0) + 1)
  }
  return [...counts]
    .toSorted(([a, m], [b, n]) => n - m || a.localeCompare(b))
    .slice(0, 3)
    .map(([file]) => file)
}

const readme = "README.md"
const readmeRow = /^(\| \[(C\d+)\]\(docs\/guarantees\.md#[^)]*\) \| .*? \| )(.*?)( ?\|)$/gm

if (process.env["UPDATE_DOCS"] === "1") {
  const scenarios = promised(read(path))
  const rows = read(readme).replace(readmeRow, (_, head: string, id: string) => {
    const links = provedBy(id, scenarios.get(id) ?? []).map((file) => link(file).replace("../", ""))
    return `${head}${links.join(", ")} |`
  })
  writeFileSync(fileURLToPath(new URL(`../${readme}`, import.meta.url)), rows)
  const page = read(path)
  const updated = `${page.slice(0, page.indexOf(begin) + begin.length)}\n${table()}\n${page.slice(page.indexOf(end))}`
  writeFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), updated)
}

const page = read(path)
const rows = [...written(page).matchAll(/^\| ([A-Z]\d+) \| (.*) \|$/gm)].map(([, id = "", cell = ""]) => ({
  id,
  files: [...cell.matchAll(/\]\(\.\.\/([^)]+)\)/g)].map(([, file = ""]) => file)
}))

describe("guarantees", () => {
  it("every scenario whose version has come belongs to exactly one promise", () => {
    const named = [...page.matchAll(/^Scenarios: (.+?)\.(?: |$)/gms)].flatMap(([, list = ""]) => ids(list))
    expect(named.toSorted()).toEqual(due.toSorted())
  })

  it("every scenario whose version has come has tests, and every test that the table names exists and names it", () => {
    expect(rows.map(({ id }) => id)).toEqual(due)
    const wrong = rows.flatMap(({ files, id }) =>
      files.length === 0
        ? [`${id} has no test`]
        : files.flatMap((file) => (exists(file) && proofs.get(id)?.has(file) ? [] : [`${id} is not in ${file}`]))
    )
    expect({ wrong, hint }).toEqual({ wrong: [], hint })
  })

  it("the README links each promise that is one to tests that exist and name the promise or a scenario of it", () => {
    const scenarios = promised(page)
    const wrong = [...read(readme).matchAll(readmeRow)].flatMap(([, , id = "", cell = ""]) => {
      const files = [...cell.matchAll(/\]\(([^)]+)\)/g)].map(([, file = ""]) => file)
      if (files.length === 0) return id === "C10" ? [] : [`${id} has no proof`]
      return files.flatMap((file) => {
        const titles = modules.filter((module) => module.path === file).flatMap(({ tests }) => tests)
        const names = titles.some(({ title }) =>
          [id, ...(scenarios.get(id) ?? [])].some((one) => new RegExp(`\\b${one}\\b`).test(title))
        )
        return exists(file) && names ? [] : [`${id} is not proved in ${file}`]
      })
    })
    expect({ wrong, hint }).toEqual({ wrong: [], hint })
  })

  it("there is a section for each of C1 to C10", () => {
    const sections = [...page.matchAll(/^## (C\d+):/gm)].map(([, id]) => id)
    expect(sections).toEqual(Array.from({ length: 10 }, (_, index) => `C${index + 1}`))
  })
})
