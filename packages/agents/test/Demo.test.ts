// The demo agent's exact words and what each directive does. Everything here runs on TestClock.
import { assert, describe, it } from "@effect/vitest"
import type { AgentEvent } from "@sluice/runtime/Agent"
import type { Turn } from "@sluice/runtime/Message"
import { answerText, sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Demo from "../src/Demo.ts"

const open = (options?: Demo.Options) => Demo.make(options).open(sessionOf({ instance: "demo" }))

const run = Effect.fnUntraced(function* (turn: Turn, options?: Demo.Options) {
  return yield* Stream.runCollect((yield* open(options)).answer(turn))
}, Effect.scoped)

const tagsOf = (events: ReadonlyArray<AgentEvent>) => events.map((event) => event._tag)

describe("Demo", () => {
  it.effect("answers with the texts it got, joined by line feeds", () =>
    Effect.gen(function* () {
      assert.strictEqual(answerText(yield* run(turnOf(["hello"]))), "hello")
      assert.strictEqual(answerText(yield* run(turnOf(["one", "two", "three"]))), "one\ntwo\nthree")
      assert.strictEqual(answerText(yield* run(turnOf([""]))), "")
    })
  )

  it.effect.prop("answers any text with itself, in pieces that split no character", [Schema.String], ([text]) =>
    Effect.gen(function* () {
      if (Demo.directive(text)._tag !== "Say") return
      const events = yield* run(turnOf([text]))
      assert.strictEqual(answerText(events), text)
      if (text.isWellFormed()) {
        assert.isTrue(events.every((event) => event._tag === "Text" && event.delta.isWellFormed()))
      }
    })
  )

  it.effect("streams a long answer in several pieces", () =>
    Effect.gen(function* () {
      const events = yield* run(turnOf(["a word or two ".repeat(100)]))
      assert.strictEqual(events.length, 16)
    })
  )

  it.effect("work takes its time with a sign of life each second, then says the text back", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(run(turnOf(["work 2500ms on it"])), { startImmediately: true })
      yield* TestClock.adjust("2499 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const events = yield* Fiber.join(fiber)
      assert.deepStrictEqual(events[0], { _tag: "Line", text: "working for 2500ms" })
      assert.deepStrictEqual(tagsOf(events).slice(1, 4), ["Alive", "Alive", "Alive"])
      assert.strictEqual(answerText(events), "work 2500ms on it")
    })
  )

  it.effect("every message of a batch has its directive done, one after the other", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(run(turnOf(["work 300ms", "plain", "work 2s"])), { startImmediately: true })
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(answerText(yield* Fiber.join(fiber)), "work 300ms\nplain\nwork 2s")
      assert.strictEqual(yield* Clock.currentTimeMillis, 3000)
    })
  )

  it.effect("tool reports a tool with side effects, from its start to its end", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(run(turnOf(["tool 2s deploy to production"])), { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      const events = yield* Fiber.join(fiber)
      const id = "turn-1/1/0"
      assert.deepStrictEqual(
        events.filter((event) => event._tag === "ToolStarted" || event._tag === "ToolFinished"),
        [
          { _tag: "ToolStarted", id, name: "deploy to production", sideEffects: true },
          { _tag: "ToolFinished", id }
        ]
      )
      assert.strictEqual(answerText(events), "tool 2s deploy to production")
    })
  )

  it.effect("D18: a tool whose outcome is unknown is told and not run again", () =>
    Effect.gen(function* () {
      const turn = turnOf(["tool 2s deploy", "and more"], { attempt: 2, interrupted: { by: "crash", tool: "deploy" } })
      const events = yield* run(turn)
      assert.deepStrictEqual([...new Set(tagsOf(events))], ["Text"])
      assert.strictEqual(
        answerText(events),
        "I was cut off while running deploy and can't tell whether it went through, so I did not run it again.\n" +
          "tool 2s deploy\nand more"
      )
    })
  )

  it.effect("D18: an interruption without a tool in flight changes nothing: the tool runs", () =>
    Effect.gen(function* () {
      const turn = turnOf(["tool 1s"], { attempt: 2, interrupted: { by: "restart" } })
      const fiber = yield* Effect.forkChild(run(turn), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      const events = yield* Fiber.join(fiber)
      assert.include(tagsOf(events), "ToolStarted")
      assert.strictEqual(answerText(events), "tool 1s")
    })
  )

  it.effect("ask asks yes or no and answers with the decision, or that there was none", () =>
    Effect.gen(function* () {
      const agent = yield* open()
      for (const [option, line] of [
        ["yes", "shall I deploy? yes"],
        ["no", "shall I deploy? no"],
        [undefined, "shall I deploy? (nobody answered)"]
      ] as const) {
        const asked = yield* Deferred.make<AgentEvent & { readonly _tag: "Permission" }>()
        const fiber = yield* agent.answer(turnOf(["ask shall I deploy?"])).pipe(
          Stream.tap((event) => (event._tag === "Permission" ? Deferred.succeed(asked, event) : Effect.void)),
          Stream.runCollect,
          Effect.forkChild({ startImmediately: true })
        )
        const permission = yield* Deferred.await(asked)
        assert.deepStrictEqual(permission.options, ["yes", "no"])
        assert.strictEqual(permission.question, "shall I deploy?")
        yield* permission.respond(option)
        assert.strictEqual(answerText(yield* Fiber.join(fiber)), line)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("Q17: fail fails with a typed error, always or in the first attempts only", () =>
    Effect.gen(function* () {
      for (const turn of [turnOf(["fail"], { attempt: 9 }), turnOf(["fail 2"], { attempt: 2 })]) {
        const error = yield* Effect.flip(run(turn))
        assert.strictEqual(error.reason, "Failed")
        assert.strictEqual(error.message, "agent failed: the demo agent was asked to fail")
      }
      assert.strictEqual(answerText(yield* run(turnOf(["fail 2"], { attempt: 3 }))), "fail 2")
    })
  )

  it.effect("crash does what it was given to do and answers nothing, until its attempts are used up", () =>
    Effect.gen(function* () {
      const crashed = yield* Deferred.make<void>()
      const options = { crash: Effect.asVoid(Deferred.succeed(crashed, undefined)) }
      const fiber = yield* Effect.forkChild(run(turnOf(["before", "crash 1"]), options))
      yield* Deferred.await(crashed)
      yield* Effect.yieldNow
      assert.isUndefined(fiber.pollUnsafe())
      yield* Fiber.interrupt(fiber)
      const again = yield* run(turnOf(["before", "crash 1"], { attempt: 2, interrupted: { by: "crash" } }), options)
      assert.strictEqual(answerText(again), "before\ncrash 1")
    })
  )

  it("takes as directives only what is written as one", () => {
    const read = (text: string) => Demo.directive(text)
    assert.deepStrictEqual(read("work 2s"), { _tag: "Work", millis: 2000, duration: "2s" })
    assert.deepStrictEqual(read(" work 300ms please\nnow "), { _tag: "Work", millis: 300, duration: "300ms" })
    assert.deepStrictEqual(read("tool 5m"), { _tag: "Tool", millis: 300_000, name: "tool" })
    assert.deepStrictEqual(read("crash"), { _tag: "Crash", attempts: Infinity })
    assert.strictEqual((read("work 999999999m") as { millis: number }).millis, 86_400_000)
    for (const text of [
      "working 2s",
      "work",
      "work hard",
      "work 2sec",
      "work -2s",
      "tool",
      "ask",
      "ask ",
      "crash test",
      "fail me",
      "hang on",
      "stubborn mule",
      "Hang",
      ""
    ]) {
      assert.deepStrictEqual(read(text), { _tag: "Say" }, text)
    }
  })
})
