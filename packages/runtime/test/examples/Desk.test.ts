// An example that runs: a host that brings an agent, a pool of its own to drain, and its own words, tested on TestClock
// with the layer of @sluice/runtime/testing, which needs nothing.
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Agent from "../../src/Agent.ts"
import { Gateway } from "../../src/Gateway.ts"
import * as Notices from "../../src/Notices.ts"
import type { Drain } from "../../src/Shutdown.ts"
import { TestGateway } from "../../src/testing/index.ts"

/** An agent from a function of the turn. */
const clerk = Agent.fromFunction((turn) => Effect.succeed(`${turn.messages.length} received: ${turn.text}`))

/** Work of the host that a stop finishes beside the turns; what it counts is in the report. */
const thumbnails: Drain = {
  name: "thumbnails",
  timeout: "3 seconds",
  refuse: Effect.void,
  drain: () => Effect.succeed({ drained: 2 }),
  interrupt: Effect.succeed({ aborted: 0 })
}

/** The sentences that Sluice says itself, in the host's words. */
const words = Layer.succeed(
  Notices.Notices,
  Notices.make({ nothingToStop: () => "There is nothing on my desk that I could stop." })
)

const desk = TestGateway.make({ agents: { clerk }, drains: [thumbnails] }).pipe(Layer.provide(words))

const say = (text: string) => Gateway.use((gateway) => gateway.accept({ conversation: "kim", sender: "kim", text }))

it.effect("Q4: the clerk answers a burst as one, and a stop drains the thumbnails", () =>
  Effect.gen(function* () {
    const gateway = yield* Gateway
    yield* say("a table")
    yield* TestClock.adjust("200 millis")
    yield* say("for four")
    yield* TestClock.adjust("300 millis")
    yield* gateway.settled("kim")
    const answer = yield* Stream.runHead(gateway.replies("kim"))
    assert.strictEqual(Option.getOrThrow(answer).text, "2 received: a table\nfor four")

    yield* say("/stop")
    yield* gateway.settled("kim")
    const next = yield* Stream.runHead(gateway.replies("kim", 1))
    assert.strictEqual(Option.getOrThrow(next).text, "There is nothing on my desk that I could stop.")

    const report = yield* gateway.stop({ reason: "stop", by: "the test" })
    assert.deepStrictEqual(
      report.drains.map(({ counts, name, outcome }) => ({ name, outcome, counts })),
      [{ name: "thumbnails", outcome: "done", counts: { drained: 2, aborted: 0 } }]
    )
  }).pipe(Effect.provide(desk))
)
