// The glossary against the code: each term stands there once, in order, and where it lists states or ends, the list is the
// code's own. A word that means two things, or a state that nobody explains, is found here rather than by a reader.
import { describe, expect, it } from "vitest"
import { endings } from "../packages/runtime/src/Message.ts"
import { phaseNames } from "../packages/runtime/src/internal/shutdown/Report.ts"
import { read } from "./tidy/Repository.ts"

const page = read("docs/glossary.md")
const sections = page.split(/^## /m).slice(1)

const termsOf = (section: string): ReadonlyArray<string> =>
  [...section.matchAll(/^\| ([^|]+) \| .+ \|$/gm)].map(([, term = ""]) => term).filter((term) => term !== "term")

/** The names in backquotes of the line that begins so. */
const listed = (start: string): ReadonlyArray<string> => {
  const from = page.indexOf(`\n${start}`)
  const paragraph = page.slice(from, page.indexOf("\n\n", from + 1)).split(/(?<=\.)\s/)[0] ?? ""
  return [...paragraph.matchAll(/`([a-z-]+)`/g)].map(([, name = ""]) => name)
}

/** The members of a union of string literals, as the source writes it. */
const union = (path: string, name: string): ReadonlyArray<string> => {
  const found = new RegExp(`export type ${name} =([^]*?)(?:\\n\\n|\\n/\\*\\*|$)`).exec(read(path))?.[1] ?? ""
  return [...found.matchAll(/"([a-z-]+)"/g)].map(([, member = ""]) => member)
}

describe("glossary", () => {
  it("defines every term once, in one line, in alphabetical order within its section", () => {
    const all = sections.flatMap(termsOf)
    expect(all.length).toBeGreaterThan(80)
    expect(all.filter((term, index) => all.indexOf(term) !== index)).toEqual([])
    for (const section of sections) {
      const terms = termsOf(section)
      expect(terms).toEqual(terms.toSorted((a, b) => a.localeCompare(b, "en")))
    }
  })

  it("lists the ends of a message, the states of turns, replies and sessions as the code has them", () => {
    const message = "packages/runtime/src/Message.ts"
    expect(listed("The ends:")).toEqual([...endings])
    expect(listed("States of a turn:")).toEqual(union("packages/runtime/src/internal/journal/records.ts", "TurnState"))
    expect(listed("States of a reply:")).toEqual(union(message, "ReplyState"))
    expect(listed("What a session is doing")).toEqual(union(message, "SessionState"))
  })

  it("explains the delivery classes, the resume policies and how many phases a stop has", () => {
    const terms = new Set(sections.flatMap(termsOf))
    for (const name of ["pull", "keyed", "edit", "ambiguous"]) expect(terms).toContain(name)
    const policies = union("packages/runtime/src/Agent.ts", "ResumePolicy")
    expect(policies.length).toBe(4)
    for (const policy of policies) expect(page).toContain(`\`${policy}\``)
    expect(phaseNames.length).toBe(8)
    expect(page).toContain("One of the eight steps of the shutdown program.")
  })
})
