// The examples of docs/agents.md are run as they stand there, and what the page states as fixed is compared with the code.
import { assert, describe, it } from "@effect/vitest"
import { answerText, sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import * as Children from "../src/Children.ts"
import * as Command from "../src/Command.ts"
import * as Demo from "../src/Demo.ts"
import { file, folder, node } from "./processes.ts"

const page = readFileSync(`${import.meta.dirname}/../../../docs/agents.md`, "utf8")

const example = (language: string): string => {
  const found = new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "m").exec(page)?.[1]
  assert.isDefined(found, `docs/agents.md has no example in ${language}`)
  return found
}

const answer = Effect.fnUntraced(function* (options: Command.Options, ...texts: ReadonlyArray<string>) {
  const agent = yield* Command.make(options).open(sessionOf({ instance: "docs" }))
  return answerText(yield* Stream.runCollect(agent.answer(turnOf(texts))))
}, Effect.scoped)

describe("docs/agents.md", () => {
  it.live("has an example in JavaScript that answers", () =>
    Effect.gen(function* () {
      const program = yield* file(`${yield* folder}/answer.mjs`, example("js"))
      assert.strictEqual(
        yield* answer({ argv: [node, program] }, "hello", "there"),
        "2 message(s), the last one says: there"
      )
    }).pipe(Effect.scoped)
  )

  it.live("has an example in sh that answers", () =>
    Effect.gen(function* () {
      const program = yield* file(`${yield* folder}/answer.sh`, example("sh"))
      assert.strictEqual(
        yield* answer({ argv: [program] }, 'it\'s \\n "me"', "$HOME"),
        'You wrote: it\'s \\n "me"\n$HOME'
      )
      assert.strictEqual(yield* answer({ argv: [program] }, ""), "")
    }).pipe(Effect.scoped)
  )

  it("names every key of the document and every variable that is passed on", () => {
    const keys = Object.keys(Command.Document.fields)
    assert.deepStrictEqual(
      keys.filter((key) => !page.includes(`\`${key}\``)),
      []
    )
    assert.deepStrictEqual(
      Children.allowed.filter((name) => !page.includes(`\`${name}\``)),
      []
    )
  })

  it("quotes the demo agent's sentence about a tool whose outcome is unknown", () => {
    assert.include(page.replaceAll("\n", " "), Demo.unknownOutcome("deploy"))
  })
})
