// A conversation outlives the process that leads it: it is found again by the id that the session keeps, silently after
// a suspension, after a death with what is known of it, and a history that is lost is told. Real processes, real time.
import { assert, describe, it } from "@effect/vitest"
import type * as Agent from "@sluice/runtime/Agent"
import { answerText, type Keeping, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { existsSync, rmSync } from "node:fs"
import { join } from "node:path"
import * as Children from "../../src/Children.ts"
import { folder, lives, unique } from "../processes.ts"
import { answerOf, errorOf, keptId, open, remembering, scripted } from "./scripted.ts"

/** Starts a turn and returns when the event is there. */
const until = Effect.fnUntraced(function* (agent: Agent.OpenAgent, text: string, tag: Agent.AgentEvent["_tag"]) {
  const there = yield* Deferred.make<void>()
  const fiber = yield* agent.answer(turnOf([text])).pipe(
    Stream.tap((event) => (event._tag === tag ? Deferred.succeed(there, undefined) : Effect.void)),
    Stream.runCollect,
    Effect.forkChild({ startImmediately: true })
  )
  yield* Effect.raceFirst(Deferred.await(there), Effect.asVoid(Fiber.join(fiber)))
  return fiber
})

/** One life of the agent: opened, used, closed. */
const life = <A, E>(
  agent: Agent.Agent,
  session: Parameters<typeof open>[1],
  use: (agent: Agent.OpenAgent) => Effect.Effect<A, E>
) => Effect.scoped(Effect.flatMap(open(agent, session), use))

describe("suspended and resumed", () => {
  for (const flags of [["--resume"], ["--load"], ["--load", "--resume", "--close"]]) {
    it.live(`Q12: the history is there again, and nothing of it is in the answer (${flags.join(" ")})`, () =>
      Effect.gen(function* () {
        const keeping: Keeping = {}
        const agent = remembering(yield* folder, flags)
        assert.strictEqual(yield* life(agent, { keeping }, (one) => answerOf(one, "first")), "first")
        const id = keptId(keeping)
        const told = yield* life(agent, { keeping, epoch: 2 }, (one) =>
          Effect.all([answerOf(one, "second"), answerOf(one, "history")])
        )
        assert.deepStrictEqual(told, ["second", '["first","second"]'])
        assert.strictEqual(keptId(keeping), id)
      }).pipe(Effect.scoped)
    )
  }

  it.live("Q10: a session that closes is closed by the protocol and the end of input, without a signal", () =>
    Effect.gen(function* () {
      const place = yield* folder
      const keeping: Keeping = {}
      const killed: Array<{ readonly pid: number; readonly signal: string }> = []
      const instance = unique("acp")
      const agent = remembering(place, ["--resume", "--close", "--slow-end"])
      const [process] = yield* life(agent, { keeping, killed, instance }, (one) =>
        Effect.andThen(answerOf(one, "first"), Children.running(instance))
      )
      assert.isDefined(process)
      assert.isFalse(lives(process.pid))
      assert.deepStrictEqual(killed, [])
      assert.isTrue(existsSync(join(place, `${keptId(keeping)}.closed`)))
    }).pipe(Effect.scoped)
  )

  it.live("a process that ended between turns is replaced by one that knows the conversation", () =>
    Effect.gen(function* () {
      const instance = unique("acp")
      const agent = yield* open(remembering(yield* folder), { instance })
      assert.strictEqual(yield* answerOf(agent, "vanish"), "bye")
      // What it left behind goes with it; the receipt is that nothing of the session runs any more.
      while ((yield* Children.running(instance)).length > 0) yield* Effect.sleep("10 millis")
      assert.strictEqual(yield* answerOf(agent, "history"), '["vanish"]')
    }).pipe(Effect.scoped)
  )
})

describe("cut off", () => {
  it.live("Q17: a process that dies in mid-turn fails the turn with its last words, and the next one remembers", () =>
    Effect.gen(function* () {
      const agent = yield* open(remembering(yield* folder))
      const error = yield* errorOf(agent, "die")
      assert.strictEqual(error.reason, "Failed")
      assert.match(error.message, /ended with code 9; on standard error it said: out of memory$/)
      assert.strictEqual(yield* answerOf(agent, "history"), '["die"]')
    }).pipe(Effect.scoped)
  )

  it.live("a turn that is stopped is cancelled by the protocol, and its process goes on", () =>
    Effect.gen(function* () {
      const instance = unique("acp")
      const agent = yield* open(scripted(), { instance })
      const fiber = yield* until(agent, "hang", "Text")
      const before = yield* Children.running(instance)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* Children.running(instance), before)
      assert.strictEqual(yield* answerOf(agent, "history"), '["hang"]')
    }).pipe(Effect.scoped)
  )

  it.live("D18: a tool that was running when the turn was cut is told to whoever comes after", () =>
    Effect.gen(function* () {
      const keeping: Keeping = {}
      const agent = remembering(yield* folder)
      yield* life(agent, { keeping }, (one) => Effect.flatMap(until(one, "deploy", "ToolStarted"), Fiber.interrupt))
      const again = yield* life(agent, { keeping, epoch: 2 }, (one) =>
        answerOf(one, "go on", { attempt: 2, interrupted: { by: "crash", tool: "deploy" } })
      )
      assert.match(again, /^\[An earlier attempt .*"deploy" was running, and nobody knows how that ended/)
    }).pipe(Effect.scoped)
  )

  it.live("an open question is withdrawn when its turn is stopped", () =>
    Effect.gen(function* () {
      const instance = unique("acp")
      const agent = yield* open(scripted(), { instance })
      const before = yield* Children.running(instance)
      yield* Fiber.interrupt(yield* until(agent, "may I", "Permission"))
      assert.strictEqual(yield* answerOf(agent, "history"), '["may I"]')
      // It heard of it, so it did not have to be ended.
      assert.deepStrictEqual(yield* Children.running(instance), before)
    }).pipe(Effect.scoped)
  )
})

describe("a history that is lost", () => {
  it.live("Q12: is told, never replaced by an empty one; a fresh start begins anew", () =>
    Effect.gen(function* () {
      for (const flags of [["--resume"], ["--load"]]) {
        const place = yield* folder
        const keeping: Keeping = {}
        const agent = remembering(place, flags)
        yield* life(agent, { keeping }, (one) => answerOf(one, "first"))
        const id = keptId(keeping)
        rmSync(join(place, `${id}.json`))
        const error = yield* Effect.flip(life(agent, { keeping }, Effect.succeed))
        assert.strictEqual(error.reason, "HistoryGone")
        assert.include(error.message, `does not know the conversation "${id}" any more`)
        assert.strictEqual(keptId(keeping), id)
        delete keeping.value
        assert.strictEqual(yield* life(agent, { keeping }, (one) => answerOf(one, "history")), "[]")
      }
    }).pipe(Effect.scoped)
  )

  it.live("an agent that can neither load nor resume says so once its process has ended", () =>
    Effect.gen(function* () {
      const agent = yield* open(remembering(yield* folder, []))
      assert.strictEqual(yield* answerOf(agent, "first"), "first")
      yield* errorOf(agent, "die")
      const error = yield* errorOf(agent, "second")
      assert.strictEqual(error.reason, "HistoryGone")
      assert.match(error.message, /can neither load nor resume a conversation/)
    }).pipe(Effect.scoped)
  )

  it.live("a conversation without an answer has nothing to lose: it is begun anew", () =>
    Effect.gen(function* () {
      const keeping: Keeping = {}
      const agent = remembering(yield* folder, [])
      const first = yield* life(agent, { keeping }, (one) => errorOf(one, "die"))
      assert.strictEqual(first.reason, "Failed")
      assert.strictEqual(yield* life(agent, { keeping }, (one) => answerOf(one, "history")), "[]")
    }).pipe(Effect.scoped)
  )

  it.live("what is kept and can't be read is a lost history too", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(open(scripted(["--resume"]), { keeping: { value: "v9:something" } }))
      assert.strictEqual(error.reason, "HistoryGone")
    }).pipe(Effect.scoped)
  )
})

describe("Q27: forgotten", () => {
  it.live("a conversation is deleted by its agent, once or again, by a process that is gone afterwards", () =>
    Effect.gen(function* () {
      const place = yield* folder
      const keeping: Keeping = {}
      const instance = unique("acp")
      const agent = remembering(place, ["--resume", "--delete"])
      yield* life(agent, { keeping, instance }, (one) => answerOf(one, "first"))
      const path = join(place, `${keptId(keeping)}.json`)
      assert.isTrue(existsSync(path))
      const session = { id: 1, conversation: "test/kim", instance, epoch: 1 }
      const { forget } = agent
      assert.isDefined(forget)
      yield* forget(session, keeping.value)
      assert.isFalse(existsSync(path))
      yield* forget(session, keeping.value)
      yield* forget(session, undefined)
      assert.deepStrictEqual(yield* Children.running(instance), [])
    }).pipe(Effect.scoped)
  )

  it.live("an agent that can't be asked fails, so that it is asked again", () =>
    Effect.gen(function* () {
      const { forget } = scripted(["--exit"])
      assert.isDefined(forget)
      const session = { id: 1, conversation: "test/kim", instance: unique("acp"), epoch: 1 }
      const error = yield* Effect.flip(forget(session, '{"session":"x","answered":true}'))
      assert.strictEqual(error.reason, "Failed")
    })
  )
})

describe("steering", () => {
  it.live("Q6: a running turn takes messages over and says which; one that has ended takes none", () =>
    Effect.gen(function* () {
      const agent = yield* open(scripted(["--steer", "--resume"]))
      const { steer } = agent
      assert.isDefined(steer)
      const events = yield* Queue.unbounded<Agent.AgentEvent>()
      // What is handed over before the turn has begun waits for it.
      const early = yield* Effect.forkChild(steer(turnOf(["enough"]).messages), { startImmediately: true })
      const fiber = yield* agent.answer(turnOf(["work"])).pipe(
        Stream.tap((event) => Queue.offer(events, event)),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      while ((yield* Queue.take(events))._tag !== "Text");
      yield* Fiber.join(early)
      const all = yield* Fiber.join(fiber)
      assert.strictEqual(answerText(all), "working done: enough")
      assert.deepStrictEqual(
        all.filter(({ _tag }) => _tag === "Steered"),
        [{ _tag: "Steered", ids: ["message-1"] }]
      )
      // Nobody runs: it waits, and goes with the turn that it was for.
      const late = yield* Effect.forkChild(steer(turnOf(["too late"]).messages), { startImmediately: true })
      yield* Fiber.interrupt(late)
      assert.strictEqual(yield* answerOf(agent, "history"), '["work","enough"]')
      assert.isUndefined((yield* open(scripted())).steer)
      // One that can't find its conversation again could not be ended when it says nothing.
      assert.isUndefined((yield* open(scripted(["--steer"]))).steer)
    }).pipe(Effect.scoped)
  )

  it.live("Q6: one whose word decides nothing is ended, and the turn goes on with the message in another process", () =>
    Effect.gen(function* () {
      const agent = yield* open(remembering(yield* folder, ["--resume", "--steer", "--vague"]))
      const early = yield* Effect.forkChild(agent.steer?.(turnOf(["enough"]).messages) ?? Effect.void, {
        startImmediately: true
      })
      const events = yield* agent.answer(turnOf(["work"])).pipe(
        // What the gateway says of each message that is taken: it still waits.
        Stream.tap((event) => Effect.sync(() => void (event._tag === "Steered" && event.joined?.(event.ids)))),
        Stream.runCollect
      )
      yield* Fiber.join(early)
      const note = "[This was written meanwhile. You may have seen it.]"
      assert.strictEqual(answerText(events), `working done: enough\n\n${note}\nenough`)
      assert.strictEqual(events.filter(({ _tag }) => _tag === "Steered").length, 1)
      const history = ["work", "enough", `${note}\nenough`]
      assert.deepStrictEqual(JSON.parse(yield* answerOf(agent, "history")), history)
    }).pipe(Effect.scoped)
  )
})
