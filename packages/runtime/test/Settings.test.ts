// What a person can set for a session by command, and ask about it: model, output mode, usage, who they are. Settings are in
// the journal: they survive a restart, and hold from the next turn on.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Agent from "../src/Agent.ts"
import { TestAgent } from "../src/testing/index.ts"
import { boot, meanwhile, rest, world } from "./guarantees/boots.ts"

/** An agent that remembers with which model it was opened. */
const choosing = (models: Agent.Agent["models"]) => {
  const opened: Array<string | undefined> = []
  const agent = TestAgent.make({
    answer: (turn) => turn.text,
    onOpen: (session) => Effect.sync(() => void opened.push(session.model))
  })
  return { agent: { ...agent, agent: { ...agent.agent, ...(models === undefined ? {} : { models }) } }, opened }
}

describe("Q15: /model", () => {
  it.effect("Q15: a model holds from the next turn on, over a restart, and until it is set back", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const { agent, opened } = choosing(["small", "large"])
      const first = yield* boot(place, { agent })
      for (const text of ["one", "/model", "/model large", "two", "/model medium"]) {
        yield* first.say("kim", text)
        yield* rest(first, "chat/kim")
      }
      assert.deepStrictEqual(place.far.chat?.seen("kim"), [
        "one",
        "The model is my own choice. There is: small, large.",
        'From now on the model is "large".',
        "two",
        '"medium" is not possible here. Possible: default, small, large.'
      ])
      yield* first.crash

      const second = yield* boot(place, { agent })
      for (const text of ["three", "/model", "/model default", "four"]) {
        yield* second.say("kim", text)
        yield* rest(second, "chat/kim")
      }
      assert.deepStrictEqual(place.far.chat?.seen("kim").slice(5), [
        "three",
        'The model is "large". There is: small, large.',
        "From now on the model is my own choice.",
        "four"
      ])
      assert.deepStrictEqual(opened, [undefined, "large", "large", undefined])
    })
  )

  it.effect(
    "Q15: a chosen model that turns out not to be there is told with those that are, and the turn is not tried again",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const any = { ...agent, agent: { ...agent.agent, models: "any" as const } }
        const current = yield* boot(place, { agent: any, turns: { backoff: [1000] } })
        yield* current.say("kim", "/model lagre")
        yield* current.say("kim", "hello")
        yield* (yield* agent.run(1)).fail("NoModel", ["small", "large"])
        yield* rest(current, "chat/kim")
        yield* current.say("kim", "/model large")
        yield* current.say("kim", "/retry")
        yield* (yield* agent.run(2)).finish("hi")
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual(place.far.chat?.seen("kim"), [
          'From now on the model is "lagre".',
          'I have no model called "lagre". There is: small, large. ' +
            "/model chooses another, /model default is my own choice, and /retry tries again.",
          'From now on the model is "large".',
          "Trying again with 1 message.",
          "hi"
        ])
        assert.deepInclude((yield* current.gateway.audit).detail, { "suspended(failed)": 1, replied: 1 })
      })
  )

  it.effect("Q15, Q17: one that nobody chose here is the operator's to put right: the turn is tried again", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, turns: { backoff: [1000] } })
      yield* current.say("kim", "hello")
      yield* (yield* agent.run(1)).fail("NoModel")
      yield* (yield* meanwhile(agent.run(2))).finish("hi")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["hi"])
    })
  )

  it.effect("Q15: an agent without models says so, and a name that is none is refused before it is stored", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const { agent, opened } = choosing(undefined)
      const current = yield* boot(place, { agent, agents: { other: { ...agent.agent, models: "any" } } })
      for (const text of ["/model large", "/model ../../x", "hello"]) {
        yield* current.say("kim", text)
        yield* rest(current, "chat/kim")
      }
      assert.deepStrictEqual(place.far.chat?.seen("kim"), [
        '"main" has no models to choose from.',
        '"../../x" is not possible here. Possible: the name of a model, or "default".',
        "hello"
      ])
      assert.deepStrictEqual(opened, [undefined])
    })
  )
})

describe("what is not possible", () => {
  it.effect("a persona that there is none of begins no session, and a word that is missing is asked for", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make({ answer: (turn) => turn.text })
      const current = yield* boot(place, { agent, personas: { planner: { agent: "main" } } })
      for (const text of [
        "/new plan planer",
        "/sessions",
        "/new plan planner",
        "/new more default",
        "/session",
        "/model large and fast",
        "/allow"
      ]) {
        yield* current.say("kim", text)
        yield* rest(current, "chat/kim")
      }
      assert.deepStrictEqual(place.far.chat?.seen("kim"), [
        '"planer" is not possible here. Possible: the personas default, planner.',
        "* main, idle, 0 waiting, active just now",
        'A fresh start: "plan".',
        'A fresh start: "more".',
        "Something is missing there: /session with a name; /sessions lists them.",
        '"and fast" is not possible here. Possible: /model [name].',
        "Something is missing there: /allow with the question's number and your choice."
      ])
    })
  )
})

describe("Q15: a persona for a name that is taken", () => {
  const prompted = () => {
    const opened: Array<string> = []
    const agent = TestAgent.make({
      answer: (turn) => turn.text,
      onOpen: ({ systemPrompt = "none" }) => Effect.sync(() => void opened.push(systemPrompt))
    })
    return { agent, opened }
  }

  it.effect("Q15: of the same agent, its prompt holds from the next turn on, also of an agent that is kept warm", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const { agent, opened } = prompted()
      const personas = { planner: { agent: "main", systemPrompt: "You plan." } }
      const current = yield* boot(place, { agent, personas })
      for (const text of ["/new work", "one", "/new work planner", "two"]) {
        yield* current.say("kim", text)
        yield* rest(current, "chat/kim")
      }
      const heard = ['A fresh start: "work".', "one", 'This is "work" now.', "two"]
      assert.deepStrictEqual(place.far.chat?.seen("kim"), heard)
      assert.deepStrictEqual(opened, ["none", "You plan."])
    })
  )

  it.effect("Q15: of another agent, the conversation stays with the one that it has, and says so", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const [{ agent, opened }, other] = [prompted(), prompted()]
      const personas = { planner: { agent: "other", systemPrompt: "You plan." } }
      const current = yield* boot(place, { agent, agents: { other: other.agent.agent }, personas })
      // A session without a turn has no agent yet: it becomes the persona.
      for (const text of ["/new work", "one", "/new work planner", "two", "/new plan", "/new plan planner", "three"]) {
        yield* current.say("kim", text)
        yield* rest(current, "chat/kim")
      }
      assert.deepStrictEqual(place.far.chat?.seen("kim"), [
        'A fresh start: "work".',
        "one",
        'This is "work" now. It was begun with main and stays with it, so it has not become "planner"; /new with another name begins that.',
        "two",
        'A fresh start: "plan".',
        'This is "plan" now.',
        "three"
      ])
      assert.deepStrictEqual([opened, other.opened], [["none"], ["You plan."]])
    })
  )
})

describe("Q21: output modes", () => {
  it.effect("Q21: the answer alone by default; with /verbose tools and progress in between; /default undoes it", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      const turn = (n: number) =>
        Effect.gen(function* () {
          yield* current.say("kim", `question ${n}`)
          const run = yield* agent.run(n)
          yield* run.emit(Agent.text("Let me look. "))
          yield* run.emit({ _tag: "ToolStarted", id: "t", name: "Read notes.md", sideEffects: false })
          yield* run.emit({ _tag: "ToolFinished", id: "t" })
          yield* run.emit({ _tag: "Line", text: "half way" })
          yield* run.emit(Agent.text("It is "))
          yield* run.finish("42.")
          yield* rest(current, "chat/kim")
        })
      yield* turn(1)
      yield* current.say("kim", "/verbose")
      yield* rest(current, "chat/kim")
      yield* turn(2)
      yield* current.say("kim", "/default")
      yield* rest(current, "chat/kim")
      yield* turn(3)
      assert.deepStrictEqual(place.far.chat?.seen("kim"), [
        "Let me look. It is 42.",
        "From now on you see everything that I do.",
        "Let me look.\n[Read notes.md]\n[half way]\nIt is 42.",
        "From now on you see the answer, and what I do while I work on it.",
        "Let me look. It is 42."
      ])
    })
  )

  it.effect("Q21: tools without an answer are no answer, also with /verbose", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "/verbose")
      yield* rest(current, "chat/kim")
      yield* current.say("kim", "do it")
      const run = yield* agent.run(1)
      yield* run.emit({ _tag: "ToolStarted", id: "t", name: "Write", sideEffects: true })
      yield* run.finish()
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { command: 1, "no-reply": 1 })
    })
  )
})

describe("Q15: /usage and /whoami", () => {
  it.effect("Q15: /usage adds up what the session has used, by model where there were several", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      const ask = (text: string) => Effect.andThen(current.say("kim", text), rest(current, "chat/kim"))
      yield* ask("/usage")
      for (const [n, model] of [
        [1, "small"],
        [2, "large"]
      ] as const) {
        yield* current.say("kim", "go")
        const run = yield* agent.run(n)
        yield* run.emit({ _tag: "Usage", model, usage: { inputTokens: 1200 * n, outputTokens: 30, cost: 0.25 } })
        yield* run.finish("done")
        yield* rest(current, "chat/kim")
      }
      yield* ask("/usage")
      yield* ask("/whoami")
      const seen = place.far.chat?.seen("kim") ?? []
      assert.strictEqual(seen[0], "main has used nothing yet")
      assert.strictEqual(
        seen[3],
        [
          "main: 2 turns, 3,600 tokens in, 60 out, $0.5000",
          "  large: 1 turn, 2,400 tokens in, 30 out, $0.2500",
          "  small: 1 turn, 1,200 tokens in, 30 out, $0.2500"
        ].join("\n")
      )
      assert.strictEqual(seen[4], 'You are "kim", this is chat/kim, and you are in "main".')
    })
  )
})
