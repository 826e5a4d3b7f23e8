/**
 * The next-boot program. It enters what an earlier boot left open before anything
 * can start, sets aside what broke the process too often, finds processes that
 * outlived their gateway, sends stored answers before any turn runs again, and
 * then lets turns start. What it misses would be lost, so it reads only the journal.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { type Agent, type Orphan, StopBudget } from "./Agent.ts"
import { Intake } from "./Intake.ts"
import { cross } from "./internal/boundary.ts"
import { comeBack } from "./internal/recovery/comeBack.ts"
import { verdict } from "./internal/recovery/verdict.ts"
import { Registered, resolveAgent } from "./internal/registry.ts"
import { Journal, type JournalError, type TurnRow } from "./Journal.ts"
import { Outbox } from "./Outbox.ts"
import { type Left, Sessions } from "./Sessions.ts"

/** What a boot found and did. */
export interface Recovered {
  /** Cut-off turns that are resumed. */
  readonly resumed: number
  /** Turns that were set aside: they broke the process, or were cut, too often, or their agent asks first. */
  readonly setAside: number
  /** Messages of older boots that wait. */
  readonly waiting: number
  /** Replies that were owed. */
  readonly owed: number
  /** Processes of earlier boots that were found. */
  readonly orphans: number
  /** Automatic resume is paused: so many unclean boots in a row. */
  readonly paused: number | undefined
}

/** Unclean boots in a row after which automatic resume pauses, and how long a healthy boot takes to end the pause. */
const breaker = { boots: 3, healthyAfter: Duration.minutes(5) }

/** The next-boot program of one gateway. */
export class Recovery extends Context.Service<
  Recovery,
  {
    /** Enters what was left; nothing starts. Before channels receive. */
    readonly load: Effect.Effect<void, JournalError>
    /** Sends what is owed, then lets turns start. Once channels are there. */
    readonly start: Effect.Effect<Recovered, JournalError>
    /** That automatic resume is paused, and why; `undefined` when it is not, or when nothing waits for it. */
    readonly paused: Effect.Effect<string | undefined>
    /** Ends the pause by hand. */
    readonly resume: Effect.Effect<void, JournalError>
  }
>()("@sluice/runtime/Recovery") {
  /** The program over the journal and everything that it wakes. */
  static readonly layer = Layer.suspend(() => Layer.effect(Recovery, make))
}

const make = Effect.gen(function* () {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const sessions = yield* Sessions
  const intake = yield* Intake
  const registered = yield* Registered
  const scope = yield* Effect.scope
  const { epoch, instance, turns, uncleanChain } = journal.opening
  const counts = { resumed: 0, setAside: 0, waiting: 0, orphans: 0 }
  let paused: number | undefined

  /** Sets a turn aside if it may not run again; `true` if it did. */
  const judged = Effect.fnUntraced(function* (turn: TurnRow) {
    const session = yield* journal.session(turn.session)
    if (session === undefined) return false
    const { agent } = resolveAgent(registered.entries, session)
    const rows = yield* journal.rows([turn.firstSeq])
    const judgement = yield* verdict({ turn, session, agent, words: rows[0]?.text ?? "", outbox })
    if (judgement === undefined) return false
    yield* journal.settle({
      turn: turn.id,
      attempt: turn.attempt,
      settlement: judgement,
      route: outbox.route(session.address)
    })
    return true
  })

  /** Nobody listens to what a cut-off attempt asked, and its turn asks again when it goes on. Kept ones are found again then. */
  const endQuestions = Effect.fnUntraced(function* (turn: TurnRow) {
    if (sessions.keepsQuestions) return
    for (const { id } of yield* journal.permissions(turn.session)) yield* journal.unask(id, "cancelled")
  })

  /** Processes of earlier boots, each once, whoever found it. */
  const findOrphans = Effect.gen(function* () {
    const found = new Map<number, Orphan>()
    for (const agent of new Set(registered.entries.agents.values())) {
      if (agent.orphans === undefined) continue
      for (const orphan of yield* agent.orphans({ instance, epoch })) found.set(orphan.pid, orphan)
    }
    return [...found.values()]
  })

  /** What is done with an orphan: awaited if it works for a turn that is open and its agent says so. */
  const policyFor = (orphan: Orphan, open: TurnRow | undefined): Agent["orphan"] => {
    if (open === undefined || (orphan.turn !== undefined && orphan.turn !== String(open.id))) return "reap"
    return registered.entries.agents.get(open.agent)?.orphan ?? "reap"
  }

  /** Completes when it is gone. A stop in the middle of it ends it at once: nothing of ours outlives the gateway's own end. */
  const letGo = (orphan: Orphan, policy: Agent["orphan"]): Effect.Effect<void> =>
    Effect.onInterrupt(
      policy === "reap" ? orphan.reap : Effect.andThen(Effect.timeoutOption(orphan.gone, policy.await), orphan.reap),
      () => Effect.provideService(orphan.reap, StopBudget, Effect.succeed(0))
    )

  /** Starts letting orphans go, beside the boot; a session's dispatch waits for its own only. */
  const letGoAll = Effect.fnUntraced(function* (orphans: ReadonlyArray<Orphan>, open: ReadonlyMap<number, TurnRow>) {
    const bySession = new Map<number, { awaited: boolean; readonly gone: Array<Deferred.Deferred<void>> }>()
    for (const orphan of orphans) {
      const policy = policyFor(orphan, open.get(orphan.session))
      const gone = Deferred.makeUnsafe<void>()
      const letting = bySession.get(orphan.session) ?? { awaited: false, gone: [] }
      bySession.set(orphan.session, letting)
      letting.gone.push(gone)
      letting.awaited ||= policy !== "reap"
      yield* Effect.forkIn(Effect.ensuring(letGo(orphan, policy), Deferred.succeed(gone, undefined)), scope)
    }
    return bySession
  })

  const load = Effect.gen(function* () {
    yield* cross("boot:opened")
    const open = new Map<number, TurnRow>()
    let crashed = false
    for (const turn of turns) {
      if (yield* judged(turn)) {
        counts.setAside++
        crashed ||= turn.crashes >= 3
        continue
      }
      open.set(turn.session, turn)
      yield* endQuestions(turn)
    }
    // What broke the process is out of the way: the chain of crashes has its explanation.
    paused = !crashed && uncleanChain >= breaker.boots ? uncleanChain : undefined
    const orphans = yield* findOrphans
    const letting = yield* letGoAll(orphans, open)
    const left = new Map<number, Left>()
    for (const [session, turn] of open) left.set(session, { session, turn })
    const waits = new Map<number, number>()
    for (const { firstSeq, session, waiting } of yield* journal.backlog) {
      left.set(session, { ...left.get(session), session, waiting: { count: waiting, firstSeq } })
      waits.set(session, firstSeq)
      counts.waiting += waiting
    }
    yield* comeBack({ journal, outbox }, { open, waiting: waits, paused: paused !== undefined })
    for (const [session, { awaited, gone }] of letting) {
      const orphan = Effect.forEach(gone, Deferred.await, { discard: true })
      left.set(session, { ...left.get(session), session, orphan, awaited })
    }
    counts.resumed = open.size
    counts.orphans = orphans.length
    yield* sessions.pause(paused !== undefined)
    yield* sessions.recover([...left.values()])
    yield* intake.recover(yield* journal.commands)
  })

  const healthy = Effect.gen(function* () {
    yield* journal.healthy
    paused = undefined
    yield* sessions.pause(false)
  })

  const start = Effect.gen(function* () {
    yield* cross("boot:outbox")
    const { owed } = yield* outbox.recover
    yield* cross("boot:resume")
    yield* sessions.open
    // Tried until it is stored: nobody else would end the pause.
    yield* Effect.andThen(Effect.sleep(breaker.healthyAfter), healthy).pipe(
      Effect.tapError((error) => Effect.logError("The end of a chain of crashes could not be stored", error)),
      Effect.retry(Schedule.forever),
      Effect.forkIn(scope)
    )
    return { ...counts, owed, paused }
  })

  return Recovery.of({
    load,
    start,
    // A pause that holds nothing back is no problem: intake is open and every turn runs.
    paused: Effect.map(sessions.heldBack, (held) =>
      paused === undefined || held === 0
        ? undefined
        : `${held === 1 ? "1 cut-off turn waits" : `${held} cut-off turns wait`}: automatic resume is paused after ${paused} unclean boots in a row; it goes on after 5 healthy minutes, or by "sluice resume"`
    ),
    resume: healthy
  })
})
