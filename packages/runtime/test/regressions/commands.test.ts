// C2, Q15: a program's key for a command and the id that a platform gives a message are two things, also when they are the
// same text: with one space for both, a command with the key "43" made a repeat of the message 43, which was lost.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Agent from "../../src/Agent.ts"
import { Gateway } from "../../src/Gateway.ts"
import * as Notices from "../../src/Notices.ts"
import { TestAgent, TestGateway } from "../../src/testing/index.ts"
import { boot, given, meanwhile, rest, world } from "../guarantees/boots.ts"

const status = { sender: "operator", text: "/status" }

describe("keys of commands beside the ids of messages", () => {
  it.effect("C2 Q15: a command's key makes no repeat of a message with that id, before it or behind it", () =>
    Effect.gen(function* () {
      const agent = TestAgent.make({ answer: ({ text }) => text })
      const current = yield* boot(yield* world(), { agent })
      const { gateway } = current
      yield* current.say("kim", "hello", "42")
      yield* rest(current, "chat/kim")
      for (const id of ["42", "43"]) {
        const first = yield* gateway.command("chat/kim", { id, ...status })
        assert.isDefined(first)
        assert.deepInclude(first, { id, duplicate: false })
        const again = yield* gateway.command("chat/kim", { id, ...status })
        assert.deepInclude(again, { id, seq: first.seq, duplicate: true })
        const other = yield* Effect.flip(gateway.command("chat/kim", { id, sender: "operator", text: "/help" }))
        assert.deepInclude(other, { _tag: "Conflict", id, seq: first.seq })
      }
      assert.isFalse((yield* current.say("kim", "and more", "43")).duplicate)
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(given(agent), ["hello", "and more"])
    })
  )

  it.effect(
    "Q15: a key that is too long beside the ids of messages is refused with its bound, and stores nothing",
    () =>
      Effect.gen(function* () {
        const current = yield* boot(yield* world(), { agent: TestAgent.make({ answer: ({ text }) => text }) })
        yield* current.say("kim", "hello")
        yield* rest(current, "chat/kim")
        const before = (yield* current.gateway.audit).accepted
        const error = yield* Effect.flip(current.gateway.command("chat/kim", { id: "k".repeat(249), ...status }))
        assert.deepInclude(error, { _tag: "Invalid", field: "id", remedy: "use at most 248 characters" })
        assert.strictEqual((yield* current.gateway.audit).accepted, before)
      })
  )
})

describe("a command that can't be run", () => {
  const words = Notices.make({
    startedNew: () => {
      throw new Error("no words")
    }
  })
  const agents = { echo: Agent.fromFunction(({ text }) => Effect.succeed(`re: ${text}`)) }

  it.effect("Q15: a /new whose words fail holds up no message behind it", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway
      const say = (text: string) => gateway.accept({ conversation: "kim", sender: "kim", text })
      yield* say("/new")
      yield* meanwhile(say("hello"))
      const answer = yield* meanwhile(Stream.runHead(gateway.replies("kim")))
      assert.strictEqual(Option.getOrThrow(answer).text, "re: hello")
    }).pipe(
      Effect.provide(
        TestGateway.make({ agents, debounce: { quiet: 0 } }).pipe(Layer.provide(Layer.succeed(Notices.Notices, words)))
      )
    )
  )
})
