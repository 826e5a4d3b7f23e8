// An orphan that was awaited although it had ended: a server that it had tried out lived on.
import { assert, describe, it } from "@effect/vitest"
import * as Agent from "@sluice/runtime/Agent"
import * as Effect from "effect/Effect"
import * as Children from "../src/Children.ts"
import { foreign, lives, unique } from "./processes.ts"

/** A program that starts something in a session of its own, says its number, and waits to be ended. */
const withServer = ["/bin/sh", "-c", "setsid sleep 300 >&2 & echo $!; wait"] as const

const setting = Effect.gen(function* () {
  const instance = unique("orphans")
  const marker = Agent.formatMarker({ instance, epoch: 1, session: 5 })
  const program = yield* foreign(withServer, { [Agent.markerVariable]: marker })
  const server = Number(program.said)
  yield* Effect.addFinalizer(() => Effect.sync(() => void (lives(server) && process.kill(server, "SIGKILL"))))
  return { program, server, orphans: Children.orphans({ instance, epoch: 2 }) }
})

describe("an orphan that has left something running", () => {
  it.live(
    "Q16: is gone with its own end: its answer does not wait for a server that it had started, which is ended",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { orphans, program, server } = yield* setting
          const [found] = yield* orphans
          assert.isDefined(found)
          assert.strictEqual(found.pid, program.pid)
          process.kill(program.pid, "SIGKILL")
          yield* found.gone
          assert.isTrue(lives(server))
          yield* found.reap
          assert.isFalse(lives(server))
        })
      )
  )
})
