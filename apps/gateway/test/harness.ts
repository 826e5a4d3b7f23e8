/**
 * Real gateways for the process tests: each in a folder of its own, on a free
 * port, started from the bundle, watched through what it prints, asked over HTTP,
 * and looked at from outside by a second read-only connection to its store.
 * Nothing here sleeps to be safe: a line, a row or an exit is the receipt.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import { DatabaseSync, type SQLInputValue } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { type Client, client } from "./client.ts"

/** The program: the bundle that the tests' set-up builds, or the source with SLUICE_TEST_SOURCE=1. */
export const program = fileURLToPath(
  new URL(process.env["SLUICE_TEST_SOURCE"] === "1" ? "../src/bin.ts" : "../dist/bin.js", import.meta.url)
)

/** How a gateway is started. */
export interface Options {
  /** Its working folder; a new one that goes with the scope by default. Give it again to start on the same store. */
  readonly folder?: string
  /** Text of sluice.yaml. */
  readonly configuration?: string
  readonly environment?: { readonly [name: string]: string }
  readonly args?: ReadonlyArray<string>
  /** Another program than the shipped one. */
  readonly program?: string
}

/** One line of the program's log. */
export interface Event {
  readonly message: string
  readonly level: string
  readonly annotations?: { readonly [key: string]: unknown }
  readonly cause?: string
}

/** What the line `ready` says. */
export interface Facts {
  readonly url: string
  readonly pid: number
  readonly epoch: number
  readonly lastStop: string
  readonly deadline: { readonly millis: number; readonly source: string }
  readonly agents: ReadonlyArray<string>
  readonly channels: { readonly [name: string]: string }
}

/** The part of a report that tests look at. */
export interface Report {
  readonly reason: string
  readonly by: ReadonlyArray<string>
  readonly epoch: number
  readonly millis: number
  readonly deadline: { readonly millis: number; readonly source: string }
  readonly forced: number
  readonly phases: ReadonlyArray<{ readonly name: string; readonly millis: number; readonly outcome: string }>
  readonly sessions: ReadonlyArray<{
    readonly key: string
    readonly state: string
    readonly outcome: string
    readonly turn?: number
    readonly attempt?: number
    readonly age?: number
    readonly pid?: number
    readonly signal?: string
  }>
  readonly queued?: ReadonlyArray<{ readonly conversation: string; readonly waiting: number }>
  readonly ledger?: { readonly accepted: number; readonly open: number; readonly balanced: boolean }
  readonly exitCode: number
}

/** How a process ended, and when by the monotonic clock. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly at: number
}

/** A process of the program. */
export interface Process {
  readonly pid: number
  readonly folder: string
  readonly stateDirectory: string
  /** Everything it has printed so far. */
  readonly output: () => { readonly out: ReadonlyArray<string>; readonly err: ReadonlyArray<string> }
  /** The first event for which `is` says so, also when it came before. Fails when the process ends without it. */
  readonly event: (what: string, is: (event: Event) => boolean) => Effect.Effect<Event>
  /** Sends a signal; returns when it was sent, by the monotonic clock. */
  readonly signal: (name: NodeJS.Signals) => Effect.Effect<number>
  /** Closes the other end of its output: what it prints from now on nobody reads. */
  readonly deafen: Effect.Effect<void>
  readonly exited: Effect.Effect<Exit>
}

/** A gateway that is ready. */
export interface Running extends Process {
  readonly facts: Facts
  readonly url: string
  readonly token: string
  readonly client: Client
}

/** The monotonic clock in milliseconds. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** A folder that goes with the scope. */
export const temporaryFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-process-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
)

const eventOf = (line: string): Event | undefined => {
  try {
    const parsed: unknown = JSON.parse(line)
    return typeof parsed === "object" && parsed !== null && "message" in parsed ? (parsed as Event) : undefined
  } catch {
    // Not every line is an event: the start lines of a terminal, a stack trace.
    return undefined
  }
}

/** Lines of a stream as they come, and who waits for one of them. */
class Lines {
  readonly all: Array<string> = []
  readonly #watchers = new Set<(line: string) => void>()
  constructor(stream: Readable) {
    createInterface({ input: stream, crlfDelay: Infinity }).on("line", (line) => {
      this.all.push(line)
      for (const watcher of this.#watchers) watcher(line)
    })
  }
  each(see: (line: string) => void): () => void {
    for (const line of this.all) see(line)
    this.#watchers.add(see)
    return () => this.#watchers.delete(see)
  }
}

const environmentOf = (options: Options, stateDirectory: string): NodeJS.ProcessEnv => ({
  PATH: process.env["PATH"],
  HOME: process.env["HOME"],
  TMPDIR: tmpdir(),
  SLUICE_PORT: "0",
  SLUICE_STATE_DIR: stateDirectory,
  SLUICE_LOG_FORMAT: "json",
  ...options.environment
})

const wrap = (child: ChildProcess, folder: string, stateDirectory: string): Process => {
  const out = new Lines(child.stdout as Readable)
  const err = new Lines(child.stderr as Readable)
  const exited = Deferred.makeUnsafe<Exit>()
  let last: Exit | undefined
  child.once("exit", (code, signal) => {
    last = { code, signal, at: now() }
  })
  // After its pipes: what it said last has been read by then.
  child.once("close", () =>
    Deferred.doneUnsafe(exited, Effect.succeed(last ?? { code: null, signal: null, at: now() }))
  )
  const printed = () => [...out.all, ...err.all].slice(-40).join("\n")
  return {
    pid: child.pid ?? 0,
    folder,
    stateDirectory,
    output: () => ({ out: out.all, err: err.all }),
    event: (what, is) =>
      Effect.raceFirst(
        Effect.callback<Event>((resume) => {
          const off = out.each((line) => {
            const event = eventOf(line)
            if (event !== undefined && is(event)) resume(Effect.succeed(event))
          })
          return Effect.sync(off)
        }),
        Effect.flatMap(Deferred.await(exited), ({ code, signal }) =>
          Effect.die(new Error(`the gateway ended (${code ?? signal}) before "${what}":\n${printed()}`))
        )
      ).pipe(
        Effect.timeoutOrElse({
          duration: "60 seconds",
          orElse: () => Effect.die(new Error(`the gateway did not say "${what}":\n${printed()}`))
        })
      ),
    signal: (name) =>
      Effect.sync(() => {
        const at = now()
        child.kill(name)
        return at
      }),
    deafen: Effect.sync(() => {
      child.stdout?.destroy()
      child.stderr?.destroy()
    }),
    exited: Deferred.await(exited).pipe(
      Effect.timeoutOrElse({
        duration: "60 seconds",
        orElse: () => Effect.die(new Error(`the gateway did not end:\n${printed()}`))
      })
    )
  }
}

/** Starts the program with any arguments, `run` by default; it is killed when the scope ends. */
export const launch = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<Process, never, Scope.Scope> {
  const folder = options.folder ?? (yield* temporaryFolder)
  const stateDirectory = options.environment?.["SLUICE_STATE_DIR"] ?? join(folder, ".sluice")
  mkdirSync(folder, { recursive: true })
  if (options.configuration !== undefined) writeFileSync(join(folder, "sluice.yaml"), options.configuration)
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [options.program ?? program, ...(options.args ?? ["run"])], {
        cwd: folder,
        env: environmentOf(options, stateDirectory),
        stdio: ["ignore", "pipe", "pipe"]
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  return wrap(child, folder, stateDirectory)
})

/** The gateway behind a `ready` line, which comes again when the process becomes the next boot. */
export const running = (process: Process, after = 0): Effect.Effect<Running> =>
  process
    .event(
      `ready (boot above ${after})`,
      ({ annotations, message }) => message === "ready" && Number(annotations?.["epoch"]) > after
    )
    .pipe(
      Effect.map(({ annotations }) => {
        const facts = annotations as unknown as Facts
        const token = readFileSync(join(process.stateDirectory, "token"), "utf8").trim()
        return { ...process, facts, url: facts.url, token, client: client(facts.url, token) }
      })
    )

/** Starts a gateway and waits until it is ready. */
export const start = (options: Options = {}): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.flatMap(launch(options), (process) => running(process))

/** Runs a tool (`status`, `audit --json`, ...) to its end. */
export const tool = Effect.fnUntraced(function* (
  folder: string,
  args: ReadonlyArray<string>,
  environment: { readonly [name: string]: string } = {}
) {
  const process = yield* launch({ folder, args, environment })
  const exit = yield* process.exited
  const { err, out } = process.output()
  const text = out.join("\n")
  return {
    ...exit,
    out: text,
    err: err.join("\n"),
    json: args.includes("--json") && text !== "" ? JSON.parse(text) : undefined
  }
}, Effect.scoped)

/** The report that a stop left in the state directory. */
export const reportIn = (process: Process): Report =>
  JSON.parse(readFileSync(join(process.stateDirectory, "last-shutdown.json"), "utf8"))

/** A row as a test reads it. */
export type Row = { readonly [column: string]: string | number | null }

/** What is on disk, seen by a second connection that can only read. */
export const store = (
  process: Pick<Process, "stateDirectory">,
  sql: string,
  ...values: ReadonlyArray<SQLInputValue>
): ReadonlyArray<Row> => {
  const database = new DatabaseSync(join(process.stateDirectory, "journal.db"), { readOnly: true, timeout: 5000 })
  try {
    return database.prepare(sql).all(...values) as unknown as ReadonlyArray<Row>
  } finally {
    database.close()
  }
}

/** Asks until the answer is one that is looked for; for facts that only another process can change. */
export const until = <A>(what: string, look: Effect.Effect<A>, is: (found: A) => boolean): Effect.Effect<A> =>
  look.pipe(
    Effect.filterOrFail(is),
    Effect.retry(Schedule.spaced("10 millis")),
    Effect.orDie,
    Effect.timeoutOrElse({
      duration: "60 seconds",
      orElse: () => Effect.die(new Error(`it did not come about that ${what}`))
    })
  )

/**
 * A figure of the program's own, in milliseconds, which a busy machine can only make worse: the best of a few tries. The
 * next one is made only while there was none below the limit.
 */
export const best = <R>(
  limit: number,
  attempt: Effect.Effect<number, never, R>,
  tries = 5
): Effect.Effect<number, never, R> =>
  Effect.flatMap(attempt, (millis) =>
    millis < limit || tries <= 1
      ? Effect.succeed(millis)
      : Effect.map(best(limit, attempt, tries - 1), (later) => Math.min(millis, later))
  )

/** Whether the program records signals by now, as the kernel sees it: SIGQUIT is its last one, which Node itself leaves alone. */
export const records = (process: Process): boolean => {
  const [, mask = "0"] = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${process.pid}/status`, "utf8")) ?? []
  return (BigInt(`0x${mask}`) & (1n << 2n)) !== 0n
}
