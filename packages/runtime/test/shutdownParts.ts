/**
 * Parts for the shutdown program that keep a diary. Sessions are real fibers that take their time on the test's clock;
 * everything else does nothing until a test replaces it. Nothing here waits by itself: what is not told to take time
 * takes none.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import type { Ledger } from "../src/Journal.ts"
import type * as Shutdown from "../src/Shutdown.ts"

export const ledger: Ledger = {
  accepted: 3,
  open: 1,
  ends: {
    replied: 2,
    "no-reply": 0,
    command: 0,
    cancelled: 0,
    superseded: 0,
    dropped: 0,
    suspended: 0,
    undeliverable: 0,
    unknown: 0
  },
  detail: {},
  posts: { accepted: 0, open: 0, sent: 0, undeliverable: 0, unknown: 0 },
  balanced: true
}

/** Monotonic milliseconds of the test's clock, whole ones. */
export const now = Effect.map(Clock.monotonicTimeNanos, (nanos) => Math.round(Number(nanos) / 1e6))

/** A turn that takes its time. */
export const job = (turn: number, work: Effect.Effect<void>, seq = turn): Job => ({ seq, turn, work })

/** How the phases of a report ended, a line each. */
export const outcomes = (report: Shutdown.Report) => report.phases.map((phase) => `${phase.name} ${phase.outcome}`)

/** Every phase ended by itself. */
export const allDone = ["pre-mark", "intake", "flush", "drain", "interrupt", "outbox", "channels", "close"].map(
  (name) => `${name} done`
)

/** A report and the test clock's time at which it came. */
export const timed = (stop: Effect.Effect<Shutdown.Report>) =>
  Effect.flatMap(stop, (report) => Effect.map(now, (at) => ({ report, at })))

/**
 * Starts something and returns when it waits for time. The clock knows what follows from a sleeper that it wakes, and
 * only that: hence the nanosecond before it.
 */
export const underWay = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.forkChild(Effect.andThen(Effect.sleep("1 nanos"), effect)).pipe(Effect.tap(() => TestClock.adjust("1 nanos")))

interface Job {
  readonly seq: number
  readonly turn: number
  readonly work: Effect.Effect<void>
}

/** A session that runs its jobs one after the other, each a turn. */
export interface FakeSession {
  readonly id: number
  readonly key: string
  readonly queue: Array<Job>
}

/** Sessions as the program sees them, in memory. */
export const makeSessions = Effect.fnUntraced(function* () {
  const clock = yield* Clock.Clock
  const millis = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const context = yield* Effect.context()
  const fork = Effect.runForkWith(context)
  const sessions: Array<FakeSession> = []
  const running = new Map<number, { readonly entry: Shutdown.RunningTurn; readonly fiber: Fiber.Fiber<void> }>()
  const excused = new Set<number>()
  let stop: Shutdown.Stop | undefined
  let limit: { readonly seq: number; readonly at: number } | undefined
  let waiters: Array<() => void> = []

  const mayStart = (job: Job) =>
    limit === undefined ? stop === undefined : job.seq <= limit.seq && millis() < limit.at

  const startable = (session: FakeSession) => {
    const job = session.queue[0]
    return job !== undefined && mayStart(job)
  }

  const isDrained = () => [...running.keys()].every((turn) => excused.has(turn)) && !sessions.some(startable)

  const look = () => {
    if (!isDrained()) return
    for (const waiter of waiters) waiter()
    waiters = []
  }

  const next = (session: FakeSession) => {
    const job = session.queue[0]
    if (job === undefined || !mayStart(job)) return look()
    session.queue.shift()
    const entry: Shutdown.RunningTurn = {
      session: session.id,
      key: session.key,
      turn: job.turn,
      attempt: 1,
      since: millis(),
      state: () => "processing"
    }
    const fiber = fork(job.work)
    running.set(job.turn, { entry, fiber })
    stop?.roll.started(entry)
    fiber.addObserver((exit) => {
      running.delete(job.turn)
      stop?.roll.ended(job.turn, exit._tag === "Success" ? "finished" : "interrupted")
      next(session)
    })
  }

  const part: Shutdown.Parts["sessions"] = {
    begin: (told) =>
      Effect.sync(() => {
        stop = told
        for (const { entry } of running.values()) told.roll.started(entry)
      }),
    excuse: (turn) =>
      Effect.sync(() => {
        excused.add(turn)
        look()
      }),
    lastCall: (told) =>
      Effect.sync(() => {
        limit = told
        fork(Effect.andThen(Effect.sleep(told.at - millis()), Effect.sync(look)))
        for (const session of sessions)
          if (![...running.values()].some((r) => r.entry.session === session.id)) next(session)
      }),
    drained: Effect.callback<void>((resume) => {
      waiters.push(() => resume(Effect.void))
      look()
    }),
    interrupt: () =>
      Effect.suspend(() => {
        limit = { seq: 0, at: 0 }
        return Fiber.interruptAll([...running.values()].map(({ fiber }) => fiber))
      }),
    turnOf: () => Effect.void as Effect.Effect<undefined>
  }

  return {
    part,
    running,
    /** A session whose jobs are turns; `turn` numbers are unique over all sessions. */
    session: (key: string, jobs: ReadonlyArray<Job>) => {
      const session: FakeSession = { id: sessions.length + 1, key, queue: [...jobs] }
      sessions.push(session)
      next(session)
      return session
    }
  }
})

/** All parts, with a diary of what was called when. */
export const makeParts = Effect.fnUntraced(function* (
  change: (parts: Shutdown.Parts) => Partial<Shutdown.Parts> = () => ({})
) {
  const sessions = yield* makeSessions()
  const diary: Array<string> = []
  const stored: Array<{ readonly exitCode: number; readonly clean: boolean; readonly json: unknown }> = []
  const note = (what: string): Effect.Effect<void> =>
    Effect.map(now, (at) => {
      diary.push(`${at} ${what}`)
    })
  const base: Shutdown.Parts = {
    epoch: 7,
    journal: {
      preMark: (reason) => Effect.as(note(`preMark ${reason}`), { turns: sessions.running.size, sessions: 0 }),
      stopBy: () => undefined,
      storeReport: (report) =>
        Effect.andThen(
          note(`storeReport ${report.exitCode}`),
          Effect.sync(() => {
            stored.push(report)
          })
        ),
      close: note("close"),
      asked: () => Effect.void as Effect.Effect<undefined>,
      ledger: Effect.succeed(ledger),
      waiting: () => Effect.succeed({ rows: [], more: 0 })
    },
    intake: { hold: note("hold"), refuse: note("refuse") },
    debouncer: { flush: Effect.as(note("flush"), { lastSeq: 100 }) },
    sessions: {
      ...sessions.part,
      lastCall: (limit) => Effect.andThen(note(`lastCall ${limit.seq}`), sessions.part.lastCall(limit)),
      interrupt: (cut) => Effect.andThen(note(`interrupt ${cut.reason}`), sessions.part.interrupt(cut))
    },
    outbox: {
      farewell: (reason) => note(`farewell ${reason}`),
      drain: () => note("outbox"),
      figures: Effect.succeed({ sent: 0, pending: 0, unknown: 0 })
    },
    channels: { stopPollers: note("stopPollers"), close: () => note("channels") },
    drains: []
  }
  return { parts: { ...base, ...change(base) }, sessions, diary, stored, note }
})
