// S11: what an agent says that nobody thought of ends its turn or is passed over, and never leaves a turn waiting: text
// that is no text, an output that can't be read on. All in process.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type * as Children from "../src/Children.ts"
import * as Connection from "../src/internal/acp/connection.ts"
import { type Facts, translator } from "../src/internal/acp/updates.ts"
import * as Claude from "../src/internal/claude/connection.ts"

const facts = (): Facts => ({ model: undefined, spent: undefined })

describe("an agent's words that are none", () => {
  it("S11: a text, a name or a type that is something else says nothing and throws nothing", () => {
    const hostile = { toString: 1, valueOf: 1 }
    const translate = translator(facts())
    const say = (content: unknown) => translate.on({ sessionUpdate: "agent_message_chunk", content })
    const alive = [{ _tag: "Alive" as const }]
    assert.deepStrictEqual(say({ type: "text", text: "a" }), [{ _tag: "Text", delta: "a" }])
    for (const value of [5, null, true, ["x"], hostile]) {
      assert.deepStrictEqual(say({ type: "text", text: value }), alive)
      assert.deepStrictEqual(say({ type: value }), alive)
      assert.deepStrictEqual(say({ type: "resource_link", name: value, uri: value }), alive)
      assert.deepStrictEqual(say({ type: "resource", resource: value }), alive)
      assert.deepStrictEqual(say(value), alive)
    }
    assert.deepStrictEqual(say({ type: "resource_link", name: "b", uri: "c" }), [{ _tag: "Text", delta: "b (c)" }])
    assert.deepStrictEqual(say({ type: "image", data: "..." }), [{ _tag: "Text", delta: "[image]" }])
  })
})

/** A program of which nothing can be read. */
const unreadable: Children.Child = {
  pid: 1,
  write: () => Effect.void,
  send: () => Effect.void,
  endInput: Effect.void,
  read: Effect.die(new Error("nobody thought of this")),
  exited: Effect.never,
  errors: Effect.succeed(""),
  stop: Effect.void
}

const room: Children.Room = { start: () => Effect.succeed(unreadable) }

describe("an output that can't be read on", () => {
  it.effect("S11: is told at once to who waits for an agent of the protocol", () =>
    Effect.gen(function* () {
      const started = Connection.start({
        room,
        program: { argv: ["agent"] },
        initTimeout: "1 minute",
        authMethod: undefined,
        readers: yield* Scope.make()
      })
      const error = yield* Effect.flip(started)
      assert.match(error.message, /sent something that can't be read; the log has the reason/)
    }).pipe(Effect.scoped)
  )

  it.effect("S11: is told at once to who waits for Claude Code", () =>
    Effect.gen(function* () {
      const readers = yield* Scope.make()
      const error = yield* Effect.flip(
        Claude.start({ room, program: { argv: ["claude"] }, initTimeout: "1 minute", readers })
      )
      assert.match(error.message, /sent something that can't be read; the log has the reason/)
    }).pipe(Effect.scoped)
  )
})
