// The table of docs/agents.md that says with which kinds of agent a scenario is proved, against the tests: each link leads
// to a file that names the scenario in a title, and no scenario of a session stands without a proof.
import { describe, expect, it } from "vitest"
import { modules, read } from "./Repository.ts"

const page = read("docs/agents.md")
const table = page.slice(page.indexOf("<!-- kinds -->"), page.indexOf("<!-- /kinds -->"))
const rows = [...table.matchAll(/^\| ([A-Z]\d+) \|(.*)\|$/gm)].map(([, id = "", cells = ""]) => ({
  id,
  cells: cells.split(" | ").map((cell) => [...cell.matchAll(/\]\(\.\.\/([^)]+)\)/g)].map(([, file = ""]) => file))
}))

describe("the scenarios of each kind of agent", () => {
  it("are proved by tests that name them", () => {
    const wrong = rows.flatMap(({ cells, id }) =>
      cells.flat().flatMap((file) => {
        const tests = modules.find(({ path }) => path === file)?.tests ?? []
        return tests.some(({ title }) => new RegExp(`\\b${id}\\b`).test(title)) ? [] : [`${id} is not in ${file}`]
      })
    )
    expect(wrong).toEqual([])
  })

  it("are all there, each with a cell for every kind and a proof", () => {
    expect(rows.map(({ id }) => id)).toContain("Q12")
    expect(rows.filter(({ cells }) => cells.length !== 6 || cells.flat().length === 0)).toEqual([])
  })
})
