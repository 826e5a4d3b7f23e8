// The real CLI end to end against the stand-in of its API: answer, stop, suspend and resume, tools, what a
// provider refuses, and what a person could write to make it forget.
import { assert, describe, it } from "@effect/vitest"
import * as Agent from "@sluice/runtime/Agent"
import type { AgentEvent } from "@sluice/runtime/Agent"
import { turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Children from "../../src/Children.ts"
import { claude, missing } from "../installed.ts"
import { usage } from "../standIn/anthropic.ts"
import { answerOf, place, reading } from "./real.ts"

const of = <Tag extends AgentEvent["_tag"]>(events: ReadonlyArray<AgentEvent>, tag: Tag) =>
  events.filter((event): event is Extract<AgentEvent, { readonly _tag: Tag }> => event._tag === tag)

const textIn = (path: string): string => (statSync(path).isFile() ? readFileSync(path, "utf8") : "")

const bash = (command: string) => `tool Bash ${JSON.stringify({ command, description: "Do it" })}`

/** Milliseconds; a process that starts takes its time on a machine that is busy. */
const longest = 120_000

describe.skipIf(claude === undefined)(`ClaudeCode ${claude === undefined ? missing : ""}`, () => {
  it.live(
    "answers as the model writes, says what it used, and knows what was said before",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { model, open } = yield* place
          const agent = yield* open({ model: "claude-sonnet-4-5" }, { systemPrompt: "You plan." })
          const first = yield* reading(agent.answer(turnOf(["hold"])))
          const held = yield* model.ask(1)
          held.delta("one ")
          assert.deepStrictEqual(yield* first.next, Agent.text("one "))
          held.finish("two")
          assert.deepStrictEqual(yield* first.next, Agent.text("two"))
          const used = (yield* first.next) as Extract<AgentEvent, { readonly _tag: "Usage" }>
          const { cost, ...tokens } = used.usage
          assert.deepStrictEqual(tokens, {
            inputTokens: usage.input_tokens,
            outputTokens: usage.output_tokens,
            cacheReadTokens: usage.cache_read_input_tokens,
            cacheWriteTokens: usage.cache_creation_input_tokens
          })
          assert.isAbove(cost ?? 0, 0)
          assert.match(used.model ?? "", /sonnet/)
          assert.strictEqual(yield* first.next, "end")
          assert.match(JSON.stringify(held.body.system), /You plan\./)
          assert.match(held.body.model, /sonnet/)
          const events = yield* Stream.runCollect(agent.answer(turnOf(["and then?"], { id: "turn-2" })))
          assert.strictEqual(answerOf(events), "and then?")
          assert.deepStrictEqual(model.asked[1]?.said, ["hold", "and then?"])
          assert.strictEqual(of(events, "Usage")[0]?.usage["outputTokens"], usage.output_tokens)
        })
      ),
    longest
  )

  it.live(
    "a turn that is stopped in the middle is let go by the protocol: the same process answers the next one",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { instance, model, open } = yield* place
          const agent = yield* open()
          const first = yield* reading(agent.answer(turnOf(["hang"])))
          const held = yield* model.ask(1)
          held.delta("I begin")
          yield* first.until((told) => (told as AgentEvent)._tag === "Text")
          const before = yield* Children.running(instance)
          yield* first.stop
          assert.strictEqual(yield* held.over, "left")
          const events = yield* Stream.runCollect(agent.answer(turnOf(["and now?"], { id: "turn-2" })))
          assert.strictEqual(answerOf(events), "and now?")
          assert.deepStrictEqual(yield* Children.running(instance), before)
          // What the stopped one used is not lost: it is told with the next.
          const input = of(events, "Usage").reduce((sum, event) => sum + (event.usage["inputTokens"] ?? 0), 0)
          assert.strictEqual(input, 2 * usage.input_tokens)
        })
      ),
    longest
  )

  it.live(
    "Q10, Q12: suspended by the end of its input, and resumed with all that was said",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { instance, model, open, keeping } = yield* place
          const killed: Array<{ readonly pid: number; readonly signal: string }> = []
          const scope = yield* Scope.make()
          const agent = yield* Scope.provide(open({}, { killed }), scope)
          yield* Stream.runDrain(agent.answer(turnOf(["remember me"])))
          assert.strictEqual((yield* Children.running(instance)).length, 1)
          const kept = keeping.value
          yield* Scope.close(scope, Exit.void)
          assert.deepStrictEqual(yield* Children.running(instance), [])
          assert.deepStrictEqual(killed, [])
          const next = yield* open({}, { idleFor: 900_000 })
          yield* Stream.runDrain(next.answer(turnOf(["who am I?"], { id: "turn-2" })))
          assert.deepStrictEqual(model.asked.at(-1)?.said, ["remember me", "who am I?"])
          assert.strictEqual(JSON.parse(keeping.value ?? "").conversation, JSON.parse(kept ?? "").conversation)
        })
      ),
    longest
  )

  it.live(
    "Q12: a conversation whose transcript is gone is told as gone, and a fresh start begins another",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { config, keeping, open } = yield* place
          yield* Effect.scoped(Effect.flatMap(open(), ({ answer }) => Stream.runDrain(answer(turnOf(["hello"])))))
          rmSync(join(config, "projects"), { recursive: true })
          const agent = yield* open()
          const error = yield* Effect.flip(Stream.runDrain(agent.answer(turnOf(["still there?"], { id: "turn-2" }))))
          assert.strictEqual(error.reason, "HistoryGone")
          delete keeping.value
          const fresh = yield* open()
          const events = yield* Stream.runCollect(fresh.answer(turnOf(["hello again"], { id: "turn-3" })))
          assert.strictEqual(answerOf(events), "hello again")
        })
      ),
    longest
  )

  it.live(
    "D18: tools are told with what they do and whether they may have effects",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { open, work } = yield* place
          writeFileSync(join(work, "note.txt"), "what the note says")
          const agent = yield* open({ permissions: "allow" })
          const file = join(work, "note.txt")
          const read = yield* Stream.runCollect(
            agent.answer(turnOf([`tool Read ${JSON.stringify({ file_path: file })}`]))
          )
          assert.match(answerOf(read), /what the note says/)
          assert.deepStrictEqual(
            of(read, "ToolStarted").map(({ name, sideEffects }) => [name, sideEffects]),
            [[`Read: ${file}`.slice(0, 120), false]]
          )
          const write = yield* Stream.runCollect(agent.answer(turnOf([bash("echo more > more.txt")], { id: "turn-2" })))
          assert.strictEqual(readFileSync(join(work, "more.txt"), "utf8"), "more\n")
          assert.deepStrictEqual(
            of(write, "ToolStarted").map(({ name, sideEffects }) => [name, sideEffects]),
            [["Bash: Do it", true]]
          )
          assert.strictEqual(of(write, "ToolFinished").length, 1)
        })
      ),
    longest
  )

  it.live(
    "what can never be answered is final, everything else that a provider refuses is tried again",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { open } = yield* place
          const agent = yield* open()
          const refused = Effect.fnUntraced(function* (status: number) {
            const turn = turnOf([`fail ${status}`], { id: `turn-${status}` })
            const error = yield* Effect.flip(Stream.runDrain(agent.answer(turn)))
            return [error.reason, error.message] as const
          })
          for (const [status, reason, words] of [
            [400, "Rejected", /refuses with 400/],
            [401, "Failed", /check its key or login/],
            [404, "NoModel", /check `model`/],
            [429, "Failed", /limits how much/],
            [500, "Failed", /the provider has a problem/],
            [529, "Failed", /the provider is overloaded/]
          ] as const) {
            const [found, message] = yield* refused(status)
            assert.strictEqual(found, reason, String(status))
            assert.match(message, words)
          }
          const events = yield* Stream.runCollect(agent.answer(turnOf(["and now?"], { id: "after" })))
          assert.strictEqual(answerOf(events), "and now?")
        })
      ),
    longest
  )

  it.live(
    "an overloaded model is asked again, with a line of progress",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { open } = yield* place
          const agent = yield* open({ retries: 2 })
          const events = yield* Stream.runCollect(agent.answer(turnOf(["fail 529 1"])))
          assert.strictEqual(answerOf(events), "fail 529 1")
          assert.deepStrictEqual(
            of(events, "Line").map(({ text }) => text),
            ["The model does not answer right now, trying again (1 of 2)"]
          )
        })
      ),
    longest
  )

  it.live(
    "what a person writes is never taken for a command of the CLI's own",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { model, open } = yield* place
          const agent = yield* open()
          yield* Stream.runDrain(agent.answer(turnOf(["remember me"])))
          for (const text of ["/clear", "/compact", "/model haiku", "!rm -rf /", "#memo"]) {
            const events = yield* Stream.runCollect(agent.answer(turnOf([text], { id: text })))
            assert.strictEqual(answerOf(events).trimStart(), text)
          }
          assert.strictEqual(model.asked.at(-1)?.said[0], "remember me")
          assert.strictEqual(model.asked.at(-1)?.body.model, model.asked[0]?.body.model)
        })
      ),
    longest
  )

  it.live(
    "a picture is shown to the model, and another file is named to it",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { model, open, work } = yield* place
          const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
          writeFileSync(join(work, "a.png"), Buffer.from(png, "base64"))
          const turn = turnOf(["what is this?"])
          const attachments = [
            { hash: "1", size: 70, type: "image/png", path: join(work, "a.png") },
            { hash: "2", size: 5, type: "text/plain", name: "list.txt", path: join(work, "list.txt") }
          ]
          const messages = turn.messages.map((message) => ({ ...message, attachments }))
          const agent = yield* open()
          yield* Stream.runDrain(agent.answer({ ...turn, messages }))
          const sent = JSON.stringify(model.asked[0]?.body.messages)
          assert.match(sent, /"type":"image","source":\{"type":"base64"/)
          assert.include(sent, `[File list.txt (text/plain): ${join(work, "list.txt")}]`)
        })
      ),
    longest
  )

  it.live(
    "Q27: forgets a conversation when it is told to: nothing that was said is left in its files",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { config, forget, instance, keeping, open } = yield* place
          yield* Effect.scoped(
            Effect.flatMap(open({ permissions: "allow" }), ({ answer }) =>
              Stream.runDrain(answer(turnOf([bash("echo my-secret > said.txt")])))
            )
          )
          const left = () =>
            readdirSync(config, { recursive: true, encoding: "utf8" }).filter(
              (name) => name.includes(conversation) || /my-secret/.test(textIn(join(config, name)))
            )
          const { conversation } = JSON.parse(keeping.value ?? "") as { readonly conversation: string }
          assert.isNotEmpty(left())
          const gone = { id: 1, conversation: "test/kim1", instance, epoch: 1 }
          yield* forget(gone, keeping.value)
          assert.deepStrictEqual(left(), [])
          // Asked again, and for a session of which nothing was kept, it has nothing to do.
          yield* forget(gone, keeping.value)
          yield* forget(gone, undefined)
        })
      ),
    longest
  )

  it.live(
    "keeps to its own configuration: nothing is written to the person's, and nothing phones home",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { config, model, open, work } = yield* place
          const home = join(work, "../home")
          const agent = yield* open({ env: { set: { HOME: home } } })
          yield* Stream.runDrain(agent.answer(turnOf(["hello"])))
          assert.isTrue(existsSync(join(config, "projects")))
          assert.deepStrictEqual(existsSync(home) ? readdirSync(home) : [], [])
          assert.deepStrictEqual([...new Set(model.calls)], ["POST /v1/messages"])
        })
      ),
    longest
  )
})
