/**
 * A program that is started, told lines and tells lines. It runs in a process group of its own, with a small environment,
 * and its pipes are bounded: of standard error the end is kept, a line has a greatest length, and standard output is left
 * unread while its lines are not wanted. It ends with its input, or by SIGTERM, or by SIGKILL; its group ends with it.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import * as process from "node:process"

/** What is started. */
export interface Program {
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  readonly cwd: string | undefined
  /** Beside the few variables that every program gets. */
  readonly env: Readonly<Record<string, string>>
  /** Bytes of the longest line. */
  readonly maxLine: number
  readonly onLine: (line: string) => void
  /** It has ended, or did what can't be gone on with; said once, in one sentence. */
  readonly onEnd: (why: string) => void
}

/** A program that runs. */
export interface Child {
  readonly pid: number
  readonly send: (line: string) => void
  /** Leaves its output unread, or reads on. */
  readonly hold: (held: boolean) => void
  /** Bytes of memory, where the system tells. */
  readonly memory: () => number | undefined
  /** Ends it at once. */
  readonly kill: () => void
  /** Ends its input and waits; then SIGTERM, then SIGKILL. Each wait is `grace`. */
  readonly stop: (grace: Duration.Duration) => Effect.Effect<void>
}

/** What programs are given of our own environment: nothing that could be a secret. */
const passed = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"]

/** Bytes of standard error that are kept for the message of its end. */
const tailBytes = 4096

/** Milliseconds in which the rest of its output is read when it has ended. */
const afterExit = 500

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(-pid, name)
  } catch {
    // Nobody of the group is left: that is what was wanted.
  }
}

/** Cuts what comes into lines. */
const liner = (limit: number, onLine: (line: string) => void, tooLong: () => void) => {
  let parts: Array<Buffer> = []
  let length = 0
  return (chunk: Buffer): void => {
    let from = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end))
      const line = Buffer.concat(parts).toString("utf8").trim()
      parts = []
      length = 0
      from = end + 1
      if (line !== "") onLine(line)
    }
    const rest = chunk.subarray(from)
    length += rest.length
    if (length > limit) return tooLong()
    if (rest.length > 0) parts.push(rest)
  }
}

const residentOf = (pid: number): number | undefined => {
  try {
    const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))
    return found?.[1] === undefined ? undefined : Number(found[1]) * 1024
  } catch {
    // A system without /proc, or a process that has just ended: then the estimate stands.
    return undefined
  }
}

const environment = (own: Readonly<Record<string, string>>): Record<string, string> => {
  const inherited = passed.flatMap((name) => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return { ...Object.fromEntries(inherited), ...own }
}

const attach = (program: Program, child: ChildProcessWithoutNullStreams, pid: number): Child => {
  const { stderr, stdin, stdout } = child
  const exited = Deferred.makeUnsafe<void>()
  let tail = ""
  let over = false
  const end = (why: string): void => {
    if (over) return
    over = true
    program.onEnd(why)
  }
  const kill = (): void => {
    if (child.exitCode === null && child.signalCode === null) signal(pid, "SIGKILL")
  }
  const read = liner(program.maxLine, program.onLine, () => {
    end(`it sent a line longer than ${program.maxLine} bytes`)
    kill()
  })
  stdout.on("data", (chunk: Buffer) => {
    if (!over) read(chunk)
  })
  stderr.on("data", (chunk: Buffer) => {
    tail = (tail + chunk.toString("utf8")).slice(-tailBytes)
  })
  // A pipe that breaks is the program's end, or its wish to hear no more: its exit says which.
  for (const pipe of [stdin, stdout, stderr]) pipe.on("error", () => pipe.destroy())
  child.on("exit", () => {
    // What it started and left behind is in its group, whose number nobody else can have while they live.
    signal(pid, "SIGKILL")
    // A descendant in a group of its own may keep the pipes open: what it says is not the program's word any more.
    stdout.resume()
    setTimeout(() => {
      stdout.destroy()
      stderr.destroy()
    }, afterExit).unref()
    Deferred.doneUnsafe(exited, Effect.void)
  })
  child.on("close", (code, name) => {
    const said = tail.trim().split("\n").at(-1) ?? ""
    end(`it ended ${name === null ? `with code ${code}` : `by ${name}`}${said === "" ? "" : `: ${said.slice(0, 300)}`}`)
  })
  const within = (grace: Duration.Duration) => Effect.timeoutOption(Effect.interruptible(Deferred.await(exited)), grace)
  const stop = Effect.fnUntraced(function* (grace: Duration.Duration) {
    stdin.end()
    stdout.resume()
    if ((yield* within(grace))._tag === "Some") return
    signal(pid, "SIGTERM")
    // A stopped process keeps SIGTERM waiting until it goes on.
    signal(pid, "SIGCONT")
    if ((yield* within(grace))._tag === "Some") return
    kill()
    yield* within(grace)
  })
  return {
    pid,
    send: (line) => {
      if (stdin.writable) stdin.write(`${line}\n`)
    },
    hold: (held) => {
      if (held) stdout.pause()
      else stdout.resume()
    },
    memory: () => residentOf(pid),
    kill,
    stop
  }
}

/** Starts a program. Fails with one sentence when it can't be started. */
export const start = (program: Program): Effect.Effect<Child, string> =>
  Effect.callback<Child, string>((resume) => {
    const [file, ...args] = program.argv
    const failed = (cause: unknown) => {
      const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
      resume(Effect.fail(`${file} can't be started: ${code}`))
    }
    let child: ChildProcessWithoutNullStreams
    try {
      child = spawn(file, args, { cwd: program.cwd, env: environment(program.env), detached: true, stdio: "pipe" })
    } catch (cause) {
      // Some refusals are thrown (a NUL in an argument), the others come as an event.
      return failed(cause)
    }
    // Stays for the process's life: without a listener a late error would end the whole program.
    child.on("error", failed)
    const { pid } = child
    if (pid === undefined) return
    const attached = attach(program, child, pid)
    child.on("spawn", () => resume(Effect.succeed(attached)))
  })
