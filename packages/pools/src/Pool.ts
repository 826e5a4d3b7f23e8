/**
 * A pool of workers for one capability, for any Effect program. Workers come when they are needed and go when they are
 * not, under one governor of memory for all pools; requests wait in a bounded line, in turns by caller; what breaks is
 * tried once more elsewhere, and a backend that keeps failing is left alone. A pool knows no model and no protocol.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Capability, Worker } from "./Capability.ts"
import { Governor } from "./Governor.ts"
import { Breaker } from "./internal/Breaker.ts"
import { Crew } from "./internal/Crew.ts"
import { Desk } from "./internal/Desk.ts"
import type { Priority } from "./internal/Line.ts"
import type { Figures } from "./internal/Figures.ts"
import { Probe } from "./internal/Probe.ts"
import { Parts, type Terms, Whole } from "./internal/Ticket.ts"
import type { PoolError, WorkerError } from "./PoolError.ts"

export type { Priority } from "./internal/Line.ts"

/** What a caller may say of a request. */
export interface Request {
  /** Who asks: callers take turns by this key, `""` by default. */
  readonly key?: string
  /** `interactive` by default: somebody waits for it. `batch` requests start when no interactive one waits, or one in nine. */
  readonly priority?: Priority
  /** Instead of the pool's own request timeout. */
  readonly timeout?: Duration.Input
  /** It belongs to work that a stop lets finish: it is taken also while the pool drains, until it is interrupted. */
  readonly inside?: boolean
}

/** What a stop made of the requests: ended by themselves since it began, ended by it, and refused. */
export interface DrainCounts extends Readonly<Record<string, number>> {
  readonly drained: number
  readonly aborted: number
  readonly rejected: number
}

/** How a pool is, at one moment. */
export interface Status {
  readonly name: string
  readonly capability: string
  /** `degraded`: a load failed, the backend is not there, memory is short, or a backend is being tried again. `unhealthy`: it answers nothing now. */
  readonly health: "healthy" | "degraded" | "unhealthy"
  /** Why it is not healthy, for an operator. */
  readonly why?: string
  readonly draining: boolean
  readonly waiting: number
  readonly running: number
  readonly workers: {
    /** In line for memory. */
    readonly asking: number
    readonly loading: number
    readonly idle: number
    readonly busy: number
    readonly leaving: number
  }
  /** Bytes that are booked for its workers. */
  readonly memory: number
  readonly breaker: "closed" | "open" | "half-open"
  /** Requests by how they ended: `served`, `cancelled`, or the reason of the error. */
  readonly outcomes: Readonly<Record<string, number>>
  /** How many were given to a second worker. */
  readonly retried: number
  /** Milliseconds that a request takes at a worker, on average; `undefined` before the first. */
  readonly average: number | undefined
}

/**
 * **When to use**
 *
 * Use it in front of anything that is slow to load, takes much memory and serves a few requests at once. `effect/Pool`
 * hands out resources; this one takes requests, and so can line them up, time them, try them elsewhere and drain them.
 *
 * **Gotchas**
 *
 * - Interrupting a request leaves the line, or ends the work. Its place is free when the work has really ended.
 * - A stream holds its worker until its end: read it, or leave it.
 * - The scope's finalizer stops the pool: it waits up to `drainTimeout`, then interrupts what is left.
 */
export interface Pool<in Q, out A, out P> {
  readonly name: string
  readonly capability: string
  /** One request, one answer. */
  readonly submit: (request: Q, terms?: Request) => Effect.Effect<A, PoolError>
  /** One request, an answer in parts. Nothing is asked before somebody reads. */
  readonly stream: (request: Q, terms?: Request) => Stream.Stream<P, PoolError>
  readonly status: Effect.Effect<Status>
  /** From now on requests from outside fail with `ShuttingDown`; those from inside are still taken. */
  readonly refuse: Effect.Effect<void>
  /** Refuses, and waits until nothing waits and nothing runs, or for so long; 5 s by default. Ends nothing itself. */
  readonly drain: (within?: Duration.Input) => Effect.Effect<DrainCounts>
  /** Ends everything that waits or runs with `ShuttingDown`, sends the workers away, and takes nothing any more. */
  readonly interrupt: Effect.Effect<DrainCounts>
}

/** How a pool is made. */
export interface Options<Q, A, P, R> {
  /** For errors, figures and reports. */
  readonly name: string
  readonly capability: Capability<Q, A, P>
  /**
   * Loads a worker, which lives as long as the scope. `place` is the lowest number from 0 that no other worker of the pool
   * has, for who has several backends, ports or devices to choose from.
   */
  readonly load: (place: number) => Effect.Effect<Worker<NoInfer<Q>, NoInfer<A>, NoInfer<P>>, WorkerError, R>
  /**
   * Succeeds when a worker would load now, and costs next to nothing. It is asked when a request was lost, and from time to
   * time while it fails or the last load did, so that the pool's health is known before the next request. Without it that
   * request finds out.
   */
  readonly probe?: Effect.Effect<void, WorkerError, R>
  readonly workers?: {
    /** How many are started by the first request; 2 by default, fewer when memory is short. */
    readonly start?: number
    /** How many stay although nobody needs them, once there are so many; 0 by default. Memory that others need takes these, too. */
    readonly min?: number
    /** How many there may be; 4 by default. */
    readonly max?: number
    /** How many requests one takes at once, unless it says so itself; 1 by default. */
    readonly concurrency?: number
    /** Bytes that one is thought to take; 0 by default, for workers whose memory is somebody else's. */
    readonly memory?: number
    /** One leaves for each such time in which it was not needed; 1 min by default. */
    readonly cooldown?: Duration.Input
    /** 1 min by default. */
    readonly loadTimeout?: Duration.Input
  }
  /** How many requests may wait; 256 by default. */
  readonly queue?: number
  /** How many of them with the same key; as many as the queue takes by default. */
  readonly queuePerKey?: number
  readonly requestTimeout?: Duration.Input
  readonly stallTimeout?: Duration.Input
  /** Opens when so many of the last requests failed that it is not worth asking. */
  readonly breaker?: {
    /** 30 s by default. */
    readonly window?: Duration.Input
    /** Requests in the window below which it stays closed; 10 by default. */
    readonly minimum?: number
    /** 0.5 by default. */
    readonly ratio?: number
    /** Until it is tried again; 10 s by default. */
    readonly pause?: Duration.Input
    /** Requests that try it at once; 1 by default. */
    readonly trials?: number
  }
  /** How long the scope's end waits for what is there; 5 s by default. */
  readonly drainTimeout?: Duration.Input
}

const defaultDrain: Duration.Input = "5 seconds"

/** What is wrong with the numbers, with its remedy; `undefined` when nothing is. */
export const invalid = <Q, A, P, R>(options: Options<Q, A, P, R>): string | undefined => {
  const { breaker = {}, queue, queuePerKey, workers = {} } = options
  for (const [name, value] of Object.entries({ "workers.max": workers.max, "workers.min": workers.min })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0))
      return `${name} ${value}: is no count; give a whole number from 0`
  }
  const positive = {
    queue,
    queuePerKey,
    "workers.start": workers.start,
    "workers.concurrency": workers.concurrency,
    "breaker.minimum": breaker.minimum,
    "breaker.trials": breaker.trials
  }
  for (const [name, value] of Object.entries(positive)) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1))
      return `${name} ${value}: is no count; give a whole number from 1`
  }
  if (workers.memory !== undefined && !(Number.isFinite(workers.memory) && workers.memory >= 0))
    return `workers.memory ${workers.memory}: is no amount; give bytes from 0`
  if (breaker.ratio !== undefined && !(breaker.ratio > 0 && breaker.ratio <= 1))
    return `breaker.ratio ${breaker.ratio}: is no share; give a number above 0 and up to 1`
  return undefined
}

/** Makes a pool. It has no workers until the first request. Dies when the options are {@link invalid}. */
export const make = Effect.fnUntraced(function* <Q, A, P, R>(
  options: Options<Q, A, P, R>
): Effect.fn.Return<Pool<Q, A, P>, never, Exclude<R, Scope.Scope> | Scope.Scope | Governor> {
  const wrong = invalid(options)
  if (wrong !== undefined) return yield* Effect.die(new RangeError(`pool ${options.name}: ${wrong}`))
  const { capability, name } = options
  const { limit } = yield* Governor
  const stall = Duration.fromInputUnsafe(options.stallTimeout ?? capability.stallTimeout)
  const parts = yield* assemble(options, Duration.toMillis(stall), limit)
  const { breaker, crew, desk, now, probe } = parts
  const requestTimeout = Duration.toMillis(options.requestTimeout ?? capability.requestTimeout)
  const termsOf = (context: Context.Context<never>, terms: Request | undefined): Terms => ({
    key: terms?.key ?? "",
    priority: terms?.priority ?? "interactive",
    timeout: terms?.timeout === undefined ? requestTimeout : Duration.toMillis(terms.timeout),
    inside: terms?.inside ?? false,
    context
  })

  const submit = (request: Q, terms?: Request) =>
    Effect.contextWith((context: Context.Context<never>) =>
      Effect.callback<A, PoolError>((resume) => {
        const ticket = new Whole<Q, A, P>(request, termsOf(context, terms), resume)
        desk.submit(ticket)
        return Effect.sync(() => desk.cancel(ticket))
      })
    )

  const stream = (request: Q, terms?: Request) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const context = yield* Effect.context<never>()
        const queue = yield* Parts.queue<P>()
        const ticket = new Parts<Q, A, P>(request, termsOf(context, terms), queue, stall)
        // Not `acquireRelease`: that copies all services of the caller for each request.
        yield* Scope.addFinalizer(
          yield* Effect.scope,
          Effect.sync(() => ticket.state === "new" || desk.cancel(ticket))
        )
        desk.submit(ticket)
        return Stream.fromQueue(queue)
      })
    )

  const refuse = Effect.sync(() => desk.refuse())
  const counts = Effect.sync(() => countsOf(desk.figures))
  const drain = (within: Duration.Input = defaultDrain) =>
    refuse.pipe(Effect.andThen(Effect.timeoutOption(Effect.interruptible(desk.idle), within)), Effect.andThen(counts))
  const interrupt = Effect.andThen(
    Effect.sync(() => {
      probe?.end()
      desk.interrupt()
    }),
    counts
  )
  yield* Effect.addFinalizer(() => Effect.andThen(drain(options.drainTimeout), interrupt))

  return {
    name,
    capability: capability.name,
    submit,
    stream,
    status: Effect.sync(() => statusOf(name, capability.name, crew, desk, breaker.state(now()))),
    refuse,
    drain,
    interrupt
  } satisfies Pool<Q, A, P>
})

/** Desk, crew and breaker of a pool, and the fibers that they run on: those end with the scope, before it is through. */
const assemble = Effect.fnUntraced(function* <Q, A, P, R>(options: Options<Q, A, P, R>, stall: number, limit: number) {
  const { breaker: circuit = {}, name, workers = {} } = options
  const { books } = yield* Governor
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const own = yield* Effect.context<Exclude<R, Scope.Scope>>()
  const fibers = yield* FiberSet.make<unknown, unknown>()
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const forkWith =
    (context: Context.Context<never>) =>
    <B, E>(effect: Effect.Effect<B, E>): Fiber.Fiber<B, E> => {
      const fiber = Effect.runForkWith(context)(effect)
      FiberSet.addUnsafe(fibers, fiber)
      return fiber
    }
  const max = workers.max ?? 4
  const loadTimeout = Duration.toMillis(workers.loadTimeout ?? "1 minute")
  const breaker = new Breaker({
    window: Duration.toMillis(circuit.window ?? "30 seconds"),
    minimum: circuit.minimum ?? 10,
    ratio: circuit.ratio ?? 0.5,
    pause: Duration.toMillis(circuit.pause ?? "10 seconds"),
    trials: circuit.trials ?? 1
  })
  const crew: Crew<Worker<Q, A, P>> = new Crew<Worker<Q, A, P>>(
    {
      start: workers.start ?? 2,
      min: workers.min ?? 0,
      max,
      concurrency: workers.concurrency ?? 1,
      memory: workers.memory ?? 0,
      cooldown: Duration.toMillis(workers.cooldown ?? "1 minute"),
      loadTimeout,
      growBackoff: 5000
    },
    {
      tenant: { name },
      books,
      // Its services are those of the context that it is forked with, and its scope is the worker's.
      load: options.load as (place: number) => Effect.Effect<Worker<Q, A, P>, WorkerError, Scope.Scope>,
      fork: forkWith(own),
      now,
      random: () => random.nextDoubleUnsafe(),
      freed: () => desk.pump(),
      failed: (error) => {
        probe?.failed()
        desk.loadFailed(error)
      },
      loaded: () => {
        probe?.end()
        desk.loaded()
      },
      impossible: (needed) => desk.impossible(needed),
      lost: (member, error) => desk.lost(member, error)
    }
  )
  const queue = options.queue ?? 256
  const desk: Desk<Q, A, P> = new Desk<Q, A, P>(
    { name, queue, queuePerKey: options.queuePerKey ?? queue, max, stall, limit },
    { crew, breaker, now, forkWith, doubt: () => probe?.doubt() }
  )
  const probe =
    options.probe === undefined
      ? undefined
      : new Probe({
          look: Effect.scoped(options.probe as Effect.Effect<void, WorkerError, Scope.Scope>),
          timeout: loadTimeout,
          fork: forkWith(own),
          now,
          back: () => desk.back(),
          down: (error) => desk.lookFailed(error)
        })
  return { breaker, crew, desk, now, probe }
})

const countsOf = ({ aborted, drained, rejected }: Figures): DrainCounts => ({ drained, aborted, rejected })

const statusOf = <Q, A, P>(
  name: string,
  capability: string,
  crew: Crew<Worker<Q, A, P>>,
  desk: Desk<Q, A, P>,
  breaker: Status["breaker"]
): Status => {
  const workers = { asking: 0, loading: 0, idle: 0, busy: 0, leaving: 0 }
  for (const { pending, state } of crew.members) {
    workers[state === "ready" ? (pending > 0 ? "busy" : "idle") : state]++
  }
  const { figures, stopping: draining } = desk
  const { failing, starved } = crew
  // What was wrong last, where that was a worker that did not load: what requests fail with is said to their callers.
  const also = failing === undefined ? "" : `; ${failing}`
  const why = draining
    ? "it is being stopped"
    : breaker === "open"
      ? `its backend failed too often and is left alone for a while${also}`
      : breaker === "half-open"
        ? `its backend failed too often and is being tried again${also}`
        : (failing ?? desk.down ?? (starved ? "it waits for memory" : undefined))
  const health = why === undefined ? "healthy" : draining || breaker === "open" ? "unhealthy" : "degraded"
  return {
    name,
    capability,
    health,
    ...(why === undefined ? {} : { why }),
    draining,
    waiting: desk.waiting,
    running: desk.running,
    workers,
    memory: crew.booked,
    breaker,
    outcomes: { ...figures.outcomes },
    retried: figures.retried,
    average: figures.average
  }
}

/** A pool as a host's drain: what `Gateway.layer({ drains })` of `@sluice/runtime` takes. */
export interface Drain {
  readonly name: string
  readonly timeout: Duration.Input
  readonly refuse: Effect.Effect<void>
  /** Waits until `until`, monotonic milliseconds. */
  readonly drain: (until: number) => Effect.Effect<DrainCounts>
  readonly interrupt: Effect.Effect<DrainCounts>
}

/** The pool for a shutdown program: what it counts is in the report. */
export const toDrain = (
  pool: Pick<Pool<never, unknown, unknown>, "name" | "refuse" | "drain" | "interrupt">,
  options: { readonly timeout?: Duration.Input } = {}
): Drain => ({
  name: pool.name,
  timeout: options.timeout ?? defaultDrain,
  refuse: pool.refuse,
  drain: (until) =>
    Effect.flatMap(Clock.monotonicTimeNanos, (nanos) =>
      pool.drain(Duration.millis(Math.max(0, until - Number(nanos) / 1e6)))
    ),
  interrupt: pool.interrupt
})
