/**
 * The live sessions of one gateway: who is in memory, what wakes them, what falls
 * at the cap, and how all of them end. State is synchronous and has one owner, so
 * a doorbell that comes while a fiber is closing can't be missed.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { parseMarker } from "../../Agent.ts"
import { Journal, type RowKey } from "../../Journal.ts"
import { reference } from "../../Notices.ts"
import { Outbox } from "../../Outbox.ts"
import { doing, Session } from "../../Session.ts"
import type { Sessions } from "../../Sessions.ts"
import { monotonic } from "../clock.ts"
import { Registered } from "../registry.ts"
import { within } from "../shutdown/Course.ts"
import type { Environment, SessionOptions } from "./Environment.ts"
import { drop } from "./drop.ts"
import { decided, optionOf } from "./events.ts"
import { Gate } from "./Gate.ts"
import { Live } from "./Live.ts"
import { dispatchable, waitsForResume } from "./next.ts"
import type { LiveSession } from "./records.ts"
import { Watchers } from "./Watchers.ts"

/** How long the scope's end waits where no stop has set a deadline, milliseconds. */
const letGoWithin = 10_000

/** The live sessions of one gateway; their scope's end interrupts what runs and waits until it let go. */
export const makeSessions = Effect.fnUntraced(function* (options: SessionOptions) {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const registered = yield* Registered
  const clock = yield* Clock.Clock
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const sessions = new Map<number, Session>()
  const watchers = new Watchers()
  const failed = yield* Deferred.make<unknown>()
  const waiters = new Set<() => void>()
  const excused = new Set<number>()
  const now = monotonic(clock)
  let paused = false

  const changed = () => {
    for (const waiter of [...waiters]) waiter()
  }

  /** Completes as soon as it is true; looked at whenever something changed. */
  const until = (isTrue: () => boolean) =>
    Effect.callback<void>((resume) => {
      const look = () => {
        if (!isTrue()) return
        waiters.delete(look)
        resume(Effect.void)
      }
      waiters.add(look)
      look()
      return Effect.sync(() => waiters.delete(look))
    })

  const env: Environment = {
    journal,
    outbox,
    registered,
    options,
    instance: journal.opening.instance,
    epoch: journal.opening.epoch,
    now,
    wallNow: () => clock.currentTimeMillisUnsafe(),
    gate: new Gate(options.turnLimit),
    suspects: new Gate(1),
    watchers,
    paused: () => paused,
    stop: { roll: undefined, by: Infinity, reason: "stop" },
    reference,
    changed,
    started: (session) => {
      live.busy(session)
      roll(session)
      changed()
    },
    ended: (session, running, outcome) => {
      const { turn, session: row } = running.claimed
      live.rested(session)
      env.stop.roll?.ended(
        turn.id,
        outcome._tag === "Cut" ? "interrupted" : outcome._tag === "Failed" ? "failed" : "finished"
      )
      watchers.tell(row.conversationKey, {
        _tag: "TurnEnded",
        session: session.key,
        turn: String(turn.id),
        outcome: outcome._tag === "Cut" ? outcome.cut._tag.toLowerCase() : outcome._tag.toLowerCase()
      })
      changed()
    }
  }

  const roll = (session: Session) => {
    const { running } = session
    if (running === undefined) return
    const { turn } = running.claimed
    env.stop.roll?.started({
      session: session.id,
      key: session.key,
      turn: turn.id,
      attempt: turn.attempt,
      since: running.startedAt,
      state: () => doing(running).name
    })
  }

  const background = (effect: Effect.Effect<unknown, unknown>) => {
    const fiber: Fiber.Fiber<unknown, unknown> = runFork(
      Effect.catchCause(effect, (cause) => Effect.logError("A side task of a session failed", cause))
    )
    live.side.add(fiber)
    fiber.addObserver(() => live.side.delete(fiber))
  }

  const live: Live = new Live(
    options.maxLive,
    runFork,
    (session) => {
      if (session.held !== undefined) tellHeld(session)
      else if (session.forgettable) sessions.delete(session.id)
      changed()
    },
    (cause) => Deferred.doneUnsafe(failed, Exit.succeed(Cause.squash(cause)))
  )

  const tellHeld = (session: Session) => {
    const { row } = session
    if (session.toldHeld || row === undefined) return
    session.toldHeld = true
    background(
      Effect.andThen(
        Effect.logWarning("A session is held").pipe(
          Effect.annotateLogs({ session: session.key, missing: session.held ?? "" })
        ),
        outbox.notify({ conversation: row.conversation, address: row.address }, "heldAgent", { agent: row.agent })
      )
    )
  }

  const of = (id: number): Session => {
    let session = sessions.get(id)
    if (session === undefined) {
      session = new Session(id, env)
      sessions.set(id, session)
    }
    return session
  }

  /** Whatever changed, the session looks at it: its fiber, or a new one. */
  const wake = (session: Session) => {
    session.ring()
    if (dispatchable(session)._tag !== "End") live.start(session)
    else if (session.forgettable && !live.has(session)) {
      sessions.delete(session.id)
      changed()
    }
  }

  const wakeAll = () => {
    for (const session of [...sessions.values()]) wake(session)
  }

  /** The messages came while a turn runs: they wait, cut it off, or fall at the cap. */
  const behind = (session: Session) => {
    const { row } = session
    if (session.line.mode === "interrupt") session.cutOff({ _tag: "Cancelled", by: "interrupt" })
    const fallen = session.line.overflow()
    if (fallen.length > 0) background(drop(session, fallen))
    if (session.toldWaiting || row === undefined || outbox.route(row.address).pull || session.line.mode === "interrupt")
      return
    session.toldWaiting = true
    background(outbox.notify({ conversation: row.conversation, address: row.address }, "waiting", {}))
  }

  const sendUnsafe = (id: number, rows: ReadonlyArray<RowKey>) => {
    const session = of(id)
    session.arriving = Math.max(0, session.arriving - rows.length)
    // A burst that finds nobody at work waits behind nothing, however many turns it takes; nor does what a boot brings.
    session.exempt = session.running === undefined && (session.line.size === 0 || !env.gate.isOpen)
    for (const row of rows) session.line.push(row)
    if (session.running !== undefined) behind(session)
    wake(session)
  }

  const lastCall = (limit: { readonly seq: number; readonly at: number }) =>
    Effect.suspend(() => {
      env.gate.narrow(limit.seq)
      // Cut-off turns are the next boot's: none stands trial any more.
      env.suspects.shut()
      for (const session of sessions.values()) {
        // A question is not waited for: the turn is cut, and asks again when it resumes.
        if (session.running?.pulse.waiting === true) session.cutOff({ _tag: "Interrupted", reason: env.stop.reason })
      }
      const close = Effect.sync(() => {
        env.gate.shut()
        env.suspects.shut()
        wakeAll()
        changed()
      })
      wakeAll()
      changed()
      const left = limit.at - now()
      if (left <= 0) return close
      background(Effect.andThen(Effect.sleep(left), close))
      return Effect.void
    })

  const interrupt = (reason: string) =>
    Effect.suspend(() => {
      env.gate.shut()
      env.suspects.shut()
      for (const session of sessions.values()) session.cutOff({ _tag: "Interrupted", reason })
      wakeAll()
      changed()
      return live.empty
    })

  /** The end of the scope waits for what was interrupted, but not for an agent that never lets go. */
  const end = Effect.gen(function* () {
    const left = env.stop.by === Infinity ? letGoWithin : Math.max(0, env.stop.by - now()) + 1000
    const exit = yield* within(Effect.andThen(interrupt("close"), live.close), left)
    if (Exit.isFailure(exit)) yield* Effect.logWarning("Agents that have not let go are left behind", exit.cause)
  })
  yield* Effect.addFinalizer(() => end)

  const isQuiet = (conversationKey: string) => {
    for (const session of sessions.values()) {
      if (session.row !== undefined && session.row.conversationKey !== conversationKey) continue
      if (session.running !== undefined || session.arriving > 0) return false
      if (session.hasWork && dispatchable(session)._tag !== "End") return false
    }
    return true
  }

  const describe = (session: Session): LiveSession => ({
    id: session.id,
    key: session.key,
    state: session.state(),
    waiting: session.line.size + session.backlog,
    turn: session.running && {
      id: session.running.claimed.turn.id,
      attempt: session.running.claimed.turn.attempt,
      age: now() - session.running.startedAt,
      quietFor: now() - session.running.pulse.at
    },
    waitsFor: session.waitsFor(),
    ...session.retry()
  })

  const withSession = (id: number, f: (session: Session) => void) =>
    Effect.sync(() => {
      const session = sessions.get(id)
      if (session === undefined) return
      f(session)
      wake(session)
    })

  return {
    arrivingUnsafe: (id) => {
      const session = of(id)
      session.arriving++
      session.tellState()
    },
    withdrawnUnsafe: (id, count) => {
      const session = of(id)
      session.arriving = Math.max(0, session.arriving - count)
      wake(session)
    },
    sendUnsafe,
    fullUnsafe: (id) => sessions.get(id)?.isFull ?? false,
    mindfulUnsafe: () => [...sessions.values()].some((session) => session.questions.size > 0 || session.isFull),
    answerUnsafe: (id, text) => {
      const questions = [...(sessions.get(id)?.questions.values() ?? [])]
      // With more than one question open a bare number names none of them.
      if (questions.length > 1 && /^\s*\d+\s*$/.test(text)) return undefined
      for (const { row } of questions) {
        const option = optionOf(row, text)
        if (option !== undefined) return option
      }
      return undefined
    },
    questionUnsafe: (id, number) => {
      for (const { row } of sessions.get(id)?.questions.values() ?? []) if (row.number === number) return row
      return undefined
    },
    idleTimeout: options.idleTimeout,
    queueMode: options.queue.mode,
    recover: (left) =>
      Effect.sync(() => {
        for (const { awaited = false, orphan, session: id, turn, waiting } of left) {
          const session = of(id)
          if (turn !== undefined) {
            const wait = turn.waitUntil === undefined ? 0 : turn.waitUntil - env.wallNow()
            const fromBoot = turn.state === "interrupted"
            session.open = { turn, fromBoot, awaited, notBefore: now() + Math.max(0, wait) }
          }
          if (orphan !== undefined) {
            session.orphan = orphan
            const gone = Effect.sync(() => {
              session.orphan = undefined
              wake(session)
            })
            background(Effect.andThen(orphan, gone))
          }
          session.backlog = waiting?.count ?? 0
          session.backlogFrom = waiting?.firstSeq ?? 0
          wake(session)
        }
      }),
    open: Effect.sync(() => {
      env.gate.open()
      env.suspects.open()
    }),
    pause: (value) =>
      Effect.sync(() => {
        paused = value
        wakeAll()
      }),
    heldBack: Effect.sync(
      () => [...sessions.values()].filter((session) => session.held === undefined && waitsForResume(session)).length
    ),
    reloaded: Effect.sync(() => {
      for (const session of sessions.values()) session.toldHeld = false
      wakeAll()
    }),
    cancelled: (id, seqs) =>
      withSession(id, (session) => {
        const gone = new Set(seqs)
        session.line.clear((row) => gone.has(row.seq))
        // Who cancels what waits starts afresh.
        session.context = undefined
      }),
    ended: (id, turn, by) =>
      withSession(id, (session) => {
        if (session.open?.turn.id === turn) session.open = undefined
        if (session.running?.claimed.turn.id === turn) session.cutOff({ _tag: "Cancelled", by })
        else session.endedEarly = { turn, by }
      }),
    configured: (row) => withSession(row.id, (session) => session.configure(row)),
    decided: (permission) =>
      Effect.sync(() => {
        const session = sessions.get(permission.session)
        // The place may take a while to come: the command that decided is not kept waiting.
        if (session !== undefined) background(decided(session, permission))
      }),
    unpause: (id) =>
      withSession(id, (session) => {
        session.unpaused = true
      }),
    begin: (stop) =>
      Effect.sync(() => {
        env.stop.roll = stop.roll
        env.stop.by = stop.deadline
        env.stop.reason = stop.reason
        for (const session of sessions.values()) roll(session)
      }),
    lastCall,
    narrowUnsafe: (lastSeq) => env.gate.narrow(lastSeq),
    drained: until(() => env.gate.draining && live.onlyAsking((turn) => excused.has(turn))),
    excuse: (turn) =>
      Effect.sync(() => {
        excused.add(turn)
        changed()
      }),
    interrupt: (cut) =>
      Effect.suspend(() => {
        env.stop.by = Math.min(env.stop.by, cut.until)
        return interrupt(cut.reason)
      }),
    turnOf: (text) =>
      Effect.sync(() => {
        const marker = parseMarker(text)
        if (marker?.instance !== env.instance || marker.epoch !== env.epoch) return undefined
        const turn = sessions.get(marker.session)?.running?.claimed.turn.id
        return marker.turn === undefined || String(turn) === marker.turn ? turn : undefined
      }),
    failed: Deferred.await(failed),
    live: Effect.sync(() => [...sessions.values()].map(describe)),
    watch: (conversationKey) => watchers.watch(conversationKey),
    quiet: (conversationKey) => until(() => isQuiet(conversationKey))
  } satisfies Sessions["Service"]
})
