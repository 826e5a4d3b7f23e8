/**
 * Servers that are started on demand: `llama-server` and its like, which hold a model for as long as they run. A worker
 * is such a process at a port of its own; it is loaded when its health check says so, asked over HTTP by another kind of
 * worker, and ended with everything that it started when the pool has no use for it. One that dies, hangs or grows is
 * noticed by its exit, by its health and by its size, not by the requests that it takes with it.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberHandle from "effect/FiberHandle"
import * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Worker } from "./Capability.ts"
import { type Child, reap as reapOrphans, start } from "./internal/node/child.ts"
import * as Port from "./internal/node/port.ts"
import { failure, type Line, statusOf } from "./internal/openai/line.ts"
import type { WorkerError } from "./PoolError.ts"

export interface Options {
  /** The program and its arguments. `{port}` stands for its port, `{place}` for the number of the worker in its pool. */
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  readonly cwd?: string
  /** What it is given beside PATH, HOME, language, temporary folder and the choice of devices; the same words stand for the same. */
  readonly env?: Readonly<Record<string, string>>
  /** Where it listens; 127.0.0.1 by default. */
  readonly host?: string
  /** The port of the first one, the next ones get the next ones; any free port by default. It is waited for while another of ours has it. */
  readonly port?: number
  /** What is asked until it answers with 200; by default `/health`, and `/v1/models` of a server that has no such thing. */
  readonly health?: string
  /** How long it may take until then; 50 s by default, a little less than a pool waits: the error then says how far it came. */
  readonly startTimeout?: Duration.Input
  /** How long it may take to end after SIGTERM, before SIGKILL; 2 s by default. */
  readonly stopGrace?: Duration.Input
  /** Completes when there is no more time for that: it is killed then. */
  readonly hurry?: Effect.Effect<void>
  /** How long it may leave its health check unanswered when a request had to be given up; 10 s by default. */
  readonly hangTimeout?: Duration.Input
}

/** How one worker asks a server, for example `(url) => OpenAi.textGeneration({ urls: [url], model: "m" })`. */
export type Asking<Q, A, P, R> = (url: string) => (place: number) => Effect.Effect<Worker<Q, A, P>, WorkerError, R>

/** What is wrong with the options, with its remedy; `undefined` when nothing is. */
export const invalid = (options: Options): string | undefined => {
  const { argv, env = {}, health, port } = options
  if (argv[0].trim() === "") return "argv: names no program; put it first"
  if (![...argv, ...Object.values(env)].some((text) => text.includes("{port}"))) {
    return "argv: has no {port}; write it where the server takes its port, as in --port {port}"
  }
  if (port !== undefined && !(Number.isSafeInteger(port) && port >= 1 && port <= 65_535)) {
    return `port ${port}: is no port; give a whole number from 1 to 65535, or none`
  }
  if (health !== undefined && !health.startsWith("/")) return `health "${health}": is no path; begin it with a slash`
  return undefined
}

/** How long one look at a server's health may take while it starts. */
const lookTimeout = Duration.seconds(5)

/** The waits between two looks, in milliseconds: short at first, as small models are there at once. */
const looks = { first: 20, factor: 1.5, longest: 500 }

/** After so many answers of 5xx in a row the server itself is taken to be broken. */
const patience = 3

const defaultHealth = "/health"

interface Started {
  readonly child: Child
  readonly line: Line
  readonly name: string
  /** Fails when it is gone, or as good as that. */
  readonly gone: Deferred.Deferred<never, WorkerError>
}

const startTimeoutOf = ({ startTimeout = "50 seconds" }: Options) => Duration.fromInputUnsafe(startTimeout)

const stillTaken =
  "is still held by another server of these pools: one that was configured anew ends with its last request; wait for that, or name another port"

const filled = (text: string, port: number, place: number): string =>
  text.replaceAll("{port}", String(port)).replaceAll("{place}", String(place))

const spawned = Effect.fnUntraced(function* (options: Options, place: number) {
  const { argv, env = {}, host = "127.0.0.1" } = options
  const client = yield* HttpClient.HttpClient
  const broke = (message: string) => failure("Transport", message)
  const wanted = options.port === undefined ? undefined : options.port + place
  const port = yield* Port.take(wanted, host).pipe(
    Effect.timeoutOrElse({
      duration: startTimeoutOf(options),
      orElse: () => Effect.fail(`port ${wanted} of ${host} ${stillTaken}`)
    }),
    Effect.mapError(broke)
  )
  const fill = (text: string) => filled(text, port, place)
  const name = argv[0].split("/").at(-1) ?? argv[0]
  const gone = Deferred.makeUnsafe<never, WorkerError>()
  const grace = Duration.fromInputUnsafe(options.stopGrace ?? "2 seconds")
  const child = yield* Effect.acquireRelease(
    Effect.mapError(
      start({
        argv: [fill(argv[0]), ...argv.slice(1).map(fill)],
        cwd: options.cwd,
        env: Object.fromEntries(Object.entries(env).map(([key, value]) => [key, fill(value)])),
        onEnd: (why) => Deferred.doneUnsafe(gone, Effect.fail(broke(`${name}: ${why}`)))
      }),
      broke
    ),
    ({ stop }) => stop(grace, options.hurry ?? Effect.never)
  )
  const base = `http://${host.includes(":") ? `[${host}]` : host}:${port}`
  return { child, line: { client, base, key: undefined, limit: 0 }, name, gone } satisfies Started
})

/** What a look found: it is there, it will never be, or what it is still waiting for. */
const look = (line: Line, path: string) =>
  statusOf(line, path).pipe(
    Effect.timeoutOption(lookTimeout),
    Effect.map((status) => (Option.isSome(status) ? status.value : "no answer")),
    Effect.catchTag("WorkerError", () => Effect.succeed("nobody listens"))
  )

/** Looks until it is healthy. It is a program of somebody else's: nothing but asking tells. */
const awaitHealth = Effect.fnUntraced(function* (
  options: Options,
  { line, name }: Started,
  said: (last: string) => void
) {
  let path = options.health ?? defaultHealth
  for (let wait = looks.first; ; wait = Math.min(looks.longest, wait * looks.factor)) {
    const found = yield* look(line, path)
    if (typeof found === "number" && found >= 200 && found < 300) return path
    said(`${path}: ${found}`)
    if (found === 401 || found === 403) {
      return yield* failure("Transport", `${name}: its health check ${path} wants a key (${found}); name another path`)
    }
    // Not every server has one, and none answers so while it still loads.
    if (found === 404 && options.health === undefined && path === defaultHealth) path = "/v1/models"
    else yield* Effect.sleep(wait)
  }
})

const healthy = Effect.fnUntraced(function* (options: Options, started: Started) {
  const { child, gone, name } = started
  const timeout = startTimeoutOf(options)
  let last = "not asked"
  const path = yield* awaitHealth(options, started, (found) => (last = found)).pipe(
    Effect.raceFirst(Deferred.await(gone)),
    Effect.timeoutOption(timeout)
  )
  if (Option.isSome(path)) return path.value
  const tail = child.tail()
  const message = `${name}: was not healthy within ${Duration.toSeconds(timeout)} s (${last})${tail === "" ? "" : `: ${tail}`}`
  return yield* failure("Transport", message)
})

/** Passes requests on, and draws its conclusions from how they end. */
const watched = Effect.fnUntraced(function* <Q, A, P>(
  worker: Worker<Q, A, P>,
  { gone, line, name }: Started,
  path: string,
  hangTimeout: Duration.Duration
) {
  const probe = yield* FiberHandle.make()
  const clock = yield* Clock.Clock
  let heard = 0n
  let refusals = 0
  const sign = Effect.sync(() => {
    heard = clock.monotonicTimeNanosUnsafe()
    refusals = 0
  })
  // One bad answer is the request's fault as likely as the server's, whose model takes long to load again.
  const judged = (error: WorkerError): WorkerError =>
    error.reason === "Transport" && error.status !== undefined && ++refusals < patience
      ? failure("Transport", error.message, { status: error.status, stays: true })
      : error
  const listens = Effect.gen(function* () {
    const began = clock.monotonicTimeNanosUnsafe()
    const found = yield* Effect.timeoutOption(statusOf(line, path), hangTimeout)
    // Who is busy with others may be slow to say that he is well.
    if (Option.isSome(found) || heard > began) return
    const message = `${name}: it no longer answers ${path}`
    yield* Deferred.fail(gone, failure("Transport", message))
  }).pipe(Effect.catchTag("WorkerError", ({ message }) => Deferred.fail(gone, failure("Transport", message))))
  const suspect = FiberHandle.run(probe, listens, { onlyIfMissing: true })
  const { answer, stream } = worker
  return {
    ...worker,
    answer: (request: Q) =>
      answer(request).pipe(
        Effect.tap(sign),
        Effect.mapError(judged),
        Effect.onInterrupt(() => suspect)
      ),
    ...(stream === undefined
      ? {}
      : {
          stream: (request: Q) =>
            stream(request).pipe(
              Stream.tap(() => sign),
              Stream.mapError(judged),
              Stream.onExit((exit) =>
                Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause) ? Effect.asVoid(suspect) : Effect.void
              )
            )
        })
  } satisfies Worker<Q, A, P>
})

/**
 * Loads servers. Each has a port of its own and is asked by the worker that `asking` makes for its address. Throws when
 * the options are {@link invalid}.
 */
export const load = <Q, A, P, R>(
  options: Options,
  asking: Asking<Q, A, P, R>
): ((place: number) => Effect.Effect<Worker<Q, A, P>, WorkerError, R | HttpClient.HttpClient | Scope.Scope>) => {
  const wrong = invalid(options)
  if (wrong !== undefined) throw new Error(wrong)
  const hangTimeout = Duration.fromInputUnsafe(options.hangTimeout ?? "10 seconds")
  return Effect.fnUntraced(function* (place: number) {
    const started = yield* spawned(options, place)
    const { child, gone, line } = started
    const path = yield* healthy(options, started)
    const asked = Effect.raceFirst(asking(line.base)(place), Deferred.await(gone))
    const worker = yield* watched(yield* asked, started, path, hangTimeout)
    const memory = child.memory()
    return {
      ...worker,
      ...(memory === undefined ? {} : { memory: Effect.sync(() => child.memory() ?? memory) }),
      gone: Deferred.await(gone)
    }
  })
}

/**
 * Ends servers and programs that were started by hosts which are gone, for example because they were killed, and says
 * which. The first start of any does so too; a host that wants its memory back at once asks for it when it boots.
 */
export const reap: Effect.Effect<ReadonlyArray<number>> = reapOrphans
