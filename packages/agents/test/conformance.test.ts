// Both agents keep the promises that every agent makes, and an agent that breaks one is caught. The command agent's
// cases run real processes on real time.
import { assert, describe, it } from "@effect/vitest"
import * as Agent from "@sluice/runtime/Agent"
import { agentConformance } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Children from "../src/Children.ts"
import * as Command from "../src/Command.ts"
import * as Demo from "../src/Demo.ts"

const program = `${import.meta.dirname}/programs/echo.mjs`
const grace = { ask: "100 millis", term: "1 second", kill: "1 second" } as const

describe("Demo", () => {
  const cases = agentConformance({
    agent: Demo.make(),
    expected: Demo.answerOf,
    fails: "fail",
    hangs: "hang",
    hangsWith: "silence",
    running: Children.running
  })
  for (const { name, run } of cases) it.effect(name, () => run)
})

describe("Demo with a process that ignores signals", () => {
  const cases = agentConformance({
    agent: Demo.make({ grace: { ask: "20 millis", term: "50 millis", kill: "1 second" } }),
    expected: Demo.answerOf,
    fails: "fail",
    hangs: "stubborn",
    hangsWith: "event",
    running: Children.running
  })
  for (const { name, run } of cases) it.live(name, () => run)
})

describe("Command", () => {
  const cases = agentConformance({
    agent: Command.make({ argv: [process.execPath, program], grace }),
    expected: ({ attempt, interrupted, text }) =>
      interrupted === undefined
        ? text
        : `attempt ${attempt} after ${interrupted.by}, ${interrupted.tool ?? "no tool"}: ${text}`,
    fails: "fail",
    hangs: "hang",
    hangsWith: "event",
    running: Children.running
  })
  for (const { name, run } of cases) it.live(name, () => run)
})

type Answer = (message: string) => Stream.Stream<Agent.AgentEvent, Agent.AgentError>

const said = (message: string) => Stream.succeed(Agent.text(message))
const failed = Stream.fail(new Agent.AgentError({ reason: "Failed", cause: "asked to" }))
const honest: Answer = (message) => (message === "fail" ? failed : message === "hang" ? Stream.never : said(message))
const toolStarted: Agent.AgentEvent = { _tag: "ToolStarted", id: "1", name: "tool", sideEffects: false }
const deaf = Stream.fromEffect(Effect.uninterruptible(Effect.as(Effect.sleep("200 millis"), Agent.text(""))))

describe("an agent that breaks a promise is caught", () => {
  const casesOf = (answer: Answer, running: ReadonlyArray<number> = []) =>
    agentConformance({
      agent: Agent.make({ open: () => Effect.succeed({ answer: (turn) => answer(turn.text) }) }),
      expected: ({ text }) => text,
      fails: "fail",
      hangs: "hang",
      hangsWith: "silence",
      letGo: 20,
      running: () => Effect.succeed(running)
    })
  const broken: ReadonlyArray<readonly [string, RegExp, Answer, ReadonlyArray<number>?]> = [
    ["answers something else", /^streams the answer/, () => said("no")],
    [
      "leaves a tool open",
      /^streams the answer/,
      (message) => Stream.concat(Stream.make(toolStarted), honest(message))
    ],
    ["swallows its failure", /^fails with an AgentError/, said],
    [
      "does not let go",
      /^lets go when interrupted, leaves/,
      (message) => (message === "hang" ? deaf : honest(message))
    ],
    ["leaves a process", /^leaves nothing when its session closes/, honest, [1]]
  ]
  for (const [name, promise, answer, running] of broken) {
    it.live(name, () =>
      Effect.gen(function* () {
        const found = casesOf(answer, running).find((one) => promise.test(one.name))
        assert.isDefined(found)
        assert.strictEqual((yield* Effect.flip(found.run))._tag, "NotConforming")
      })
    )
  }

  it.live("and one that keeps all of them is not", () =>
    Effect.forEach(casesOf(honest), ({ run }) => run, { discard: true })
  )
})
