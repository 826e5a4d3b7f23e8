// A process that was held up (by a busy machine, a long synchronous call, a pause of the whole system) hears of its timers
// before it reads what has come meanwhile. An answer that was there in time is not judged as a missing one.
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Worker } from "node:worker_threads"
import * as Agent from "../src/Agent.ts"
import { attempt, CutSignal } from "../src/internal/session/attempt.ts"
import { turnOf } from "../src/testing/agentConformance.ts"

/** Far more than a timer of `patience` waits; ms. */
const pause = 200
const patience = 50

/** Says what it is asked to, and that it has; `said` is told without the main loop. */
const far = `
  const { parentPort, workerData } = require("node:worker_threads")
  parentPort.on("message", (text) => {
    parentPort.postMessage(text)
    Atomics.store(workerData, 0, 1)
    Atomics.notify(workerData, 0)
  })
`

const outcome = (limits: { readonly stall: number; readonly timeout: number }) =>
  Effect.gen(function* () {
    const said = new Int32Array(new SharedArrayBuffer(8))
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() => new Worker(far, { eval: true, workerData: said })),
      (started) => Effect.promise(() => started.terminate())
    )
    yield* Effect.callback<void>((resume) => void worker.once("online", () => resume(Effect.void)))
    const answer = Effect.callback<Agent.AgentEvent>((resume) => {
      worker.once("message", (text: string) => resume(Effect.succeed(Agent.text(text))))
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      worker.postMessage("here in time")
      // It has been said, and the main loop stands still until all timers of the attempt are due.
      Atomics.wait(said, 0, 0)
      Atomics.wait(said, 1, 0, pause)
    })
    return yield* attempt({
      ...limits,
      open: { answer: () => Stream.fromEffect(Effect.andThen(Effect.yieldNow, answer)) },
      turn: turnOf(["hello"]),
      pulse: { at: performance.now(), shownAt: 0, waiting: false },
      now: () => performance.now(),
      cut: new CutSignal(),
      more: () => Context.empty(),
      onEvent: () => Effect.void
    })
  }).pipe(Effect.scoped)

describe("timers of an attempt that are late", () => {
  it.live("an answer that came while the process was held up is no stall", () =>
    Effect.map(outcome({ stall: patience, timeout: 0 }), (ended) =>
      assert.deepStrictEqual(ended, { _tag: "Answered", text: "here in time" })
    )
  )

  it.live("nor is it too late for the turn's time", () =>
    Effect.map(outcome({ stall: 0, timeout: patience }), (ended) =>
      assert.deepStrictEqual(ended, { _tag: "Answered", text: "here in time" })
    )
  )
})
