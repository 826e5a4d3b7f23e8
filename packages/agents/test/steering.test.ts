// Q6: an agent that was handed messages and ends its turn without a word about them. Its word is waited for, then it is asked
// to give them back, where its protocol has that, then its process is ended, so that it can't take them any more; what is not
// known even then is the turn's, which goes on with it. All in process, on a clock that stands still: no time decides it.
import { assert, describe, it } from "@effect/vitest"
import type { AgentError, AgentEvent } from "@sluice/runtime/Agent"
import type { TurnMessage } from "@sluice/runtime/Message"
import { turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type * as Acp from "../src/internal/acp/connection.ts"
import { AcpError } from "../src/internal/acp/failure.ts"
import { asking } from "../src/internal/acp/handing.ts"
import * as AcpTurn from "../src/internal/acp/turn.ts"
import type * as Claude from "../src/internal/claude/connection.ts"
import { ClaudeError } from "../src/internal/claude/failure.ts"
import type { Message } from "../src/internal/claude/lines.ts"
import * as ClaudeTurn from "../src/internal/claude/turn.ts"
import { goingOn } from "../src/internal/goingOn.ts"

/** The message that is handed to the turn: `message-1`. */
const further: ReadonlyArray<TurnMessage> = turnOf(["two"]).messages

/** Reads a turn to its end as the gateway does, which says of a message that is taken whether it still waits. */
const reading = (events: Stream.Stream<AgentEvent, unknown>, waits = true) =>
  events.pipe(
    Stream.tap((event) =>
      Effect.sync(() => {
        if (event._tag === "Steered") event.joined?.(waits ? event.ids : [])
      })
    ),
    Stream.filter(({ _tag }) => _tag === "Text" || _tag === "Steered"),
    Stream.map((event) => (event._tag === "Steered" ? ["took", ...event.ids] : [(event as { delta: string }).delta])),
    Stream.runCollect,
    (read) => Effect.forkChild(read, { startImmediately: true })
  )

describe("Q6: an agent over ACP", () => {
  /** A process whose prompt ends, and which answers the steering request when it is told to, or never. */
  const process = Effect.gen(function* () {
    const gone = yield* Deferred.make<never, AcpError>()
    const prompt = yield* Latch.make(false)
    const word = yield* Deferred.make<unknown, AcpError>()
    const ended = { times: 0 }
    const scope = yield* Scope.fork(yield* Effect.scope)
    const request: Acp.Connection["request"] = <A>(method: string) =>
      (method === "session/prompt" ? Effect.as(prompt.await, { stopReason: "end_turn" }) : Deferred.await(word)).pipe(
        Effect.raceFirst(Deferred.await(gone))
      ) as Effect.Effect<A, AcpError>
    const can = { load: true, resume: true, close: false, delete: false, images: false, systemPrompt: false }
    const connection: Acp.Connection = {
      program: "agent",
      can: { ...can, steering: true },
      facts: { model: undefined, spent: undefined },
      request,
      notify: () => Effect.void,
      belongsTo: () => {},
      listen: () => {},
      pause: () => {},
      resume: () => {},
      gone,
      close: Effect.void,
      silent: () => Effect.die("is not silent")
    }
    const end = Effect.suspend(() => {
      ended.times++
      const error = new AcpError({ kind: "Exited", program: "agent", problem: "ended" })
      return Effect.andThen(Deferred.fail(gone, error), Scope.close(scope, Exit.void))
    })
    const own = yield* Scope.fork(yield* Effect.scope)
    const running = yield* AcpTurn.run([], {
      connection,
      conversation: { id: "1", introduction: () => undefined, answered: Effect.void },
      permissions: "ask",
      cancelWithin: "1 second",
      end,
      scope
    }).pipe(Scope.provide(own))
    const steer = running.steer(further, asking(connection, "1", []))
    return { ended, prompt, running, steer, word, letGo: Scope.close(own, Exit.void) }
  })
  const said = (outcome: string) => Effect.succeed({ outcome })

  it.effect("Q6: that says it took the message, however long after its turn's end, has it in that turn", () =>
    Effect.gen(function* () {
      const { ended, letGo, prompt, running, steer, word } = yield* process
      yield* steer
      const turn = yield* reading(running.events)
      yield* prompt.open
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(turn.pollUnsafe())
      yield* Deferred.completeWith(word, said("injected"))
      assert.deepStrictEqual(yield* Fiber.join(turn), [["took", "message-1"]])
      yield* letGo
      assert.deepStrictEqual([running.further(), ended.times], [[], 0])
    }).pipe(Effect.scoped)
  )

  it.effect("Q6: that says it did not take it, or refuses it, leaves it to the next turn and lives on", () =>
    Effect.gen(function* () {
      const refused = new AcpError({ kind: "Refused", program: "agent", problem: "no such method", code: -32601 })
      for (const answer of [said("promptRequired"), Effect.fail(refused)]) {
        const { ended, letGo, prompt, running, steer, word } = yield* process
        yield* steer
        const turn = yield* reading(running.events)
        yield* prompt.open
        yield* Deferred.completeWith(word, answer)
        assert.deepStrictEqual(yield* Fiber.join(turn), [])
        yield* letGo
        // What is handed over when all is said reaches nobody: it could be taken into the next turn.
        yield* running.steer(further, Effect.die("asked"))
        assert.deepStrictEqual([running.further(), ended.times], [[], 0])
      }
    }).pipe(Effect.scoped)
  )

  it.effect("Q6: that never says is ended before the turn is, and the turn goes on with the message", () =>
    Effect.gen(function* () {
      const { ended, letGo, prompt, running, steer } = yield* process
      yield* steer
      const turn = yield* reading(running.events)
      yield* prompt.open
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual([turn.pollUnsafe(), ended.times], [undefined, 0])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(turn), [["took", "message-1"]])
      assert.deepStrictEqual([running.further(), ended.times], [further, 1])
      yield* letGo
    }).pipe(Effect.scoped)
  )

  it.effect("Q6: whose word decides nothing (an inner error, an outcome of next year) is taken at no word", () =>
    Effect.gen(function* () {
      const inner = new AcpError({ kind: "Refused", program: "agent", problem: "internal error", code: -32603 })
      for (const answer of [said("startedNewTurn"), Effect.fail(inner), Effect.succeed(null)]) {
        const { ended, letGo, prompt, running, steer, word } = yield* process
        yield* steer
        const turn = yield* reading(running.events)
        yield* Deferred.completeWith(word, answer)
        yield* prompt.open
        assert.deepStrictEqual(yield* Fiber.join(turn), [["took", "message-1"]])
        assert.deepStrictEqual([running.further(), ended.times], [further, 1])
        yield* letGo
      }
    }).pipe(Effect.scoped)
  )

  it.effect("Q6 Q25: that never says is ended, and not asked about what was withdrawn meanwhile", () =>
    Effect.gen(function* () {
      const { ended, letGo, prompt, running, steer } = yield* process
      yield* steer
      const turn = yield* reading(running.events, false)
      yield* prompt.open
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(turn)
      assert.deepStrictEqual([running.further(), ended.times], [[], 1])
      yield* letGo
    }).pipe(Effect.scoped)
  )

  it.effect("Q6 Q7: whose turn is cut off meanwhile is ended, so that it takes nothing into the next one", () =>
    Effect.gen(function* () {
      const { ended, letGo, prompt, running, steer } = yield* process
      yield* steer
      const turn = yield* reading(running.events)
      const cut = yield* Effect.forkChild(Effect.andThen(Fiber.interrupt(turn), letGo), { startImmediately: true })
      yield* prompt.open
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(cut)
      assert.strictEqual(ended.times >= 1, true)
    }).pipe(Effect.scoped)
  )
})

describe("Q6: the Claude Code CLI", () => {
  /** A process that was handed a message behind its last words; `respond` is what it answers to a request. */
  const process = Effect.fnUntraced(function* (respond: (request: Message) => Effect.Effect<Message, ClaudeError>) {
    const gone = yield* Deferred.make<never, ClaudeError>()
    const asked: Array<unknown> = []
    const handed: Array<string> = []
    const ended = { times: 0 }
    let listener: Claude.Listener | undefined
    const connection: Claude.Connection = {
      program: "claude",
      send: () => Effect.void,
      request: (request) =>
        Effect.suspend(() => {
          asked.push(request["subtype"])
          return respond(request)
        }),
      listen: (next) => void (listener = next),
      pause: () => {},
      resume: () => {},
      gone
    }
    const own = yield* Scope.fork(yield* Effect.scope)
    const running = yield* ClaudeTurn.run({
      connection,
      uuid: "u1",
      content: [],
      permissions: "ask",
      interruptWithin: "1 second",
      end: Effect.suspend(() => {
        ended.times++
        return Effect.asVoid(
          Deferred.fail(gone, new ClaudeError({ kind: "Exited", program: "claude", problem: "ended" }))
        )
      }),
      unclaimed: [],
      answered: Effect.void,
      handing: (uuid) => Effect.sync(() => void handed.push(uuid))
    }).pipe(Scope.provide(own))
    const say = (message: Message) => listener?.message(message)
    say({ type: "user", uuid: "u1" })
    say({ type: "assistant", message: { id: "a", content: [{ type: "text", text: "hi" }] } })
    yield* running.steer(further, [])
    const usage = { input_tokens: 1, output_tokens: 2 }
    say({ type: "result", subtype: "success", result: "hi", usage })
    return { asked, ended, handed, running, say, letGo: Scope.close(own, Exit.void) }
  })
  const silent = () => Effect.never
  const gives = (cancelled: boolean) => () => Effect.succeed({ cancelled })

  it.effect(
    "Q6: that says something begins its silence anew, and is asked to give the message back after 30 s of it",
    () =>
      Effect.gen(function* () {
        const { asked, ended, letGo, running, say } = yield* process(gives(true))
        const used: Array<number | undefined> = []
        const turn = yield* reading(
          Stream.tap(running.events, (event) =>
            Effect.sync(() => {
              if (event._tag === "Usage") used.push(event.usage["outputTokens"])
            })
          )
        )
        yield* TestClock.adjust("29 seconds")
        say({ type: "system", subtype: "status" })
        say({ type: "result", subtype: "success", result: "", usage: {} })
        yield* TestClock.adjust("29 seconds")
        assert.deepStrictEqual([turn.pollUnsafe(), asked], [undefined, []])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* Fiber.join(turn), [["hi"]])
        yield* letGo
        // It did not read it, so it is the next turn's, and the process lives on; what the turn used is told once.
        assert.deepStrictEqual([running.further(), asked, ended.times], [[], ["cancel_async_message"], 0])
        assert.deepStrictEqual(used, [2, 0])
      }).pipe(Effect.scoped)
  )

  it.effect(
    "Q6: that does not give it back, can't, or says nothing at all is ended, and the turn goes on with it",
    () =>
      Effect.gen(function* () {
        const refuses = () =>
          Effect.fail(new ClaudeError({ kind: "Unfinished", program: "claude", problem: "refused" }))
        for (const respond of [gives(false), refuses, silent]) {
          const { ended, letGo, running } = yield* process(respond)
          const turn = yield* reading(running.events)
          yield* TestClock.adjust("30 seconds")
          yield* TestClock.adjust("1 second")
          assert.deepStrictEqual(yield* Fiber.join(turn), [["hi"], ["took", "message-1"]])
          assert.deepStrictEqual([running.further(), ended.times], [further, 1])
          yield* letGo
        }
      }).pipe(Effect.scoped)
  )

  it.effect("Q6: that takes it, however late, answers it in the same turn", () =>
    Effect.gen(function* () {
      const { asked, ended, handed, letGo, running, say } = yield* process(silent)
      const turn = yield* reading(running.events)
      yield* TestClock.adjust("29 seconds")
      say({ type: "user", uuid: handed[0] })
      yield* TestClock.adjust("10 minutes")
      assert.isUndefined(turn.pollUnsafe())
      say({ type: "assistant", message: { id: "b", content: [{ type: "text", text: "and this" }] } })
      say({ type: "result", subtype: "success", result: "and this", usage: {}, user_message_uuids: handed })
      assert.deepStrictEqual(yield* Fiber.join(turn), [["hi"], ["took", "message-1"], ["\n\nand this"]])
      yield* letGo
      assert.deepStrictEqual([running.further(), asked, ended.times], [[], [], 0])
    }).pipe(Effect.scoped)
  )

  it.effect(
    "Q6 Q7: whose turn is cut off lives on when it says that it dropped the message, and is ended when not",
    () =>
      Effect.gen(function* () {
        for (const drops of [true, false]) {
          const dropped: Array<string> = []
          const made = yield* process(({ subtype }) =>
            Effect.succeed(subtype === "interrupt" ? { cancelled: dropped } : {})
          )
          if (drops) dropped.push(...made.handed)
          const turn = yield* reading(made.running.events)
          const cut = yield* Effect.forkChild(Effect.andThen(Fiber.interrupt(turn), made.letGo), {
            startImmediately: true
          })
          yield* Effect.yieldNow
          made.say({ type: "result", subtype: "error_during_execution", is_error: true, errors: [] })
          yield* Fiber.join(cut)
          assert.deepStrictEqual([drops, made.asked, made.ended.times > 0], [drops, ["interrupt"], !drops])
        }
      }).pipe(Effect.scoped)
  )
})

describe("Q6: an answer that goes on", () => {
  it.effect("has what is said then as a paragraph of its own, and none before it where nothing was said", () =>
    Effect.gen(function* () {
      const said = (...texts: ReadonlyArray<string>) =>
        Stream.fromIterable(texts.map((delta): AgentEvent => ({ _tag: "Text", delta })))
      const answer = (round: Stream.Stream<AgentEvent>, next: Stream.Stream<AgentEvent, AgentError>) =>
        Effect.map(Stream.runCollect(goingOn(round, () => next)), (events) =>
          events.map((event) => (event._tag === "Text" ? event.delta : "")).join("")
        )
      assert.strictEqual(yield* answer(said("one", " two"), said("three", " four")), "one two\n\nthree four")
      assert.strictEqual(yield* answer(said(""), said("three")), "three")
      assert.strictEqual(
        yield* answer(
          said("one"),
          goingOn(said(), () => said("three"))
        ),
        "one\n\nthree"
      )
    })
  )
})
