/**
 * Slack's marks, both ways: Markdown as Slack shows it, what people write as they saw
 * it, and long answers in parts of which each fits and none names anybody.
 *
 * Scenarios: W4, W6
 */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { split, tail } from "../../src/internal/slack/delivery.ts"
import { escaped, orderOf, ordersIn, plainOf, render } from "../../src/internal/slack/mrkdwn.ts"

describe("Markdown", () => {
  for (const [markdown, mrkdwn] of [
    ["a **bold** and *italic* ~~word~~ with `code`", "a *bold* and _italic_ ~word~ with `code`"],
    ["# A heading\n\nand text", "*A heading*\n\nand text"],
    ["in**side**s of a word", "in\u200b*side*\u200bs of a word"],
    ["***both***", "_*both*_"],
    ["**two\nlines**", "*two*\n*lines*"],
    ["- one\n- two\n  - three\n\n1. four\n2. five", "• one\n• two\n  • three\n\n1. four\n2. five"],
    ["[a page](https://example.org/?a=1&b=2)", "<https://example.org/?a=1&amp;b=2|a page>"],
    ["[a | <page>](https://example.org)", "<https://example.org|a ¦ &lt;page&gt;>"],
    ["[here](../file.ts)", "here (../file.ts)"],
    ["[x](javascript:alert(1))", "x (javascript:alert(1))"],
    ["> quoted\n> twice", "> quoted\n> twice"],
    ["```ts\nconst a = 1 < 2 && b\n```", "```\nconst a = 1 &lt; 2 &amp;&amp; b\n```"],
    ["````\n```\n````", "```\n`\u200b`\u200b`\n```"],
    ["| a | b |\n|---|---|\n| 1 | 22 |", "```\na  b\n-  --\n1  22\n```"],
    [
      "<@U123> <!channel> & <https://evil.example|good>",
      "&lt;@U123&gt; &lt;!channel&gt; &amp; https://evil.example|good"
    ],
    ["", ""],
    ["   ", "   "]
  ] as const) {
    it(`W6: ${JSON.stringify(markdown)}`, () => {
      assert.strictEqual(render(markdown), mrkdwn)
    })
  }

  it.prop("W4: nothing that an agent writes names a person, a channel or everybody", [Schema.String], ([text]) => {
    for (const hostile of [text, `<@U1>${text}`, `${text}<!everyone>`, `[${text}](<!here>)`, `\`${text}<#C1>\``]) {
      assert.notMatch(render(hostile), /<[@#!]/)
    }
  })
})

describe("what people write", () => {
  for (const [written, plain] of [
    ["1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2"],
    ["&amp;lt;", "&lt;"],
    ["<@U1> and <@U2|kim>", "@U1 and @kim"],
    ["<#C1|general> <#C2>", "#general #C2"],
    ["<!here> <!subteam^S1|@team> <!date^1^{date}|today>", "@here @team today"],
    ["<https://example.org>", "https://example.org"],
    ["<http://example.org|example.org>", "http://example.org"],
    ["<https://example.org/a|the page>", "the page (https://example.org/a)"],
    ["<mailto:kim@example.org|kim@example.org>", "kim@example.org"],
    ["<> < >", "<> < >"]
  ] as const) {
    it(`W6: ${JSON.stringify(written)} is ${JSON.stringify(plain)}`, () => {
      assert.strictEqual(plainOf(written), plain)
    })
  }

  it("W6: an order has another mark, and sentences tell of it with that", () => {
    assert.strictEqual(orderOf("!new plan"), "/new plan")
    assert.strictEqual(orderOf("!newest"), "!newest")
    assert.strictEqual(orderOf("hey !stop"), "hey !stop")
    assert.strictEqual(
      ordersIn("Try again: /retry, /usr/new/stop, or /new."),
      "Try again: !retry, /usr/new/stop, or !new."
    )
  })
})

describe("a long answer", () => {
  it.prop(
    "W6: each part fits, also when all of it has to be escaped, and nothing is lost",
    [Schema.String],
    ([text]) => {
      const long = `${text}&<> \n`.repeat(Math.ceil(9000 / (text.length + 5)))
      const parts = split(long)
      for (const part of parts) {
        assert.isAtMost(escaped(part).length, 4000)
        assert.isAtMost(render(part).length, 4000)
      }
      const letters = (from: string) => from.replaceAll(/\s/g, "")
      if (!/[`~]{3}/.test(long)) assert.strictEqual(letters(parts.join("")), letters(long))
    }
  )

  it("W4, W6: is not read as Markdown while it is written: its end is shown as it is, and fits", () => {
    assert.strictEqual(tail("all **bold**"), "all *bold*")
    for (const unit of ["~~a", "a@b.c ", "- a\n", "<&> "]) {
      const end = tail(`${unit.repeat(30_000)}**the end**`)
      assert.isAtMost(end.length, 3000)
      assert.match(end, /^…[^<>]*\*\*the end\*\*$/)
    }
  })

  it("W6: a code block that is too long is a block in each part", () => {
    const block = `\`\`\`ts\n${"if (a < b && c > d) e()\n".repeat(400)}\`\`\``
    const parts = split(block)
    assert.isAbove(parts.length, 2)
    for (const part of parts) assert.match(render(part), /^```\n[^`]+\n```$/)
  })
})
