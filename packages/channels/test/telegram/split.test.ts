/**
 * How a long answer is cut: no part is too long, no word is lost, no character is
 * halved, and a code block is one in every part that has some of it.
 *
 * Scenarios: W3
 */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { render } from "../../src/internal/telegram/entities.ts"
import { split } from "../../src/internal/chat/split.ts"

const limit = 256

const words = [
  "plain words",
  "**bold**",
  "ünï 😀😀 çödé",
  "a".repeat(300),
  "😀".repeat(200),
  "- item",
  "",
  "",
  "  indented"
]
const code = ["const x = 1", "  return `x`", "# not a heading", "", "y".repeat(290), "~~ not a fence", "😀".repeat(150)]

/** A text of paragraphs and code blocks, from numbers. */
const textOf = (numbers: ReadonlyArray<number>): string =>
  numbers
    .map((number) => {
      const lines = (from: ReadonlyArray<string>) =>
        Array.from({ length: 1 + (number % 7) }, (_, index) => from[(number + index * 5) % from.length]).join("\n")
      return number % 3 === 0 ? `\`\`\`ts\n${lines(code)}\n\`\`\`` : lines(words)
    })
    .join(numbers.length % 2 === 0 ? "\n\n" : "\n")

const Numbers = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5000 })))

/** What is left when layout and fences are taken away. */
const letters = (text: string): string => text.replaceAll(/^```(?:ts)?$/gm, "").replaceAll(/\s/g, "")

const fences = (text: string): number => text.split("\n").filter((line) => line.startsWith("```")).length

describe("split", () => {
  it.prop(
    "W3: parts fit, nothing is lost, no character is halved, code blocks are whole in each part",
    [Numbers],
    ([numbers]) => {
      const text = textOf(numbers)
      const parts = split(text, limit)
      for (const part of parts) {
        assert.isAtMost(part.length, limit)
        assert.isTrue(part.isWellFormed())
        assert.strictEqual(fences(part) % 2, 0)
        // As code is shown: what was in a block is in one, what was not is not.
        assert.isAtMost(render(part).text.length, limit)
      }
      assert.strictEqual(letters(parts.join("\n")), letters(text))
    }
  )

  it.prop("any text at all comes back whole", [Schema.String], ([text]) => {
    const long = text.repeat(Math.ceil(600 / Math.max(1, text.length)))
    const parts = split(long, limit)
    for (const part of parts) assert.isAtMost(part.length, limit)
    if (!/[`~]{3}/.test(long)) assert.strictEqual(letters(parts.join("")), letters(long))
  })

  it("a text that fits is left alone", () => {
    const text = `${"x".repeat(4094)}\n\n`
    assert.deepStrictEqual(split(text, 4096), [text])
  })

  it("a block that fits into one message is not cut for what stands before it", () => {
    const block = `\`\`\`\n${"line\n".repeat(30)}\`\`\``
    assert.deepStrictEqual(split(`${"word ".repeat(30).trim()}\n${block}`, limit), ["word ".repeat(30).trim(), block])
  })

  it("a block that is too long is closed and opened again with its language", () => {
    const lines = Array.from({ length: 40 }, (_, index) => `line ${index}`).join("\n")
    const parts = split(`\`\`\`ts\n${lines}\n\`\`\``, limit)
    assert.isAbove(parts.length, 1)
    for (const part of parts) assert.match(part, /^```ts\n[\s\S]+\n```$/)
    assert.strictEqual(parts.map((part) => part.slice(6, -4)).join("\n"), lines)
  })
})
