// A stop that meets an open question: the turn is cut off at once, and what waits behind it does not start before it.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { StopNews } from "../../src/Shutdown.ts"
import * as Stream from "effect/Stream"
import * as Agent from "../../src/Agent.ts"
import { TestAgent } from "../../src/testing/index.ts"
import { type Boot, boot, given, type Label, meanwhile, rest, world } from "../guarantees/boots.ts"

const question = (run: TestAgent.Run) =>
  run.emit({ _tag: "Permission", question: "May I?", options: ["Yes", "No"], respond: () => Effect.void })

const waiting = (current: Boot) =>
  Effect.gen(function* () {
    for (let tick = 0; tick < 500; tick++) {
      const [live] = yield* current.gateway.live
      if (live?.state.name === "waiting") return
      yield* Effect.yieldNow
    }
  })

describe("a stop while a turn waits for a person", () => {
  it.effect("C3, S4: does not start what waits behind it; the next boot asks again and then goes on", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent, queue: { mode: "followup" } })
      yield* first.say("kim", "delete it")
      yield* question(yield* agent.run(1))
      yield* waiting(first)
      yield* first.say("kim", "and then this")
      const report = yield* meanwhile(first.stop)
      assert.deepStrictEqual(report.reasons, [{ code: 80, why: "1 turn interrupted" }])
      assert.deepStrictEqual(given(agent), ["delete it"])

      const second = yield* boot(place, { agent, queue: { mode: "followup" } })
      yield* (yield* agent.run(2)).finish("deleted")
      yield* (yield* agent.run(3)).finish("done")
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(agent), ["delete it", "delete it", "and then this"])
      assert.isTrue((yield* second.gateway.audit).balanced)
    })
  )

  it.effect("C3: a question that is asked in the drain cuts its turn off, and what waits stays behind it", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const draining = Deferred.makeUnsafe<void>()
      const watch = (news: StopNews) => {
        if (news._tag === "Phase" && news.name === "drain") Deferred.doneUnsafe(draining, Exit.void)
      }
      const current = yield* boot(place, { agent, queue: { mode: "followup" }, drain: { watch } })
      yield* current.say("kim", "delete it")
      const run = yield* agent.run(1)
      yield* current.say("kim", "and then this")
      const stop = yield* Effect.forkChild(current.stop, { startImmediately: true })
      yield* Deferred.await(draining)
      yield* question(run)
      const report = yield* meanwhile(Fiber.join(stop))
      assert.deepStrictEqual(report.reasons, [{ code: 80, why: "1 turn interrupted" }])
      assert.deepStrictEqual(given(agent), ["delete it"])
    })
  )
})

describe("a stop that does not wait for an agent any more", () => {
  it.effect("S4: what the agent still comes to store when the store is closed is no failure of the gateway", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const late = Deferred.makeUnsafe<void>()
      const begun = Deferred.makeUnsafe<void>()
      const agent = Agent.make({
        open: () =>
          Effect.succeed({
            answer: () =>
              Stream.fromEffect(
                Effect.uninterruptible(
                  Effect.suspend(() => {
                    Deferred.doneUnsafe(begun, Exit.void)
                    return Effect.as(Deferred.await(late), Agent.text("late"))
                  })
                )
              )
          })
      })
      const at = (label: Label) =>
        label !== "stop:close"
          ? Effect.void
          : Effect.andThen(
              Deferred.succeed(late, undefined),
              Effect.forEach(Array.from({ length: 200 }), () => Effect.yieldNow, { discard: true })
            )
      const current = yield* boot(place, {
        agent: { ...TestAgent.make(), agent },
        drain: { timeout: "1 second" },
        at
      })
      yield* current.say("kim", "hello")
      yield* Deferred.await(begun)
      const report = yield* meanwhile(current.stop)
      assert.deepStrictEqual([report.exitCode, report.by], [80, ["the test"]])
      assert.isFalse(report.reasons.some(({ code }) => code === 70))
    })
  )
})
