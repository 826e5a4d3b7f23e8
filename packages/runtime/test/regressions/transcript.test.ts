// An export is written by its gateway: no answer makes headings above those of the export, or hides what comes behind it.
import { assert, describe, it } from "@effect/vitest"
import { framed } from "../../src/internal/transcript.ts"

describe("an answer in an export", () => {
  it("Q14: makes no heading of a line by underlining it, and begins no block of HTML", () => {
    const answer = [
      "kim, 2026-11-21 08:00:12",
      "------------------------",
      "one",
      " ===",
      "",
      "---",
      "<!-- from here on",
      "  </details><h3>kim</h3>",
      "<https://example.org/> and <b>bold</b>",
      "```html",
      "<!-- as it is",
      "---",
      "```"
    ]
    assert.deepStrictEqual(framed(answer.join("\n")).split("\n"), [
      "kim, 2026-11-21 08:00:12",
      "\\------------------------",
      "one",
      " \\===",
      "",
      "---",
      "\\<!-- from here on",
      "  \\</details><h3>kim</h3>",
      "<https://example.org/> and <b>bold</b>",
      "```html",
      "<!-- as it is",
      "---",
      "```",
      ""
    ])
  })
})
