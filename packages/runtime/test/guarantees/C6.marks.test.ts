// C6 and C7 from the next boot's view: which turns were cut, why, what they were doing, and what their agent's policy
// makes of that. Nothing of it needs a stop that came to its end.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/testing/TestClock"
import * as Agent from "../../src/Agent.ts"
import type { Turn } from "../../src/Message.ts"
import { TestAgent } from "../../src/testing/index.ts"
import { type Boot, type BootOptions, boot, given, meanwhile, rest, until, type World, world } from "./boots.ts"

/** A boot whose stop can be watched. */
const watched = (place: World, agent: TestAgent.TestAgent) =>
  Effect.gen(function* () {
    const draining = yield* Deferred.make<void>()
    const options: BootOptions = {
      agent,
      drain: {
        watch: (news) => {
          if (news._tag === "Phase" && news.name === "drain") Deferred.doneUnsafe(draining, Exit.void)
        }
      }
    }
    return { ...(yield* boot(place, options)), draining: Deferred.await(draining) }
  })

const turns = ({ gateway }: Boot) =>
  Effect.map(gateway.sessions, (sessions) =>
    sessions
      .map(({ conversationKey, turn }) => [conversationKey, turn?.crashes, turn?.cuts, turn?.cutBy] as const)
      .toSorted(([one], [other]) => one.localeCompare(other))
  )

describe("C6: marks", () => {
  it.effect(
    "D5: a stop that is killed while it waits: the next boot knows who was cut and why, and who had finished",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const first = yield* watched(place, agent)
        yield* first.say("kim", "quick")
        yield* first.say("lee", "slow")
        const quick = yield* agent.run(1)
        yield* agent.run(2)
        yield* Effect.forkChild(first.gateway.stop({ reason: "restart" }))
        yield* first.draining
        yield* quick.finish("done")
        yield* until(() => place.far.chat?.seen("kim").length === 1)
        yield* first.crash

        const later = TestAgent.make()
        const second = yield* boot(place, { agent: later })
        assert.match(
          second.gateway.boot.postMortem,
          /^UNCLEAN: killed while it stopped \(restart\), some time after .*; open since then: 1 turn$/
        )
        const run = yield* later.run(1)
        assert.deepStrictEqual([run.turn.text, run.turn.interrupted], ["slow", { by: "restart" }])
        // A cut, because its process died before that was committed; no crash, because somebody wanted it to.
        assert.deepStrictEqual(yield* turns(second), [
          ["chat/kim", undefined, undefined, undefined],
          ["chat/lee", 0, 1, "restart"]
        ])
        yield* run.finish("done")
        yield* rest(second, "chat/kim", "chat/lee")
        assert.deepStrictEqual(given(later), ["slow"])
      })
  )

  it.effect("D5: a turn that starts in the drain carries the mark of the stop like any other", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* watched(place, agent)
      yield* first.say("kim", "one")
      const run = yield* agent.run(1)
      yield* first.say("kim", "two")
      yield* Effect.forkChild(first.gateway.stop({ reason: "stop" }))
      yield* first.draining
      yield* run.finish("1")
      yield* agent.run(2)
      yield* first.crash
      const later = TestAgent.make()
      const second = yield* boot(place, { agent: later })
      assert.deepStrictEqual((yield* later.run(1)).turn.interrupted, { by: "stop" })
      assert.deepStrictEqual(yield* turns(second), [["chat/kim", 0, 1, "stop"]])
    })
  )

  it.effect("C8: a turn that ten stops cut down before they could say so is set aside, and its person is told", () =>
    Effect.gen(function* () {
      const place = yield* world()
      for (let round = 1; round <= 10; round++) {
        const agent = TestAgent.make()
        const current = yield* watched(place, agent)
        if (round === 1) yield* current.say("kim", "work")
        assert.strictEqual((yield* agent.run(1)).turn.attempt, round)
        yield* Effect.forkChild(current.gateway.stop({ reason: "stop" }))
        yield* current.draining
        yield* current.crash
      }
      const agent = TestAgent.make()
      const last = yield* boot(place, { agent })
      yield* rest(last, "chat/kim")
      assert.deepStrictEqual(given(agent), [])
      assert.deepStrictEqual((yield* last.gateway.audit).detail, { "suspended(cut)": 1 })
      assert.strictEqual(place.far.chat?.seen("kim").length, 1)
      assert.isTrue((yield* last.gateway.readiness).ready, "stops are no crashes")
    })
  )

  it.effect("S17: a boot says how the last one ended, with what was open", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const first = yield* boot(place)
      assert.strictEqual(first.gateway.boot.postMortem, "none, this is the first start")
      yield* first.say("kim", "one")
      yield* first.agent.run(1)
      yield* first.say("kim", "two")
      yield* first.crash
      const second = yield* boot(place, { agent: TestAgent.echo() })
      assert.match(
        second.gateway.boot.postMortem,
        /^UNCLEAN: ended without a stop, some time after 1970.*; open since then: 1 turn, 1 waiting message$/
      )
      yield* rest(second, "chat/kim")
      yield* second.stop
      const third = yield* boot(place)
      assert.match(third.gateway.boot.postMortem, /^clean in \d+ ms$/)
    })
  )
})

describe("C6: what the turn was doing", () => {
  const tool = (sideEffects: boolean): Agent.AgentEvent => ({
    _tag: "ToolStarted",
    id: "t1",
    name: "send_mail",
    sideEffects
  })

  for (const [what, events, interrupted] of [
    ["a tool with side effects and no result", [tool(true)], { by: "crash", tool: "send_mail" }],
    ["a tool that had finished", [tool(true), { _tag: "ToolFinished", id: "t1" }], { by: "crash" }],
    ["a tool that only reads", [tool(false)], { by: "crash" }]
  ] as const) {
    for (const newer of [false, true]) {
      it.effect(`D18: cut off in ${what}${newer ? ", with a newer message" : ""}: its agent is told`, () =>
        Effect.gen(function* () {
          const place = yield* world()
          const agent = TestAgent.make()
          const first = yield* boot(place, { agent })
          yield* first.say("kim", "mail it")
          const run = yield* agent.run(1)
          for (const event of [...events, Agent.text("x")]) yield* run.emit(event)
          const stored = what.startsWith("a tool that only") ? undefined : events.length
          yield* until(() => first.life.crossed.get("after:tool") === stored)
          yield* first.crash
          const later = TestAgent.make()
          const kept = newer ? [{ peer: "kim", text: "did it work?" }] : []
          yield* boot(place, { agent: later, kept })
          const resumed = yield* later.run(1)
          assert.deepStrictEqual(resumed.turn.interrupted, interrupted)
          assert.strictEqual(resumed.turn.text, newer ? "mail it\ndid it work?" : "mail it")
        })
      )
    }
  }

  it.effect(
    "Q19: with the policy `cancel` a question of the cut-off attempt is over; the resumed one asks again, and hears the decision",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const decided: Array<string | undefined> = []
        const question: Agent.AgentEvent = {
          _tag: "Permission",
          question: "May I?",
          options: ["yes", "no"],
          respond: (option) => Effect.sync(() => void decided.push(option))
        }
        const questions = { onStop: "cancel" } as const
        const first = yield* boot(place, { questions })
        const last = () => place.far.chat?.seen("kim").at(-1) ?? ""
        yield* first.say("kim", "work")
        yield* (yield* first.agent.run(1)).emit(question)
        yield* until(() => last().startsWith("May I?"))
        yield* first.crash
        const second = yield* boot(place, { questions })
        const run = yield* second.agent.run(1)
        yield* second.say("kim", "/allow 1 yes")
        yield* until(() => last() === "There is no open question with that number.")
        yield* run.emit(question)
        yield* until(() => last().startsWith("May I?"))
        yield* second.say("kim", `/allow ${/\/allow (\d+)/.exec(last())?.[1]} yes`)
        yield* until(() => last() === "All right: yes.")
        assert.deepStrictEqual(decided, ["yes"])
      })
  )

  it.effect("D18: a try that failed in the middle of a tool is not repeated blindly either", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent })
      yield* first.say("kim", "mail it")
      const run = yield* agent.run(1)
      yield* run.emit(tool(true))
      yield* run.fail()
      yield* meanwhile(agent.run(2))
      assert.deepStrictEqual(agent.runs[1]?.turn.interrupted, { by: "failure", tool: "send_mail" })
    })
  )

  it.effect(
    "D18 S10: a turn that restarts the gateway is resumed, asks again, and hears what came of it: no loop",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const asked: Array<{ readonly attempt: number; readonly reason: string; readonly epoch: number }> = []
        const restarting = (gateway: () => Boot["gateway"]) =>
          Agent.fromFunction((turn: Turn) =>
            Effect.map(gateway().stop({ reason: "restart", by: "its own turn" }), ({ epoch, reason }) => {
              asked.push({ attempt: turn.attempt, reason, epoch })
              return "restarted"
            })
          )
        const boots: Array<Boot> = []
        const agent = { ...TestAgent.make(), agent: restarting(() => boots.at(-1)?.gateway as Boot["gateway"]) }
        const first = yield* boot(place, { agent })
        boots.push(first)
        yield* first.say("kim", "restart yourself")
        const report = yield* meanwhile(first.gateway.stopped, { step: 100 })
        assert.deepStrictEqual([report.reason, report.exitCode], ["restart", 75])
        assert.deepStrictEqual(
          report.sessions.map(({ key, outcome }) => [key, outcome]),
          [["chat/kim", "asked"]]
        )

        const second = yield* boot(place, { agent })
        boots.push(second)
        yield* rest(second, "chat/kim")
        assert.deepStrictEqual(asked.at(-1), { attempt: 2, reason: "restart", epoch: 1 })
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["restarted"])
        yield* TestClock.adjust("1 minute")
        assert.isTrue((yield* second.gateway.readiness).ready, "nobody stopped it again")
      })
  )
})

describe("C6: policies", () => {
  for (const [resume, ending, said] of [
    ["ask", "suspended(ask)", /work/],
    ["drop-with-notice", "dropped(resume)", /work/]
  ] as const) {
    it.effect(
      `an agent with the policy ${resume}: its cut-off turn is not run again unasked, and the person hears it`,
      () =>
        Effect.gen(function* () {
          const place = yield* world()
          const agent = TestAgent.make({ resume })
          const first = yield* boot(place, { agent })
          yield* first.say("kim", "work")
          yield* agent.run(1)
          yield* first.crash
          const later = TestAgent.make({ resume })
          const second = yield* boot(place, { agent: later })
          yield* rest(second, "chat/kim")
          assert.deepStrictEqual(given(later), [])
          assert.deepStrictEqual((yield* second.gateway.audit).detail, { [ending]: 1 })
          assert.strictEqual(place.far.chat?.seen("kim").length, 1)
          assert.match(place.far.chat?.seen("kim").join() ?? "", said)
          yield* second.say("kim", "next")
          assert.strictEqual((yield* later.run(1)).turn.text, "next")
        })
    )
  }
})
