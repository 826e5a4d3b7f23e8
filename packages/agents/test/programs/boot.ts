// A boot that an agent of the boot before it had started: it carries that turn's marker itself, and so does its parent.
import * as Effect from "effect/Effect"
import * as Children from "../../src/Children.ts"

const [instance = "", epoch = ""] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const found = yield* Children.orphans({ instance, epoch: Number(epoch) })
  for (const orphan of found) yield* orphan.reap
  process.stdout.write(JSON.stringify({ found: found.length, marker: process.env["SLUICE_MARKER"] }))
})

await Effect.runPromise(program)
