// A gateway in small: runs one turn that ignores signals and then one that crashes the process, with kill -9.
import { sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Demo from "../../src/Demo.ts"

const [instance = "", epoch = ""] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const agent = yield* Demo.make().open(sessionOf({ instance, epoch: Number(epoch), id: 7 }))
  yield* agent
    .answer(turnOf(["stubborn"], { id: "stuck" }))
    .pipe(Stream.runForEach(() => Stream.runDrain(agent.answer(turnOf(["crash"], { id: "crash" })))))
})

await Effect.runPromise(Effect.scoped(program))
