// Answers that are streamed, from bytes to parts, without a connection: however the network cuts them, they mean the same.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as Stream from "effect/Stream"
import type { ChatPart } from "../src/Capabilities.ts"
import { read } from "../src/internal/openai/events.ts"
import { failure, type Line } from "../src/internal/openai/line.ts"

const partsOf = (event: unknown): ReadonlyArray<ChatPart> | undefined =>
  typeof event === "object" && event !== null && !("odd" in event) ? [event] : undefined

const line: Line = { client: HttpClient.make(() => Effect.never), base: "", key: undefined, limit: 1000 }

const bytes = new TextEncoder().encode(
  [
    "\uFEFF: a comment",
    'data: {"text":"grüße, "}\r\n',
    'data: {"text":"𝄞"}\n',
    'event: message\ndata: {"finish":"stop"}\n',
    "data: [DONE]\n",
    'data: {"text":"of nobody"}\n',
    ""
  ].join("\n")
)

const all: ReadonlyArray<ChatPart> = [{ text: "grüße, " }, { text: "𝄞" }, { finish: "stop" }]

const collect = (chunks: ReadonlyArray<Uint8Array>) =>
  Stream.runCollect(read(line, Stream.fromIterable(chunks), partsOf))

const said = (text: string) => new TextEncoder().encode(text)

/** What was given before the failure, and the failure's words. */
const until = (source: Parameters<typeof read>[1]) =>
  Effect.gen(function* () {
    const given: Array<ChatPart> = []
    const keep = (part: ChatPart) => Effect.sync(() => given.push(part))
    const exit = yield* Effect.exit(Stream.runForEach(read(line, source, partsOf), keep))
    const error = Exit.isFailure(exit) ? yield* Effect.flip(exit) : undefined
    return { given: given.map(({ finish, text }) => text ?? finish), why: error?.message }
  })

describe("an answer in events", () => {
  it.effect("is the same wherever it is cut, and what comes behind its end is not in it", () =>
    Effect.gen(function* () {
      for (let at = 0; at <= bytes.length; at++) {
        assert.deepStrictEqual(yield* collect([bytes.subarray(0, at), bytes.subarray(at)]), all, `cut at ${at}`)
      }
      assert.deepStrictEqual(yield* collect(Array.from(bytes, (byte) => Uint8Array.of(byte))), all)
    })
  )

  it.effect("P6: gives what came before it broke, in the same packet too, and then says why", () =>
    Effect.gen(function* () {
      const lost = failure("Transport", "the cable is out")
      const text = 'data: {"text":"he"}\n\n'
      const ways = [
        { behind: 'data: {"error":"out of memory"}\n\n', why: "the server broke off with an error: out of memory" },
        { behind: 'data: {"odd":1}\n\n', why: 'the server sent what is no answer: {"odd":1}' },
        { behind: "", why: "the server ended the connection before the answer was whole" }
      ]
      for (const { behind, why } of ways) {
        const more = `${behind}${behind === "" ? "" : 'data: {"text":"llo"}\n\n'}`
        assert.deepStrictEqual(yield* until(Stream.make(said(`${text}${more}`))), { given: ["he"], why })
      }
      const cut = Stream.concat(Stream.make(said(text)), Stream.fail(lost))
      assert.deepStrictEqual(yield* until(cut), { given: ["he"], why: "the cable is out" })
    })
  )

  it.effect("is whole with its end, whatever becomes of the connection behind it", () =>
    Effect.gen(function* () {
      const lost = Stream.fail(failure("Transport", "the cable is out"))
      const whole = { given: ["stop"], why: undefined }
      const finish = 'data: {"finish":"stop"}\n\n'
      assert.deepStrictEqual(yield* until(Stream.concat(Stream.make(said(`${finish}data: [DONE]\n\n`)), lost)), whole)
      // Servers that leave out the last word, and its blank line.
      assert.deepStrictEqual(yield* until(Stream.make(said(finish.trim()))), whole)
    })
  )
})
