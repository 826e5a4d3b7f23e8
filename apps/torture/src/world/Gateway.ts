/**
 * One process of the gateway under test: how it is started, what it has said, how it
 * is stopped, killed and asked to read its configuration again, and what was left of
 * it. Each of these is written to the history before it is done and after it was seen.
 * A line of its log or its end is what anybody waits for, never time.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { appendFileSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import type { History } from "../history/writer.mjs"
import { type Wire, wire } from "./wire.ts"

/** What the line `ready` says. */
export interface Facts {
  readonly url: string
  readonly epoch: number
  readonly lastStop: string
  readonly deadline: { readonly millis: number; readonly source: string }
}

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** How it is started. */
export interface Start {
  readonly program: string
  readonly folder: string
  readonly stateDirectory: string
  readonly environment: Readonly<Record<string, string>>
  readonly history: History
  /** Which boot of its world it is, from 1. */
  readonly boot: number
  /** Messages without an end when it is started, as the clients know. */
  readonly open: number
  /** What is run instead of `node`, with its arguments before the program's: a wrapper that limits or preloads. */
  readonly command?: readonly [string, ...ReadonlyArray<string>]
  /** How long anything is waited for before the gateway is said to hang, in milliseconds; 60,000. */
  readonly patience?: number
}

/** A process of the gateway. */
export interface Gateway {
  readonly pid: number
  readonly boot: number
  /** The gateway's own log and words so far, for a failure's report. */
  readonly printed: () => ReadonlyArray<string>
  /** Fails with its end when it ends before it is ready. */
  readonly ready: Effect.Effect<Ready, Ended>
  readonly exited: Effect.Effect<Ended>
  readonly signal: (name: NodeJS.Signals) => Effect.Effect<void>
  /** The end by SIGKILL, in the middle of `during`. False when it had ended by itself before. */
  readonly kill: (during: string) => Effect.Effect<boolean>
  /** Writes down that a stop is asked for, and asks. `ended` completes it; a kill may come before. */
  readonly beginStop: (behaviour?: string) => Effect.Effect<void>
  /** A whole stop by SIGTERM. `behaviour` says what the agents did that it had to wait for. */
  readonly stop: (behaviour?: string) => Effect.Effect<Ended>
  /** Asks it to read its configuration again, by SIGHUP, without waiting. */
  readonly beginReload: Effect.Effect<void>
  /** A whole reload. False when it ended or refused before it was done. */
  readonly reload: Effect.Effect<boolean>
  /** Completes when a line of the log has such a message; fails with the end when that comes before. */
  readonly says: (message: string) => Effect.Effect<void, Ended>
}

/** A gateway that is ready. */
export interface Ready extends Gateway {
  readonly facts: Facts
  readonly token: string
  readonly wire: Wire
}

/** Everything that lives and carries a world's history in its environment: agents and what they started, or only the latter. */
export const marked = (history: string, what: "all" | "left behind" = "all"): ReadonlyArray<number> =>
  readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const environment = readFileSync(`/proc/${name}/environ`, "utf8").split("\0")
      if (what === "left behind" && !environment.some((one) => one.startsWith("TORTURE_LEFT_BY="))) return []
      return environment.includes(`TORTURE_HISTORY=${history}`) ? [Number(name)] : []
    } catch {
      // It ended while it was looked at, or is somebody else's.
      return []
    }
  })

/** Ends a process that may be gone by now. */
export const end = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL")
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ESRCH") throw cause
  }
}

/** What a process prints, and who waits for some of it. */
class Printed {
  readonly lines: Array<string> = []
  readonly #watchers = new Set<(line: string) => void>()
  add(line: string): void {
    this.lines.push(line)
    // A world of thousands of messages says a lot; the end is what matters.
    if (this.lines.length > 2000) this.lines.splice(0, 1000)
    for (const watcher of this.#watchers) watcher(line)
  }
  watch(see: (line: string) => void): () => void {
    for (const line of this.lines) see(line)
    this.#watchers.add(see)
    return () => this.#watchers.delete(see)
  }
}

interface LogLine {
  readonly message: string
  readonly annotations?: unknown
}

const lineOf = (text: string): LogLine | undefined => {
  if (!text.startsWith("{")) return undefined
  try {
    return JSON.parse(text) as LogLine
  } catch {
    // A piece of a line: its process was killed.
    return undefined
  }
}

const tokenIn = (stateDirectory: string) => readFileSync(join(stateDirectory, "token"), "utf8").trim()

/** How long a process's main thread was ready to run and was given no processor, in milliseconds, as the kernel counts it. */
const delayOf = (pid: number): number | undefined => {
  try {
    const [, delay] = readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")
    return Number(delay) / 1e6
  } catch {
    // It is gone, or this system does not count.
    return undefined
  }
}

/** The report of this epoch: where it could not be written, an older one may still be there. */
const reportIn = (stateDirectory: string, epoch: number | undefined): unknown => {
  try {
    const report = JSON.parse(readFileSync(join(stateDirectory, "last-shutdown.json"), "utf8")) as { epoch?: number }
    return epoch === undefined || report.epoch === epoch ? report : undefined
  } catch {
    // A forced end may leave none.
    return undefined
  }
}

/** The process as an object, without its history. */
class Running {
  readonly pid: number
  readonly out = new Printed()
  readonly exited = Deferred.makeUnsafe<Ended>()
  /** Once the kernel has said so: a kill after it kills nobody. */
  ended: Ended | undefined
  /** A kill was sent. */
  killed = false
  stopping = false
  facts: Facts | undefined
  /** Since a stop was asked for, as far as it was seen. */
  starved = 0
  readonly child: ChildProcess
  readonly start: Start

  constructor(start: Start) {
    this.start = start
    const [command = process.execPath, ...before] = start.command ?? []
    this.child = spawn(command, [...before, start.program, "run"], {
      cwd: start.folder,
      env: {
        PATH: process.env["PATH"],
        HOME: process.env["HOME"],
        SLUICE_PORT: "0",
        SLUICE_STATE_DIR: start.stateDirectory,
        SLUICE_LOG_FORMAT: "json",
        ...start.environment
      },
      stdio: ["ignore", "pipe", "pipe"]
    })
    this.pid = this.child.pid ?? 0
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on("line", (line) => this.out.add(line))
    }
    this.child.once("exit", (code, signal) => {
      this.ended = { code, signal }
    })
    // After its pipes: what it said last has been read by then. A child of its own may hold them; the exit counts.
    this.child.once("exit", () => setImmediate(() => this.#over()))
  }

  #over(): void {
    const { boot, folder, history, stateDirectory } = this.start
    appendFileSync(join(folder, "gateway.log"), `boot ${boot}\n${this.out.lines.join("\n")}\n`)
    const ended = this.ended ?? { code: null, signal: null }
    if (this.facts === undefined && !this.killed) {
      history.append({ op: "boot", phase: "fail", by: "supervisor", boot, pid: this.pid })
    }
    const line = { op: "exit", phase: "ok", by: "supervisor", boot, pid: this.pid, ...ended } as const
    const planned = this.stopping && ended.signal === null
    history.append(planned ? { ...line, left: marked(history.file) } : line)
    if (this.stopping) {
      const stop = { op: "stop", by: "supervisor", boot, starved: Math.round(this.starved) } as const
      const told = planned ? { exitCode: ended.code ?? -1, report: reportIn(stateDirectory, this.facts?.epoch) } : {}
      history.append({ ...stop, phase: planned ? "ok" : "fail", ...told })
    }
    Deferred.doneUnsafe(this.exited, Effect.succeed(ended))
  }

  /** Watches, until it ends, how long it is kept from running. */
  starve(): void {
    const before = delayOf(this.pid)
    if (before === undefined) return
    const timer = setInterval(() => {
      this.starved = (delayOf(this.pid) ?? before + this.starved) - before
      if (this.ended !== undefined) clearInterval(timer)
    }, 20)
    timer.unref()
  }

  /** The first line of the log for which `is` says so. */
  line(is: (line: LogLine) => boolean): Effect.Effect<LogLine, Ended> {
    return Effect.raceFirst(
      Effect.callback<LogLine>((resume) => {
        const off = this.out.watch((text) => {
          const line = lineOf(text)
          if (line !== undefined && is(line)) resume(Effect.succeed(line))
        })
        return Effect.sync(off)
      }),
      Effect.flatMap(Deferred.await(this.exited), (ended) => Effect.fail(ended))
    )
  }
}

/** Whatever does not come in time means that the gateway hangs, which no promise allows. */
const within = <A, E>(running: Running, what: string, wait: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  const patience = running.start.patience ?? 60_000
  return Effect.timeoutOrElse(wait, {
    duration: patience,
    orElse: () =>
      Effect.die(
        new Error(
          `the gateway (${running.pid}) did not ${what} in ${patience} ms:\n${running.out.lines.slice(-30).join("\n")}`
        )
      )
  })
}

const readyOf = (running: Running, gateway: Gateway): Effect.Effect<Ready, Ended> =>
  Effect.map(
    within(
      running,
      "get ready",
      running.line(({ message }) => message === "ready")
    ),
    ({ annotations }) => {
      const facts = annotations as Facts
      const { boot, history, stateDirectory } = running.start
      if (running.facts === undefined) {
        history.append({ op: "boot", phase: "ok", by: "supervisor", boot, pid: running.pid })
      }
      running.facts = facts
      return { ...gateway, facts, token: tokenIn(stateDirectory), wire: wire(facts.url) }
    }
  )

const controls = (running: Running): Gateway => {
  const { boot, history } = running.start
  const { pid } = running
  const exited = within(running, "end", Deferred.await(running.exited))
  const signal = (name: NodeJS.Signals) => Effect.sync(() => void running.child.kill(name))
  const beginStop = (behaviour?: string) =>
    Effect.sync(() => {
      const deadline = running.facts?.deadline.millis
      running.stopping = true
      running.starve()
      history.append({
        op: "stop",
        phase: "invoke",
        by: "supervisor",
        boot,
        ...(deadline === undefined ? {} : { deadline }),
        ...(behaviour === undefined ? {} : { behaviour })
      })
      running.child.kill("SIGTERM")
    })
  const beginReload = Effect.sync(() => {
    history.append({ op: "reload", phase: "invoke", by: "supervisor", boot })
    running.child.kill("SIGHUP")
  })
  const reloaded = (line: LogLine) =>
    /^(Configuration re(ad again|loaded)|The configuration was not reloaded)/.test(line.message)
  return {
    pid,
    boot,
    printed: () => running.out.lines,
    get ready(): Effect.Effect<Ready, Ended> {
      return readyOf(running, this)
    },
    exited,
    signal,
    kill: (during) =>
      Effect.suspend(() => {
        if (running.ended === undefined) {
          running.killed = true
          running.child.kill("SIGKILL")
          // Written when it was sent, which is when nothing more can be done by it.
          history.append({ op: "kill", phase: "ok", by: "supervisor", boot, pid, during })
        }
        return Effect.map(exited, ({ signal }) => signal === "SIGKILL")
      }),
    beginStop,
    stop: (behaviour) => Effect.andThen(beginStop(behaviour), exited),
    beginReload,
    reload: Effect.andThen(
      beginReload,
      within(running, "read its configuration again", running.line(reloaded)).pipe(
        Effect.map(({ message }) => {
          const done = !message.startsWith("The configuration was not")
          history.append({ op: "reload", phase: done ? "ok" : "fail", by: "supervisor", boot })
          return done
        }),
        Effect.orElseSucceed(() => false)
      )
    ),
    says: (message) =>
      Effect.asVoid(
        within(
          running,
          `say "${message}"`,
          running.line((line) => line.message === message)
        )
      )
  }
}

/** Starts a gateway; it is killed, without a word in the history, when the scope ends before it. */
export const start = (options: Start): Effect.Effect<Gateway, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const running = new Running(options)
        const { boot, history, open } = options
        history.append({ op: "boot", phase: "invoke", by: "supervisor", boot, pid: running.pid, open })
        return running
      }),
      // Waited for: it is written down in files that the scope removes next.
      (running) =>
        Effect.andThen(
          Effect.sync(() => void running.child.kill("SIGKILL")),
          Deferred.await(running.exited)
        )
    ),
    controls
  )
