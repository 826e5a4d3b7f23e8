/**
 * Tells a service manager how the gateway is: ready, reloading, stopping, alive. Node can't send the datagram itself, so
 * `systemd-notify` does, one at a time and in order. Whatever it does, hangs or lacks, nothing waits for it: a manager
 * that does not hear READY is the manager's problem, a gateway that waits for it would be ours.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"

/** The environment that says whether somebody listens. */
export interface Environment {
  readonly [name: string]: string | undefined
}

/** The manager of this process, if it has one. Each call returns at once. */
export interface Notifier {
  /** It serves; also after a reload. */
  readonly ready: (status: string) => void
  /** It reads its configuration again; `ready` ends that. */
  readonly reloading: () => void
  /** It stops. */
  readonly stopping: (status: string) => void
}

/** Most messages that wait to be sent; the oldest fall. */
const mostWaiting = 8
/** How long one message may take. */
const patience = 2000

/** A status is one line, of what a person may read in `systemctl status`. */
const oneLine = (text: string): string => text.replaceAll(/\p{Cc}+/gu, " ").slice(0, 200)

/** Sends one message; it is waited for, because the manager asks who sent it and finds nobody when that one is gone. Returns when it is sent, could not be, or took too long. */
const send = (variables: ReadonlyArray<string>, environment: Environment): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const child = spawn("systemd-notify", [...variables], { env: environment, stdio: "ignore" })
    child.unref()
    child.on("error", (error) => resume(Effect.logDebug("The service manager could not be told", error)))
    child.on("exit", () => resume(Effect.void))
    return Effect.sync(() => child.kill("SIGKILL"))
  }).pipe(Effect.timeoutOption(patience), Effect.asVoid)

/** How often the manager wants to hear that the gateway lives, in milliseconds; undefined when it does not. */
export const watchdogInterval = (environment: Environment, pid: number): number | undefined => {
  const micros = Number(environment["WATCHDOG_USEC"])
  const wanted = environment["WATCHDOG_PID"]
  if (!Number.isFinite(micros) || micros <= 0) return undefined
  return wanted !== undefined && wanted !== String(pid) ? undefined : micros / 1000
}

const silent: Notifier = { ready: () => undefined, reloading: () => undefined, stopping: () => undefined }

/** The manager that the environment names; without one everything here does nothing. */
export const make = Effect.fnUntraced(function* (
  environment: Environment
): Effect.fn.Return<Notifier, never, Scope.Scope> {
  if ((environment["NOTIFY_SOCKET"] ?? "") === "") return silent
  const messages = yield* Effect.acquireRelease(Queue.sliding<ReadonlyArray<string>>(mostWaiting), Queue.shutdown)
  yield* Queue.take(messages).pipe(
    Effect.flatMap((variables) => send(variables, environment)),
    Effect.forever,
    Effect.forkScoped
  )
  const tell = (...variables: ReadonlyArray<string>): void => {
    Queue.offerUnsafe(messages, variables)
  }
  const interval = watchdogInterval(environment, process.pid)
  if (interval !== undefined) {
    // Twice as often as asked for, as the manual of sd_watchdog_enabled recommends.
    yield* Effect.sleep(interval / 2).pipe(
      Effect.andThen(Effect.sync(() => tell("WATCHDOG=1"))),
      Effect.forever,
      Effect.forkScoped
    )
  }
  return {
    ready: (status) => tell("READY=1", `STATUS=${oneLine(status)}`),
    reloading: () => tell("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`),
    stopping: (status) => tell("STOPPING=1", `STATUS=${oneLine(status)}`)
  }
})
