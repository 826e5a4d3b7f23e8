/**
 * A process that opens the store named by its argument, admits a message, says
 * so on stdout, and then lives until it is killed. What it can't do it says in one
 * line and with exit code 1.
 */
import process from "node:process"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Journal } from "../../../src/Journal.ts"
import { message, sqlite } from "../harness.ts"

const [, , file = ""] = process.argv

const program = Effect.gen(function* () {
  const context = yield* Layer.build(Journal.layer(sqlite(file)))
  const journal = Context.get(context, Journal)
  yield* journal.admit(message("from another process", { id: `m${process.pid}` }))
  process.stdout.write(`ready ${journal.opening.epoch}\n`)
  return yield* Effect.never
})

Effect.runPromise(Effect.scoped(program)).catch((error: unknown) => {
  process.stdout.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
