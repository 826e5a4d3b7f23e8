// Programs of the five capabilities: what they may say, how little suffices, and that vectors have to add up.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import type * as Capabilities from "../src/Capabilities.ts"
import type { WorkerError } from "../src/PoolError.ts"
import * as Program from "../src/Program.ts"

/** A program that gives one and the same answer to every request, or parts of one. */
const saying = (answer: unknown, ...parts: ReadonlyArray<unknown>): Program.Launch => ({
  argv: [
    "sh",
    "-c",
    `n=0
    echo '{"ready": true}'
    while read line; do
      n=$((n + 1))
      case "$line" in
        *'"stream":true'*)
          ${parts.map((part) => `echo '{"id": "'$n'", "part": ${JSON.stringify(part)}}'`).join("\n")}
          echo '{"id": "'$n'", "end": true}' ;;
        *) echo '{"id": "'$n'", "answer": ${JSON.stringify(answer)}}' ;;
      esac
    done`
  ]
})

const messages = [{ role: "user", content: "hello" }]
const error = <A, R>(effect: Effect.Effect<A, WorkerError, R>) =>
  Effect.map(Effect.flip(effect), ({ message, reason }) => [reason, message])

describe("programs of the five capabilities", () => {
  it.live("P1: embed texts and images, and are broken when the vectors are not one for each, all of one length", () =>
    Effect.gen(function* () {
      const two = [
        [1, 2],
        [3, 4]
      ]
      const embed = yield* Program.textEmbedding(saying({ vectors: two, tokens: 5 }))(0)
      assert.deepStrictEqual(yield* embed.answer({ texts: ["a", "b"] }), { vectors: two, tokens: 5 })
      const lie = "the program sent 2 vectors for 3 items"
      assert.deepStrictEqual(yield* error(embed.answer({ texts: ["a", "b", "c"] })), ["Transport", lie])
      const uneven = yield* Program.imageEmbedding(saying({ vectors: [[1, 2], [3]] }))(0)
      assert.deepStrictEqual(yield* error(uneven.answer({ images: ["data:a", "data:b"] })), [
        "Transport",
        "the program sent vectors that are empty or not all of one length"
      ])
      const words = yield* Program.textEmbedding(saying({ words: "none" }))(0)
      const [reason, message = ""] = yield* error(words.answer({ texts: ["a"] }))
      assert.strictEqual(reason, "Transport")
      assert.include(message, "sent what is no answer")
    }).pipe(Effect.scoped)
  )

  it.live("P1: a text is a whole answer of a chat, and parts need no end of their own; more is passed on", () =>
    Effect.gen(function* () {
      const chat = yield* Program.textGeneration(saying({ text: "hi" }, { text: "h" }, { text: "i", finish: "stop" }))(
        0
      )
      assert.deepStrictEqual(yield* chat.answer({ messages }), {
        text: "hi",
        finish: "stop",
        message: { role: "assistant", content: "hi" }
      })
      assert.deepStrictEqual(yield* Stream.runCollect(chat.stream?.({ messages }) ?? Stream.empty), [
        { text: "h" },
        { text: "i", finish: "stop" }
      ])
      const message = { role: "assistant", content: null, tool_calls: [] }
      const whole: Capabilities.ChatAnswer = { text: "", finish: "tool_calls", message, tokens: { input: 3 } }
      const tools = yield* Program.vision(saying(whole))(0)
      assert.deepStrictEqual(yield* tools.answer({ messages }), whole)
    }).pipe(Effect.scoped)
  )

  it.live("P1: draw, and an answer without a picture is none", () =>
    Effect.gen(function* () {
      const images = [{ base64: "AAAA", prompt: "a dot" }, { url: "https://host/dot.png" }]
      const brush = yield* Program.imageGeneration(saying({ images }))(0)
      assert.deepStrictEqual(yield* brush.answer({ prompt: "a dot" }), { images })
      const empty = yield* Program.imageGeneration(saying({ images: [] }))(0)
      assert.strictEqual((yield* error(empty.answer({ prompt: "a dot" })))[0], "Transport")
    }).pipe(Effect.scoped)
  )

  it.live("P1: the program of docs/pools.md does as it is shown", () =>
    Effect.gen(function* () {
      const page = readFileSync(new URL("../../../docs/pools.md", import.meta.url), "utf8")
      const source = /```js\n(\/\/ embed\.mjs\n[^]*?)```/.exec(page)?.[1] ?? ""
      const argv = [process.execPath, "--input-type=module", "--eval", source] as const
      const embed = yield* Program.textEmbedding({ argv })(0)
      assert.strictEqual(embed.concurrency, 4)
      assert.deepStrictEqual(yield* embed.answer({ texts: ["a", "three"] }), {
        vectors: [
          [1, 1],
          [5, 1]
        ]
      })
    }).pipe(Effect.scoped)
  )
})
