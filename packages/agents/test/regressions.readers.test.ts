// S11, Q6: what an agent says that nobody thought of ends its turn or is passed over, and never leaves a turn waiting: text
// that is no text, an output that can't be read on, a question of ours that it does not answer before it ends. All in process.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type * as Children from "../src/Children.ts"
import type { AcpError } from "../src/internal/acp/failure.ts"
import * as Connection from "../src/internal/acp/connection.ts"
import * as Running from "../src/internal/acp/turn.ts"
import { type Facts, translator } from "../src/internal/acp/updates.ts"
import * as Claude from "../src/internal/claude/connection.ts"
import type { ClaudeError } from "../src/internal/claude/failure.ts"
import * as ClaudeRunning from "../src/internal/claude/turn.ts"

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

describe("Claude Code, when it was handed something behind its last words", () => {
  it.effect("Q6: and never begins with it, ends its turn after 30 s of silence, and what it used is told once", () =>
    Effect.gen(function* () {
      let listener: Claude.Listener | undefined
      const requests: Array<unknown> = []
      const connection: Claude.Connection = {
        program: "claude",
        send: () => Effect.void,
        request: (request) => Effect.sync(() => requests.push(request)).pipe(Effect.as({})),
        listen: (next) => void (listener = next),
        pause: () => {},
        resume: () => {},
        gone: Deferred.makeUnsafe<never, ClaudeError>()
      }
      const events = yield* Effect.gen(function* () {
        const running = yield* ClaudeRunning.run({
          connection,
          uuid: "u1",
          content: [],
          permissions: "ask",
          interruptWithin: "1 second",
          end: Effect.void,
          unclaimed: [],
          answered: Effect.void
        })
        const turn = yield* Effect.forkChild(Stream.runCollect(running.events), { startImmediately: true })
        listener?.message({ type: "user", uuid: "u1" })
        listener?.message({ type: "assistant", message: { id: "a", content: [{ type: "text", text: "hi" }] } })
        yield* running.steer({ ids: ["m2"], content: [] })
        const usage = { input_tokens: 1, output_tokens: 2 }
        listener?.message({ type: "result", subtype: "success", result: "hi", usage })
        yield* TestClock.adjust("29 seconds")
        assert.isUndefined(turn.pollUnsafe())
        // It does say something: the silence begins anew.
        listener?.message({ type: "system", subtype: "status" })
        listener?.message({ type: "result", subtype: "success", result: "", usage: {} })
        yield* TestClock.adjust("29 seconds")
        assert.isUndefined(turn.pollUnsafe())
        yield* TestClock.adjust("1 second")
        return yield* Fiber.join(turn)
      }).pipe(Effect.scoped)
      assert.deepStrictEqual(
        events.filter(({ _tag }) => _tag === "Text" || _tag === "Steered"),
        [{ _tag: "Text", delta: "hi" }]
      )
      const used = events.flatMap((event) => (event._tag === "Usage" ? [event.usage["outputTokens"]] : []))
      assert.deepStrictEqual(used, [2, 0])
      // What it may still have of it goes: it is the next turn's.
      assert.deepStrictEqual(requests, [{ subtype: "interrupt", cancel_queued: true }])
    })
  )
})

describe("an agent that ends its turn", () => {
  it.effect("Q6: and never says whether it took the rest over keeps the turn for 10 s at most", () =>
    Effect.gen(function* () {
      const connection: Connection.Connection = {
        program: "agent",
        can: {
          load: false,
          resume: false,
          close: false,
          delete: false,
          images: false,
          systemPrompt: false,
          steering: true
        },
        facts: facts(),
        request: <A>() => Effect.succeed({ stopReason: "end_turn" } as A),
        notify: () => Effect.void,
        belongsTo: () => {},
        listen: () => {},
        pause: () => {},
        resume: () => {},
        gone: Deferred.makeUnsafe<never, AcpError>(),
        close: Effect.void,
        silent: () => Effect.die("is not silent")
      }
      const running = yield* Running.run([], {
        connection,
        conversation: { id: "1", introduction: () => undefined, answered: Effect.void },
        permissions: "ask",
        cancelWithin: "1 second",
        end: Effect.void,
        scope: yield* Effect.scope
      })
      yield* Effect.forkChild(running.during(Effect.never), { startImmediately: true })
      const turn = yield* Effect.forkChild(Stream.runCollect(running.events), { startImmediately: true })
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(turn.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(turn), [])
    }).pipe(Effect.scoped)
  )
})
