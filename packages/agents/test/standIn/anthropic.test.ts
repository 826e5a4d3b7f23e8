// The stand-in speaks as the real API does: what the agents' tests show against it would be worth nothing otherwise.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { standIn, usage, type StandIn } from "./anthropic.ts"

/** What of an event or an error is looked at. */
interface Seen {
  readonly type: string
  readonly delta?: { readonly text?: string; readonly partial_json?: string }
  readonly message?: { readonly usage: Readonly<Record<string, number>> }
  readonly error?: { readonly type: string }
}

const post = (model: StandIn, text: string, more: Readonly<Record<string, unknown>> = { stream: true }) =>
  Effect.promise(() =>
    fetch(`${model.url}/v1/messages?beta=true`, {
      method: "POST",
      body: JSON.stringify({ model: "m", max_tokens: 10, messages: [{ role: "user", content: text }], ...more })
    })
  )

const events = (response: Response) =>
  Effect.promise(async () =>
    (await response.text())
      .split("\n\n")
      .filter((frame) => frame !== "")
      .map((frame) => {
        const [name = "", data = ""] = frame.split("\n")
        const body = JSON.parse(data.slice("data: ".length)) as Seen
        assert.strictEqual(name, `event: ${body.type}`)
        return body
      })
  )

const textOf = (all: ReadonlyArray<Seen>) => all.map(({ delta }) => delta?.text ?? "").join("")

describe("the stand-in of the Messages API", () => {
  it.live("streams a text in the API's own events and says what it took", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const model = yield* standIn()
        const all = yield* events(yield* post(model, "a text that is said back, with \u{1f980} in it"))
        assert.strictEqual(textOf(all), "a text that is said back, with \u{1f980} in it")
        assert.deepStrictEqual(
          [...new Set(all.map(({ type }) => type))],
          [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
          ]
        )
        assert.strictEqual(all[0]?.message?.usage["input_tokens"], usage.input_tokens)
        assert.strictEqual(model.asked.length, 1)
      })
    )
  )

  it.live("holds an answer until the test says the rest, and tells when a client leaves", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const model = yield* standIn()
        const response = yield* post(model, "hold")
        const held = yield* model.ask(1)
        held.delta("one ")
        held.finish("two")
        assert.strictEqual(textOf(yield* events(response)), "one two")
        assert.strictEqual(yield* held.over, "ended")
        const left = yield* post(model, "hang")
        yield* Effect.promise(() => left.body?.cancel() ?? Promise.resolve())
        assert.strictEqual(yield* Effect.flatMap(model.ask(2), ({ over }) => over), "left")
      })
    )
  )

  it.live("calls a tool, and says its result when it comes back", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const model = yield* standIn()
        const call = yield* events(yield* post(model, 'tool Bash {"command":"date"}'))
        const input = call.map(({ delta }) => delta?.partial_json ?? "").join("")
        assert.deepStrictEqual(JSON.parse(input), { command: "date" })
        const messages = [
          { role: "user", content: 'tool Bash {"command":"date"}' },
          { role: "assistant", content: [{ type: "tool_use", id: "1", name: "Bash", input: {} }] },
          {
            role: "user",
            content: [{ type: "tool_result", tool_use_id: "1", content: [{ type: "text", text: "noon" }] }]
          }
        ]
        assert.strictEqual(textOf(yield* events(yield* post(model, "", { stream: true, messages }))), "noon")
      })
    )
  )

  it.live("refuses with the API's error document, as often as it is asked to", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const model = yield* standIn()
        const refused = yield* post(model, "fail 529 1")
        assert.strictEqual(refused.status, 529)
        const body = (yield* Effect.promise(() => refused.json())) as Seen
        assert.strictEqual(body.error?.type, "overloaded_error")
        assert.strictEqual((yield* post(model, "fail 529 1", {})).status, 200)
      })
    )
  )
})
