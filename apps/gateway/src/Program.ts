/**
 * `sluice run`: the gateway in the foreground. Everything that can be wrong is
 * found before anything is opened; then the whole gateway is built in one scope,
 * and the program waits for the report of the stop. It ends with that report's
 * exit code after the store is closed and its lock is free.
 */
import { markerVariable } from "@sluice/runtime/Agent"
import type { Channel } from "@sluice/runtime/Channel"
import { Gateway } from "@sluice/runtime/Gateway"
import { Journal } from "@sluice/runtime/Journal"
import { deadlineOf, type DrainOptions, Report, type StopNews, type StopRequest } from "@sluice/runtime/Shutdown"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { performance } from "node:perf_hooks"
import * as Address from "./configuration/Address.ts"
import type { Sources } from "./configuration/Sources.ts"
import { codes, Ending } from "./process/Exit.ts"
import * as Lines from "./Lines.ts"
import { Loaded } from "./Loaded.ts"
import { escape, escapeJson } from "./LogEncoder.ts"
import type * as Operations from "./Operations.ts"
import * as Pipeline from "./Pipeline.ts"
import type { Recorder } from "./process/SignalRecorder.ts"
import * as Signals from "./process/Signals.ts"
import * as Notifier from "./process/Notifier.ts"
import { poolScope } from "./pools/Closing.ts"
import * as Setup from "./Setup.ts"
import { fileIn, writeWhole } from "./StateFolder.ts"
import * as Words from "./tools/Words.ts"
import { version } from "./version.ts"
import * as Watchdog from "./watchdog/Watchdog.ts"
import { patienceOf } from "./watchdog/verdict.ts"

type Began = Extract<StopNews, { readonly _tag: "Began" }>

/** What is known of a stop while it runs. */
interface Stop {
  readonly began: Deferred.Deferred<Began>
  /** When it has to be over, in milliseconds of the monotonic clock; hurry brings it nearer. */
  until: number | undefined
  /** Somebody does not want to wait. */
  readonly hurried: Deferred.Deferred<void>
  /** The report as it stands. */
  soFar: Began["soFar"] | undefined
}

const keepNow = (stateDirectory: string, report: Report): void =>
  writeWhole(fileIn(stateDirectory, "lastShutdown"), `${JSON.stringify(report)}\n`)

/** The end of a stop as the state directory keeps it, also when the store can't. */
const keep = (stateDirectory: string, report: Report): Effect.Effect<void> =>
  Effect.sync(() => keepNow(stateDirectory, report)).pipe(
    // A full disk: the report is printed and, when it could be, in the store.
    Effect.catchCause((cause) => Effect.logWarning("The report could not be written beside the store", cause))
  )

const monotonic = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

/** Takes the news of a stop to who waits for them. Synchronous. */
const watching =
  (stop: Stop, dog: Watchdog.Watchdog, notifier: Notifier.Notifier, patience: (open: number) => void) =>
  (news: StopNews): void => {
    dog.watch(news)
    if (news._tag === "Phase" && news.name === "drain" && news.open > 0) patience(news.open)
    if (news._tag === "Began" || news._tag === "Hurried") stop.until = news.deadline
    if (news._tag === "Hurried") Deferred.doneUnsafe(stop.hurried, Effect.void)
    if (news._tag !== "Began") return
    notifier.stopping(`stopping (${news.reason})`)
    stop.soFar = news.soFar
    Deferred.doneUnsafe(stop.began, Effect.succeed(news))
  }

/** A stop that has to wait says for what and how long, and how to get out of it. */
const patience = Effect.fnUntraced(function* (setup: Setup.Setup, stop: Stop, open: number) {
  const { deadline } = yield* Deferred.await(stop.began)
  const within = Math.max(0, deadline - (yield* monotonic))
  const by = stop.soFar?.().by ?? []
  if (setup.format !== "pretty") {
    return yield* Effect.logInfo("stopping").pipe(Effect.annotateLogs({ by, turns: open, within: Math.round(within) }))
  }
  const [first] = by
  // The terminal has just shown ^C, and the cursor is behind it.
  const line = first === "SIGINT" && process.stdout.isTTY ? "\n" : ""
  const way = first === "SIGINT" ? "; Ctrl-C again does not wait" : ""
  yield* Console.log(`${line}waiting for ${Words.count(open, "turn")}, at most ${Words.span(within)}${way}`)
})

/** Begins a stop and says how long it may take; a turn that asks again gets the report of the stop that it had asked for. */
const stopping = (gateway: typeof Gateway.Service, stop: Stop) =>
  Effect.fnUntraced(function* (request: StopRequest) {
    const joined = yield* Effect.forkDetach(gateway.stop(request), { startImmediately: true })
    const began = Effect.gen(function* () {
      const { deadline } = yield* Deferred.await(stop.began)
      return { within: Math.max(0, Math.round(deadline - (yield* monotonic))) }
    })
    return yield* Effect.raceFirst(
      began,
      Effect.map(Fiber.join(joined), (report) => ({ report }))
    )
  })

/** Reads the configuration again and applies what can change while it runs. */
const reloading = (
  gateway: typeof Gateway.Service,
  setup: Setup.Setup,
  channel: ReturnType<typeof Pipeline.http>,
  pools: Scope.Scope
) => {
  // The same channel as at the start, where its needs were met: the gateway knows it again and leaves it alone.
  const http = channel as unknown as Channel
  const one = Semaphore.makeUnsafe(1)
  return one.withPermits(1)(
    Effect.gen(function* () {
      const { decided, lines } = yield* Setup.again(setup)
      const { agents, personas } = decided.made
      const channels = { ...decided.connected.channels, http }
      const spending = Pipeline.spending(decided.loaded.configuration)
      const exchanged = yield* gateway.reload({ agents, personas, channels, ...spending })
      setup.current = decided
      const changes = [...lines, ...exchanged, ...(yield* Scope.provide(Setup.openPools(setup), pools))]
      yield* changes.length === 0
        ? Effect.logInfo("Configuration read again: nothing has changed")
        : Effect.logInfo("Configuration reloaded").pipe(Effect.annotateLogs({ changes }))
      return changes
    }).pipe(
      Effect.tapError((error) =>
        Effect.logError("The configuration was not reloaded, the old one stays").pipe(
          Effect.annotateLogs({ why: error.message.split("\n") })
        )
      )
    )
  )
}

/** The first and the last line are printed at every level but `none`: whoever started the program waits for them. */
const evenWhenQuiet = <A, E, R>(line: Effect.Effect<A, E, R>) =>
  Effect.updateService(line, References.MinimumLogLevel, (level) => (level === "None" ? level : "Info"))

/** Says that the gateway is there: the start lines, and the address for the tools. */
const announce = Effect.fnUntraced(function* (setup: Setup.Setup, start: Lines.Start) {
  const { stateDirectory } = setup.current.loaded.configuration
  yield* Effect.forEach(setup.warnings, (warning) => Effect.logWarning(warning), { discard: true })
  yield* Effect.sync(() =>
    Address.write(stateDirectory, { url: start.url, pid: process.pid, epoch: start.epoch })
  ).pipe(Effect.catchCause((cause) => Effect.logWarning("The tools will not find this gateway", cause)))
  yield* setup.format === "pretty"
    ? Effect.forEach(Lines.lines(start), (line) => Console.log(line), { discard: true })
    : Effect.logInfo("ready").pipe(Effect.annotateLogs(Lines.facts(start)), evenWhenQuiet)
})

/** SIGQUIT: what every session waits for, a line each. */
const dump = (gateway: typeof Gateway.Service, setup: Setup.Setup) =>
  Effect.gen(function* () {
    const live = yield* gateway.live
    if (setup.format === "pretty") {
      yield* Effect.logInfo(`${Words.count(live.length, "session")} in memory`)
      return yield* Effect.forEach(live, (session) => Console.log(`  ${Words.session(session)}`), { discard: true })
    }
    yield* Effect.logInfo("Sessions in memory").pipe(Effect.annotateLogs({ count: live.length }))
    yield* Effect.forEach(
      live,
      ({ key, state, turn, waiting, waitsFor }) =>
        Effect.logInfo("Session").pipe(
          Effect.annotateLogs({ key, state: state.name, waiting, waitsFor, ...(turn === undefined ? {} : { turn }) })
        ),
      { discard: true }
    )
  })

/** The third request: no phase is waited for any more. What is known of the stop is kept; the rest is in the journal. */
const exitNow = (setup: Setup.Setup, stop: Stop) => (by: string) =>
  Effect.sync((): never => {
    try {
      const report = stop.soFar?.({ code: codes.forced, why: `${by}, the third request to stop` })
      if (report !== undefined) {
        const text = setup.format === "pretty" ? reportLines(report) : escapeJson(JSON.stringify(report))
        process.stdout.write(`${text}\n`)
        keepNow(setup.current.loaded.configuration.stateDirectory, report)
      }
    } finally {
      // Whatever the disk says: now means now.
      process.exit(codes.forced)
    }
  })

/** Names in a report come from clients: they pass the encoder like everything else that is printed. */
const reportLines = (report: Report): string => Report.text(report).split("\n").map(escape).join("\n")

const farewell = (setup: Setup.Setup, report: Report) =>
  setup.format === "pretty"
    ? Console.log(reportLines(report))
    : Effect.logInfo("stopped").pipe(Effect.annotateLogs({ report }), evenWhenQuiet)

/** Starts the watchdog, which guards until the store is closed. */
const guarded = Effect.fnUntraced(function* (setup: Setup.Setup, choices: DrainOptions) {
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const options = {
    patience: patienceOf(deadlineOf(choices).millis),
    file: fileIn(setup.current.loaded.configuration.stateDirectory, "lastShutdown"),
    failed: (error: Error) =>
      void runFork(Effect.logError("There is no watchdog: a stop that hangs is not ended", error))
  }
  return yield* Effect.acquireRelease(
    Effect.sync(() => Watchdog.start(options)),
    (dog) => Effect.sync(() => dog.release())
  )
})

/** S8: a request to stop that comes before everything is there ends what was begun. */
const unlessStopped = <A, E, R>(signals: Signals.Signals, build: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(
    Effect.asSome(build),
    signals.stopping.pipe(
      Effect.tap(({ by }) => Effect.logInfo("Stopped before it was ready").pipe(Effect.annotateLogs({ by }))),
      Effect.as(Option.none<A>())
    )
  )

/** The gateway from its first file to the report of its stop. The scope's end closes the store. */
const serve = Effect.fnUntraced(function* (setup: Setup.Setup, signals: Signals.Signals) {
  const { loaded } = setup.current
  const { stateDirectory } = loaded.configuration
  const stop: Stop = {
    began: Deferred.makeUnsafe<Began>(),
    hurried: Deferred.makeUnsafe<void>(),
    until: undefined,
    soFar: undefined
  }
  const slot: Operations.Slot = { current: undefined }
  const channel = Pipeline.http(setup, slot)
  const choices = Pipeline.drainOptions(setup)
  const dog = yield* guarded(setup, choices)
  const notifier = yield* Notifier.make(setup.sources.environment)
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const patient = (open: number) => void runFork(patience(setup, stop, open))
  const drain: DrainOptions = { ...choices, watch: watching(stop, dog, notifier, patient) }
  // Before the gateway is built, so that it runs after its release: who sees the address gone finds the store free.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => Address.remove(stateDirectory, process.pid)).pipe(
      // A folder that became read-only: what is left is harmless, and the stop was what its report says.
      Effect.catchCause((cause) => Effect.logWarning("The file with this gateway's address can't be removed", cause))
    )
  )
  const pools = yield* poolScope(setup.pools, { until: () => stop.until, hurried: stop.hurried })
  yield* Scope.provide(Setup.openPools(setup), pools.scope)
  const built = yield* unlessStopped(signals, Layer.build(Pipeline.layer(setup, channel, drain)))
  if (Option.isNone(built)) return undefined
  yield* Effect.forkScoped(setup.pools.orphans.forget)
  const context = built.value
  const gateway = Context.get(context, Gateway)
  const url = yield* channel.address
  const status = `ready at ${url}`
  const reload = Effect.sync(() => notifier.reloading()).pipe(
    Effect.andThen(reloading(gateway, setup, channel, pools.scope)),
    Effect.ensuring(Effect.sync(() => notifier.ready(status))),
    // In a fiber of its own: who asked for it may leave, and half a reload is none.
    Effect.forkIn(yield* Effect.scope),
    Effect.flatMap(Fiber.join)
  )
  slot.current = {
    gateway,
    journal: Context.get(context, Journal),
    version,
    uptime: Effect.sync(() => performance.now()),
    pools: setup.pools,
    clients: channel.clients,
    parts: Effect.gen(function* () {
      const others = yield* Effect.forEach(Object.entries(setup.current.connected.channels), ([name, one]) =>
        Effect.map(one.describe ?? Effect.succeed(""), (at) => ({ name, delivery: Lines.deliveryOf(one), at }))
      )
      return {
        url,
        agents: Object.keys(setup.current.made.agents),
        channels: [{ name: "http", delivery: Lines.deliveryOf(channel), at: url }, ...others],
        deadline: deadlineOf(drain)
      }
    }),
    reload,
    stop: stopping(gateway, stop)
  }
  const { epoch, postMortem } = gateway.boot
  dog.knows(epoch)
  const channels = { http: channel, ...setup.current.connected.channels }
  yield* announce(setup, { version, url, loaded, channels, epoch, postMortem, deadline: deadlineOf(drain) })
  notifier.ready(status)
  yield* Effect.flatMap(Loaded, Effect.sync)
  const orders = {
    stop: gateway.stop,
    reload: Effect.ignore(reload),
    dump: dump(gateway, setup),
    exitNow: exitNow(setup, stop)
  }
  yield* Effect.forkScoped(Signals.obey(signals, orders))
  const report = yield* gateway.stopped
  yield* keep(stateDirectory, report)
  // While signals are still obeyed: who is in a hurry need not wait for workers.
  yield* pools.end
  yield* farewell(setup, report)
  return report
})

/** Runs the gateway; ends with the exit code of its stop. */
export const run = Effect.fnUntraced(function* (sources: Sources, recorder: Recorder) {
  // Of the agent whose turn started this gateway, if one did: its helpers are none of that agent's.
  yield* Effect.sync(() => delete process.env[markerVariable])
  const setup = yield* Setup.make(sources)
  const { level } = setup.current.loaded.configuration.log
  const report = yield* Effect.scoped(Effect.flatMap(Signals.make(recorder), (signals) => serve(setup, signals))).pipe(
    Effect.ensuring(Effect.sync(() => setup.log.flush())),
    Effect.provide(Logger.layer([setup.log.logger])),
    Effect.provideService(References.MinimumLogLevel, Setup.levels[level])
  )
  if (report !== undefined && report.exitCode !== 0) return yield* new Ending({ code: report.exitCode, lines: [] })
})
