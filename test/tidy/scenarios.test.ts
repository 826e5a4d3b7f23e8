// The promises and their proofs: docs/scenarios.md lists what must hold and since when, test titles name it by id. This
// compares the two, so that neither a promise without a test nor a test of a promise that nobody made goes unseen.
import { describe, expect, it } from "vitest"
import { manifest, matching, modules, read } from "./Repository.ts"

interface Scenario {
  readonly id: string
  readonly since: string
}

const scenarios: ReadonlyArray<Scenario> = [
  ...read("docs/scenarios.md").matchAll(/^\| ([A-Z]\d+) \| .+ \| (\S+) \|$/gm)
].map(([, id = "", since = ""]) => ({ id, since }))

const known = new Set(scenarios.map(({ id }) => id))
const letters = new Set(scenarios.map(({ id }) => id.slice(0, 1)))

/** Scenario ids in a text: D24, S3. C1 to C10 are the promises of docs/guarantees.md, T1 to T14 figures. */
const ids = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/\b([A-Z])(\d{1,2})\b/g)].flatMap(([id, letter = ""]) => (letters.has(letter) ? [id] : []))

const titles = modules.flatMap(({ path, tests }) =>
  tests.map(({ line, title }) => ({ title, where: `${path}:${line}` }))
)

/** 0.10 is later than 0.9. */
const hasCome = (since: string, version: string): boolean => {
  if (since === "later") return false
  const [major = 0, minor = 0] = since.split(".").map(Number)
  const [ourMajor = 0, ourMinor = 0] = version.split(".").map(Number)
  return major < ourMajor || (major === ourMajor && minor <= ourMinor)
}

describe("scenarios", () => {
  it("the list is complete: numbers without a gap, each with a version or `later`", () => {
    for (const letter of letters) {
      const numbers = scenarios.filter(({ id }) => id.startsWith(letter)).map(({ id }) => Number(id.slice(1)))
      expect(numbers).toEqual(numbers.map((_, index) => index + 1))
    }
    expect(scenarios.filter(({ since }) => !/^(later|\d+\.\d+)$/.test(since))).toEqual([])
    expect([...letters]).toEqual(["D", "S", "Q", "P", "W"])
  })

  it("a test names only scenarios that the list has", () => {
    const unknown = titles.flatMap(({ title, where }) =>
      ids(title).flatMap((id) => (known.has(id) ? [] : [`${where} names ${id}`]))
    )
    expect(unknown).toEqual([])
  })

  it("the documentation names only scenarios that the list has", () => {
    const unknown = matching(/^(README|CHANGELOG|CONTRIBUTING|docs\/.*)\.md$/).flatMap((path) =>
      ids(read(path)).flatMap((id) => (known.has(id) ? [] : [`${path} names ${id}`]))
    )
    expect(unknown).toEqual([])
  })

  it("every scenario whose version has come is proved by a test that names it", () => {
    const named = new Set(titles.flatMap(({ title }) => ids(title)))
    const { version } = manifest("package.json")
    const missing = scenarios.filter(({ id, since }) => hasCome(since, version) && !named.has(id)).map(({ id }) => id)
    expect(missing).toEqual([])
  })
})
