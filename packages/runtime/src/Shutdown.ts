/**
 * The shutdown program. It is courtesy, not safety: the journal is right whenever
 * the process dies. The program finishes what is nearly done, says why it stops,
 * and reports. It runs once, on one absolute deadline of the monotonic clock that
 * no phase can move, and a phase that hangs or dies never keeps the next from running.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { AskingTurn } from "./internal/shutdown/AskingTurn.ts"
import { within } from "./internal/shutdown/Course.ts"
import type { HostDrain } from "./internal/shutdown/HostDrain.ts"
import type { AskedBefore, Parts } from "./internal/shutdown/Parts.ts"
import { Report } from "./internal/shutdown/Report.ts"
import { Stopping, type StopNews } from "./internal/shutdown/Stopping.ts"
import * as Timetable from "./internal/shutdown/Timetable.ts"
import { defect } from "./internal/shutdown/exitCode.ts"

export { AskingTurn } from "./internal/shutdown/AskingTurn.ts"
export { lastStop } from "./internal/shutdown/lastStop.ts"
export type { Drain, DrainCounts, Parts, Stop } from "./internal/shutdown/Parts.ts"
export { Report } from "./internal/shutdown/Report.ts"
export { Roll, type RunningTurn } from "./internal/shutdown/Roll.ts"
export type { StopNews } from "./internal/shutdown/Stopping.ts"

/** A wish to stop, as a value: signals are the program's business, a test or a host just sends one. */
export interface StopRequest {
  /** `restart` only differs in the exit code: what starts the gateway again is the caller's business. */
  readonly reason: "stop" | "restart" | "failure"
  /** Who asks, for the report: a signal's name, a route, a command. */
  readonly by?: string
  /** Marker of the agent's process that asks, so that its turn is not waited for. A fiber inside `answer` is known without it. */
  readonly asking?: string
  /** When it was asked, in milliseconds of the monotonic clock; now by default. The deadline counts from here. */
  readonly at?: number
  /** Hurry: 1 = interrupt what runs at once, a second is left for the rest. */
  readonly force?: 1
  /** `failure`: what the gateway can't go on without. Decides the exit code: 69, 70 or 74. */
  readonly cause?: unknown
}

/** How long somebody else lets the process live after asking it to stop. */
export interface Budget {
  readonly limit: Duration.Input
  /** Where the limit comes from, in words, for example `TimeoutStopSec of sluice.service`. */
  readonly source: string
}

/** Choices of a stop; every field has its default. */
export interface DrainOptions {
  /** How long a stop may take in all (30 s). */
  readonly timeout?: Duration.Input
  /** How long after the flush queued messages may still start (5 s; 0 = not at all). */
  readonly startWithin?: Duration.Input
  /** How long everything is still served after readiness turned to 503 (0; 5 s behind a load balancer). */
  readonly announce?: Duration.Input
  /** What a supervisor allows; the deadline stays below it by a reserve. None by default. */
  readonly budget?: Budget
  /** Hears what happens in a stop. Synchronous; what it throws is logged and changes nothing. */
  readonly watch?: (news: StopNews) => void
}

/** The stop of one gateway. */
export interface Shutdown {
  /** Runs the program once; later callers join it, a later `stop` wins over a `restart`. Leaving does not end it. */
  readonly stop: (request: StopRequest) => Effect.Effect<Report>
  /** Completes when a stop begins, with what asked for it. */
  readonly began: Effect.Effect<StopRequest>
  /** The report of the stop, whenever it comes. */
  readonly stopped: Effect.Effect<Report>
}

/** How long a stop will take at most and why, in milliseconds: for start lines and for `doctor`. */
export const deadlineOf = (
  options: DrainOptions
): { readonly millis: number; readonly tail: number; readonly source: string } => {
  const { millis, source } = Timetable.lengthOf(timeoutOf(options), allowanceOf(options))
  return { millis, tail: Timetable.tailOf(millis), source }
}

const timeoutOf = (options: DrainOptions): number => Duration.toMillis(options.timeout ?? "30 seconds")

const allowanceOf = ({ budget }: DrainOptions): Timetable.Allowance | undefined =>
  budget === undefined ? undefined : { limit: Duration.toMillis(budget.limit), source: budget.source }

/** The shutdown program: the phases in their order. Correct without it, kind because of it. */
const program = Effect.fnUntraced(function* (stopping: Stopping, parts: Parts, options: DrainOptions) {
  const { channels, debouncer, intake, journal, outbox, sessions } = parts
  const { course, drains, phase } = stopping
  const announce = Duration.toMillis(options.announce ?? 0)
  const startWithin = Duration.toMillis(options.startWithin ?? "5 seconds")
  let lastSeq = 0

  journal.stopBy(course.timetable.deadline)
  yield* stopping.inventory.begin

  // First, because whoever asked may kill us at any point from here on.
  yield* phase(
    "pre-mark",
    {
      sessions: stopping.begin,
      journal: Effect.suspend(() => journal.preMark(stopping.reason)),
      announce: Deferred.await(course.hurried).pipe(Effect.timeoutOption(announce))
    },
    announce
  )

  yield* phase("intake", {
    hold: intake.hold,
    pollers: channels.stopPollers,
    ...each(drains, (drain) => drain.refuse)
  })

  // With no time to start nothing may: what the flush brings forward would begin before the last call.
  const shut = Effect.suspend(() => sessions.lastCall({ seq: 0, at: course.now() }))
  const flush = startWithin > 0 ? debouncer.flush : Effect.andThen(shut, debouncer.flush)
  yield* phase("flush", {
    debouncer: Effect.tap(flush, (flushed) => Effect.sync(() => (lastSeq = flushed.lastSeq)))
  })

  // What waits behind a flush that failed only stays stored: with `lastSeq` 0 nothing may start.
  const lastCall = Effect.suspend(() => sessions.lastCall({ seq: lastSeq, at: course.now() + startWithin }))
  yield* phase("drain", {
    sessions: Effect.andThen(lastCall, sessions.drained),
    ...each(drains, (drain) => drain.finish(course.timetable.drainUntil))
  })

  yield* phase("interrupt", {
    sessions: Effect.suspend(() => sessions.interrupt({ reason: stopping.reason, until: course.limitOf("interrupt") })),
    ...each(drains, (drain) => drain.interrupt)
  })

  yield* phase("outbox", {
    outbox: Effect.suspend(() => {
      const until = course.limitOf("outbox")
      return Effect.andThen(farewell(stopping, parts, (until - course.now()) / 2), outbox.drain(until))
    })
  })

  yield* phase("channels", {
    intake: intake.refuse,
    channels: Effect.suspend(() => channels.close(course.limitOf("channels")))
  })

  yield* phase("close", { journal: stopping.close })

  return stopping.report()
})

/**
 * Now, and not sooner, it is known whose answers are late. It is courtesy within courtesy: what fails or takes too long is
 * logged and changes nothing. A store that failed could not pair it with its return.
 */
const farewell = (stopping: Stopping, { outbox }: Parts, patience: number): Effect.Effect<void> =>
  stopping.reason === "failure"
    ? Effect.void
    : Effect.flatMap(within(outbox.farewell(stopping.reason), patience), (exit) =>
        Exit.isSuccess(exit)
          ? Effect.void
          : Effect.logWarning("People whose answers are late could not be told of the stop", exit.cause)
      )

/** The drains as pieces of a phase; two of the same name are two pieces. */
const each = (
  drains: ReadonlyArray<HostDrain>,
  step: (drain: HostDrain) => Effect.Effect<void>
): { readonly [name: string]: Effect.Effect<void> } =>
  Object.fromEntries(
    drains.map((drain, index) => {
      const twin = drains.findIndex((other) => other.name === drain.name) < index
      return [`drain ${drain.name}${twin ? ` (${index + 1})` : ""}`, Effect.suspend(() => step(drain))]
    })
  )

/**
 * What a turn that asks again is given: the report of the stop that it asked for in an earlier boot. One that left none
 * was cut off itself, and is not told as a clean one.
 */
const reportOf = (before: AskedBefore): Report =>
  Option.getOrElse(
    Schema.decodeUnknownOption(Report)(before.report),
    () =>
      new Report({
        reason: before.reason === "restart" ? "restart" : "stop",
        by: [],
        epoch: before.epoch,
        startedAt: 0,
        millis: 0,
        deadline: { millis: 0, source: "unknown" },
        forced: 0,
        phases: [],
        sessions: [],
        moreSessions: 0,
        queued: [],
        moreQueued: 0,
        drains: [],
        exitCode: defect,
        reasons: [
          { code: defect, why: "the stop that this turn asked for left no report: its process was ended first" }
        ]
      })
  )

/** How long a stop waits to learn which turn asks for it. */
const askingTimeout = 1000

/**
 * The shutdown of these parts. Made last, released first: the end of the scope runs the program, or joins it where it
 * runs already. It belongs to no fiber: a turn, a request or a signal that asked for it can go away.
 */
export const make = Effect.fnUntraced(function* (
  parts: Parts,
  options: DrainOptions = {}
): Effect.fn.Return<Shutdown, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const context = yield* Effect.context()
  const began = Deferred.makeUnsafe<StopRequest>()
  const done = Deferred.makeUnsafe<Report>()
  let stopping: Stopping | undefined

  const watch = (news: StopNews): void => {
    try {
      options.watch?.(news)
    } catch (error) {
      Effect.runForkWith(context)(Effect.logError("Whoever watches the stop failed; the stop goes on", error))
    }
  }

  const begin = (request: StopRequest): Stopping => {
    const at = Math.min(request.at ?? Infinity, Number(clock.monotonicTimeNanosUnsafe()) / 1e6)
    const timetable = Timetable.plan(at, timeoutOf(options), allowanceOf(options))
    const begun = new Stopping({ reason: request.reason, timetable, clock, parts, watch })
    stopping = begun
    const { deadline, source } = timetable
    watch({ _tag: "Began", reason: request.reason, deadline, source, soFar: (exit) => begun.report(exit) })
    Deferred.doneUnsafe(began, Exit.succeed(request))
    const run = Effect.onExit(program(begun, parts, options), (exit) =>
      Effect.sync(() => Deferred.doneUnsafe(done, exit))
    )
    Effect.runForkWith(context)(run)
    return begun
  }

  const askedBefore = Effect.fnUntraced(function* (turn: number, reason: string) {
    const exit = yield* within(parts.journal.asked(turn, reason), askingTimeout)
    if (Exit.isSuccess(exit)) return exit.value
    yield* Effect.logWarning("Could not store which turn asks for the stop; the stop goes on", exit.cause)
    return undefined
  })

  const stop = Effect.fnUntraced(function* (request: StopRequest) {
    const turn = yield* askingTurn(parts, request)
    const before = turn === undefined ? undefined : yield* askedBefore(turn, request.reason)
    if (before !== undefined) return reportOf(before)
    const joined = stopping ?? begin(request)
    joined.wish(request)
    if (turn !== undefined) yield* joined.excuse(turn)
    return yield* Deferred.await(done)
  })

  yield* Effect.addFinalizer(() => stop({ reason: "stop", by: "end of the scope" }))
  return { stop, began: Deferred.await(began), stopped: Deferred.await(done) }
})

/** The turn that the caller belongs to: by the fiber it runs in, or by the marker that its process was given. */
const askingTurn = Effect.fnUntraced(function* (parts: Parts, request: StopRequest) {
  const here = yield* AskingTurn
  if (here !== undefined || request.asking === undefined) return here?.turn
  const exit = yield* within(parts.sessions.turnOf(request.asking), askingTimeout)
  return Exit.isSuccess(exit) ? exit.value : undefined
})

/**
 * A server of the host whose release waits for `stop`: the program runs while the server still answers. What is built
 * last is released first, so the wish to stop is built on top of the server.
 */
export const drainBefore = <A, E, R, R2>(
  server: Layer.Layer<A, E, R>,
  stop: Effect.Effect<unknown, never, R2>
): Layer.Layer<A, E, R | R2> =>
  Layer.effectDiscard(
    Effect.flatMap(Effect.context<R2>(), (context) => Effect.addFinalizer(() => Effect.provideContext(stop, context)))
  ).pipe(Layer.provideMerge(server))
