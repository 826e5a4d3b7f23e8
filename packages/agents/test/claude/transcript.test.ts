// What a transcript says of a turn that was cut off, line by line: the answer only when the model gave one, and whole.
import { assert, describe, it } from "@effect/vitest"
import { answerText } from "@sluice/runtime/testing/agentConformance"
import { find, hasConversation } from "../../src/internal/claude/transcript.ts"

const line = (entry: object) => JSON.stringify(entry)
const asked = (uuid: string, content: unknown = "a question") =>
  line({ type: "user", uuid, message: { role: "user", content } })
const said = (text: string, reason: string | null, more: object = {}) =>
  line({
    type: "assistant",
    message: {
      id: `m-${text}`,
      model: "some-model",
      content: [{ type: "text", text }],
      stop_reason: reason,
      usage: { input_tokens: 1, output_tokens: 2 }
    },
    ...more
  })
const toolUse = line({
  type: "assistant",
  message: { id: "m-tool", content: [{ type: "tool_use", id: "t1", name: "Bash" }], stop_reason: "tool_use" }
})
const toolResult = asked("t", [{ type: "tool_result", tool_use_id: "t1", content: "done" }])
const byTheCli = (text: string) =>
  line({
    type: "assistant",
    message: { model: "<synthetic>", content: [{ type: "text", text }], stop_reason: "stop_sequence" }
  })

const became = (...lines: ReadonlyArray<string>) => {
  const found = find(lines, ["one", "two"])
  return found._tag === "Answered" ? answerText(found.events) : found._tag
}

describe("what became of a turn, by its transcript", () => {
  it("unknown when none of its messages is there, whatever else is", () => {
    assert.strictEqual(became(), "Unknown")
    assert.strictEqual(
      became("", "not json", '{"type":"user"}', asked("another"), said("for another", "end_turn")),
      "Unknown"
    )
  })

  it("answered when the model ended its turn, with everything that it said on the way", () => {
    assert.strictEqual(became(asked("one"), said("hello", "end_turn")), "hello")
    assert.strictEqual(
      became(asked("one"), said("I look.", null), toolUse, toolResult, said("It is done.", "end_turn")),
      "I look.\n\nIt is done."
    )
    assert.strictEqual(became(asked("one"), said("cut by its length", "max_tokens")), "cut by its length")
  })

  it("only asked while the model had not ended", () => {
    assert.strictEqual(became(asked("one")), "Asked")
    assert.strictEqual(became(asked("one"), said("half a", null)), "Asked")
    assert.strictEqual(became(asked("one"), said("I look.", "tool_use"), toolUse), "Asked")
    assert.strictEqual(became(asked("one"), said("I look.", "tool_use"), toolUse, toolResult), "Asked")
    assert.strictEqual(
      became(asked("one"), asked("i", [{ type: "text", text: "[Request interrupted by user]" }])),
      "Asked"
    )
  })

  it("only asked when what follows is no answer: the CLI's own words, a helper's, or one to a later message", () => {
    assert.strictEqual(became(asked("one"), byTheCli("No response requested.")), "Asked")
    assert.strictEqual(became(asked("one"), byTheCli("API Error: 500")), "Asked")
    assert.strictEqual(became(asked("one"), said("a helper's", "end_turn", { isSidechain: true })), "Asked")
    assert.strictEqual(became(asked("one"), asked("later"), said("to the later one", "end_turn")), "Asked")
  })

  it("only asked when the process had nobody to ask for a permission that it needed", () => {
    const refused = {
      type: "tool_result",
      tool_use_id: "t1",
      is_error: true,
      content: "Tool permission request failed: AbortError: Tool permission stream closed before response received"
    }
    assert.strictEqual(
      became(asked("one"), toolUse, asked("t", [refused]), said("I was not allowed to.", "end_turn")),
      "Asked"
    )
  })

  it("by the last of its messages that is there", () => {
    assert.strictEqual(
      became(asked("one"), said("half a", null), asked("two"), said("the rest", "end_turn")),
      "the rest"
    )
    assert.strictEqual(became(asked("one"), said("an answer", "end_turn"), asked("two")), "Asked")
  })

  it("says what the answer used, once for each message of the model", () => {
    const found = find([asked("one"), said("a", null), said("a", "end_turn")], ["one"])
    const usage = found._tag === "Answered" ? found.events.filter(({ _tag }) => _tag === "Usage") : []
    assert.deepStrictEqual(usage, [
      {
        _tag: "Usage",
        usage: { inputTokens: 1, outputTokens: 2, cacheReadTokens: 0, cacheWriteTokens: 0 },
        model: "some-model"
      }
    ])
  })

  it("knows a conversation in which nothing was said", () => {
    assert.isFalse(hasConversation([line({ type: "queue-operation", operation: "enqueue", content: "hi" }), ""]))
    assert.isTrue(hasConversation([asked("one")]))
  })
})
