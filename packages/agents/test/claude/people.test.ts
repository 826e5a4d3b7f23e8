// What people do while a turn of the real CLI runs: decide what it may do, answer its questions, write on.
import { assert, describe, it } from "@effect/vitest"
import type { AgentEvent } from "@sluice/runtime/Agent"
import { turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Children from "../../src/Children.ts"
import { claude, missing } from "../installed.ts"
import { answerOf, place, reading, until } from "./real.ts"

const asks = (told: unknown): told is Extract<AgentEvent, { readonly _tag: "Permission" }> =>
  (told as AgentEvent)._tag === "Permission"

const bash = (command: string) => `tool Bash ${JSON.stringify({ command, description: "Do it" })}`

/** Milliseconds; a process that starts takes its time on a machine that is busy. */
const longest = 120_000

describe.skipIf(claude === undefined)(`ClaudeCode ${claude === undefined ? missing : ""}`, () => {
  it.live(
    "Q19: a person is asked before a tool runs; it runs when they allow it, and not when they deny it",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { open, work } = yield* place
          const agent = yield* open()
          const decide = Effect.fnUntraced(function* (id: string, file: string, option: string | undefined) {
            const turn = yield* reading(agent.answer(turnOf([bash(`echo done > '${file}'`)], { id })))
            const asked = yield* turn.until(asks)
            if (!asks(asked)) return assert.fail("nobody was asked")
            assert.match(asked.question, /^Bash \(Do it\): echo done > /)
            assert.includeMembers([...asked.options], ["Allow", "Deny"])
            assert.isFalse(existsSync(join(work, file)))
            yield* asked.respond(option)
            yield* turn.until((told) => told === "end")
            return existsSync(join(work, file))
          })
          assert.isTrue(yield* decide("turn-1", "allowed", "Allow"))
          assert.isFalse(yield* decide("turn-2", "denied", "Deny"))
          assert.isFalse(yield* decide("turn-3", "unanswered", undefined))
        })
      ),
    longest
  )

  it.live(
    "Q19: what a person always allows is not asked again while the process lives",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { open, work } = yield* place
          const agent = yield* open()
          const turn = yield* reading(agent.answer(turnOf([bash("mkdir made && rmdir made")])))
          const asked = yield* turn.until(asks)
          if (!asks(asked)) return assert.fail("nobody was asked")
          yield* asked.respond("Always allow")
          yield* turn.until((told) => told === "end")
          const again = yield* Stream.runCollect(
            agent.answer(turnOf([bash("mkdir made && rmdir made")], { id: "turn-2" }))
          )
          assert.deepStrictEqual(again.filter(asks), [])
          assert.isFalse(existsSync(join(work, ".claude")))
        })
      ),
    longest
  )

  it.live(
    "a turn that is stopped while it waits for a person is let go, and the tool never runs",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { instance, open, work } = yield* place
          const agent = yield* open()
          const turn = yield* reading(agent.answer(turnOf([bash("echo done > stopped")])))
          const asked = yield* turn.until(asks)
          const before = yield* Children.running(instance)
          yield* turn.stop
          if (asks(asked)) yield* asked.respond("Allow")
          const events = yield* Stream.runCollect(agent.answer(turnOf(["and now?"], { id: "turn-2" })))
          assert.strictEqual(answerOf(events), "and now?")
          assert.isFalse(existsSync(join(work, "stopped")))
          assert.deepStrictEqual(yield* Children.running(instance), before)
        })
      ),
    longest
  )

  it.live(
    "Q6: what is written while a tool runs reaches the model at its next step, and is told as taken",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { model, open, untilKnown, work } = yield* place
          const agent = yield* open({ permissions: "allow" })
          const gate = join(work, "gate")
          const wait = `echo at work > '${join(work, "begun")}'; until [ -e '${gate}' ]; do sleep 0.05; done`
          // It is handed over while the CLI is being started, and waits for the turn.
          const handing = yield* Effect.forkChild(agent.steer?.(turnOf(["and this too"]).messages) ?? Effect.void, {
            startImmediately: true
          })
          const turn = yield* reading(agent.answer(turnOf([bash(wait)])))
          yield* until(() => existsSync(join(work, "begun")))
          yield* Fiber.join(handing)
          writeFileSync(gate, "")
          const taken = yield* turn.until((told) => (told as AgentEvent)._tag === "Steered")
          assert.deepStrictEqual(taken, { _tag: "Steered", ids: ["message-1"] })
          yield* turn.until((told) => told === "end")
          assert.include(JSON.stringify(model.asked[1]?.body.messages), "and this too")
          assert.strictEqual(model.asked.length, 2)
          // Another process of the conversation could tell: it stands there under the id that was kept before it was sent.
          yield* untilKnown
        })
      ),
    longest
  )

  it.live(
    "Q6: what is written while the last words are said is answered in the same turn",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { model, open, untilKnown } = yield* place
          const agent = yield* open()
          const turn = yield* reading(agent.answer(turnOf(["hold"])))
          const held = yield* model.ask(1)
          held.delta("the last words")
          yield* turn.until((told) => (told as AgentEvent)._tag === "Text")
          yield* agent.steer?.(turnOf(["one thing more"]).messages) ?? Effect.void
          held.finish()
          yield* turn.until((told) => (told as AgentEvent)._tag === "Steered")
          const said = yield* turn.until((told) => (told as AgentEvent)._tag === "Text")
          // A paragraph of its own.
          assert.match((said as Extract<AgentEvent, { readonly _tag: "Text" }>).delta, /^\n\none thi/)
          yield* turn.until((told) => told === "end")
          yield* untilKnown
          // Nothing is left over: the next turn is answered with its own.
          const events = yield* Stream.runCollect(agent.answer(turnOf(["and now?"], { id: "turn-2" })))
          assert.strictEqual(answerOf(events), "and now?")
        })
      ),
    longest
  )

  it.live(
    "Q19: a question that the model asks is put to the person with its options, and the answers reach it",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { model, open } = yield* place
          const agent = yield* open()
          const options = (...labels: ReadonlyArray<string>) => labels.map((label) => ({ label, description: label }))
          const questions = [
            { question: "Which color?", header: "Color", multiSelect: false, options: options("Red", "Blue") },
            { question: "Which size?", header: "Size", multiSelect: false, options: options("S", "L") }
          ]
          const turn = yield* reading(agent.answer(turnOf([`tool AskUserQuestion ${JSON.stringify({ questions })}`])))
          for (const [question, option] of [
            ["Which color?", "Blue"],
            ["Which size?", "L"]
          ] as const) {
            const asked = yield* turn.until(asks)
            if (!asks(asked)) return assert.fail("nobody was asked")
            assert.strictEqual(asked.question, question)
            yield* asked.respond(option)
          }
          yield* turn.until((told) => told === "end")
          assert.match(model.asked[1]?.results.join("") ?? "", /"Which color\?"="Blue", "Which size\?"="L"/)
        })
      ),
    longest
  )
})
