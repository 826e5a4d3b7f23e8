/**
 * A model's server as a process of its own, so that it shares no thread with who measures: the stand-ins of the tests,
 * which speak the real formats. Prints its address as its first line and ends with its standard input.
 */
import * as Effect from "effect/Effect"
import { standIn as anthropic } from "../../../../../packages/agents/test/standIn/anthropic.ts"
import { standIn as openai } from "../../../../../packages/agents/test/standIn/openai.ts"
import { answer, markOf, now, stamp } from "./stamp.mjs"

const [api, file] = process.argv.slice(2)

/** What is said after the stamp is said in the same step. */
const stamping = openai({
  answer: ({ text }) => {
    const seen = now()
    stamp(file, { turn: markOf(text), seen, first: now(), said: now() })
    return { _tag: "Say", text: answer.join("") }
  }
})

process.stdin.on("end", () => process.exit(0)).resume()
const serving = Effect.scoped(
  Effect.gen(function* () {
    const { url } = yield* api === "openai" ? stamping : anthropic({ forgets: true })
    process.stdout.write(`${url}\n`)
    return yield* Effect.never
  })
)
Effect.runPromise(serving).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`)
  process.exit(1)
})
