// A gateway in small, to be killed: opens the agent, answers one turn and prints every event as a line. What the agent
// keeps with its session lies in a file, as committed as a journal would have it. With `dieAt: "kept"` it kills itself
// when the turn's message is about to be sent.
import type * as Agent from "@sluice/runtime/Agent"
import { sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import * as ClaudeCode from "../../../src/ClaudeCode.ts"

/** What the program is told. */
export interface Order {
  readonly options: ClaudeCode.Options
  readonly instance: string
  readonly epoch: number
  readonly keepingFile: string
  readonly text: string
  readonly dieAt?: "kept"
}

const order = JSON.parse(process.argv[2] ?? "{}") as Order

const kept = Effect.sync(() => (existsSync(order.keepingFile) ? readFileSync(order.keepingFile, "utf8") : undefined))
const session: Agent.AgentSession = {
  ...sessionOf({ instance: order.instance, epoch: order.epoch }),
  kept,
  keep: (value) =>
    Effect.sync(() => {
      writeFileSync(order.keepingFile, value ?? "")
      if (order.dieAt === "kept" && value?.includes('"sent"') === true) process.kill(process.pid, "SIGKILL")
    })
}

const program = Effect.gen(function* () {
  const agent = yield* ClaudeCode.make(order.options).open(session)
  yield* agent
    .answer(turnOf([order.text], { id: "cut" }))
    .pipe(Stream.runForEach((event) => Effect.sync(() => console.log(JSON.stringify(event)))))
})

await Effect.runPromise(Effect.scoped(program))
