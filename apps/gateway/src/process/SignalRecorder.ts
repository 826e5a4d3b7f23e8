/**
 * Takes signals from the first line of the program on. The program itself takes about 100 ms to load, and a SIGTERM in
 * that time would kill it before it could say anything; here it is written down and handed over later. Imports nothing
 * but node: modules, which are there already, and holds no policy except for what must work when nothing else does.
 */
import { closeSync, openSync } from "node:fs"
import process from "node:process"

/** What a signal asks for. `at` is when it came, in milliseconds of the monotonic clock. */
export type Signal =
  /** End. `nth` counts the requests: the second one hurries, from the third on the process exits now. */
  | { readonly _tag: "Stop"; readonly by: string; readonly nth: number; readonly at: number }
  /** End and start again. */
  | { readonly _tag: "Restart"; readonly by: string; readonly at: number }
  /** Read the configuration again. */
  | { readonly _tag: "Reload"; readonly by: string; readonly at: number }
  /** Say what every session waits for, and go on. */
  | { readonly _tag: "Dump"; readonly by: string; readonly at: number }

/** Terminals, npm and shells hand the same Ctrl-C on twice, some 2 ms apart: within this time it is one. */
export const twins = 250

/** Most signals that wait to be handed over. */
const mostWaiting = 64

/** The exit code of a process that was told three times. */
const forced = 81

/** Takes the signals of this process until it is released. */
export interface Recorder {
  /** Hands over what has come so far, then each signal as it comes. Only one can listen. */
  readonly listen: (heard: (signal: Signal) => void) => void
  /** Requests to stop so far; above 0 nothing should be begun any more. */
  readonly stops: () => number
  /** For programs that signals may just end: they do again, also by those that came meanwhile. One kind can go on being taken. */
  readonly release: (but?: Name) => void
}

/** The signals that are taken. */
export type Name = "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGUSR1" | "SIGUSR2" | "SIGQUIT"

const names: ReadonlyArray<Name> = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT"]

/** Whether this process has a terminal that can be closed: the kernel takes it away before it sends SIGHUP. */
const hasTerminal = (): boolean => {
  try {
    closeSync(openSync("/dev/tty", "r"))
    return true
  } catch {
    // ENXIO or EIO: none, or it is gone.
    return false
  }
}

const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** Starts to record. Once per process. */
export const record = (): Recorder => {
  const began = hasTerminal()
  const waiting: Array<Signal> = []
  const raw = new Set<Name>()
  let released = false
  let kept: Name | undefined
  let heard: ((signal: Signal) => void) | undefined
  let stops = 0
  let lastStop = -Infinity
  let lastOther: { readonly name: Name; readonly at: number } | undefined

  const tell = (signal: Signal) => {
    if (heard !== undefined) return heard(signal)
    // Nobody listens yet, so nobody but us can end a program that hangs while it loads.
    if (signal._tag === "Stop" && signal.nth >= 3) process.exit(forced)
    if (waiting.length < mostWaiting) waiting.push(signal)
  }

  const stop = (by: string, at: number) => {
    if (at - lastStop < twins) return
    lastStop = at
    stops++
    tell({ _tag: "Stop", by, nth: stops, at })
  }

  const other = (name: Name, at: number, signal: Signal) => {
    if (lastOther?.name === name && at - lastOther.at < twins) return
    lastOther = { name, at }
    tell(signal)
  }

  /** Does what the signal does to a program that does not listen. */
  const raise = (name: Name) => {
    process.off(name, take)
    process.kill(process.pid, name)
  }

  const take = (name: Name) => {
    if (released && name !== kept) return raise(name)
    const at = now()
    raw.add(name)
    switch (name) {
      case "SIGTERM":
      case "SIGINT":
        return stop(name, at)
      case "SIGHUP":
        return began && !hasTerminal()
          ? stop("SIGHUP, the terminal was closed", at)
          : other(name, at, { _tag: "Reload", by: name, at })
      case "SIGUSR1":
      case "SIGUSR2":
        return other(name, at, { _tag: "Restart", by: name, at })
      case "SIGQUIT":
        return other(name, at, { _tag: "Dump", by: name, at })
    }
  }

  // Not with --disable-sigusr1, which blocks SIGUSR1 for good, also for what follows by execve. A listener does, too:
  // Node opens its debugger for a SIGUSR1 that nobody listens to.
  for (const name of names) process.on(name, take)

  // A closed terminal or a reader that went away fails the next write. Nobody is left to read it, and the stop goes on.
  const unread = () => undefined
  process.stdout.on("error", unread)
  process.stderr.on("error", unread)

  return {
    listen: (next) => {
      heard = next
      for (const signal of waiting.splice(0)) next(signal)
    },
    stops: () => stops,
    release: (but) => {
      // The listeners stay and raise the signal again: one that has arrived and was not told yet would be lost with them.
      released = true
      kept = but
      for (const name of raw) raise(name)
    }
  }
}
