/**
 * A worker thread: started from a file beside this one, spoken to in messages, and ended by itself or by us. What it
 * prints is kept for the message of its end and shown to nobody else. It gets no environment. Its memory is what it says
 * that it took outside of JavaScript, and what its heap has now.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dirname, resolve } from "node:path"
import { cwd } from "node:process"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"

export interface Options {
  /** Name of its file, without the ending: from source, from a bundle and from a package it is another one. */
  readonly file: string
  readonly charge: unknown
  /** Mebibytes of JavaScript's heap, of which it dies rather than take more. */
  readonly heap: number
  readonly onMessage: (message: unknown) => void
  /** It has ended; said once, in one sentence. */
  readonly onEnd: (why: string) => void
}

export interface Thread {
  readonly send: (message: unknown) => void
  /** Bytes of its heap; `undefined` when it does not say. */
  readonly heap: Effect.Effect<number | undefined>
  /** Ends it as soon as the call that it is in returns. */
  readonly kill: () => void
  /** Ends it, and waits until it has, for so long, or until `hurry` completes. */
  readonly stop: (grace: Duration.Duration, hurry: Effect.Effect<void>) => Effect.Effect<void>
}

const tailLength = 300

const endOf = (cause: unknown, heap: number): string => {
  if (!(cause instanceof Error)) return `it failed: ${String(cause)}`
  const { code } = cause as NodeJS.ErrnoException
  return code === "ERR_WORKER_OUT_OF_MEMORY"
    ? `it needed more than its heap of ${heap} MiB; raise \`heap\``
    : `it failed: ${cause.message}`
}

/** Starts a thread. */
export const start = ({ charge, file, heap, onEnd, onMessage }: Options): Thread => {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf(".") + 1)
  const worker = new Worker(new URL(`./${file}.${extension}`, import.meta.url), {
    workerData: charge,
    name: file,
    execArgv: [],
    env: {},
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: heap }
  })
  const exited = Deferred.makeUnsafe<void>()
  let tail = ""
  let over = false
  const end = (why: string): void => {
    if (over) return
    over = true
    onEnd(why)
  }
  const keep = (chunk: Buffer): void => {
    tail = (tail + chunk.toString("utf8")).slice(-tailLength)
  }
  worker.stdout.on("data", keep)
  worker.stderr.on("data", keep)
  worker.on("message", onMessage)
  worker.on("error", (cause) => end(endOf(cause, heap)))
  worker.on("exit", (code) => {
    const said = tail.trim().split("\n").at(-1) ?? ""
    end(`it ended with code ${code}${said === "" ? "" : `: ${said}`}`)
    Deferred.doneUnsafe(exited, Effect.void)
  })
  const kill = (): void => void worker.terminate()
  return {
    // The rule takes every port for a window.
    // oxlint-disable-next-line require-post-message-target-origin
    send: (message) => worker.postMessage(message),
    heap: Effect.tryPromise(() => worker.getHeapStatistics()).pipe(
      Effect.map(({ external_memory, total_heap_size }) => total_heap_size + external_memory),
      // It is in a step of the model, or has just ended: then the last figure stands.
      Effect.timeout("1 second"),
      Effect.orElseSucceed(() => undefined)
    ),
    kill,
    stop: (grace, hurry) =>
      Effect.suspend(() => {
        kill()
        return Effect.raceAllFirst([
          Effect.interruptible(Deferred.await(exited)),
          Effect.interruptible(Effect.sleep(grace)),
          Effect.interruptible(hurry)
        ])
      })
  }
}

/** Where the library may be: where it is said to be, or beside this package, or where the program was started. */
export const places = (library: string | undefined): ReadonlyArray<string> =>
  library === undefined ? [dirname(fileURLToPath(import.meta.url)), cwd()] : [resolve(library)]

export const absolute = (folder: string): string => resolve(folder)
