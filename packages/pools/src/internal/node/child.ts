/**
 * A program that is started. It runs in a process group of its own, with a marker and a small environment, and its pipes
 * are bounded: of what it says for people the end is kept, a line for us has a greatest length, and standard output is
 * left unread while its lines are not wanted. It ends with its input where it has one, or by SIGTERM, or by SIGKILL; all
 * that it started ends with it. What an earlier host left behind is ended before the first one is started.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import process from "node:process"
import { liner } from "./lines.ts"
import { anyLives, carriers, markerVariable, memoryOf, nextMarker, orphans } from "./processes.ts"

/** What is started. */
export interface Program {
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  readonly cwd: string | undefined
  /** Beside the few variables that every program gets. */
  readonly env: Readonly<Record<string, string>>
  /** Told its lines, and telling lines; without it, it has no input and what it prints is for people. */
  readonly lines?: {
    /** Bytes of the longest line. */
    readonly max: number
    readonly on: (line: string) => void
  }
  /** It has ended, or did what can't be gone on with; said once, in one sentence. */
  readonly onEnd: (why: string) => void
}

/** A program that runs. */
export interface Child {
  readonly pid: number
  readonly send: (line: string) => void
  /** Leaves its output unread, or reads on. */
  readonly hold: (held: boolean) => void
  /** Bytes of memory of its group, where the system tells. */
  readonly memory: () => number | undefined
  /** What it printed last for people: a few lines. */
  readonly tail: () => string
  /** Ends it at once. */
  readonly kill: () => void
  /** Ends its input and waits; then SIGTERM, then SIGKILL. Each wait is `grace`, and none when `hurry` has completed. */
  readonly stop: (grace: Duration.Duration, hurry: Effect.Effect<void>) => Effect.Effect<void>
}

/** What programs are given of our own environment: nothing that could be a secret. */
const passed = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"]

/** Bytes of what it says for people that are kept for the message of its end. */
const tailBytes = 4096
/** Lines and characters of them that are told. */
const tailLines = 3
const tailLength = 500

/** Milliseconds in which the rest of its output is read when it has ended. */
const afterExit = 500

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch {
    // Nobody is left: that is what was wanted.
  }
}

const environment = (own: Readonly<Record<string, string>>, marker: string | undefined): Record<string, string> => {
  const inherited = passed.flatMap((name) => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    ...(marker === undefined ? {} : { [markerVariable]: marker }),
    ...Object.fromEntries(inherited),
    ...own
  }
}

/** Those that run, by their groups, with their markers. */
const running = new Map<number, string | undefined>()

/** Ends what is in its group, and what made a group of its own and still carries its marker. */
const sweep = (pid: number, marker: string | undefined): void => {
  signal(-pid, "SIGKILL")
  if (marker !== undefined) for (const other of carriers(marker)) signal(other, "SIGKILL")
}

let isGuarding = false

/** A host that exits without having stopped its pools, as who is told three times to stop does, leaves none behind. */
const guard = (): void => {
  if (isGuarding) return
  isGuarding = true
  process.on("exit", () => running.forEach((marker, pid) => sweep(pid, marker)))
}

const attach = (program: Program, child: ChildProcess, pid: number, marker: string | undefined): Child => {
  const { stderr, stdin, stdout } = child
  const exited = Deferred.makeUnsafe<void>()
  let kept = ""
  let over = false
  const end = (why: string): void => {
    if (over) return
    over = true
    program.onEnd(why)
  }
  const kill = (): void => {
    if (child.exitCode === null && child.signalCode === null) signal(-pid, "SIGKILL")
  }
  const keep = (chunk: Buffer): void => {
    kept = (kept + chunk.toString("utf8")).slice(-tailBytes)
  }
  const tail = (): string => {
    const said = kept.split("\n").map((line) => line.trim())
    const lines = said.filter((line) => line !== "").slice(-tailLines)
    return lines.join(" / ").slice(-tailLength)
  }
  const { lines } = program
  if (lines === undefined) stdout?.on("data", keep)
  else {
    const cut = liner(lines.max, lines.on, () => {
      end(`it sent a line longer than ${lines.max} bytes`)
      kill()
    })
    stdout?.on("data", (chunk: Buffer) => {
      if (!over) cut(chunk)
    })
  }
  stderr?.on("data", keep)
  // A pipe that breaks is the program's end, or its wish to hear no more: its exit says which.
  for (const pipe of [stdin, stdout, stderr]) pipe?.on("error", () => pipe.destroy())
  child.on("exit", () => {
    running.delete(pid)
    // What it started and left behind is in its group, whose number nobody else can have while they live.
    sweep(pid, marker)
    // What is left of its output is its last word. Who holds the pipes longer says nothing on its behalf.
    stdout?.resume()
    setTimeout(() => {
      stdout?.destroy()
      stderr?.destroy()
    }, afterExit).unref()
    Deferred.doneUnsafe(exited, Effect.void)
  })
  child.on("close", (code, name) => {
    const said = tail()
    end(`it ended ${name === null ? `with code ${code}` : `by ${name}`}${said === "" ? "" : `: ${said}`}`)
  })
  /** Whether it has ended by then. */
  const within = (grace: Duration.Duration, hurry: Effect.Effect<void>) =>
    // Each by itself: what is raced in a finalizer is not interruptible unless it says so, and would be waited for.
    Effect.raceAllFirst([
      Effect.interruptible(Effect.as(Deferred.await(exited), true)),
      Effect.interruptible(Effect.as(Effect.sleep(grace), false)),
      Effect.interruptible(Effect.as(hurry, false))
    ])
  const stop = Effect.fnUntraced(function* (grace: Duration.Duration, hurry: Effect.Effect<void>) {
    stdin?.end()
    stdout?.resume()
    if (stdin !== null && (yield* within(grace, hurry))) return
    if (yield* Deferred.isDone(exited)) return
    signal(-pid, "SIGTERM")
    // A stopped process keeps SIGTERM waiting until it goes on.
    signal(-pid, "SIGCONT")
    if (yield* within(grace, hurry)) return
    kill()
    yield* within(grace, Effect.never)
  })
  return {
    pid,
    send: (line) => {
      if (stdin?.writable === true) stdin.write(`${line}\n`)
    },
    hold: (held) => {
      if (held) stdout?.pause()
      else stdout?.resume()
    },
    memory: () => memoryOf(pid),
    tail,
    kill,
    stop
  }
}

/** How long to wait for the system to clear up after those that were killed. */
const clearing = { first: 5, longest: 2000 }

let reaped = false

/** Ends the workers of hosts that are gone, and says which; waits until they are gone. */
export const reap: Effect.Effect<ReadonlyArray<number>> = Effect.gen(function* () {
  reaped = true
  const found = orphans()
  if (found.length === 0) return found
  for (const pid of found) signal(pid, "SIGKILL")
  // They are no children of ours: nobody tells us of their end.
  for (let wait = clearing.first, waited = 0; waited < clearing.longest && anyLives(found); wait *= 2) {
    yield* Effect.sleep(wait)
    waited += wait
  }
  yield* Effect.logWarning("ended workers of model pools that an earlier run left behind", { pids: found })
  return found
})

/** Starts a program. Fails with one sentence when it can't be started. */
export const start = (program: Program): Effect.Effect<Child, string> => {
  const started = Effect.callback<Child, string>((resume) => {
    const [file, ...args] = program.argv
    const failed = (cause: unknown) => {
      const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
      // Node says the same of a folder that is not there as of a program.
      const isAstray = code === "ENOENT" && program.cwd !== undefined && !existsSync(program.cwd)
      const why = isAstray ? `its folder ${program.cwd} does not exist` : code
      resume(Effect.fail(`${file} can't be started: ${why}`))
    }
    const marker = nextMarker()
    let child: ChildProcess
    try {
      child = spawn(file, args, {
        cwd: program.cwd,
        env: environment(program.env, marker),
        detached: true,
        stdio: [program.lines === undefined ? "ignore" : "pipe", "pipe", "pipe"]
      })
    } catch (cause) {
      // Some refusals are thrown (a NUL in an argument), the others come as an event.
      return failed(cause)
    }
    // Stays for the process's life: without a listener a late error would end the whole program.
    child.on("error", failed)
    const { pid } = child
    if (pid === undefined) return
    running.set(pid, marker)
    guard()
    const attached = attach(program, child, pid, marker)
    child.on("spawn", () => resume(Effect.succeed(attached)))
  })
  return Effect.suspend(() => (reaped ? started : Effect.andThen(reap, started)))
}
