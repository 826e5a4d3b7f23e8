// A gateway in a test ends with the test, also when the test has forgotten a run: on a clock that stands still a drain
// would wait for ever, and nobody would be told for what.
import { assert, describe, it, vi } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { Gateway } from "../src/Gateway.ts"
import { TestAgent, TestGateway } from "../src/testing/index.ts"

describe("the end of a test", () => {
  it.effect("cuts off a run that was forgotten, and names it", () =>
    Effect.gen(function* () {
      const agent = TestAgent.make()
      const warn = vi.spyOn(globalThis.console, "warn").mockImplementation(() => undefined)
      yield* Effect.addFinalizer(() => Effect.sync(() => warn.mockRestore()))
      const scope = yield* Scope.make()
      const layer = TestGateway.make({ agents: { main: agent.agent }, debounce: { quiet: 0 } })
      const context = yield* Layer.buildWithScope(layer, scope)
      const gateway = Context.get(context, Gateway)
      yield* gateway.accept({ conversation: "kim", sender: "kim", text: "hello" })
      yield* agent.run(1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* gateway.stopped).exitCode, 81)
      assert.deepStrictEqual(warn.mock.calls, [
        [
          "The test ends while turn 1 of host/kim runs and waits for its agent: it is cut off, not drained. End its run, or stop the gateway in the test."
        ]
      ])
    })
  )

  it.effect("is silent about a gateway that has nothing to do", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const gateway = Context.get(yield* Layer.buildWithScope(TestGateway.layer, scope), Gateway)
      yield* Scope.close(scope, Exit.void)
      const { ledger, sessions } = yield* gateway.stopped
      assert.deepStrictEqual([sessions, ledger?.balanced], [[], true])
    })
  )
})
