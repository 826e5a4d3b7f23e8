/**
 * Starts a program in a session and process group of its own, with pipes whose
 * memory is bounded: standard output is read only as fast as it is asked for,
 * of standard error the end is kept. `effect/process` is not used here: it keeps
 * the group to itself, signals a numeric group after its leader is gone, and
 * its release waits without a bound for a child that ignores SIGTERM.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { type ChildProcessWithoutNullStreams, spawn as start } from "node:child_process"
import * as Priority from "./priority.ts"

/** How a program ended: with a code, or by a signal. */
export interface Status {
  readonly code: number | undefined
  readonly signal: string | undefined
}

/** What a read brings: output, a sign of life on standard error, the program's exit (once), or the output's end. */
export type Piece =
  | { readonly _tag: "Bytes"; readonly bytes: Uint8Array }
  | { readonly _tag: "Alive" }
  | { readonly _tag: "Exited" }
  | { readonly _tag: "End" }

/** A program that runs. */
export interface Spawned {
  readonly pid: number
  readonly exited: Deferred.Deferred<Status>
  /** The next piece; one caller at a time. Bytes come before `Exited`, as far as they are here already. */
  readonly read: Effect.Effect<Piece>
  /** Writes to standard input and ends it. A program that does not read is free not to. */
  readonly write: (text: string) => void
  /** Writes to standard input and leaves it open; a program that has ended or closed it hears nothing. */
  readonly send: (text: string) => void
  /** Ends standard input whether or not all of it was read. */
  readonly endInput: () => void
  /** The last bytes of standard error, as text. */
  readonly errors: () => string
  /** Completes when standard error has ended: nothing is added to its tail any more. */
  readonly errorsEnded: Deferred.Deferred<void>
  /** Lets go of the pipes and of the process itself. */
  readonly release: () => void
}

/** Why a program could not be started: the system's code, for example `ENOENT`. */
export interface SpawnFailure {
  readonly code: string
  readonly cause: unknown
}

const failure = (cause: unknown): SpawnFailure => ({
  code: (cause as NodeJS.ErrnoException).code ?? "UNKNOWN",
  cause
})

const tailOf = (limit: number) => {
  let kept: Buffer = Buffer.alloc(0)
  let cut = false
  return {
    add: (chunk: Buffer) => {
      cut ||= kept.length + chunk.length > limit
      const joined = chunk.length >= limit ? chunk : Buffer.concat([kept, chunk])
      // A copy: a slice would hold on to the whole chunk.
      kept = Buffer.from(joined.subarray(Math.max(0, joined.length - limit)))
    },
    text: () => {
      // Begin at a character, not in the middle of one.
      const from = cut ? kept.findIndex((byte) => (byte & 0xc0) !== 0x80) : 0
      return new TextDecoder().decode(kept.subarray(Math.max(0, from)))
    }
  }
}

const attach = (child: ChildProcessWithoutNullStreams, pid: number, tailBytes: number): Spawned => {
  const { stdin, stdout, stderr } = child
  const exited = Deferred.makeUnsafe<Status>()
  const errorsEnded = Deferred.makeUnsafe<void>()
  const tail = tailOf(tailBytes)
  let over = false
  let stirred = false
  let leaving: "not yet" | "to tell" | "told" = "not yet"
  let waiter: (() => void) | undefined
  const wake = () => waiter?.()
  const next = (): Piece | undefined => {
    const bytes: Buffer | null = over ? null : stdout.read()
    if (bytes !== null) return { _tag: "Bytes", bytes }
    if (over || stdout.readableEnded || stdout.destroyed) return { _tag: "End" }
    if (leaving === "to tell") {
      leaving = "told"
      return { _tag: "Exited" }
    }
    if (stirred) {
      stirred = false
      return { _tag: "Alive" }
    }
    return undefined
  }
  // A broken pipe: the program ended or closed its side without reading. Its exit code says what that meant.
  stdin.on("error", () => stdin.destroy())
  stdout.on("readable", wake)
  stdout.on("end", wake)
  stdout.on("close", wake)
  stdout.on("error", () => {
    over = true
    wake()
  })
  stderr.on("error", () => stderr.destroy())
  stderr.on("close", () => Deferred.doneUnsafe(errorsEnded, Effect.void))
  stderr.on("data", (chunk: Buffer) => {
    tail.add(chunk)
    stirred = true
    wake()
  })
  child.on("exit", (code, signal) => {
    leaving = "to tell"
    Deferred.doneUnsafe(exited, Effect.succeed({ code: code ?? undefined, signal: signal ?? undefined }))
    wake()
  })
  return {
    pid,
    exited,
    read: Effect.callback<Piece>((resume) => {
      const attempt = () => {
        const piece = next()
        if (piece === undefined) return
        waiter = undefined
        resume(Effect.succeed(piece))
      }
      waiter = attempt
      attempt()
      return Effect.sync(() => {
        waiter = undefined
      })
    }),
    write: (text) => {
      stdin.end(text)
    },
    send: (text) => {
      if (stdin.writable) stdin.write(text)
    },
    endInput: () => {
      stdin.destroy()
    },
    errors: tail.text,
    errorsEnded,
    release: () => {
      stdin.destroy()
      stdout.destroy()
      stderr.destroy()
      child.unref()
    }
  }
}

/** Starts a program. `env` is its whole environment, `nice` how far it stands behind this process; `onExit` runs in the very step in which its end is seen. */
export const spawn = (options: {
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  readonly cwd: string | undefined
  readonly env: Readonly<Record<string, string>>
  readonly tailBytes: number
  readonly nice: number
  readonly onStart: (pid: number) => void
  readonly onExit: () => void
}): Effect.Effect<Spawned, SpawnFailure> =>
  Effect.callback<Spawned, SpawnFailure>((resume) => {
    const [file, ...args] = options.argv
    let child: ChildProcessWithoutNullStreams
    try {
      child = start(file, args, {
        cwd: options.cwd,
        env: options.env,
        detached: true,
        stdio: ["pipe", "pipe", "pipe"]
      })
    } catch (cause) {
      // Some refusals are thrown (E2BIG, a NUL in an argument), the others come as an event.
      resume(Effect.fail(failure(cause)))
      return
    }
    const { pid } = child
    // Stays for the process's life: without a listener a late error would end the gateway.
    child.on("error", (cause) => resume(Effect.fail(failure(cause))))
    if (pid === undefined) return
    Priority.lower(child, pid, options.nice)
    options.onStart(pid)
    child.on("exit", options.onExit)
    const spawned = attach(child, pid, options.tailBytes)
    child.on("spawn", () => resume(Effect.succeed(spawned)))
  })
