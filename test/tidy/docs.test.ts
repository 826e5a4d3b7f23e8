// The documentation leads somewhere: a link names a file and a heading that exist, a comment that says "docs/..." names
// a page that exists, a decision record has its number once, and each dependency is explained.
import { describe, expect, it } from "vitest"
import { exists, manifest, matching, modules, read, resolve } from "./Repository.ts"

const pages = matching(/\.md$/)

/** Prose without what stands in code blocks and code spans. */
const prose = (page: string): string =>
  read(page)
    .replace(/^```[\s\S]*?^```/gm, "")
    .replace(/`[^`\n]*`/g, "")

/** The anchors that a page's headings get. */
const anchors = (page: string): ReadonlySet<string> =>
  new Set(
    [
      ...read(page)
        .replace(/^```[\s\S]*?^```/gm, "")
        .matchAll(/^#+ (.+)$/gm)
    ].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-")
    )
  )

const links = pages.flatMap((page) =>
  [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => ({ page, target }))
)

describe("documentation", () => {
  it("every link leads to a file and a heading that exist", () => {
    const broken = links
      .filter(({ target }) => !/^[a-z]+:/.test(target))
      .filter(({ page, target }) => {
        const [path = "", anchor] = target.split("#")
        const file = path === "" ? page : resolve(page, path)
        if (!exists(file)) return true
        return anchor !== undefined && file.endsWith(".md") && !anchors(file).has(anchor)
      })
    expect(broken.map(({ page, target }) => `${page} links to ${target}`)).toEqual([])
  })

  it("a page that the code or another page mentions exists", () => {
    const missing = [...modules.map(({ path }) => path), ...pages, ...matching(/\.mjs$/)].flatMap((path) =>
      [...read(path).matchAll(/\bdocs\/[\w./-]+\.md\b/g)].flatMap(([page]) =>
        exists(page) ? [] : [`${path} mentions ${page}`]
      )
    )
    expect(missing).toEqual([])
  })

  it("decision records are numbered without a gap and say context, decision and what was rejected", () => {
    const records = matching(/^docs\/decisions\/.*\.md$/)
    const numbers = records.map((path) => Number(/\/(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1]))
    expect(numbers).toEqual(numbers.map((_, index) => index + 1))
    const incomplete = records.filter((path) => !/context/i.test(read(path)) || !/reject/i.test(read(path)))
    expect(incomplete).toEqual([])
  })

  it("every dependency is explained", () => {
    const page = read("docs/dependencies.md")
    const names = matching(/(^|\/)package\.json$/).flatMap((path) => {
      const { dependencies = {}, devDependencies = {}, peerDependencies = {} } = manifest(path)
      return [...Object.keys(dependencies), ...Object.keys(devDependencies), ...Object.keys(peerDependencies)]
    })
    const outside = new Set(names.filter((name) => !name.startsWith("@sluice/")))
    expect([...outside].filter((name) => !page.includes(`\`${name}\``))).toEqual([])
  })
})
