// What the process tests share: starting programs outside of the room under test, and asking the kernel who lives.
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { randomUUID } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as ProcessTable from "../src/internal/node/processTable.ts"

/** A store's name of its own in each run: what a failed run left behind is not this one's fault. */
export const unique = (name: string): string => `${name}-${randomUUID()}`

export const programs = join(import.meta.dirname, "programs")
export const node = process.execPath

/** Whether a process lives; a zombie does not. */
export const lives = (pid: number): boolean => ProcessTable.readOne(pid) !== undefined

/** A program that is none of the gateway's: started, its first output awaited, and ended with the test. */
export const foreign = (argv: readonly [string, ...Array<string>], env: Readonly<Record<string, string>> = {}) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const [file, ...args] = argv
      const child = spawn(file, args, {
        detached: true,
        env: { PATH: process.env["PATH"], ...env },
        stdio: ["ignore", "pipe", "inherit"]
      })
      const [first] = (await once(child.stdout, "data")) as [Buffer]
      return { child, pid: child.pid ?? 0, said: first.toString().trim() }
    }),
    ({ child }) => ended(child)
  )

const ended = (child: ChildProcess) =>
  Effect.promise(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, "exit")
    child.kill("SIGKILL")
    await exit
  })

/** Ends a process that is nobody's child any more, when the test ends. */
export const endLater = (pid: number) =>
  Effect.addFinalizer(() => Effect.sync(() => void (lives(pid) && process.kill(pid, "SIGKILL"))))

/** A folder for the test. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-agents-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** A file in a folder, executable unless said otherwise. */
export const file = (path: string, text: string, mode = 0o755) =>
  Effect.sync(() => {
    writeFileSync(path, text, { mode })
    return path
  })
