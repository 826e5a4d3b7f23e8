// Real agents over the protocol: the SDK's own example agent, and Claude Code behind its adapter with a stand-in for the
// model's API. What is scripted elsewhere is seen here to be so: answers, stops, deaths, suspensions and permissions.
import { assert, describe, it } from "@effect/vitest"
import type * as Agent from "@sluice/runtime/Agent"
import { answerText, type Keeping, sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import * as Acp from "../../src/Acp.ts"
import * as Children from "../../src/Children.ts"
import { acpExample, claudeAcp, missing } from "../installed.ts"
import { folder, lives, node, unique } from "../processes.ts"
import { type StandIn, standIn } from "../standIn/anthropic.ts"
import { answerOf, keptId, open } from "./scripted.ts"

const longest = 120_000

/** Starts a turn; its events one by one, and all of them at its end. */
const started = Effect.fnUntraced(function* (agent: Agent.OpenAgent, text: string) {
  const events = yield* Queue.unbounded<Agent.AgentEvent>()
  const fiber = yield* agent.answer(turnOf([text])).pipe(
    Stream.tap((event) => Queue.offer(events, event)),
    Stream.runCollect,
    Effect.forkChild({ startImmediately: true })
  )
  const next = <Tag extends Agent.AgentEvent["_tag"]>(tag: Tag) =>
    Effect.gen(function* () {
      while (true) {
        const event = yield* Queue.take(events)
        if (event._tag === tag) return event as Extract<Agent.AgentEvent, { readonly _tag: Tag }>
      }
    }).pipe(Effect.raceFirst(Effect.andThen(Fiber.join(fiber), Effect.never)))
  return { fiber, next }
})

describe.skipIf(acpExample === undefined)(`the SDK's example agent ${acpExample === undefined ? missing : ""}`, () => {
  const agent = Acp.make({ argv: [node, acpExample ?? ""] })

  it.live(
    "answers, asks for a permission, and stops in mid-turn without being ended",
    () =>
      Effect.gen(function* () {
        const instance = unique("acp")
        const one = yield* open(agent, { instance })
        const stopped = yield* started(one, "stop this")
        yield* stopped.next("Text")
        const before = yield* Children.running(instance)
        yield* Fiber.interrupt(stopped.fiber)
        assert.deepStrictEqual(yield* Children.running(instance), before)
        const { fiber, next } = yield* started(one, "change it")
        assert.deepInclude(yield* next("ToolStarted"), { name: "Reading project files", sideEffects: false })
        assert.deepInclude(yield* next("ToolStarted"), {
          name: "Modifying critical configuration file",
          sideEffects: true
        })
        const question = yield* next("Permission")
        assert.strictEqual(question.question, "Modifying critical configuration file")
        assert.deepStrictEqual(question.options, ["Allow this change", "Skip this change"])
        yield* question.respond("Allow this change")
        assert.match(answerText(yield* Fiber.join(fiber)), /^I'll help you.*successfully updated the configuration/s)
      }).pipe(Effect.scoped),
    longest
  )
})

describe.skipIf(claudeAcp === undefined)(
  `Claude Code behind its adapter ${claudeAcp === undefined ? missing : ""}`,
  () => {
    /** The adapter at a stand-in, with a home of its own. */
    const place = Effect.gen(function* () {
      const model = yield* standIn()
      const home = yield* folder
      const cwd = join(home, "work")
      mkdirSync(cwd)
      const make = (options: Partial<Acp.Options> = {}) =>
        Acp.make({
          argv: [node, claudeAcp ?? ""],
          cwd,
          env: {
            set: {
              ...model.variables,
              HOME: home,
              CLAUDE_CONFIG_DIR: join(home, ".claude"),
              CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
              DISABLE_AUTOUPDATER: "1"
            }
          },
          ...options
        })
      return { model, home, cwd, make }
    })

    /** Requests of the conversation itself; the CLI asks for titles and the like too. */
    const askedFor = (model: StandIn, text: string) =>
      model.askOf((asked) => asked.text === text && asked.body.stream === true)

    it.live(
      "answers, is suspended without a signal, and comes back with its history",
      () =>
        Effect.gen(function* () {
          const { model, make } = yield* place
          const keeping: Keeping = {}
          const killed: Array<{ readonly pid: number; readonly signal: string }> = []
          const instance = unique("acp")
          const session = sessionOf({ instance, keeping, killed, systemPrompt: "You are called Nemo." })
          yield* Effect.scoped(
            Effect.gen(function* () {
              const agent = yield* make().open(session)
              const { fiber } = yield* started(agent, "remember the number 4711")
              const events = yield* Fiber.join(fiber)
              assert.strictEqual(answerText(events), "remember the number 4711")
              const usage = events.filter(({ _tag }) => _tag === "Usage")
              assert.isTrue(usage.some((event) => event._tag === "Usage" && event.usage["outputTokens"] === 7))
            })
          )
          assert.deepStrictEqual(yield* Children.running(instance), [])
          assert.deepStrictEqual(killed, [])
          const again = yield* make().open({ ...session, epoch: 2 })
          assert.strictEqual(yield* answerOf(again, "which one was it?"), "which one was it?")
          const { body, said } = yield* askedFor(model, "which one was it?")
          assert.include(said, "remember the number 4711")
          assert.include(JSON.stringify(body.system), "You are called Nemo.")
        }).pipe(Effect.scoped),
      longest
    )

    it.live(
      "stops in mid-turn by the protocol, the model hears of it, and the next turn is answered",
      () =>
        Effect.gen(function* () {
          const { model, make } = yield* place
          const instance = unique("acp")
          const agent = yield* open(make(), { instance })
          const { fiber, next } = yield* started(agent, "hold")
          const held = yield* askedFor(model, "hold")
          held.delta("I begin")
          yield* next("Text")
          const [before] = yield* Children.running(instance)
          assert.isDefined(before)
          yield* Fiber.interrupt(fiber)
          assert.strictEqual(yield* held.over, "left")
          assert.isTrue(lives(before.pid))
          assert.strictEqual(yield* answerOf(agent, "and now?"), "and now?")
        }).pipe(Effect.scoped),
      longest
    )

    it.live(
      "killed in mid-turn, it fails the turn, and its successor knows what was said before",
      () =>
        Effect.gen(function* () {
          const { model, make } = yield* place
          const keeping: Keeping = {}
          const instance = unique("acp")
          const agent = yield* open(make(), { instance, keeping })
          assert.strictEqual(yield* answerOf(agent, "remember the number 4711"), "remember the number 4711")
          const { fiber } = yield* started(agent, "hold")
          yield* askedFor(model, "hold")
          for (const { pid } of yield* Children.running(instance)) process.kill(pid, "SIGKILL")
          const error = yield* Effect.flip(Fiber.join(fiber))
          assert.strictEqual(error.reason, "Failed")
          assert.match(error.message, /was ended by SIGKILL/)
          const more = { attempt: 2, interrupted: { by: "failure" } }
          assert.strictEqual(yield* answerOf(agent, "go on", more), "go on")
          const { said } = yield* askedFor(model, "go on")
          assert.include(said, "remember the number 4711")
          assert.isTrue(said.some((text) => text.startsWith("[An earlier attempt at this was cut off (failure).")))
        }).pipe(Effect.scoped),
      longest
    )

    it.live(
      "asks before it writes a file, and writes it when it is allowed to",
      () =>
        Effect.gen(function* () {
          const { cwd, make } = yield* place
          const agent = yield* open(make())
          const path = join(cwd, "note.txt")
          const { fiber, next } = yield* started(
            agent,
            `tool Write ${JSON.stringify({ file_path: path, content: "hello" })}`
          )
          const tool = yield* next("ToolStarted")
          assert.isTrue(tool.sideEffects)
          const question = yield* next("Permission")
          assert.include(question.question, "note.txt")
          const allow = question.options.find((option) => /^(allow|yes)/i.test(option))
          assert.isDefined(allow)
          yield* question.respond(allow)
          assert.match(answerText(yield* Fiber.join(fiber)), /created successfully.*note\.txt/s)
        }).pipe(Effect.scoped),
      longest
    )

    it.live(
      "Q6: takes a message over into the turn that runs",
      () =>
        Effect.gen(function* () {
          const { model, make } = yield* place
          const agent = yield* open(make())
          assert.isDefined(agent.steer)
          const { fiber, next } = yield* started(agent, "hold")
          const held = yield* askedFor(model, "hold")
          held.delta("I begin")
          yield* next("Text")
          yield* agent.steer(turnOf(["rather this"]).messages)
          assert.deepStrictEqual((yield* next("Steered")).ids, ["message-1"])
          assert.match(answerText(yield* Fiber.join(fiber)), /^I begin.*rather this$/s)
        }).pipe(Effect.scoped),
      longest
    )

    it.live(
      "Q27: forgets a conversation: its transcript is gone",
      () =>
        Effect.gen(function* () {
          const { home, make } = yield* place
          const keeping: Keeping = {}
          const instance = unique("acp")
          yield* Effect.scoped(Effect.flatMap(open(make(), { keeping, instance }), (agent) => answerOf(agent, "first")))
          const transcripts = () =>
            readdirSync(join(home, ".claude", "projects"), { recursive: true, encoding: "utf8" }).filter((name) =>
              name.includes(keptId(keeping))
            )
          assert.isNotEmpty(transcripts())
          const { forget } = make()
          assert.isDefined(forget)
          yield* forget({ id: 1, conversation: "test/kim", instance, epoch: 2 }, keeping.value)
          assert.deepStrictEqual(transcripts(), [])
        }).pipe(Effect.scoped),
      longest
    )

    it.live(
      "tells that its history is gone when its transcript is",
      () =>
        Effect.gen(function* () {
          const { home, make } = yield* place
          const keeping: Keeping = {}
          yield* Effect.scoped(Effect.flatMap(open(make(), { keeping }), (agent) => answerOf(agent, "first")))
          rmSync(join(home, ".claude", "projects"), { recursive: true })
          const error = yield* Effect.flip(open(make(), { keeping }))
          assert.strictEqual(error.reason, "HistoryGone")
        }).pipe(Effect.scoped),
      longest
    )
  }
)
