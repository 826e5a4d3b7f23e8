// An example that runs: what a host knows of a customer stands with the session, where the agent reads it and the host
// changes it. It is in the journal, so it survives restarts, and a fresh start of the conversation.
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Agent from "../../src/Agent.ts"
import { Gateway } from "../../src/Gateway.ts"
import * as SessionData from "../../src/SessionData.ts"
import { TestGateway } from "../../src/testing/index.ts"

const Plan = SessionData.make("acme/Plan", Schema.Literals(["free", "pro"]), { initial: "free" })
const Asked = SessionData.make("acme/Asked", Schema.Int, { initial: 0 })

const Support = Agent.make({
  open: Effect.fnUntraced(function* (session) {
    const plan = yield* session.get(Plan)
    return {
      answer: (turn) =>
        Stream.fromEffect(
          Effect.map(Effect.orDie(session.update(Asked, (count) => count + 1)), (count) =>
            Agent.text(`${plan}, question ${count}: ${turn.text}`)
          )
        )
    }
  })
})

it.effect("a session's plan is set by the host and read by the agent", () =>
  Effect.gen(function* () {
    const gateway = yield* Gateway
    yield* gateway.data("kim").set(Plan, "pro")
    yield* gateway.accept({ conversation: "kim", sender: "kim", text: "hello" })
    yield* gateway.settled("kim")
    const replies = yield* Stream.runCollect(Stream.take(gateway.replies("kim"), 1))
    assert.strictEqual(replies[0]?.text, "pro, question 1: hello")
    assert.strictEqual(yield* gateway.data("kim").get(Asked), 1)
    assert.strictEqual(yield* gateway.data("lee").get(Plan), "free")
  }).pipe(Effect.provide(TestGateway.make({ agents: { support: Support }, debounce: { quiet: 0 } })))
)
