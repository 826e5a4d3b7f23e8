/**
 * A child process for tests: what it says, line by line, and how it ended. Tests wait for lines and for the end, never
 * for time to pass. Whatever is left at the end of a test is killed by its pid.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { onTestFinished } from "vitest"

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Milliseconds since the child was started, and the monotonic clock's at the end. */
  readonly at: number
}

export interface Program {
  readonly child: ChildProcess
  readonly pid: number
  readonly out: () => string
  readonly err: () => string
  /** Completes when stdout or stderr contains the text. */
  readonly says: (text: string) => Promise<void>
  readonly ended: Promise<Ended>
  readonly tell: (line: string) => void
  readonly signal: (signal: NodeJS.Signals) => void
}

/** The monotonic clock in milliseconds. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** Starts a program; it is killed when its test is over. */
export const start = (
  command: string,
  args: ReadonlyArray<string>,
  options: { readonly env?: NodeJS.ProcessEnv; readonly stderr?: number; readonly detached?: boolean } = {}
): Program => {
  const child = spawn(command, args, {
    stdio: ["pipe", "pipe", options.stderr ?? "pipe"],
    env: { ...process.env, ...options.env },
    detached: options.detached ?? false
  })
  const { pid } = child
  if (pid === undefined) throw new Error(`${command} did not start`)
  let out = ""
  let err = ""
  let waiting: Array<() => void> = []
  const look = () => {
    const all = waiting
    waiting = []
    for (const each of all) each()
  }
  child.stdout?.on("data", (data: Buffer) => {
    out += data.toString()
    look()
  })
  child.stderr?.on("data", (data: Buffer) => {
    err += data.toString()
    look()
  })
  // A child that died takes its stdin with it; the test hears that from `ended`.
  child.stdin?.on("error", () => undefined)
  const ended = new Promise<Ended>((resolve) => {
    child.on("exit", (code, signal) => resolve({ code, signal, at: now() }))
  })
  onTestFinished(async () => {
    child.kill("SIGKILL")
    await ended
  })
  return {
    child,
    pid,
    out: () => out,
    err: () => err,
    says: (text) =>
      new Promise((resolve, reject) => {
        const check = () => {
          if (out.includes(text) || err.includes(text)) resolve()
          else waiting.push(check)
        }
        check()
        child.on("close", () => reject(new Error(`it ended without saying "${text}": ${out}${err}`)))
      }),
    ended,
    tell: (line) => child.stdin?.write(`${line}\n`),
    signal: (signal) => {
      process.kill(pid, signal)
    }
  }
}

/** Whether script(1) is there and gets a terminal from the system: in a sandbox there may be none. */
export const canScript =
  spawnSync("script", ["-q", "-e", "-c", "exit 7", "/dev/null"], {
    env: { ...process.env, SHELL: "/bin/sh" },
    stdio: "ignore"
  }).status === 7

/** Starts a TypeScript program of these tests. */
export const startNode = (
  url: URL,
  args: ReadonlyArray<string> = [],
  options: Parameters<typeof start>[2] & { readonly flags?: ReadonlyArray<string> } = {}
): Program => start(process.execPath, [...(options.flags ?? []), fileURLToPath(url), ...args], options)
