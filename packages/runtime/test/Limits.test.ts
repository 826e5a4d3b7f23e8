// What an agent sends is bounded, and what happens at the bound is seen: a long answer says that it was cut off, a
// question too many is not asked, and of tools that run beside each other none is forgotten by a crash.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { DatabaseSync } from "node:sqlite"
import * as Agent from "../src/Agent.ts"
import { maxAnswer } from "../src/internal/session/attempt.ts"
import type { StopNews } from "../src/Shutdown.ts"
import { TestAgent } from "../src/testing/index.ts"
import { boot, meanwhile, rest, world } from "./guarantees/boots.ts"

const asking = (
  question: string,
  options: ReadonlyArray<string>,
  told: Array<string | undefined>
): Agent.AgentEvent => ({
  _tag: "Permission",
  question,
  options,
  respond: (option) => Effect.sync(() => void told.push(option))
})

/** Comes true in a while in which no time passes. */
const soon = (isTrue: () => boolean) =>
  Effect.gen(function* () {
    for (let tick = 0; tick < 1000 && !isTrue(); tick++) yield* Effect.yieldNow
    assert.isTrue(isTrue())
  })

describe("limits of an agent's events", () => {
  it.effect("an answer that is too long is cut off between two characters and says so", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "all of it")
      const run = yield* agent.run(1)
      yield* run.emit(Agent.text("x".repeat(maxAnswer - 1)))
      yield* run.emit(Agent.text("\u{1f980}\u{1f980}"))
      for (let n = 0; n < 20; n++) yield* run.emit(Agent.text("y".repeat(100_000)))
      yield* run.finish()
      yield* rest(current, "chat/kim")
      const [answer = ""] = place.far.chat?.seen("kim") ?? []
      assert.isTrue(answer.isWellFormed())
      assert.strictEqual(answer.slice(maxAnswer - 1), "\n\n(The answer was longer; the rest is cut off.)")
    })
  )

  it.effect("C9: an answer that does not end is cut off, and its agent let go of", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "go on")
      const run = yield* agent.run(1)
      const piece = Agent.text("x".repeat(maxAnswer))
      for (let n = 0; n <= 16; n++) yield* run.emit(piece)
      assert.strictEqual(yield* run.over, "interrupted")
      yield* rest(current, "chat/kim")
      const [answer = ""] = place.far.chat?.seen("kim") ?? []
      assert.strictEqual(answer.slice(maxAnswer), "\n\n(The answer was longer; the rest is cut off.)")
      yield* current.say("kim", "and now?")
      yield* (yield* agent.run(2)).finish("fine")
      yield* rest(current, "chat/kim")
      assert.strictEqual(place.far.chat?.seen("kim").at(-1), "fine")
    })
  )

  it.effect(
    "of more than 16 open questions, and of one without a choice, nobody is asked: the agent hears it at once",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent })
        const told: Array<string | undefined> = []
        yield* current.say("kim", "go")
        const run = yield* agent.run(1)
        yield* run.emit(asking("What?", [], told))
        yield* soon(() => told.length === 1)
        for (let n = 1; n <= 20; n++) yield* run.emit(asking(`${n}?`, ["Yes"], told))
        yield* soon(() => told.length === 5)
        assert.deepStrictEqual(
          told,
          Array.from({ length: 5 }, () => undefined)
        )
        yield* meanwhile(place.far.chat?.requested(16) ?? Effect.void)
        assert.strictEqual(place.far.chat?.seen("kim").length, 16)
        yield* current.say("kim", "/allow 16 Yes")
        yield* soon(() => told.length === 6)
        yield* run.finish("ok")
        yield* rest(current, "chat/kim")
        assert.strictEqual(place.far.chat?.seen("kim").at(-1), "ok")
      })
  )

  it.effect("S4: a question that is asked in a drain is not waited for: the turn is cut and asks after the boot", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const draining = yield* Deferred.make<void>()
      const watch = (news: StopNews) => {
        if (news._tag === "Phase" && news.name === "drain") Deferred.doneUnsafe(draining, Exit.void)
      }
      const current = yield* boot(place, { agent, drain: { watch } })
      yield* current.say("kim", "go")
      const run = yield* agent.run(1)
      const stop = yield* Effect.forkChild(current.stop, { startImmediately: true })
      yield* Deferred.await(draining)
      assert.isUndefined(stop.pollUnsafe())
      const told: Array<string | undefined> = []
      yield* run.emit(asking("Delete?", ["Yes"], told))
      const report = yield* meanwhile(Fiber.join(stop), { step: 1, steps: 100 })
      assert.isBelow(report.millis, 100)
      assert.deepStrictEqual([report.sessions.map(({ outcome }) => outcome), told], [["interrupted"], []])
      assert.deepStrictEqual(place.far.chat?.seen("kim"), [])
    })
  )

  it.effect("D18: of tools beside each other, the end of one does not hide that another had begun", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent })
      yield* first.say("kim", "deploy and look")
      const run = yield* agent.run(1)
      // Events are taken one after the other: with the text all before it are done.
      const through = yield* first.gateway.progress("chat/kim").pipe(
        Stream.takeUntil(({ _tag }) => _tag === "Text"),
        Stream.runDrain,
        Effect.forkChild({ startImmediately: true })
      )
      for (const event of [
        { _tag: "ToolStarted", id: "1", name: "deploy", sideEffects: true },
        { _tag: "ToolStarted", id: "2", name: "read", sideEffects: false },
        { _tag: "ToolFinished", id: "2" },
        { _tag: "ToolStarted", id: "3", name: "mail", sideEffects: true },
        { _tag: "ToolFinished", id: "3" },
        Agent.text("so far")
      ] as const) {
        yield* run.emit(event)
      }
      yield* Fiber.join(through)
      const said = yield* first.handle().ended((yield* first.say("kim", "/status")).seq)
      assert.match(said?.replies[0]?.text ?? "", /running deploy/)
      yield* first.crash
      const later = TestAgent.make()
      yield* boot(place, { agent: later })
      assert.deepStrictEqual((yield* later.run(1)).turn.interrupted, { by: "crash", tool: "deploy" })
    })
  )

  it.effect("usage is added up by name, and a number that is none is left out", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "count")
      const run = yield* agent.run(1)
      yield* run.emit({ _tag: "Usage", usage: { input: 10, output: Number.NaN } })
      yield* run.emit({ _tag: "Usage", usage: { input: 5 } })
      for (let n = 0; n < 100; n++) yield* run.emit({ _tag: "Usage", usage: { [`name${n}`]: 1 } })
      yield* run.finish("ok")
      yield* rest(current, "chat/kim")
      const database = new DatabaseSync(place.file, { readOnly: true })
      const row = database.prepare("select usage from sluice_turns").get()
      database.close()
      const usage = JSON.parse(String(row?.usage)) as Record<string, number>
      assert.deepStrictEqual([usage.input, "output" in usage, Object.keys(usage).length], [15, false, 64])
    })
  )
})
