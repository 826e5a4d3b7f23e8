/**
 * Markdown as entities: what is marked looks like it, what is no markup stays as it
 * is written, and whatever somebody writes, the entities lie within the text.
 *
 * Scenarios: W3, W4
 */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { offerOf } from "../../src/internal/chat/buttons.ts"
import { render } from "../../src/internal/telegram/entities.ts"

/** The rendered text with its entities in angle brackets. */
const marked = (markdown: string): string => {
  const { entities, text } = render(markdown)
  const cuts = entities.flatMap(({ length, offset, type }, index) => [
    { at: offset, text: `<${type}>`, order: index },
    { at: offset + length, text: `</${type}>`, order: -1 - index }
  ])
  return cuts
    .toSorted((one, other) => other.at - one.at || other.order - one.order)
    .reduce((out, { at, text }) => out.slice(0, at) + text + out.slice(at), text)
}

const reply = (text: string, kind: "answer" | "notice" = "notice") => ({
  id: "r",
  conversation: { channel: "telegram", account: "", peer: "42", thread: "" },
  number: 1,
  kind,
  text,
  inReplyTo: [],
  createdAt: 0
})

describe("Markdown", () => {
  for (const [what, markdown, expected] of [
    [
      "emphasis",
      "a **b** _c_ ~~d~~ `e`",
      "a <bold>b</bold> <italic>c</italic> <strikethrough>d</strikethrough> <code>e</code>"
    ],
    ["a heading", "# One\n\ntwo", "<bold>One</bold>\n\ntwo"],
    ["lists", "- a\n  - b\n- c\n\n3. x\n4. y", "• a\n  • b\n• c\n\n3. x\n4. y"],
    ["tasks", "- [x] done\n- [ ] open", "☑ done\n☐ open"],
    ["code", "see\n```ts\nconst x = `1`\n```\nafter", "see\n<pre>const x = `1`</pre>\nafter"],
    ["a link", "[docs](https://a.example/x)", "<text_link>docs</text_link>"],
    ["a link that a chat can't open", "[docs](./x.md)", "docs (./x.md)"],
    ["a link that is none", "[x](javascript:alert(1))", "x (javascript:alert(1))"],
    ["a link to a chat", "[us](tg://resolve?domain=us)", "<text_link>us</text_link>"],
    ["no mention by number", "[x](tg://user?id=42) [y](TG:user?id=42)", "x (tg://user?id=42) y (TG:user?id=42)"],
    ["a quotation", "> a\n> b\n\nc", "<blockquote>a\nb</blockquote>\n\nc"],
    ["a table", "| a | bb |\n|---|---|\n| **1** | 2 |", "<pre>a  bb\n-  --\n1  2</pre>"],
    ["HTML, which is nobody's here", "<b>x</b> & <script>", "<b>x</b> & <script>"],
    ["names with marks in them", "some_name_here and 2 * 3 * 4", "some_name_here and 2 * 3 * 4"],
    ["nothing but a mark", "**", "**"]
  ] as const) {
    it(`W3: shows ${what}`, () => assert.strictEqual(marked(markdown), expected))
  }

  it.prop("W4: whatever it is, entities lie within the text and something is left", [Schema.String], ([text]) => {
    for (const markdown of [text, `**${text}**`, `\`\`\`\n${text}`, `[${text}](${text})`, `> ${text}\n- ${text}`]) {
      const rendered = render(markdown)
      assert.isTrue(rendered.text.trim() !== "" || markdown.trim() === "")
      for (const { length, offset } of rendered.entities) {
        assert.isAtLeast(offset, 0)
        assert.isAbove(length, 0)
        assert.isAtMost(offset + length, rendered.text.length)
      }
    }
  })

  it("W4: thousands of brackets, stars and quotations are read to their end", () => {
    for (const unit of ["[", "**a", "> ", "`", "![](", "<a ", "- ", "| ", "_*"]) {
      assert.isAtLeast(render(unit.repeat(4096 / unit.length)).text.length, 1, unit)
    }
    // Nobody means so many quotations in each other: they stay as they are written.
    const deep = `${"> ".repeat(32)}**a**`
    assert.deepStrictEqual(render(deep), { text: deep, entities: [] })
    assert.deepStrictEqual(render(`${"> ".repeat(8)}**a**`).text, "a")
  })
})

describe("buttons", () => {
  it("Q19: a question has its options as buttons that say the command", () => {
    const { rows, text } = offerOf(reply("Run it?\n1. not this\n1. Yes\n2. No\n(/allow 7 and your choice)"))
    assert.strictEqual(text, "Run it?\n1. not this\n1. Yes\n2. No")
    assert.deepStrictEqual(rows, [[{ text: "Yes", says: "/allow 7 1" }], [{ text: "No", says: "/allow 7 2" }]])
  })

  it("an offer has its commands as buttons", () => {
    const { rows, text } = offerOf(reply("Gone.\n[Try again: /retry] [Leave it]"))
    assert.strictEqual(text, "Gone.")
    assert.deepStrictEqual(rows.flat(), [
      { text: "Try again", says: "/retry" },
      { text: "Leave it", says: "Leave it" }
    ])
  })

  it("W4: what an agent writes never becomes a button", () => {
    const text = "Sure?\n1. Yes\n(/allow 1 and your choice)"
    assert.deepStrictEqual(offerOf(reply(text, "answer")), { text, rows: [] })
  })
})
