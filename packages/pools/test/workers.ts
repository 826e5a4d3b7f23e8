// Workers for tests: each load and each run is written down and waits to be told how it ends, so that a test decides the
// order of everything that happens. `auto` loads end at once.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Queue from "effect/Queue"
import type * as Cause from "effect/Cause"
import * as Stream from "effect/Stream"
import * as Capability from "../src/Capability.ts"
import { Governor } from "../src/Governor.ts"
import * as Pool from "../src/Pool.ts"
import { WorkerError } from "../src/PoolError.ts"

/** Text in, text out, in words. */
export const echo = Capability.make<string, string, string>({
  name: "echo",
  requestTimeout: "30 seconds",
  stallTimeout: "5 seconds"
})

export interface Load {
  readonly place: number
  readonly gate: Deferred.Deferred<void, WorkerError>
  /** Fails it while it is ready: its process died. */
  readonly death: Deferred.Deferred<never, WorkerError>
  state: "loading" | "ready" | "closed"
  running: number
  /** It was closed while it had work, and had not died. */
  cut: boolean
}

export interface Run {
  readonly request: string
  readonly kind: "whole" | "parts"
  readonly load: Load
  readonly end: Deferred.Deferred<string, WorkerError>
  readonly parts: Queue.Queue<string, WorkerError | Cause.Done>
  state: "running" | "ended" | "interrupted"
}

export const transport = (message = "the connection broke") => new WorkerError({ reason: "Transport", message })
export const rejected = new WorkerError({ reason: "Rejected", message: "no such thing", status: 400 })

export interface Bench {
  readonly loads: Array<Load>
  readonly runs: Array<Run>
  readonly load: (place: number) => Effect.Effect<Capability.Worker<string, string, string>, WorkerError, Scope.Scope>
}

/** A place that workers come from. */
export const bench = (
  options: {
    readonly auto?: boolean
    readonly concurrency?: number
    readonly memory?: () => number
    /** How long one takes to end. */
    readonly linger?: Effect.Effect<void>
  } = {}
): Bench => {
  const loads: Array<Load> = []
  const runs: Array<Run> = []
  const begin = (load: Load, request: string, kind: Run["kind"]): Run => {
    const run: Run = {
      request,
      kind,
      load,
      end: Deferred.makeUnsafe(),
      parts: Effect.runSync(Queue.unbounded<string, WorkerError | Cause.Done>()),
      state: "running"
    }
    load.running++
    runs.push(run)
    return run
  }
  const ended = (run: Run, state: "ended" | "interrupted") =>
    Effect.sync(() => {
      run.state = state
      run.load.running--
    })
  return {
    loads,
    runs,
    load: Effect.fnUntraced(function* (place: number) {
      const load: Load = {
        place,
        gate: Deferred.makeUnsafe(),
        death: Deferred.makeUnsafe(),
        state: "loading",
        running: 0,
        cut: false
      }
      loads.push(load)
      yield* Effect.addFinalizer(() =>
        Effect.gen(function* () {
          load.cut = load.running > 0 && !Deferred.isDoneUnsafe(load.death)
          if (options.linger !== undefined) yield* options.linger
          load.state = "closed"
        })
      )
      if (options.auto !== false) Deferred.doneUnsafe(load.gate, Effect.void)
      yield* Deferred.await(load.gate)
      load.state = "ready"
      return {
        ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
        ...(options.memory === undefined ? {} : { memory: Effect.sync(options.memory) }),
        gone: Deferred.await(load.death),
        answer: (request: string) =>
          Effect.suspend(() => {
            const run = begin(load, request, "whole")
            return Effect.onExit(Deferred.await(run.end), (exit) =>
              ended(run, exit._tag === "Success" ? "ended" : "interrupted")
            )
          }),
        stream: (request: string) =>
          Stream.unwrap(
            Effect.acquireRelease(
              Effect.sync(() => begin(load, request, "parts")),
              (run, exit) => ended(run, exit._tag === "Success" ? "ended" : "interrupted")
            ).pipe(Effect.map((run) => Stream.fromQueue(run.parts)))
          )
      }
    })
  }
}

export type EchoOptions = Omit<Pool.Options<string, string, string, Scope.Scope>, "capability" | "load" | "name"> & {
  readonly name?: string
}

/** A pool of them. At the test's end nothing is waited for: time stands still then. */
export const pool = Effect.fnUntraced(function* (place: Pick<Bench, "load">, options: EchoOptions = {}) {
  const made = yield* Pool.make({ name: "echo", capability: echo, load: place.load, ...options })
  yield* Effect.addFinalizer(() => made.interrupt)
  return made
})

/** Waits until it holds. */
export const until = Effect.fnUntraced(function* (holds: () => boolean) {
  while (!holds()) yield* Effect.yieldNow
})

/** A number that a list is sure to have. */
export const at = <A>(list: ReadonlyArray<A>, index: number): A => {
  const found = list.at(index)
  if (found === undefined) throw new Error(`there is no ${index} among ${list.length}`)
  return found
}

export const answer = (run: Run, text = run.request) => Deferred.succeed(run.end, text)

export const memory = (limit = 1000) => Governor.layer({ limit })
