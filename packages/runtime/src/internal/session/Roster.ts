/**
 * Who is in memory, and what wakes them. A session is an object only while there
 * is something to do for it. State is synchronous and has one owner, so a doorbell
 * that comes while a fiber is closing can't be missed.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { SessionRow } from "../../Journal.ts"
import type { Progress } from "../../Message.ts"
import { reference } from "../../Notices.ts"
import { doing, type Running, Session } from "../../Session.ts"
import { monotonic } from "../clock.ts"
import { resolveAgent } from "../registry.ts"
import type { Outcome } from "./attempt.ts"
import { Alarm, type Environment } from "./Environment.ts"
import { Gate } from "./Gate.ts"
import { Live } from "./Live.ts"
import { dispatchable } from "./next.ts"
import { asksOf } from "./questions.ts"
import type { LiveSession } from "./records.ts"
import { Spending, type Hold } from "./Spending.ts"
import { Watchers } from "./Watchers.ts"

type Fork = <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>

/** What a roster is given; the rest of the environment is its own. */
export type Given = Pick<Environment, "journal" | "outbox" | "registered" | "files" | "options" | "alarms">

// The wall clock may have jumped: what waits for its time to come looks that often.
const lookAgain = 900_000

const named = (outcome: Outcome): string =>
  outcome._tag === "Cut" ? outcome.cut._tag.toLowerCase() : outcome._tag.toLowerCase()

/** The sessions of one gateway. */
export class Roster {
  readonly env: Environment
  readonly live: Live
  /** Completes with the cause when a session ended as none should. */
  readonly failed = Deferred.makeUnsafe<unknown>()
  paused = false
  readonly #sessions = new Map<number, Session>()
  readonly #waiters = new Set<() => void>()
  readonly #budget = new Alarm(() => this.#checkBudget())
  readonly #fork: Fork

  constructor(given: Given, clock: Clock.Clock, fork: Fork) {
    this.#fork = fork
    const { opening } = given.journal
    this.env = {
      ...given,
      instance: opening.instance,
      epoch: opening.epoch,
      now: monotonic(clock),
      wallNow: () => clock.currentTimeMillisUnsafe(),
      gate: new Gate(given.options.turnLimit),
      suspects: new Gate(1),
      watchers: new Watchers(),
      spending: new Spending(given.journal, given.registered, () => clock.currentTimeMillisUnsafe()),
      broke: (hold) => this.#broke(hold),
      paused: () => this.paused,
      stop: { roll: undefined, by: Infinity, reason: "stop" },
      reference,
      background: (effect) => this.background(effect),
      changed: () => this.changed(),
      started: (session) => this.#started(session),
      ended: (session, running, outcome) => this.#ended(session, running, outcome)
    }
    this.live = new Live(
      given.options.maxLive,
      fork,
      (session) => this.#rested(session),
      (cause) => Deferred.doneUnsafe(this.failed, Exit.succeed(Cause.squash(cause)))
    )
  }

  /** All of them, as they are now: safe to change while it is walked. */
  all(): ReadonlyArray<Session> {
    return [...this.#sessions.values()]
  }

  some(isTrue: (session: Session) => boolean): boolean {
    for (const session of this.#sessions.values()) if (isTrue(session)) return true
    return false
  }

  /** What the sessions of a conversation are doing, as far as they do anything. */
  states(conversationKey: string): ReadonlyArray<Progress> {
    const found: Array<Progress> = []
    for (const session of this.#sessions.values()) {
      if (session.row?.conversationKey !== conversationKey) continue
      const state = session.state()
      if (state.name !== "idle") found.push({ _tag: "State", session: session.key, state })
    }
    return found
  }

  get(id: number): Session | undefined {
    return this.#sessions.get(id)
  }

  /** The session with this number, entered if it is not in memory. */
  of(id: number): Session {
    let session = this.#sessions.get(id)
    if (session === undefined) {
      session = new Session(id, this.env)
      this.#sessions.set(id, session)
    }
    return session
  }

  /** Whatever changed, the session looks at it: its fiber, or a new one. */
  wake(session: Session) {
    session.ring()
    if (dispatchable(session)._tag !== "End") this.live.start(session)
    else if (session.forgettable && !this.live.has(session)) {
      this.#sessions.delete(session.id)
      this.changed()
    }
  }

  wakeAll() {
    for (const session of this.all()) this.wake(session)
  }

  /** Changes a session that is in memory, and has it look. */
  with(id: number, change: (session: Session) => void): Effect.Effect<void> {
    return Effect.sync(() => {
      const session = this.#sessions.get(id)
      if (session === undefined) return
      change(session)
      this.wake(session)
    })
  }

  /** Somebody may have waited for this. */
  changed() {
    for (const waiter of [...this.#waiters]) waiter()
  }

  /** Completes as soon as it is true; looked at whenever something changed. */
  until(isTrue: () => boolean): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const look = () => {
        if (!isTrue()) return
        this.#waiters.delete(look)
        resume(Effect.void)
      }
      this.#waiters.add(look)
      look()
      return Effect.sync(() => this.#waiters.delete(look))
    })
  }

  /** A small task that no session's fiber should wait for. */
  background(effect: Effect.Effect<unknown, unknown>) {
    const fiber: Fiber.Fiber<unknown, unknown> = this.#fork(
      Effect.catchCause(effect, (cause) => Effect.logError("A side task of a session failed", cause))
    )
    this.live.side.add(fiber)
    fiber.addObserver(() => this.live.side.delete(fiber))
  }

  /** Enters the running turn into the roll of a stop, if there is one. */
  enrol(session: Session) {
    const { running } = session
    if (running === undefined) return
    const { turn } = running.claimed
    this.env.stop.roll?.started({
      session: session.id,
      key: session.key,
      turn: turn.id,
      attempt: turn.attempt,
      since: running.startedAt,
      state: () => doing(running).name
    })
  }

  /** What it is doing now. */
  describe(session: Session): LiveSession {
    const { running } = session
    const now = this.env.now()
    return {
      id: session.id,
      key: session.key,
      state: session.state(),
      waiting: session.line.size + session.backlog,
      turn: running && {
        id: running.claimed.turn.id,
        attempt: running.claimed.turn.attempt,
        age: now - running.startedAt,
        quietFor: now - running.pulse.at
      },
      waitsFor: session.waitsFor(),
      ...(session.held === undefined ? {} : { held: session.held }),
      ...session.retry(),
      ...asksOf(session)
    }
  }

  /** No session of the conversation has anything to do that could go on now. */
  isQuiet(conversationKey: string): boolean {
    return !this.some((session) => {
      if (session.row !== undefined && session.row.conversationKey !== conversationKey) return false
      if (session.running !== undefined || session.arriving > 0) return true
      return session.hasWork && dispatchable(session)._tag !== "End"
    })
  }

  #started(session: Session) {
    this.live.busy(session)
    this.enrol(session)
    this.changed()
  }

  #ended(session: Session, { claimed }: Running, outcome: Outcome) {
    this.live.rested(session)
    this.env.stop.roll?.ended(
      claimed.turn.id,
      outcome._tag === "Cut" ? "interrupted" : outcome._tag === "Failed" ? "failed" : "finished"
    )
    this.env.watchers.tell(claimed.session.conversationKey, {
      _tag: "TurnEnded",
      session: session.key,
      turn: String(claimed.turn.id),
      outcome: named(outcome)
    })
    this.changed()
  }

  #broke(hold: Hold) {
    const { alarms } = this.env
    if (this.#budget.index !== -1) return
    const left = Math.max(0, hold.until - this.env.wallNow())
    alarms.arm(this.#budget, alarms.now() + Math.min(left, lookAgain))
  }

  /** Whoever is still held says so again, and everybody else goes on. */
  #checkBudget() {
    if (this.env.spending.hold() === undefined) {
      for (const session of this.#sessions.values()) if (session.hold !== undefined) session.toldHeld = false
    }
    this.wakeAll()
  }

  /** Its fiber has ended for good. */
  #rested(session: Session) {
    if (session.held !== undefined) this.#tellHeld(session)
    else if (session.forgettable) this.#sessions.delete(session.id)
    this.changed()
  }

  /** Once in a period, over reloads and boots, and again when it ran meanwhile. */
  #tellBudget({ address, conversation, lastActive }: SessionRow, { period, since, until, untilText }: Hold) {
    const resumesIn = Math.max(0, until - this.env.wallNow())
    this.background(
      this.env.outbox.notify(
        { conversation, address },
        "budget",
        { period, resumesIn, resumesAt: untilText },
        Math.max(since, lastActive)
      )
    )
  }

  #tellHeld(session: Session) {
    const { hold, row } = session
    if (session.toldHeld || row === undefined) return
    session.toldHeld = true
    if (hold !== undefined) return this.#tellBudget(row, hold)
    const { agent } = resolveAgent(this.env.registered.entries, row)
    // Once for each time that it is held, over reloads and boots: since its last turn. Where it is the channel that is
    // missing nobody could hear it, and by the time that it is back it would be wrong.
    const told =
      agent !== undefined
        ? Effect.void
        : this.env.outbox.notify(
            { conversation: row.conversation, address: row.address },
            "heldAgent",
            { agent: row.agent },
            row.lastActive
          )
    const logged = Effect.logWarning("A session is held").pipe(
      Effect.annotateLogs({ session: session.key, missing: session.held ?? "" })
    )
    this.background(Effect.andThen(logged, told))
  }
}
