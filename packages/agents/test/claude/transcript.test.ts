// What a transcript says of a turn that was cut off, line by line: the answer only when the model gave one, and whole.
import { assert, describe, it } from "@effect/vitest"
import { answerText, type Keeping, sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Conversation from "../../src/internal/claude/conversation.ts"
import { find, hasConversation, known } from "../../src/internal/claude/transcript.ts"
import { folder, unique } from "../processes.ts"

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

describe("what became of messages that were handed to a turn while it ran", () => {
  const taken = (uuid: string) =>
    line({ type: "attachment", uuid: "a", attachment: { type: "queued_command", prompt: "more", source_uuid: uuid } })

  it("D3 Q6: they are known where the CLI took them: into the turn, or behind its last words; nowhere else", () => {
    const lines = [
      asked("one"),
      line({ type: "queue-operation", operation: "enqueue", content: "more", uuid: "waits" }),
      taken("into"),
      said("hello", "end_turn"),
      asked("behind")
    ]
    assert.deepStrictEqual(known(lines, ["waits", "into", "behind", "nobody's"]), new Set(["into", "behind"]))
  })

  it("D3 Q6: what was answered behind the turn's last words belongs to its answer, and is no other turn", () => {
    const lines = [asked("one"), said("hello", "end_turn"), asked("more"), said("and this", "end_turn")]
    const found = find(lines, ["one"], new Set(["more"]))
    assert.strictEqual(found._tag === "Answered" && answerText(found.events), "hello\n\nand this")
    assert.strictEqual(find(lines.slice(0, 3), ["one"], new Set(["more"]))._tag, "Asked")
    assert.strictEqual(became(...lines), "hello")
  })
})

describe("how a turn goes on that was handed messages and then cut off", () => {
  const two = turnOf(["first", "second"], { id: "cut", attempt: 2, interrupted: { by: "crash" } })
  /** What the next attempt does, given what the transcript has. */
  const planned = Effect.fnUntraced(function* (...lines: ReadonlyArray<string>) {
    const root = yield* folder
    const path = join(root, "projects", "work")
    mkdirSync(path, { recursive: true })
    writeFileSync(join(path, "the-conversation.jsonl"), lines.join("\n"))
    const handed = [{ uuid: "handed", seqs: [two.messages[1]?.seq ?? 0] }]
    const turn = { id: "cut", sent: ["one"], messages: 1, handed }
    const keeping: Keeping = { value: JSON.stringify({ conversation: "the-conversation", answered: true, turn }) }
    const session = sessionOf({ instance: unique("claude"), keeping })
    const conversation = yield* Conversation.open(session, { program: "claude", folder: root })
    const plan = yield* conversation.plan(two, () => false)
    const texts = plan.send?.content.map((block) => block["text"])
    return { found: answerText(plan.found), texts, send: plan.send, conversation, keeping }
  })

  it.effect("D3 Q6: a message that the CLI had taken is answered with the turn, and asked of nobody again", () =>
    Effect.gen(function* () {
      const into = line({ type: "attachment", attachment: { type: "queued_command", source_uuid: "handed" } })
      const first = yield* planned(asked("one"), into, said("to both", "end_turn"))
      assert.deepStrictEqual([first.found, first.texts], ["to both", undefined])
      const behind = [asked("one"), said("to one", "end_turn"), asked("handed"), said("to two", "end_turn")]
      const second = yield* planned(...behind)
      assert.deepStrictEqual([second.found, second.texts], ["to one\n\nto two", undefined])
    }).pipe(Effect.scoped)
  )

  it.effect("D3 Q6: one that it had not taken is asked behind the answer that is there, in the same turn", () =>
    Effect.gen(function* () {
      const { conversation, found, keeping, send, texts } = yield* planned(asked("one"), said("to one", "end_turn"))
      assert.deepStrictEqual([found, texts], ["to one", ["second"]])
      // Committed as what was handed to the turn: after another crash the answer is still that to both.
      if (send !== undefined) yield* conversation.sending(two, send)
      const { turn } = JSON.parse(keeping.value ?? "{}")
      assert.deepStrictEqual([turn.sent, turn.handed.length, turn.handed[1].uuid], [["one"], 2, send?.uuid])
    }).pipe(Effect.scoped)
  )

  it.effect(
    "D3 Q6: both are carried on with where neither was answered, and the model is told that it may have seen it",
    () =>
      Effect.gen(function* () {
        const { found, texts } = yield* planned(asked("one"), said("I look.", "tool_use"), toolUse)
        assert.strictEqual(found, "")
        assert.deepStrictEqual(texts?.slice(-2), ["[This was written meanwhile. You may have seen it.]", "second"])
      }).pipe(Effect.scoped)
  )
})
