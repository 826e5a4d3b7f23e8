/**
 * The fibers of live sessions, one per session and at most so many. A session
 * that wants one when all are taken makes the least recently used idle one end,
 * or waits. A session is started again only after its old fiber's finalizers are
 * through, so its agent never runs twice.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { JournalError } from "../../Journal.ts"
import type { Session } from "../../Session.ts"
import { dispatchable } from "./next.ts"

type Fork = <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>

/** The fibers of one gateway. Everything but `empty` and `close` is synchronous. */
export class Live {
  readonly #most: number
  readonly #fork: Fork
  readonly #rested: (session: Session) => void
  readonly #failed: (cause: Cause.Cause<JournalError>) => void
  readonly #fibers = new Map<Session, Fiber.Fiber<void, JournalError>>()
  /** Those whose turn runs, idle ones (least recently used first), and those that wait for a place. */
  readonly #busy = new Set<Session>()
  readonly #idle = new Set<Session>()
  readonly #waiting = new Set<Session>()
  // Stands behind those that got their place: a new walk would pass everybody who is gone already.
  #next = this.#waiting.values()
  readonly #whenEmpty = new Set<() => void>()
  #closed = false
  /** Small tasks that belong to no session's fiber. */
  readonly side = new Set<Fiber.Fiber<unknown, unknown>>()

  /** `rested` is told of each fiber that ended for good, `failed` of one that should not have. */
  constructor(
    most: number,
    fork: Fork,
    rested: (session: Session) => void,
    failed: (cause: Cause.Cause<JournalError>) => void
  ) {
    this.#most = most
    this.#fork = fork
    this.#rested = rested
    this.#failed = failed
  }

  has(session: Session) {
    return this.#fibers.has(session) || this.#waiting.has(session)
  }

  /** A turn of the session begins. */
  busy(session: Session) {
    this.#idle.delete(session)
    this.#busy.add(session)
  }

  /** Whether it is true of a session whose turn runs. */
  someBusy(isTrue: (session: Session) => boolean) {
    for (const session of this.#busy) if (isTrue(session)) return true
    return false
  }

  /** A turn of the session has ended. With nothing more to do it makes room for those that wait. */
  rested(session: Session) {
    this.#busy.delete(session)
    if (this.#waiting.size > 0 && !session.hasWork) session.evicted = true
    else this.#idle.add(session)
  }

  /** No turn runs but those that asked for the stop, and none can start. */
  onlyAsking(asking: ReadonlySet<number>) {
    if (this.#fibers.size > asking.size) return false
    for (const { running } of this.#fibers.keys()) {
      if (running === undefined || !asking.has(running.claimed.turn.id)) return false
    }
    return true
  }

  /** The session has work: a fiber, now or when there is a place. */
  start(session: Session) {
    if (this.#closed || this.has(session)) return
    if (this.#fibers.size < this.#most) return this.#begin(session)
    this.#waiting.add(session)
    for (const idle of this.#idle) {
      // Work has come for it that it has not begun yet.
      if (idle.hasWork) continue
      this.#idle.delete(idle)
      idle.evicted = true
      idle.ring()
      break
    }
  }

  #begin(session: Session) {
    const fiber = this.#fork(session.live)
    this.#fibers.set(session, fiber)
    fiber.addObserver((exit) => this.#end(session, exit))
  }

  #end(session: Session, exit: Exit.Exit<void, JournalError>) {
    this.#fibers.delete(session)
    this.#busy.delete(session)
    this.#idle.delete(session)
    if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) {
      // The journal failed, or this program has a mistake: one session must not end unseen.
      this.#failed(exit.cause)
    } else if (!this.#closed && session.hasWork && dispatchable(session)._tag !== "End") {
      // What came while it was closing.
      this.start(session)
    }
    while (this.#fibers.size < this.#most) {
      const next = this.#first()
      if (next === undefined) break
      if (dispatchable(next)._tag !== "End") this.#begin(next)
      else this.#rested(next)
    }
    if (!this.has(session)) this.#rested(session)
    if (this.#fibers.size === 0) for (const told of [...this.#whenEmpty]) told()
  }

  /** Takes out the one that has waited longest. */
  #first(): Session | undefined {
    if (this.#waiting.size === 0) return undefined
    let next = this.#next.next()
    if (next.done === true) {
      this.#next = this.#waiting.values()
      next = this.#next.next()
    }
    if (next.value !== undefined) this.#waiting.delete(next.value)
    return next.value
  }

  /** Completes when no session has a fiber. */
  readonly empty: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (this.#fibers.size === 0) return resume(Effect.void)
    const told = () => {
      this.#whenEmpty.delete(told)
      resume(Effect.void)
    }
    this.#whenEmpty.add(told)
    return Effect.sync(() => this.#whenEmpty.delete(told))
  })

  /** Nothing starts any more; what is left is interrupted and waited for. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.#closed = true
    this.#waiting.clear()
    return Fiber.interruptAll([...this.#fibers.values(), ...this.side])
  })
}
