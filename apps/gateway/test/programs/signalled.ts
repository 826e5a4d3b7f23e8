// A program that starts as the gateway does: it records signals first, loads itself when it is told to, and then says
// what each signal asks of it.
import process from "node:process"
import { record } from "../../src/process/SignalRecorder.ts"

const recorder = record()
const [what = "obey"] = process.argv.slice(2)
const say = (line: string) => process.stdout.write(`${line}\n`)

const obeying = async () => {
  const Effect = await import("effect/Effect")
  const Signals = await import("../../src/process/Signals.ts")
  const program = Effect.gen(function* () {
    const signals = yield* Signals.make(recorder)
    yield* Effect.forkChild(Effect.map(signals.stopping, (signal) => say(`stopping by ${signal.by}`)))
    say(`loaded, ${recorder.stops()} stops`)
    return yield* Signals.obey(signals, {
      stop: ({ at, by, force, reason }) =>
        Effect.andThen(
          Effect.sync(() =>
            say(`${reason} by ${by}${force === undefined ? "" : ", hurry"}\nstop at ${Math.round(at ?? 0)}`)
          ),
          what === "once" ? Effect.sync(() => process.exit(0)) : Effect.never
        ),
      reload: Effect.andThen(
        Effect.sync(() => say("reload")),
        Effect.never
      ),
      dump: Effect.sync(() => say("dump")),
      exitNow: (by) =>
        Effect.sync(() => {
          say(`now by ${by}`)
          return process.exit(81)
        })
    })
  }).pipe(Effect.scoped)
  await Effect.runPromise(program)
}

const modes: { readonly [name: string]: () => void } = {
  obey: () => void obeying(),
  once: () => void obeying(),
  release: () => {
    for (const name of ["SIGINT", "SIGTERM"]) process.off(name, seen)
    recorder.release()
    say("released")
  },
  /** Writes on, whatever becomes of whoever reads. */
  chatter: () => {
    void obeying()
    setInterval(() => say("x".repeat(1000)), 5)
  }
}

// Heard after the recorder: a test that waits for this knows that the signal is written down.
const seen = (name: string) => {
  say(`took ${name}`)
}
for (const name of ["SIGINT", "SIGTERM"]) process.once(name, seen)

const live = setInterval(() => undefined, 1000)
process.on("exit", () => clearInterval(live))
process.stdin.on("data", () => modes[what]?.())
say("recording")
