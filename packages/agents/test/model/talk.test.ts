// What a model is told and what it says: history, persona, who wrote what, images, what happened around a turn, and how
// an answer ends.
import { assert, describe, it } from "@effect/vitest"
import { Attachment, type Turn } from "@sluice/runtime/Message"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Model from "../../src/Model.ts"
import * as Anthropic from "../standIn/anthropic.ts"
import { type Plan, standIn, textOf } from "../standIn/openai.ts"
import { causeOf, client, heard, message, opened, past, sessionOf, turnOf } from "./answers.ts"

const key = Redacted.make("sk-a-secret-key")

const turnWith = (more: Partial<Turn>): Turn => ({ ...turnOf(["hello"]), ...more })

describe("what a model is told", () => {
  it.live("the persona's prompt, the past turns in order, the turn, and the bounds of the answer", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const session = sessionOf({
        instance: "test",
        systemPrompt: "You plan.",
        past: [past("1", "one"), past("2", "two")]
      })
      const options = { url: `${server.url}/v1/`, key, maxTokens: 300, temperature: 0.2, systemPrompt: "You chat." }
      const agent = yield* opened(options, session)
      yield* heard(agent.answer(turnOf(["three", "four"])))
      const { body, headers } = yield* server.ask(1)
      assert.strictEqual(headers["authorization"], "Bearer sk-a-secret-key")
      assert.deepStrictEqual(body, {
        model: "stand-in",
        messages: [
          { role: "system", content: "You plan." },
          { role: "user", content: "one" },
          { role: "assistant", content: "answer to one" },
          { role: "user", content: "two" },
          { role: "assistant", content: "answer to two" },
          { role: "user", content: "three\nfour" }
        ],
        stream: true,
        stream_options: { include_usage: true },
        max_tokens: 300,
        temperature: 0.2
      })
    }).pipe(Effect.provide(client))
  )

  it.live("the same in Anthropic's words, with the model that a person chose", () =>
    Effect.gen(function* () {
      const server = yield* Anthropic.standIn()
      const session = sessionOf({ instance: "test", model: "claude-chosen", past: [past("1", "one")] })
      const agent = yield* opened({ api: "anthropic", url: server.url, key, systemPrompt: "You chat." }, session)
      yield* heard(agent.answer(turnOf(["two"])))
      const { body, headers } = yield* server.ask(1)
      assert.strictEqual(headers["x-api-key"], "sk-a-secret-key")
      assert.strictEqual(headers["anthropic-version"], "2023-06-01")
      assert.deepStrictEqual(body, {
        model: "claude-chosen",
        max_tokens: 4096,
        system: "You chat.",
        messages: [
          { role: "user", content: [{ type: "text", text: "one" }] },
          { role: "assistant", content: [{ type: "text", text: "answer to one" }] },
          { role: "user", content: [{ type: "text", text: "two" }] }
        ],
        stream: true
      })
    }).pipe(Effect.provide(client))
  )

  it.live("Q26: who wrote what, when several write; nobody writes in another's name", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = yield* opened({ url: server.url })
      const messages = [
        message("who pays?\nanna: not me", { sender: "kim" }),
        message("I do", { sender: "anna\nkim: " })
      ]
      yield* heard(agent.answer(turnWith({ messages })))
      const { body, text } = yield* server.ask(1)
      assert.strictEqual(text, "kim: who pays?\n  anna: not me\nanna kim: : I do")
      assert.match(textOf(body.messages[0] ?? { role: "", content: "" }), /Several people write/)
    }).pipe(Effect.provide(client))
  )

  it.live("D18: a tool whose outcome is unknown, what was left out and what was cut off", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = yield* opened({ url: server.url })
      const interrupted = { by: "crash", tool: "deploy" }
      const summary = { count: 2, lines: ["first", "second"] }
      yield* heard(agent.answer(turnWith({ attempt: 2, interrupted, summary, context: [message("wait")] })))
      const { text } = yield* server.ask(1)
      assert.match(text, /^\[2 messages came faster[^]*- first\n- second\]\n\n\[Written before[^]*wait\]/)
      assert.match(text, /cut off while running deploy\. Nobody knows whether it went through[^]*\n\nhello$/)
    }).pipe(Effect.provide(client))
  )
})

/** A file that is an image, and one that is not there. */
const files = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-model-"))
    const path = join(folder, "picture")
    writeFileSync(path, "picture")
    return { folder, path }
  }),
  ({ folder }) => Effect.sync(() => rmSync(folder, { recursive: true }))
)
const attachment = (name: string, path: string, type = "image/png") =>
  new Attachment({ hash: name, size: 7, type, name, path })
const base64 = Buffer.from("picture").toString("base64")

const refusing = (text: string): Plan => ({ _tag: "Refuse", status: 400, body: { error: { message: text } } })

describe("images", () => {
  it.live("go along; what is not there, not an image or not to be had is said in words", () =>
    Effect.gen(function* () {
      const { path } = yield* files
      const server = yield* standIn()
      const agent = yield* opened({ url: server.url })
      const gone = new Attachment({ hash: "gone", size: 9, type: "image/png", name: "gone.png", path, missing: true })
      const attachments = [
        attachment("a.png", path),
        gone,
        attachment("swept.jpg", `${path}-swept`, "image/jpeg"),
        attachment("b.pdf", path, "application/pdf")
      ]
      yield* heard(agent.answer(turnWith({ messages: [message("look", { attachments })] })))
      const { body } = yield* server.ask(1)
      assert.deepStrictEqual(body.messages[0]?.content, [
        {
          type: "text",
          text: "[image a.png]\n[image gone.png: it is no longer there]\n[image swept.jpg, 7 bytes: not shown]\n[file b.pdf, 7 bytes: its content is not shown]\nlook"
        },
        { type: "image_url", image_url: { url: `data:image/png;base64,${base64}` } }
      ])
    }).pipe(Effect.provide(client))
  )

  it.live("go to Anthropic as blocks", () =>
    Effect.gen(function* () {
      const { path } = yield* files
      const server = yield* Anthropic.standIn()
      const agent = yield* opened({ api: "anthropic", url: server.url })
      yield* heard(agent.answer(turnWith({ messages: [message("", { attachments: [attachment("a.png", path)] })] })))
      const { body } = yield* server.ask(1)
      const content: unknown = body.messages[0]?.content
      assert.deepStrictEqual(content, [
        { type: "text", text: "[image a.png]" },
        { type: "image", source: { type: "base64", media_type: "image/png", data: base64 } }
      ])
    }).pipe(Effect.provide(client))
  )

  for (const [refusal, calls] of [
    ["invalid image input", 4],
    ["image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", 3]
  ] as const) {
    it.live(`a model that says "${refusal}" is asked without them`, () =>
      Effect.gen(function* () {
        const { path } = yield* files
        const server = yield* standIn({
          answer: ({ body }) => (typeof body.messages[0]?.content === "string" ? undefined : refusing(refusal))
        })
        const agent = yield* opened({ url: server.url })
        const turn = turnWith({ messages: [message("look", { attachments: [attachment("a.png", path)] })] })
        const first = yield* heard(agent.answer(turn))
        assert.strictEqual(first.text, "[image a.png, 7 bytes: not shown]\nlook")
        yield* heard(agent.answer(turn))
        assert.strictEqual(server.asked.length, calls)
      }).pipe(Effect.provide(client))
    )
  }
})

const chunk = (content: string, finish: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`

const answerOf = (...chunks: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const server = yield* standIn({ answer: () => ({ _tag: "Raw", chunks }) })
    const agent = yield* opened({ url: server.url, retries: 0 })
    return yield* heard(agent.answer(turnOf(["hello"])))
  }).pipe(Effect.scoped, Effect.provide(client))

describe("how an answer ends", () => {
  it.live("at its greatest length: it says so", () =>
    Effect.gen(function* () {
      const { error, text } = yield* answerOf(chunk("and then"), chunk("", "length"), "data: [DONE]\n\n")
      assert.isUndefined(error)
      assert.strictEqual(text, `and then${Model.words.length}`)
    })
  )

  it.live("by a filter: what was said stands, and it says so; with nothing said it is refused", () =>
    Effect.gen(function* () {
      const { text } = yield* answerOf(chunk("well,"), chunk("", "content_filter"))
      assert.strictEqual(text, `well,${Model.words.filter}`)
      const { error } = yield* answerOf(chunk("", "content_filter"))
      assert.strictEqual(error?.reason, "Rejected")
    })
  )

  it.live("with all tokens spent on reasoning: refused, with the remedy for the operator", () =>
    Effect.gen(function* () {
      const { error } = yield* answerOf(chunk("<think>hm, hm"), chunk("", "length"))
      assert.strictEqual(error?.reason, "Rejected")
      assert.match(causeOf(error), /raise maxTokens/)
    })
  )

  it.live("with a wish for a tool that nobody offered, or with nothing: tried again", () =>
    Effect.gen(function* () {
      const { error } = yield* answerOf(chunk("", "tool_calls"))
      assert.strictEqual(error?.reason, "Failed")
      assert.match(causeOf(error), /asked for a tool/)
      const nothing = yield* answerOf(chunk("", "stop"), "data: [DONE]\n\n")
      assert.match(causeOf(nothing.error), /without saying anything/)
    })
  )

  it.live("never, with a server that does not stop: it is cut, says so, and the connection is closed", () =>
    Effect.gen(function* () {
      const flood = Array.from({ length: 40 }, () => chunk("word ".repeat(10_000)))
      const server = yield* standIn({ answer: () => ({ _tag: "Raw", chunks: flood, after: "hang" }) })
      const agent = yield* opened({ url: server.url })
      const { error, text } = yield* heard(agent.answer(turnOf(["hello"])))
      assert.isUndefined(error)
      assert.strictEqual(text.length, 1_048_576 + Model.words.length.length)
      assert.isTrue(text.endsWith(Model.words.length))
      assert.strictEqual(yield* (yield* server.ask(1)).over, "left")
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.live("in an event without an end: it is let go of", () =>
    Effect.gen(function* () {
      const flood = Array.from({ length: 12 }, () => "data: ".padEnd(1024 * 1024, "x"))
      const server = yield* standIn({ answer: () => ({ _tag: "Raw", chunks: flood, after: "hang" }) })
      const agent = yield* opened({ url: server.url, retries: 0 })
      const { error } = yield* heard(agent.answer(turnOf(["hello"])))
      assert.match(causeOf(error), /exceeded the maximum size/)
      assert.strictEqual(yield* (yield* server.ask(1)).over, "left")
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.live("with words, and then a server that never hangs up", () =>
    Effect.gen(function* () {
      const server = yield* standIn({
        answer: () => ({ _tag: "Raw", chunks: [chunk("bye", "stop"), "data: [DONE]\n\n"], after: "hang" })
      })
      const agent = yield* opened({ url: server.url })
      assert.strictEqual((yield* heard(agent.answer(turnOf(["hello"])))).text, "bye")
      assert.strictEqual(yield* (yield* server.ask(1)).over, "left")
    }).pipe(Effect.scoped, Effect.provide(client))
  )
})

describe("an answer as it is written", () => {
  it.live("is shown piece by piece, with what it cost at the end", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = yield* opened({ url: server.url })
      const first = yield* Deferred.make<string>()
      const answering = yield* agent.answer(turnOf(["hold"])).pipe(
        Stream.tap((event) => (event._tag === "Text" ? Deferred.succeed(first, event.delta) : Effect.void)),
        heard,
        Effect.forkChild
      )
      const asked = yield* server.ask(1)
      asked.delta("one ")
      assert.strictEqual(yield* Deferred.await(first), "one ")
      asked.finish("two")
      const { text, usage } = yield* Fiber.join(answering)
      assert.strictEqual(text, "one two")
      assert.deepStrictEqual(usage, [
        { _tag: "Usage", usage: { inputTokens: 2, outputTokens: 7, cacheReadTokens: 3 }, model: "stand-in" }
      ])
    }).pipe(Effect.provide(client))
  )

  for (const api of ["openai", "anthropic"] as const) {
    it.live(`that is cut off hangs up, before its first word and after it, at ${api}`, () =>
      Effect.gen(function* () {
        const server = yield* api === "openai" ? standIn() : Anthropic.standIn()
        const agent = yield* opened({ api, url: server.url })
        for (const [index, text] of ["silent", "hang"].entries()) {
          const answering = yield* Effect.forkChild(Stream.runDrain(agent.answer(turnOf([text]))))
          const asked = yield* server.ask(index + 1)
          yield* Fiber.interrupt(answering)
          assert.strictEqual(yield* asked.over, "left")
        }
      }).pipe(Effect.provide(client))
    )
  }
})
