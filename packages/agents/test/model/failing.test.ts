// What goes wrong between an agent and a model's server: repeated where that helps and nothing was said yet, bounded in
// time, told to the log without the key, and never to the person.
import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { AgentError, type AgentEvent } from "@sluice/runtime/Agent"
import { inspect } from "node:util"
import * as Model from "../../src/Model.ts"
import { type Plan, standIn, type StandIn } from "../standIn/openai.ts"
import { causeOf, client, heard, opened, turnOf } from "./answers.ts"

/** Lets the test's time go on until the effect is there. */
const whileTimePasses = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(
    effect,
    Effect.forever(
      Effect.andThen(
        TestClock.adjust(100),
        Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
      )
    )
  )

const refusal = (status: number, headers: Readonly<Record<string, string>> = {}): Plan => ({
  _tag: "Refuse",
  status,
  body: { error: { message: "not now" } },
  headers
})

describe("a call that fails before its first word", () => {
  for (const text of ["fail 429 2", "fail 503 2"]) {
    it.live(`is repeated at once, twice: ${text}`, () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const agent = yield* opened({ url: server.url })
        const answer = yield* heard(agent.answer(turnOf([text])))
        assert.isUndefined(answer.error)
        assert.strictEqual(answer.text, text)
        assert.strictEqual(server.asked.length, 3)
      }).pipe(Effect.provide(client))
    )
  }

  it.effect("is given up after that, with the cause for the log", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = yield* opened({ url: server.url })
      const { error } = yield* whileTimePasses(heard(agent.answer(turnOf(["fail 500"]))))
      assert.strictEqual(error?.reason, "Failed")
      assert.match(causeOf(error), /answered with 500: the stand-in refuses with 500/)
      assert.strictEqual(server.asked.length, 3)
    }).pipe(Effect.provide(client))
  )

  it.effect("waits as long as the server wants, when that is not long", () =>
    Effect.gen(function* () {
      const server = yield* standIn({ answer: (_, n) => (n === 1 ? refusal(429, { "retry-after": "7" }) : undefined) })
      const agent = yield* opened({ url: server.url })
      const { text } = yield* whileTimePasses(heard(agent.answer(turnOf(["hello"]))))
      assert.strictEqual(text, "hello")
      assert.isAtLeast(yield* Clock.currentTimeMillis, 7000)
    }).pipe(Effect.provide(client))
  )

  it.live("leaves a longer wait to the pipeline", () =>
    Effect.gen(function* () {
      const server = yield* standIn({ answer: () => refusal(429, { "retry-after": "3600" }) })
      const agent = yield* opened({ url: server.url })
      assert.strictEqual((yield* heard(agent.answer(turnOf(["hello"])))).error?.reason, "Failed")
      assert.strictEqual(server.asked.length, 1)
    }).pipe(Effect.provide(client))
  )

  it.effect("a server that hangs up, and one that is not there", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = yield* opened({ url: server.url })
      const dropped = yield* whileTimePasses(heard(agent.answer(turnOf(["drop"]))))
      assert.strictEqual(dropped.error?.reason, "Failed")
      assert.strictEqual(server.asked.length, 3)
      const nobody = yield* opened({ url: "http://127.0.0.1:9" })
      const { error } = yield* whileTimePasses(heard(nobody.answer(turnOf(["hello"]))))
      assert.match(causeOf(error), /^no connection to 127\.0\.0\.1:9: .*(ECONNREFUSED|bad port)/)
    }).pipe(Effect.provide(client))
  )

  for (const [status, reason] of [
    [401, "Failed"],
    [403, "Failed"],
    [404, "NoModel"]
  ] as const) {
    it.live(`is not repeated when somebody has to put something right: ${status}`, () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const agent = yield* opened({ url: server.url })
        assert.strictEqual((yield* heard(agent.answer(turnOf([`fail ${status}`])))).error?.reason, reason)
        assert.strictEqual(server.asked.length, 1)
      }).pipe(Effect.provide(client))
    )
  }

  it.live("is not repeated when the input is what is wrong", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = yield* opened({ url: server.url })
      assert.strictEqual((yield* heard(agent.answer(turnOf(["fail 400"])))).error?.reason, "Rejected")
      assert.strictEqual(server.asked.length, 1)
    }).pipe(Effect.provide(client))
  )
})

describe("a call that fails after its first word", () => {
  it.live("Q17: is not repeated here: nothing is said twice", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = yield* opened({ url: server.url })
      const { error, text } = yield* heard(agent.answer(turnOf(["break"])))
      assert.strictEqual(text, "this breaks")
      assert.strictEqual(error?.reason, "Failed")
      assert.strictEqual(server.asked.length, 1)
    }).pipe(Effect.provide(client))
  )
})

describe("a server that takes its time", () => {
  const cases: ReadonlyArray<
    readonly [promise: string, text: string, options: Partial<Model.Options>, passes: string, said: RegExp]
  > = [
    ["says nothing at all", "silent", {}, "60 seconds", /said nothing for 60 s/],
    ["stops in the middle", "hang", {}, "60 seconds", /said nothing for 60 s/],
    ["goes on for ever", "hang", { stallTimeout: "2 hours" }, "15 minutes", /took longer than 900 s/]
  ]
  for (const [promise, text, options, passes, said] of cases) {
    it.effect(`and ${promise} is let go of, once`, () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const agent = yield* opened({ url: server.url, ...options })
        const answering = yield* Effect.forkChild(heard(agent.answer(turnOf([text]))), { startImmediately: true })
        const asked = yield* server.ask(1)
        const { error } = yield* whileTimePasses(Fiber.join(answering))
        assert.strictEqual(error?.reason, "Failed")
        assert.match(causeOf(error), said)
        assert.strictEqual(yield* asked.over, "left")
        assert.strictEqual(server.asked.length, 1)
        assert.isAtLeast(yield* Clock.currentTimeMillis, passes === "60 seconds" ? 60_000 : 900_000)
      }).pipe(Effect.provide(client))
    )
  }

  it.effect("after its last word is not waited for as long: the answer is there", () =>
    Effect.gen(function* () {
      const last = `data: {"choices":[{"delta":{"content":"done"},"finish_reason":"stop"}]}\n\n`
      const server = yield* standIn({ answer: () => ({ _tag: "Raw", chunks: [last], after: "hang" }) })
      const agent = yield* opened({ url: server.url })
      const { error, text } = yield* whileTimePasses(heard(agent.answer(turnOf(["hello"]))))
      assert.isUndefined(error)
      assert.strictEqual(text, "done")
      assert.isBelow(yield* Clock.currentTimeMillis, 10_000)
    }).pipe(Effect.provide(client))
  )

  it.effect("and says that it still works is waited for", () =>
    Effect.gen(function* () {
      const server = yield* standIn({ answer: () => ({ _tag: "Raw", chunks: [": waiting\n\n"], after: "hang" }) })
      const agent = yield* opened({ url: server.url })
      const signs = yield* Queue.unbounded<AgentEvent>()
      const answering = yield* agent.answer(turnOf(["hello"])).pipe(
        Stream.tap((event) => Queue.offer(signs, event)),
        heard,
        Effect.forkChild({ startImmediately: true })
      )
      const asked = yield* server.ask(1)
      for (let n = 0; n < 3; n++) {
        assert.strictEqual((yield* Queue.take(signs))._tag, "Alive")
        yield* TestClock.adjust("50 seconds")
        asked.write(": waiting\n\n")
      }
      asked.write(`data: {"choices":[{"delta":{"content":"done"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`)
      assert.strictEqual((yield* whileTimePasses(Fiber.join(answering))).text, "done")
    }).pipe(Effect.provide(client))
  )
})

describe("what a server does not take", () => {
  const refused = (server: StandIn) =>
    server.asked.map(({ body }) => Object.keys(body).filter((key) => /tokens|options|temp/.test(key)))
  const unsupported = (message: string): Plan => ({
    _tag: "Refuse",
    status: 400,
    body: { error: { message, type: "invalid_request_error", param: null, code: "unsupported_parameter" } }
  })

  it.live("is left out from then on: max_tokens, stream_options, temperature", () =>
    Effect.gen(function* () {
      const server = yield* standIn({
        answer: ({ body }) =>
          body.max_tokens !== undefined
            ? unsupported(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
              )
            : body.stream_options !== undefined
              ? unsupported("Unrecognized request argument supplied: stream_options")
              : body.temperature !== undefined
                ? unsupported(
                    "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported."
                  )
                : undefined
      })
      const agent = yield* opened({ url: server.url, temperature: 0.2 })
      assert.strictEqual((yield* heard(agent.answer(turnOf(["hello"])))).text, "hello")
      yield* heard(agent.answer(turnOf(["again"])))
      assert.deepStrictEqual(refused(server), [
        ["stream_options", "max_tokens", "temperature"],
        ["stream_options", "max_completion_tokens", "temperature"],
        ["max_completion_tokens", "temperature"],
        ["max_completion_tokens"],
        ["max_completion_tokens"]
      ])
    }).pipe(Effect.provide(client))
  )
})

describe("the key", () => {
  const secret = "sk-never-in-a-log-1234567890"
  const key = Redacted.make(secret)
  const encode = Schema.encodeSync(AgentError)

  it.live("is in no error, whatever the server quotes", () =>
    Effect.gen(function* () {
      const quoting: Plan = {
        _tag: "Refuse",
        status: 401,
        body: { error: { message: `Incorrect API key provided: ${secret}` } }
      }
      const server = yield* standIn({
        answer: ({ text }) => (text === "quote" ? { ...quoting, status: 400 } : quoting)
      })
      for (const [url, text] of [
        [server.url, "hello"],
        [server.url, "quote"],
        ["http://127.0.0.1:9", "hello"]
      ] as const) {
        const agent = yield* opened({ url, key, retries: 0 })
        const { error } = yield* heard(agent.answer(turnOf([text])))
        assert.isDefined(error)
        const everything = [
          inspect(error, { depth: 20, showHidden: true }),
          String(error),
          JSON.stringify(error && encode(error))
        ]
        assert.notInclude(everything.join("\n"), secret)
      }
    }).pipe(Effect.provide(client))
  )

  it.live("leaves no piece behind where a long text is cut, wherever in it the key stands", () =>
    Effect.gen(function* () {
      let said = ""
      const server = yield* standIn({
        answer: ({ text }): Plan =>
          text === "refuse"
            ? { _tag: "Refuse", status: 400, body: { error: { message: said, type: "odd_error" } } }
            : { _tag: "Raw", type: "application/json", chunks: [said] }
      })
      const agent = yield* opened({ url: server.url, key, retries: 0 })
      for (const before of [180, 190, 480, 490, 1_380, 1_400, 1_490]) {
        said = `${"a".repeat(before)}${secret}${"z".repeat(1_500 - before)}`
        for (const text of ["refuse", "garble"]) {
          const cause = causeOf((yield* heard(agent.answer(turnOf([text])))).error)
          assert.isBelow(cause.length, 700)
          if (text === "refuse") assert.match(cause, /answered with 400: a.*odd_error/)
          else assert.match(cause, /sent what is no answer: a/)
          for (let at = 0; at + 6 <= secret.length; at++) assert.notInclude(cause, secret.slice(at, at + 6))
        }
      }
    }).pipe(Effect.provide(client))
  )

  for (const [name, layer] of [
    ["node", NodeHttpClient.layerNodeHttp],
    ["fetch", FetchHttpClient.layer]
  ] as const) {
    it.live(`does not go where a redirection leads, over ${name}`, () =>
      Effect.gen(function* () {
        const elsewhere = yield* standIn()
        const server = yield* standIn({
          answer: () => refusal(307, { location: `${elsewhere.url}/v1/chat/completions` })
        })
        const agent = yield* opened({ url: server.url, key })
        const { error } = yield* heard(agent.answer(turnOf(["hello"])))
        assert.match(causeOf(error), /307; it sends calls elsewhere/)
        assert.deepStrictEqual(elsewhere.calls, [])
      }).pipe(Effect.provide(layer))
    )
  }
})

describe("whether a server is there", () => {
  it.live("is found out without paying for an answer", () =>
    Effect.gen(function* () {
      const server = yield* standIn({ models: ["stand-in:latest", "other"] })
      const at = (model: string, url = server.url) => ({ api: "openai", url, model }) as const
      const host = new URL(server.url).host
      assert.strictEqual(yield* Model.reach(at("stand-in")), `${host} answers and knows stand-in`)
      assert.strictEqual(
        yield* Effect.flip(Model.reach(at("missing"))),
        `${host} does not know the model missing; it has stand-in:latest, other`
      )
      assert.match(
        yield* Effect.flip(Model.reach(at("stand-in", "http://127.0.0.1:9"))),
        /^no connection to 127\.0\.0\.1:9/
      )
      assert.deepStrictEqual(server.asked, [])
    }).pipe(Effect.provide(client))
  )
})

describe("options", () => {
  const options = { api: "openai", url: "http://localhost:11434", model: "stand-in" } as const

  it("that can't be right are told with their remedy", () => {
    assert.isUndefined(Model.invalid(options))
    for (const [wrong, said] of [
      [{ url: "localhost:11434" }, /^url "localhost:11434": is no address; use one such as/],
      [{ url: "https://me:secret@example.org" }, /^url: holds a name or a password/],
      [{ url: "https://example.org/v1?key=secret" }, /^url: holds a query/],
      [{ model: " " }, /^model: is empty/],
      [{ maxTokens: 0 }, /^maxTokens 0: is no number of tokens/],
      [{ contextTokens: 1.5 }, /^contextTokens 1\.5/],
      [{ retries: -1 }, /^retries -1/],
      [{ temperature: 3 }, /^temperature 3: is out of range/],
      [{ key: Redacted.make("two keys") }, /^key: is empty or holds spaces/]
    ] as const) {
      assert.match(Model.invalid({ ...options, ...wrong }) ?? "", said)
      assert.throws(() => Model.make({ ...options, ...wrong }), said)
    }
  })
})
