// What a model remembers: the turns that fit, what came before them cut or summed up once, in figures that the server
// itself puts right.
import { assert, describe, it } from "@effect/vitest"
import type { PastTurn } from "@sluice/runtime/Agent"
import { Attachment } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Model from "../../src/Model.ts"
import { type Asked, type Plan, standIn, textOf } from "../standIn/openai.ts"
import { causeOf, client, heard, opened, past, sessionOf, turnOf } from "./answers.ts"

/** Turns of some 100 tokens each. */
const turns = (from: number, to: number): ReadonlyArray<PastTurn> =>
  Array.from({ length: to - from }, (_, index) =>
    past(`${from + index}`, `turn ${from + index} ${"word ".repeat(34)}`, "ok ".repeat(70))
  )

const isSummary = ({ text }: Asked): boolean => text.includes("Sum this up")

/** Which past turns a request tells in full. */
const told = ({ said }: Asked): ReadonlyArray<string> =>
  said.flatMap((text) => [...text.matchAll(/(?:^|\n)turn (\d+) /g)].map(([, id = ""]) => id))

const whole = (content: string, prompt: number): Plan => ({
  _tag: "Raw",
  type: "application/json",
  chunks: [
    JSON.stringify({
      choices: [{ index: 0, message: { content }, finish_reason: "stop" }],
      usage: { prompt_tokens: prompt, completion_tokens: 1 }
    })
  ]
})

/** A server that counts `factor` tokens for each that is guessed. */
const counting = (factor: number) => ({
  answer: ({ body }: Asked) => {
    const units = body.messages.reduce((sum, { content }) => sum + 4 + textOf({ role: "user", content }).length / 4, 0)
    return whole("fine", Math.round(units * factor))
  }
})

const context = { contextTokens: 2000, maxTokens: 500 }

describe("a conversation that is too long", () => {
  it.live("is cut to what fits, in order; the person is told once, and its beginning then stays for a while", () =>
    Effect.gen(function* () {
      const server = yield* standIn(counting(1))
      const keeping = {}
      const answer = (to: number) =>
        Effect.gen(function* () {
          const session = sessionOf({ instance: "test", keeping, past: turns(0, to) })
          return yield* heard((yield* opened({ url: server.url, ...context }, session)).answer(turnOf(["and now?"])))
        })
      const first = yield* answer(100)
      assert.deepStrictEqual(first.lines, [Model.words.cut])
      const ids = told(yield* server.ask(1))
      assert.isAbove(ids.length, 4)
      assert.deepStrictEqual(
        ids,
        turns(100 - ids.length, 100).map(({ id }) => id)
      )
      assert.match((yield* server.ask(1)).said[0] ?? "", /^\[The earlier part of this conversation is left out\.\]/)
      const second = yield* answer(101)
      assert.deepStrictEqual(second.lines, [])
      assert.deepStrictEqual(told(yield* server.ask(2)), [...ids, "100"])
      // Full again: the next cut, of which nobody hears.
      const third = yield* answer(120)
      assert.deepStrictEqual(third.lines, [])
      assert.strictEqual(told(yield* server.ask(3)).at(-1), "119")
      assert.isBelow(told(yield* server.ask(3)).length, 13)
    }).pipe(Effect.provide(client))
  )

  it.live("Q12: is summed up once, kept over a reopening, and not paid twice", () =>
    Effect.gen(function* () {
      const server = yield* standIn({
        answer: (asked) => (isSummary(asked) ? whole("They spoke of turns.", 900) : undefined)
      })
      const keeping: { value?: string } = {}
      const answer = Effect.gen(function* () {
        const session = sessionOf({ instance: "test", keeping, past: turns(0, 18) })
        const options = { url: server.url, overflow: "summarize", ...context } as const
        return yield* heard((yield* opened(options, session)).answer(turnOf(["and now?"])))
      })
      const first = yield* answer
      assert.deepStrictEqual(first.lines, [Model.words.summarized])
      assert.strictEqual(first.text, (yield* server.ask(2)).text)
      assert.strictEqual(first.usage.length, 2)
      const [summary, asked] = [yield* server.ask(1), yield* server.ask(2)]
      assert.isTrue(isSummary(summary))
      assert.match(asked.said[0] ?? "", /^\[The earlier part of this conversation in short:\nThey spoke of turns\.\]/)
      // The summary covers what is no longer told, and nothing that is.
      const rest = told(asked)
      assert.isFalse(summary.text.includes(`turn ${rest[0]} `))
      assert.isTrue(summary.text.includes(`turn ${Number(rest[0]) - 1} `))
      yield* answer
      assert.strictEqual(server.asked.filter(isSummary).length, 1)
      assert.deepStrictEqual(told(yield* server.ask(3)), rest)
    }).pipe(Effect.provide(client))
  )

  it.live("is answered without a summary that fails, which the next turn tries again", () =>
    Effect.gen(function* () {
      const server = yield* standIn({
        answer: (asked, n) =>
          isSummary(asked) ? (n === 1 ? { _tag: "Refuse", status: 500 } : whole("Short.", 9)) : undefined
      })
      const session = sessionOf({ instance: "test", keeping: {}, past: turns(0, 30) })
      const agent = yield* opened({ url: server.url, overflow: "summarize", ...context }, session)
      assert.isUndefined((yield* heard(agent.answer(turnOf(["one"])))).error)
      assert.match((yield* server.ask(2)).said[0] ?? "", /^\[The earlier part of this conversation is left out\.\]/)
      yield* heard(agent.answer(turnOf(["two"])))
      assert.match((yield* server.ask(4)).said[0] ?? "", /in short:\nShort\.\]/)
    }).pipe(Effect.provide(client))
  )

  it.live("is cut when summaries fail again and again: they are not paid for at every turn", () =>
    Effect.gen(function* () {
      const server = yield* standIn({
        answer: (asked) => (isSummary(asked) ? { _tag: "Refuse", status: 500 } : undefined)
      })
      const session = sessionOf({ instance: "test", keeping: {}, past: turns(0, 30) })
      const agent = yield* opened({ url: server.url, overflow: "summarize", ...context }, session)
      const lines: Array<string> = []
      for (let turn = 0; turn < 5; turn++) lines.push(...(yield* heard(agent.answer(turnOf([`${turn}`])))).lines)
      assert.strictEqual(server.asked.filter(isSummary).length, 3)
      assert.deepStrictEqual(lines, [Model.words.cut])
    }).pipe(Effect.provide(client))
  )

  it.live("a second summary takes the first one along", () =>
    Effect.gen(function* () {
      const server = yield* standIn({
        answer: (asked, n) => (isSummary(asked) ? whole(`Summary ${n}.`, 9) : undefined)
      })
      const keeping = {}
      for (const to of [20, 34]) {
        const session = sessionOf({ instance: "test", keeping, past: turns(0, to) })
        yield* heard(
          (yield* opened({ url: server.url, overflow: "summarize", ...context }, session)).answer(turnOf(["?"]))
        )
      }
      assert.match((yield* server.ask(3)).text, /^What came before:\nSummary 1\./)
      assert.match((yield* server.ask(4)).said[0] ?? "", /in short:\nSummary 3\.\]/)
    }).pipe(Effect.provide(client))
  )
})

describe("images in the past", () => {
  it.live("take their place in the context: fewer turns are told beside them", () =>
    Effect.gen(function* () {
      const server = yield* standIn(counting(1))
      const told = (attachments: ReadonlyArray<Attachment>) =>
        Effect.gen(function* () {
          const [first = past("0", "zero"), ...others] = turns(0, 20).toReversed()
          const seen = { ...first, messages: first.messages.map((message) => ({ ...message, attachments })) }
          const session = sessionOf({ instance: "test", past: [...others.reverse(), seen] })
          yield* heard((yield* opened({ url: server.url, contextTokens: 6000 }, session)).answer(turnOf(["?"])))
          return (yield* server.ask(server.asked.length)).said.length
        })
      const image = new Attachment({ hash: "a", size: 9, type: "image/png", path: import.meta.filename })
      const without = yield* told([])
      assert.isBelow(yield* told([image]), without - 5)
    }).pipe(Effect.provide(client))
  )
})

describe("how tokens are counted", () => {
  it.live("is learned from the server, and kept: where it counts double, half as much is told", () =>
    Effect.gen(function* () {
      const keeping = {}
      const server = yield* standIn(counting(2))
      const answer = Effect.gen(function* () {
        const session = sessionOf({ instance: "test", keeping, past: turns(0, 9) })
        yield* heard((yield* opened({ url: server.url, ...context }, session)).answer(turnOf(["?"])))
      })
      yield* answer
      yield* answer
      const [before, after] = [told(yield* server.ask(1)).length, told(yield* server.ask(2)).length]
      assert.strictEqual(before, 9)
      assert.isBelow(after, 6)
    }).pipe(Effect.provide(client))
  )

  it.live("a prompt that is refused as too long is asked again with less history, until it fits", () =>
    Effect.gen(function* () {
      const limit = (n: number): Plan => ({
        _tag: "Refuse",
        status: 400,
        body: { error: { code: 400, message: `the request exceeds the available context size`, n_ctx: 4096 - n } }
      })
      const server = yield* standIn({ answer: ({ said }, n) => (said.length > 10 ? limit(n) : whole("fits", 10)) })
      const session = sessionOf({ instance: "test", past: turns(0, 60) })
      const agent = yield* opened({ url: server.url, contextTokens: 8000, maxTokens: 1500 }, session)
      const { error, text } = yield* heard(agent.answer(turnOf(["?"])))
      assert.isUndefined(error)
      assert.strictEqual(text, "fits")
      const sizes = server.asked.map(({ said }) => said.length)
      assert.deepStrictEqual(
        sizes,
        sizes.toSorted((one, other) => other - one)
      )
      assert.isAtLeast(sizes.length, 2)
    }).pipe(Effect.provide(client))
  )

  it.live("a message that is too long by itself is refused at once", () =>
    Effect.gen(function* () {
      const server = yield* standIn({
        answer: () => ({
          _tag: "Refuse",
          status: 400,
          body: { error: { message: "prompt is too long: 9 tokens > 5 maximum" } }
        })
      })
      const agent = yield* opened({ url: server.url })
      const { error } = yield* heard(agent.answer(turnOf(["a long story"])))
      assert.strictEqual(error?.reason, "Rejected")
      assert.match(causeOf(error), /prompt is too long/)
      assert.strictEqual(server.asked.length, 1)
    }).pipe(Effect.provide(client))
  )

  it.live("what another agent kept with the session is not taken for one's own", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const session = sessionOf({
        instance: "test",
        keeping: { value: "session-of-somebody-else" },
        past: [past("1", "one")]
      })
      yield* heard((yield* opened({ url: server.url }, session)).answer(turnOf(["two"])))
      assert.deepStrictEqual((yield* server.ask(1)).said, ["one", "two"])
    }).pipe(Effect.provide(client))
  )
})
