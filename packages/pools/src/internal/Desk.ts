/**
 * Where requests are taken, given to workers and answered. Every step is synchronous, so that none is lost between the
 * look at a free worker and the handing over; only the work itself and the clocks are fibers.
 *
 *   taken --> waiting --a worker is free--> running --> settled, and its place is free when its fiber has ended
 *               ^                              |
 *               `--- its worker broke, nothing was emitted, first time
 *
 * The line is bounded, a caller that leaves gives up his place at once, and a stop goes through all of them.
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { Worker } from "../Capability.ts"
import { PoolError, type Reason, type WorkerError } from "../PoolError.ts"
import type { Breaker } from "./Breaker.ts"
import type { Crew } from "./Crew.ts"
import { Figures } from "./Figures.ts"
import { Line } from "./Line.ts"
import { type Loaded, type Member, workerError } from "./Member.ts"
import type { Ticket } from "./Ticket.ts"

export interface DeskOptions {
  readonly name: string
  /** How many may wait. */
  readonly queue: number
  /** How many of one key may wait. */
  readonly queuePerKey: number
  /** How many workers there may be; 0 is a pool that is switched off. */
  readonly max: number
  /** Milliseconds of silence after which a stream has failed. */
  readonly stall: number
  readonly limit: number
}

export interface DeskHost<W extends Loaded> {
  readonly crew: Crew<W>
  readonly breaker: Breaker
  readonly now: () => number
  readonly forkWith: (context: Context.Context<never>) => <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  /** A request was lost. */
  readonly doubt: () => void
}

type Verdict = "good" | "bad" | "neither"

export class Desk<Q, A, P> {
  readonly figures = new Figures()
  readonly #options: DeskOptions
  readonly #crew: Crew<Worker<Q, A, P>>
  readonly #breaker: Breaker
  readonly #now: () => number
  readonly #forkWith: DeskHost<Worker<Q, A, P>>["forkWith"]
  readonly #doubt: () => void
  readonly #line = new Line<Ticket<Q, A, P>>()
  readonly #waitingOf = new Map<string, number>()
  readonly #running = new Set<Ticket<Q, A, P>>()
  readonly #idle = new Set<() => void>()
  #pumping = false
  #down: string | undefined
  /** What a stop has come to: requests from outside are refused, then all. */
  #stop: "no" | "refusing" | "over" = "no"

  constructor(options: DeskOptions, host: DeskHost<Worker<Q, A, P>>) {
    this.#options = options
    this.#crew = host.crew
    this.#breaker = host.breaker
    this.#now = host.now
    this.#forkWith = host.forkWith
    this.#doubt = host.doubt
  }

  get waiting(): number {
    return this.#line.size
  }

  get running(): number {
    return this.#running.size
  }

  get stopping(): boolean {
    return this.#stop !== "no"
  }

  /** Takes a request; one that can't be taken is told so before this returns. */
  submit(ticket: Ticket<Q, A, P>): void {
    const refusal = this.#refusal(ticket)
    if (refusal !== undefined) {
      if (refusal._tag === "ShuttingDown") this.figures.rejected++
      ticket.state = "settled"
      this.figures.count(refusal._tag)
      return ticket.tell(this.#failure(refusal))
    }
    const fork = this.#forkWith(ticket.terms.context)
    ticket.timer = fork(
      Effect.andThen(
        Effect.sleep(Duration.millis(ticket.terms.timeout)),
        Effect.sync(() => this.#expire(ticket))
      )
    )
    this.#wait(ticket)
    this.#line.push(ticket)
    this.pump()
  }

  /** The caller has left. */
  cancel(ticket: Ticket<Q, A, P>): void {
    if (ticket.state === "settled") return
    this.#settle(ticket, Exit.interrupt(), "neither", "cancelled")
    this.pump()
  }

  /** Gives waiting requests to free workers, and asks for more workers when there are not enough. */
  pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    while (this.#line.size > 0) {
      const member = this.#crew.pick()
      if (member === undefined) {
        const before = this.#line.size
        this.#crew.grow()
        // A load may fail, or succeed, in the very call.
        if (this.#line.size === before && this.#crew.pick() === undefined) break
        continue
      }
      const ticket = this.#line.take()
      if (ticket !== undefined) this.#start(ticket, member)
    }
    if (this.#line.size === 0) this.#crew.withdraw()
    this.#pumping = false
    this.#crew.rest()
  }

  /** A worker did not load. Who could still be served by another one goes on waiting. */
  loadFailed(error: WorkerError): void {
    if (this.#breaker.settle(0, false, this.#now())) this.#opened()
    if (this.#crew.any) return
    const { memory: needed } = this.#crew
    this.#failWaiting(
      error.reason === "Memory"
        ? { _tag: "MemoryExhausted", needed, limit: this.#options.limit }
        : { _tag: "LoadFailed", detail: error.message }
    )
  }

  /** Why the backend is not well, when that was looked at behind a request that was lost, until one is served. */
  get down(): string | undefined {
    return this.#down
  }

  /** A look at the backend failed. */
  lookFailed({ message }: WorkerError): void {
    this.#down = `its backend is not well: ${message}`
  }

  /** A worker did load. */
  loaded(): void {
    this.#down = undefined
  }

  /** A load would succeed now. Milliseconds until that is believed, where the circuit is open for what did not load; then it was one of its trials. */
  back(): number | undefined {
    const now = this.#now()
    this.#down = undefined
    if (this.#crew.failing !== undefined && this.#breaker.state(now) !== "closed") {
      const admitted = this.#breaker.admit(now)
      if ("retryAfter" in admitted) return admitted.retryAfter
      this.#breaker.settle(admitted.pass, true, now)
    }
    this.#crew.forgive()
    return undefined
  }

  /** No worker of this size can ever be. */
  impossible(needed: number): void {
    this.#failWaiting({ _tag: "MemoryExhausted", needed, limit: this.#options.limit })
  }

  /** A worker is gone, and with it what it was doing. */
  lost(member: Member<Worker<Q, A, P>>, error: WorkerError): void {
    for (const ticket of this.#running) {
      if (ticket.member !== member) continue
      ticket.lost ??= error
      ticket.fiber?.interruptUnsafe()
    }
  }

  /** From now on only requests from inside are taken. */
  refuse(): void {
    if (this.#stop === "no") this.#stop = "refusing"
  }

  /** Completes when nothing waits and nothing runs. */
  readonly idle: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (this.#atRest) return resume(Effect.void)
    const told = () => {
      this.#idle.delete(told)
      resume(Effect.void)
    }
    this.#idle.add(told)
    return Effect.sync(() => this.#idle.delete(told))
  })

  /** Ends all that is left, and takes nothing any more. */
  interrupt(): void {
    this.#stop = "over"
    for (const ticket of [...this.#line.clear(), ...this.#running]) {
      if (ticket.state === "settled") continue
      this.figures.aborted++
      this.#settle(ticket, this.#failure({ _tag: "ShuttingDown" }), "neither", "ShuttingDown")
    }
    this.#crew.close()
    this.#tellIdle()
  }

  get #atRest(): boolean {
    return this.#line.size === 0 && this.#running.size === 0
  }

  #refusal(ticket: Ticket<Q, A, P>): Reason | undefined {
    if (this.#stop === "over" || (this.#stop === "refusing" && !ticket.terms.inside)) return { _tag: "ShuttingDown" }
    if (this.#options.max < 1) return { _tag: "NoWorker" }
    const full =
      this.#line.size >= this.#options.queue || (this.#waitingOf.get(ticket.key) ?? 0) >= this.#options.queuePerKey
    if (full && this.#crew.pick() === undefined) {
      const position = this.#line.size + 1
      const retryAfter = this.figures.hint(position, Math.max(1, this.#crew.capacity))
      return { _tag: "Overloaded", position, retryAfter }
    }
    const admitted = this.#breaker.admit(this.#now())
    if ("retryAfter" in admitted) return { _tag: "CircuitOpen", retryAfter: admitted.retryAfter }
    ticket.pass = admitted.pass
    return undefined
  }

  #start(ticket: Ticket<Q, A, P>, member: Member<Worker<Q, A, P>>): void {
    const { worker } = member
    if (worker === undefined) throw new Error("a worker that is not loaded was picked")
    this.#unwait(ticket)
    ticket.state = "running"
    ticket.attempt++
    ticket.member = member
    ticket.lost = undefined
    ticket.broke = (error) => this.#broke(ticket, member, error)
    ticket.startedAt = this.#now()
    this.#running.add(ticket)
    this.#crew.take(member)
    const run = Effect.suspend(() => ticket.run(worker))
    // In a stop whoever leaves may be one of many that are told to: what moves up behind him is not asked for just to be cut.
    const begun = this.#stop === "no" ? run : Effect.andThen(Effect.yieldNow, run)
    const fiber = this.#forkWith(ticket.terms.context)(begun)
    ticket.fiber = fiber
    fiber.addObserver((exit) => this.#ended(ticket, member, exit))
  }

  /** The run fails, and its worker may take its time: a caller who can't be served elsewhere hears it now. */
  #broke(ticket: Ticket<Q, A, P>, member: Member<Worker<Q, A, P>>, error: WorkerError): void {
    ticket.lost ??= error
    if (ticket.state !== "running" || !ticket.emitted) return
    this.#crew.retire(member)
    const reason = this.#reasonOf(error)
    this.#settle(ticket, this.#failure(reason), "bad", reason._tag)
  }

  /** The run is over, its finalizers too: the place is free, whatever became of the ticket meanwhile. */
  #ended(ticket: Ticket<Q, A, P>, member: Member<Worker<Q, A, P>>, exit: Exit.Exit<unknown, WorkerError>): void {
    ticket.fiber = undefined
    this.#running.delete(ticket)
    this.#crew.giveBack(member)
    if (ticket.state !== "settled") this.#judge(ticket, member, exit)
    this.#crew.measureSoon(member)
    this.pump()
    this.#tellIdle()
  }

  #judge(ticket: Ticket<Q, A, P>, member: Member<Worker<Q, A, P>>, exit: Exit.Exit<unknown, WorkerError>): void {
    if (Exit.isSuccess(exit)) {
      this.figures.served(this.#now() - ticket.startedAt)
      return this.#settle(ticket, Exit.succeed(exit.value), "good", "served")
    }
    const error = ticket.lost ?? workerError(exit.cause)
    const broke = error.reason === "Transport" || error.reason === "Stalled"
    if (broke && error.stays !== true) this.#crew.retire(member)
    const verdict: Verdict = broke ? "bad" : error.reason === "Rejected" ? "good" : "neither"
    // Only how a request ends counts for the circuit: one backend of two that is broken must not close the other one's door.
    if (ticket.attempt < 2 && !ticket.emitted && this.#elsewhere(ticket, member, error)) return
    const reason = this.#reasonOf(error)
    this.#settle(ticket, this.#failure(reason), verdict, reason._tag)
  }

  /** A second worker has a try: at once when one is free, and a broken one's request may also wait for one to come. */
  #elsewhere(ticket: Ticket<Q, A, P>, member: Member<Worker<Q, A, P>>, error: WorkerError): boolean {
    if (this.#stop === "over" || error.reason === "Rejected" || error.reason === "Memory") return false
    const other = error.reason === "Busy" ? this.#crew.pick(member) : undefined
    if (error.reason === "Busy" && other === undefined) return false
    this.figures.retried++
    this.#wait(ticket)
    if (other === undefined) this.#line.again(ticket)
    else this.#start(ticket, other)
    return true
  }

  #expire(ticket: Ticket<Q, A, P>): void {
    if (ticket.state === "settled") return
    const started = ticket.state === "running"
    const { limit } = this.#options
    const reason: Reason =
      !started && this.#crew.starved
        ? { _tag: "MemoryExhausted", needed: this.#crew.memory, limit }
        : { _tag: "Timeout", after: ticket.terms.timeout, started }
    this.#settle(ticket, this.#failure(reason), started ? "bad" : "neither", reason._tag)
    this.pump()
  }

  /** The one end of a ticket. A run that is still on is interrupted; its place stays taken until its fiber has ended. */
  #settle(ticket: Ticket<Q, A, P>, exit: Exit.Exit<unknown, PoolError>, verdict: Verdict, outcome: string): void {
    if (ticket.state === "waiting") {
      this.#line.remove(ticket)
      this.#unwait(ticket)
    }
    ticket.state = "settled"
    ticket.timer?.interruptUnsafe()
    ticket.fiber?.interruptUnsafe()
    this.figures.count(outcome)
    if (this.#stop !== "no" && outcome !== "ShuttingDown" && outcome !== "cancelled") this.figures.drained++
    ticket.tell(exit)
    if (verdict === "good") this.#down = undefined
    if (verdict === "bad" && this.#stop === "no") this.#doubt()
    const good = verdict === "neither" ? undefined : verdict === "good"
    if (this.#breaker.settle(ticket.pass, good, this.#now())) this.#opened()
    this.#tellIdle()
  }

  #wait(ticket: Ticket<Q, A, P>): void {
    ticket.state = "waiting"
    this.#waitingOf.set(ticket.key, (this.#waitingOf.get(ticket.key) ?? 0) + 1)
  }

  #unwait(ticket: Ticket<Q, A, P>): void {
    const left = (this.#waitingOf.get(ticket.key) ?? 1) - 1
    if (left > 0) this.#waitingOf.set(ticket.key, left)
    else this.#waitingOf.delete(ticket.key)
  }

  /** The circuit opened: who waits would only meet the same. */
  #opened(): void {
    const admitted = this.#breaker.admit(this.#now())
    this.#failWaiting({ _tag: "CircuitOpen", retryAfter: "retryAfter" in admitted ? admitted.retryAfter : 0 })
  }

  #failWaiting(reason: Reason): void {
    for (const ticket of this.#line.clear()) {
      // The load itself was counted; but who was to try whether the backend is back has found that it is not.
      const verdict = reason._tag === "LoadFailed" && ticket.pass > 0 ? "bad" : "neither"
      this.#settle(ticket, this.#failure(reason), verdict, reason._tag)
    }
  }

  #failure(reason: Reason): Exit.Exit<never, PoolError> {
    return Exit.fail(new PoolError({ pool: this.#options.name, reason }))
  }

  #reasonOf(error: WorkerError): Reason {
    switch (error.reason) {
      case "Rejected":
        return {
          _tag: "ModelError",
          detail: error.message,
          ...(error.status === undefined ? {} : { status: error.status })
        }
      case "Busy":
        return { _tag: "Overloaded", position: 0, retryAfter: error.retryAfter ?? 1000 }
      case "Stalled":
        return { _tag: "Stalled", after: this.#options.stall }
      case "Memory":
        return { _tag: "MemoryExhausted", needed: this.#crew.memory, limit: this.#options.limit }
      case "Transport":
        return { _tag: "Transport", detail: error.message }
    }
  }

  #tellIdle(): void {
    if (this.#atRest) for (const told of [...this.#idle]) told()
  }
}
