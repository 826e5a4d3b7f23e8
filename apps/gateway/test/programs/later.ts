// The gateway as it ships, with a clock that can be put forward: at each SIGWINCH a quarter of an hour has passed, for
// everything that waits by Effect's clock. Processes, pipes and sockets stay real, so that what an idle session does to
// its agent can be seen without waiting for it. Nothing of it is in the program: its clock is a reference that is set
// here before the program is loaded.
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import process from "node:process"
import { record } from "../../src/process/SignalRecorder.ts"

const recorder = record()
/** Milliseconds that pass at once. */
const leap = 15 * 60_000

let ahead = 0
/** Who sleeps, and until when by the clock that is put forward. */
const sleeping = new Map<() => void, number>()

const monotonic = () => Number(process.hrtime.bigint()) / 1e6 + ahead
const nanos = (millis: number) => BigInt(Math.round(millis * 1e6))

const sleep = (duration: Duration.Duration): Effect.Effect<void> => {
  const millis = Duration.toMillis(duration)
  if (!Number.isFinite(millis)) return Effect.never
  return Effect.callback((resume) => {
    const wake = () => {
      clearTimeout(timer)
      sleeping.delete(wake)
      resume(Effect.void)
    }
    // What is longer than a timer can be never ends here: no test waits for weeks.
    const timer = setTimeout(wake, Math.min(Math.max(0, millis), 2 ** 31 - 1))
    sleeping.set(wake, monotonic() + millis)
    return Effect.sync(() => {
      clearTimeout(timer)
      sleeping.delete(wake)
    })
  })
}

const clock: Clock.Clock = {
  currentTimeMillisUnsafe: () => Date.now() + ahead,
  currentTimeMillis: Effect.sync(() => Date.now() + ahead),
  currentTimeNanosUnsafe: () => nanos(Date.now() + ahead),
  currentTimeNanos: Effect.sync(() => nanos(Date.now() + ahead)),
  monotonicTimeNanosUnsafe: () => nanos(monotonic()),
  monotonicTimeNanos: Effect.sync(() => nanos(monotonic())),
  sleep
}
Reflect.set(Clock.Clock, "defaultValue", () => clock)

process.on("SIGWINCH", () => {
  ahead += leap
  const now = monotonic()
  const due = [...sleeping].filter(([, until]) => until <= now).sort(([, a], [, b]) => a - b)
  for (const [wake] of due) wake()
})

const { main } = await import("../../src/main.ts")
main(recorder)
