/**
 * The live sessions and the turn limit. A session is an object only while there
 * is something to do for it, and a fiber only while it does it or keeps an agent
 * warm. Rows come in by a doorbell that never waits; a fiber that is closing when
 * they come is waited for and then started again, so one session never has two.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import { parseMarker } from "./Agent.ts"
import { monotonic } from "./internal/clock.ts"
import { Registered } from "./internal/registry.ts"
import type { Environment, SessionOptions } from "./internal/session/Environment.ts"
import { decided } from "./internal/session/events.ts"
import { Gate } from "./internal/session/Gate.ts"
import { Live } from "./internal/session/Live.ts"
import { dispatchable } from "./internal/session/next.ts"
import { Watchers } from "./internal/session/Watchers.ts"
import type { Stop } from "./internal/shutdown/Parts.ts"
import { Journal, type PermissionRow, type RowKey, type SessionRow, type TurnRow } from "./Journal.ts"
import type { Progress, SessionState } from "./Message.ts"
import { reference } from "./Notices.ts"
import { Outbox } from "./Outbox.ts"
import { Session } from "./Session.ts"

export type { SessionOptions } from "./internal/session/Environment.ts"

/** What a session in memory is doing now. Times in milliseconds. */
export interface LiveSession {
  readonly id: number
  readonly key: string
  readonly state: SessionState
  /** Messages that wait in memory, and those of older boots that are still only in the journal. */
  readonly waiting: number
  readonly turn:
    | { readonly id: number; readonly attempt: number; readonly age: number; readonly quietFor: number }
    | undefined
  /** What it waits for, in words. */
  readonly waitsFor: string
}

/** What a boot found for one session. */
export interface Left {
  readonly session: number
  readonly turn?: TurnRow
  /** Waiting messages of older epochs, and the lowest seq of them. */
  readonly waiting?: { readonly count: number; readonly firstSeq: number }
  /** Completes when the processes of its cut-off turn are gone. */
  readonly orphan?: Effect.Effect<void>
}

/** The live sessions of one gateway. */
export class Sessions extends Context.Service<Sessions, {
  /** A message was committed for the session and is in a burst. Synchronous. */
  readonly arrivingUnsafe: (session: number) => void
  /** That many messages of the burst were taken back. Synchronous. */
  readonly withdrawnUnsafe: (session: number, count: number) => void
  /** A burst closed: its messages wait for the session. Synchronous, in seq order; never loses any. */
  readonly sendUnsafe: (session: number, rows: ReadonlyArray<RowKey>) => void
  /** Whether the next message would fall at once (`drop` `new` at the cap): refuse it before it is committed. */
  readonly fullUnsafe: (session: number) => boolean
  /** Options of the session's open questions: a text that equals one is an answer. */
  readonly optionsUnsafe: (session: number) => ReadonlyArray<string>

  /** Enters what an earlier boot left; nothing starts before `open`. */
  readonly recover: (left: ReadonlyArray<Left>) => Effect.Effect<void>
  /** Turns may start. */
  readonly open: Effect.Effect<void>
  /** Automatic resume of cut-off turns is held, or goes on. New work is not concerned. */
  readonly pause: (paused: boolean) => Effect.Effect<void>
  /** Agents or channels were exchanged: what was held looks again. */
  readonly reloaded: Effect.Effect<void>

  /** Memory follows a committed command: rows that were cancelled, a turn that was ended, settings, a decision. */
  readonly cancelled: (session: number, seqs: ReadonlyArray<number>) => Effect.Effect<void>
  readonly ended: (session: number, turn: number, by: string) => Effect.Effect<void>
  readonly configured: (row: SessionRow) => Effect.Effect<void>
  readonly decided: (permission: PermissionRow) => Effect.Effect<void>
  /** A person came back to the session: it resumes even while automatic resume is paused. */
  readonly unpause: (session: number) => Effect.Effect<void>

  /** The stop, as `Parts.sessions` of the shutdown program says. */
  readonly begin: (stop: Stop) => Effect.Effect<void>
  readonly lastCall: (limit: { readonly seq: number; readonly at: number }) => Effect.Effect<void>
  readonly drained: Effect.Effect<void>
  readonly interrupt: (stop: Stop) => Effect.Effect<void>
  readonly turnOf: (marker: string) => Effect.Effect<number | undefined>

  /** Completes with the cause when a session ended as none should: the gateway stops. */
  readonly failed: Effect.Effect<unknown>
  /** The sessions in memory. Never waits. */
  readonly live: Effect.Effect<ReadonlyArray<LiveSession>>
  /** What happens in the conversation's turns from now on. */
  readonly watch: (conversationKey: string) => Stream.Stream<Progress>
  /** Completes when no session of the conversation has anything to do that could go on now. For tests. */
  readonly quiet: (conversationKey: string) => Effect.Effect<void>
}>()("@sluice/runtime/Sessions") {
  /** The sessions over the journal and the outbox; the layer's release interrupts what runs and waits until it let go. */
  static readonly layer = (options: SessionOptions): Layer.Layer<Sessions, never, Journal | Outbox | Registered> =>
    Layer.effect(Sessions, make(options))
}

const make = Effect.fnUntraced(function* (options: SessionOptions) {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const registered = yield* Registered
  const clock = yield* Clock.Clock
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const sessions = new Map<number, Session>()
  const watchers = new Watchers()
  const drained = yield* Deferred.make<void>()
  const failed = yield* Deferred.make<unknown>()
  const waiters = new Set<() => void>()
  const now = monotonic(clock)
  let paused = false

  const changed = () => {
    for (const waiter of [...waiters]) waiter()
    if (env.gate.draining && live.onlyAsking((turn) => env.stop.roll?.isAsking(turn) === true)) Deferred.doneUnsafe(drained, Exit.void)
  }

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
    stop: { roll: undefined, by: Infinity },
    reference,
    started: (session) => {
      live.busy(session)
      roll(session)
    },
    ended: (session, running, outcome) => {
      const { turn, session: row } = running.claimed
      live.rested(session)
      env.stop.roll?.ended(turn.id, outcome._tag === "Cut" ? "interrupted" : outcome._tag === "Failed" ? "failed" : "finished")
      watchers.tell(row.conversationKey, {
        _tag: "TurnEnded",
        session: session.key,
        turn: String(turn.id),
        outcome: outcome._tag === "Cut" ? outcome.cut._tag.toLowerCase() : outcome._tag.toLowerCase()
      })
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
      state: () => session.state().name
    })
  }

  const background = (effect: Effect.Effect<unknown, unknown>) => {
    const fiber: Fiber.Fiber<unknown, unknown> = runFork(
      Effect.catchCause(effect, (cause) => Effect.logError("A side task of a session failed", cause))
    )
    live.side.add(fiber)
    fiber.addObserver(() => live.side.delete(fiber))
  }

  const live: Live = new Live(options.maxLive, runFork, (session) => {
    if (session.held !== undefined) tellHeld(session)
    else if (!session.hasWork && session.arriving === 0) sessions.delete(session.id)
    changed()
  }, (cause) => Deferred.doneUnsafe(failed, Exit.succeed(Cause.squash(cause))))

  const tellHeld = (session: Session) => {
    const { row } = session
    if (session.toldHeld || row === undefined) return
    session.toldHeld = true
    background(
      Effect.andThen(
        Effect.logWarning("A session is held").pipe(Effect.annotateLogs({ session: session.key, missing: session.held ?? "" })),
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
    else if (!session.hasWork && session.arriving === 0 && !live.has(session)) {
      sessions.delete(session.id)
      changed()
    }
  }

  const wakeAll = () => {
    for (const session of [...sessions.values()]) wake(session)
  }

  const drop = (session: Session, fallen: ReadonlyArray<RowKey>) => {
    const policy = session.line.drop
    const seqs = fallen.map((row) => row.seq)
    return Effect.gen(function* () {
      yield* Effect.tapError(journal.drop(session.id, seqs, policy), () => Effect.sync(() => session.line.keep(fallen)))
      session.line.forget(fallen)
      const { row } = session
      if (row === undefined) return
      const to = { conversation: row.conversation, address: row.address }
      const kept = session.line.cap
      if (policy === "summarize") yield* outbox.notify(to, "tooMany", { kept, summarized: fallen.length })
      else if (policy === "old") yield* outbox.notify(to, "tooManyDropped", { kept, dropped: fallen.length })
      else yield* outbox.notify(to, "tooManyRefused", { words: "" })
    })
  }

  /** The messages came while a turn runs: they wait, cut it off, or fall at the cap. */
  const behind = (session: Session) => {
    const { row } = session
    if (session.line.mode === "interrupt") session.cutOff({ _tag: "Cancelled", by: "interrupt" })
    const fallen = session.line.overflow()
    if (fallen.length > 0) background(drop(session, fallen))
    if (session.toldWaiting || row === undefined || outbox.route(row.address).pull || session.line.mode === "interrupt") return
    session.toldWaiting = true
    background(outbox.notify({ conversation: row.conversation, address: row.address }, "waiting", {}))
  }

  const sendUnsafe = (id: number, rows: ReadonlyArray<RowKey>) => {
    const session = of(id)
    session.arriving = Math.max(0, session.arriving - rows.length)
    for (const row of rows) session.line.push(row)
    if (session.running !== undefined) behind(session)
    wake(session)
  }

  const lastCall = (limit: { readonly seq: number; readonly at: number }) =>
    Effect.suspend(() => {
      env.gate.narrow(limit.seq)
      for (const session of sessions.values()) {
        // A question is not waited for: the turn is cut, and asks again when it resumes.
        if (session.running?.pulse.waiting === true) session.cutOff({ _tag: "Interrupted", reason: "waiting" })
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

  yield* Effect.addFinalizer(() => Effect.andThen(interrupt("close"), live.close))

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
    waitsFor: session.waitsFor()
  })

  const withSession = (id: number, f: (session: Session) => void) =>
    Effect.sync(() => {
      const session = sessions.get(id)
      if (session === undefined) return
      f(session)
      wake(session)
    })

  return Sessions.of({
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
    fullUnsafe: (id) => {
      const session = sessions.get(id)
      return session?.running !== undefined && session.line.drop === "new" && session.line.full
    },
    optionsUnsafe: (id) => [...(sessions.get(id)?.questions.values() ?? [])].flatMap((question) => question.row.options),
    recover: (left) =>
      Effect.sync(() => {
        for (const { orphan, session: id, turn, waiting } of left) {
          const session = of(id)
          if (turn !== undefined) {
            const wait = turn.waitUntil === undefined ? 0 : turn.waitUntil - env.wallNow()
            session.open = { turn, fromBoot: turn.state === "interrupted", notBefore: now() + Math.max(0, wait) }
          }
          session.orphan = orphan
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
    reloaded: Effect.sync(() => {
      for (const session of sessions.values()) session.toldHeld = false
      wakeAll()
    }),
    cancelled: (id, seqs) =>
      withSession(id, (session) => {
        const gone = new Set(seqs)
        session.line.clear((row) => gone.has(row.seq))
      }),
    ended: (id, turn, by) =>
      withSession(id, (session) => {
        if (session.open?.turn.id === turn) session.open = undefined
        if (session.running?.claimed.turn.id === turn) session.cutOff({ _tag: "Cancelled", by })
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
        for (const session of sessions.values()) roll(session)
      }),
    lastCall,
    drained: Deferred.await(drained),
    interrupt: (stop) => interrupt(stop.reason),
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
    quiet: (conversationKey) =>
      Effect.callback<void>((resume) => {
        const look = () => {
          if (!isQuiet(conversationKey)) return
          waiters.delete(look)
          resume(Effect.void)
        }
        waiters.add(look)
        look()
        return Effect.sync(() => waiters.delete(look))
      })
  })
})
