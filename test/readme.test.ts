// What the READMEs and the pages of docs/ show of the project's own files is those files: a code block behind a comment
// `from <path>` is the whole of that file, or the declarations that the comment names, letter by letter. So an example is
// type-checked and run where it lives, and can't grow old where it is read. `UPDATE_DOCS=1 npm test -- readme` writes them.
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { exists, manifest, matching, modules, read } from "./tidy/Repository.ts"

const hint = "when only the page is out of date: UPDATE_DOCS=1 npm test -- readme"
const choosing = "packages/runtime/test/choosing.test.ts"
const pages = matching(/^(README|docs\/.*|packages\/[^/]+\/README)\.md$/)
const block = /^(<!-- from (\S+?)(?:: (.+?))? -->\n```\w*\n)([^]*?)(^```$)/gm

/** A declaration at the top level with the comment above it; it ends at the first blank line that nothing indented follows. */
const declaration = (source: string, name: string): string => {
  const lines = source.split("\n")
  const at = lines.findIndex((line) => new RegExp(`^(export )?(const|class|interface|type) ${name}\\b`).test(line))
  if (at === -1) return `${name} is not declared\n`
  let from = at
  while (/^(\/\*\*| \*|\/\/)/.test(lines[from - 1] ?? "")) from--
  const length = lines.slice(at).findIndex((line, index, rest) => line === "" && !/^\s/.test(rest[index + 1] ?? ""))
  return `${lines.slice(from, length === -1 ? undefined : at + length).join("\n")}\n`
}

/** What a block has to show. */
const wanted = (path: string, names: string | undefined): string => {
  if (!exists(path)) return `${path} does not exist\n`
  const source = read(path)
  if (names === undefined) return source
  return names
    .split(", ")
    .map((name) => declaration(source, name))
    .join("\n")
}

if (process.env["UPDATE_DOCS"] === "1") {
  for (const page of pages) {
    const before = read(page)
    const after = before.replace(block, (_, head: string, path: string, names: string | undefined, __, tail: string) =>
      [head, wanted(path, names), tail].join("")
    )
    if (after !== before) writeFileSync(fileURLToPath(new URL(`../${page}`, import.meta.url)), after)
  }
}

const blocks = pages.flatMap((page) =>
  [...read(page).matchAll(block)].map(([, , path = "", names, code = ""]) => ({ page, path, names, code }))
)
const readme = read("README.md")

describe("readme", () => {
  it("shows the embedding example as the file that is type-checked and run", () => {
    const shown = blocks.filter(({ page, path }) => page === "README.md" && path === "apps/embedded/src/main.ts")
    expect(shown.length).toBe(1)
    for (const { code, path } of shown) for (const part of code.split("\n\n/**")) expect(read(path)).toContain(part)
  })

  it("every block that says where it is from is text of that file", () => {
    for (const { code, names, page, path } of blocks) expect(code, `${page}; ${hint}`).toBe(wanted(path, names))
  })

  it("every published package has one: how to install it, an example that runs, and where to read on", () => {
    const published = matching(/^packages\/[^/]+\/package\.json$/).filter((path) => manifest(path).private !== true)
    expect(published.length).toBe(4)
    for (const path of published) {
      const page = path.replace("package.json", "README.md")
      const { name } = manifest(path)
      const text = exists(page) ? read(page) : ""
      const shown = blocks.filter((block) => block.page === page && block.code !== "")
      expect({
        page,
        installs: new RegExp(`^# ${name}\\n[^]*^npm install .*${name}\\b.* effect@`, "m").test(text),
        leadsOn: text.includes("](../../docs/"),
        examples: shown.length
      }).toEqual({ page, installs: true, leadsOn: true, examples: 1 })
    }
  })

  it("every row of the table of tools is a test, and every such test is a row", () => {
    const titles = modules
      .filter(({ path }) => path === choosing)
      .flatMap(({ tests }) => tests.filter(({ modifiers }) => modifiers.includes("effect")).map(({ title }) => title))
    const quoted = [...readme.matchAll(/\| \[(.+?)\]\((\S+)\) \|$/gm)]
      .filter(([, , path]) => path === choosing)
      .map(([, title]) => title)
    expect(titles.length).toBeGreaterThan(0)
    expect(new Set(quoted)).toEqual(new Set(titles))
    expect(quoted.length).toBe(titles.length)
  })

  it("names each of the promises C1 to C10 once, with a link to its section", () => {
    const rows = [...readme.matchAll(/^\| \[(C\d+)\]\(docs\/guarantees\.md#(c\d+)/gm)].map(([, id, anchor]) => [
      id,
      anchor
    ])
    expect(rows).toEqual(Array.from({ length: 10 }, (_, index) => [`C${index + 1}`, `c${index + 1}`]))
  })
})
