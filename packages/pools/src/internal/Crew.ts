/**
 * The workers of one pool: how they come, are chosen and go. Everything is decided synchronously; a worker's own fiber
 * only loads it, waits to be told to leave, and gives its memory back when its scope is closed.
 *
 *   asking --memory--> loading --loaded--> ready --idle too long, evicted, broken--> leaving --its requests ended--> gone
 *                         `--failed, took too long--> leaving
 *
 * Only a ready one gets requests, and one that leaves keeps its memory booked until it has really gone.
 */
import type * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { WorkerError } from "../PoolError.ts"
import { type Books, Lease, type Need, type Tenant } from "./Books.ts"
import { type Loaded, Member, workerError } from "./Member.ts"

/** How many there may be, and for how long. Times in milliseconds. */
export interface CrewOptions {
  /** How many are started when there is none. */
  readonly start: number
  /** How many stay although nobody needs them. */
  readonly min: number
  readonly max: number
  /** Of a worker that says nothing itself. */
  readonly concurrency: number
  /** Bytes that one is thought to take. */
  readonly memory: number
  readonly cooldown: number
  readonly loadTimeout: number
  /** How long a pool that has workers does not try to grow again after one failed to load. */
  readonly growBackoff: number
}

/** What the crew runs on, and whom it tells. */
export interface CrewHost<W> {
  readonly tenant: Tenant
  readonly books: Books
  readonly load: (place: number) => Effect.Effect<W, WorkerError, Scope.Scope>
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  readonly now: () => number
  readonly random: () => number
  /** A place is free, or may be: whoever waits can be served. */
  readonly freed: () => void
  /** A worker did not load. */
  readonly failed: (error: WorkerError) => void
  /** A worker did. */
  readonly loaded: () => void
  /** One worker alone takes more than all may have. */
  readonly impossible: (needed: number) => void
  /** A ready worker is gone by itself: what it had is lost. */
  readonly lost: (member: Member<W>, error: WorkerError) => void
}

/** Measuring costs the system a look at all of a worker's processes: busy workers are not measured after each request. */
const measurePause = Duration.seconds(1)

export class Crew<W extends Loaded> {
  readonly #options: CrewOptions
  readonly #host: CrewHost<W>
  readonly #members = new Set<Member<W>>()
  /** Bytes of the next one: the estimate, or more when one turned out to be larger. */
  #memory: number
  #closed = false
  /** Why the last one that was to load did not. */
  #failing: string | undefined
  #shrunkAt = -Infinity
  #growAfter = -Infinity
  #cooling: Fiber.Fiber<unknown> | undefined

  constructor(options: CrewOptions, host: CrewHost<W>) {
    this.#options = options
    this.#host = host
    this.#memory = options.memory
  }

  get members(): Iterable<Member<W>> {
    return this.#members
  }

  /** How many are in a state. */
  count(state: Member<W>["state"]): number {
    let count = 0
    for (const member of this.#members) if (member.state === state) count++
    return count
  }

  /** Whether there are workers, or will be. */
  get any(): boolean {
    for (const { state } of this.#members) if (state !== "leaving") return true
    return false
  }

  /** Whether all that it has is a place in the line for memory. */
  get starved(): boolean {
    return this.any && this.count("ready") + this.count("loading") === 0
  }

  /** Requests that can run at once with what is there. */
  get capacity(): number {
    let sum = 0
    for (const member of this.#members) if (member.state === "ready") sum += member.places
    return sum
  }

  /** Bytes that a worker is thought to take. */
  get memory(): number {
    return this.#memory
  }

  /** Bytes that are booked for those that are here. */
  get booked(): number {
    let sum = 0
    for (const { lease, state } of this.#members) if (state !== "asking") sum += lease.bytes
    return sum
  }

  /** Why the last one that was to load did not, until one does. */
  get failing(): string | undefined {
    return this.#failing
  }

  /** What did not load would load now. */
  forgive(): void {
    this.#failing = undefined
    this.#growAfter = -Infinity
  }

  /** The less busy of two that are drawn; of two alike the one that was used last, so that the others can cool down. */
  pick(except?: Member<W>): Member<W> | undefined {
    const free: Array<Member<W>> = []
    for (const member of this.#members) if (member.free && member !== except) free.push(member)
    if (free.length < 2) return free[0]
    const first = Math.min(free.length - 1, Math.floor(this.#host.random() * free.length))
    const second =
      (first + 1 + Math.min(free.length - 2, Math.floor(this.#host.random() * (free.length - 1)))) % free.length
    const one = free[first]
    const other = free[second]
    if (one === undefined || other === undefined) return one ?? other
    const difference = one.pending / one.places - other.pending / other.places
    return difference < 0 || (difference === 0 && one.lastUsed >= other.lastUsed) ? one : other
  }

  /** The member has one request more. */
  take(member: Member<W>): void {
    member.pending++
    member.lastUsed = this.#host.now()
    member.lease.idleSince = undefined
  }

  /** A request of the member has ended: its fiber too. */
  giveBack(member: Member<W>): void {
    member.pending--
    member.lastUsed = this.#host.now()
    if (member.state === "leaving" && member.pending === 0) Deferred.doneUnsafe(member.leave, Effect.void)
  }

  /** Called when everybody who can be served is: who has nothing now is idle. */
  rest(): void {
    const now = this.#host.now()
    let news = false
    for (const member of this.#members) {
      if (member.state !== "ready" || member.pending > 0 || member.lease.idleSince !== undefined) continue
      member.lease.idleSince = now
      news = true
    }
    if (!news) return
    this.#cool()
    this.#host.books.settle()
  }

  /**
   * Somebody waits and nobody is free: more workers, as far as that is allowed. Those that are leaving count until they
   * have gone: what they hold (a device, a port) may be what the next one needs.
   */
  grow(): void {
    const { max, start } = this.#options
    if (this.#closed || this.#members.size >= max || this.count("asking") + this.count("loading") > 0) return
    if (this.count("ready") === 0) {
      this.#ask("first")
      for (let more = 1; more < start && this.#members.size < max && this.any; more++) this.#ask("spare")
    } else if (this.#host.now() >= this.#growAfter) {
      this.#ask("growth")
    }
  }

  /** Nobody waits any more: who only asked for memory need not come. */
  withdraw(): void {
    for (const member of [...this.#members]) {
      if (member.state !== "asking") continue
      this.#members.delete(member)
      this.#host.books.withdraw(member.lease)
    }
  }

  /** Gets no more requests, and goes when it has none left. */
  retire(member: Member<W>): void {
    if (member.state !== "ready") return
    member.state = "leaving"
    member.lease.leaving = true
    member.lease.idleSince = undefined
    if (member.pending === 0) Deferred.doneUnsafe(member.leave, Effect.void)
  }

  /** Nobody comes any more, also who is on the way; all others leave when they have no requests left. */
  close(): void {
    this.#closed = true
    this.#cooling?.interruptUnsafe()
    this.withdraw()
    for (const member of [...this.#members]) {
      if (member.state !== "loading") this.retire(member)
      else {
        member.state = "leaving"
        member.lease.leaving = true
        member.life?.interruptUnsafe()
      }
    }
  }

  /** Measures what the member takes; its books follow. */
  measure(member: Member<W>): Effect.Effect<boolean> {
    const { memory } = member.worker ?? {}
    if (memory === undefined) return Effect.succeed(true)
    return Effect.matchCause(memory, {
      // A worker that can't say what it takes is one that takes what was estimated.
      onFailure: () => true,
      onSuccess: (bytes) => this.#resize(member, bytes)
    })
  }

  /**
   * Measures it after requests: at once, then not again before a pause is over, however many end meanwhile. One that has
   * grown beyond what is left goes when its requests have ended: nothing else gives that memory back.
   */
  measureSoon(member: Member<W>): void {
    if (member.state !== "ready" || member.worker?.memory === undefined) return
    member.stale = true
    if (member.measuring !== undefined) return
    const watch = Effect.fnUntraced(function* (crew: Crew<W>) {
      while (member.stale && member.state === "ready") {
        member.stale = false
        if (!(yield* crew.measure(member))) crew.retire(member)
        yield* Effect.sleep(measurePause)
      }
    })
    const fiber = this.#host.fork(watch(this))
    member.measuring = fiber
    fiber.addObserver(() => (member.measuring = undefined))
  }

  #resize(member: Member<W>, bytes: number): boolean {
    if (!this.#members.has(member) || !(bytes > 0)) return true
    this.#memory = Math.max(this.#memory, bytes)
    return this.#host.books.resize(member.lease, bytes)
  }

  #ask(need: Need): void {
    const lease = (evict: () => void) => new Lease(this.#host.tenant, this.#memory, evict)
    const member = new Member<W>(this.#freePlace(), this.#host.now(), lease, (self) => this.retire(self))
    this.#members.add(member)
    const answer = this.#host.books.ask(member.lease, need, () => this.#start(member))
    if (answer === "granted") return this.#start(member)
    if (answer === "waiting") return
    this.#members.delete(member)
    if (answer === "impossible" && !this.any) this.#host.impossible(this.#memory)
  }

  #freePlace(): number {
    const taken = new Set([...this.#members].map(({ place }) => place))
    let place = 0
    while (taken.has(place)) place++
    return place
  }

  #start(member: Member<W>): void {
    const { loadTimeout } = this.#options
    member.state = "loading"
    const life = this.#host.fork(this.#life(member))
    member.life = life
    const late = Effect.sync(() => {
      if (member.state !== "loading") return
      const message = `it was not ready within ${Math.round(loadTimeout / 100) / 10} s`
      this.#unloaded(member, new WorkerError({ reason: "Transport", message }))
      life.interruptUnsafe()
    })
    if (member.state === "loading") {
      member.late = this.#host.fork(Effect.andThen(Effect.sleep(Duration.millis(loadTimeout)), late))
    }
    life.addObserver((exit) => {
      member.late?.interruptUnsafe()
      member.measuring?.interruptUnsafe()
      this.#ended(member, exit)
    })
  }

  #life(member: Member<W>): Effect.Effect<void, WorkerError> {
    const { load } = this.#host
    const live = Effect.fnUntraced(function* (crew: Crew<W>) {
      const worker = yield* Effect.suspend(() => load(member.place))
      member.worker = worker
      const fits = yield* crew.measure(member)
      if (!fits) {
        const message = "it takes more memory than is left"
        return yield* new WorkerError({ reason: "Memory", message })
      }
      crew.#ready(member, worker)
      const leave = Deferred.await(member.leave)
      if (worker.gone === undefined) return yield* leave
      const exit = yield* Effect.exit(Effect.raceFirst(leave, worker.gone))
      if (Exit.isFailure(exit)) crew.#gone(member, workerError(exit.cause))
    })
    // Who waits for it hears of a failure now: what it has begun may take a while to end.
    const told = (cause: Cause.Cause<WorkerError>) => Effect.sync(() => this.#unloaded(member, workerError(cause)))
    return Effect.scoped(Effect.onError(live(this), told))
  }

  #ready(member: Member<W>, worker: W): void {
    if (member.state !== "loading") return
    member.late?.interruptUnsafe()
    member.state = "ready"
    this.#failing = undefined
    this.#host.loaded()
    member.places = Math.max(1, Math.floor(worker.concurrency ?? this.#options.concurrency))
    if (this.#closed) this.retire(member)
    this.#host.freed()
  }

  /** The member did not load: those that wait for it hear it now, its own end may take longer. */
  #unloaded(member: Member<W>, error: WorkerError): void {
    if (member.state !== "loading") return
    member.state = "leaving"
    member.lease.leaving = true
    this.#failing = `its last worker did not load: ${error.message}`
    this.#growAfter = this.#host.now() + this.#options.growBackoff
    if (!this.#closed) this.#host.failed(error)
  }

  #gone(member: Member<W>, error: WorkerError): void {
    if (member.state !== "ready" && member.state !== "leaving") return
    member.state = "leaving"
    member.lease.leaving = true
    this.#host.lost(member, error)
  }

  #ended(member: Member<W>, exit: Exit.Exit<void, WorkerError>): void {
    if (Exit.isFailure(exit)) this.#unloaded(member, workerError(exit.cause))
    member.state = "leaving"
    this.#members.delete(member)
    // Nobody left that could cool down: nothing to sleep for.
    if (this.#coolAt() === undefined) this.#cooling?.interruptUnsafe()
    this.#host.books.release(member.lease)
    this.#host.freed()
  }

  /** One fiber sleeps until the longest idle worker has been so for long enough; without an idle one there is none. */
  #cool(): void {
    if (this.#cooling !== undefined || this.#closed) return
    const due = this.#coolAt()
    if (due === undefined) return
    const left = Math.max(1, Math.ceil(due - this.#host.now()))
    const fiber = this.#host.fork(Effect.sleep(Duration.millis(left)))
    this.#cooling = fiber
    fiber.addObserver((exit) => {
      this.#cooling = undefined
      if (this.#closed) return
      const at = this.#coolAt()
      const now = this.#host.now()
      if (Exit.isSuccess(exit) && at !== undefined && at <= now) {
        this.#shrunkAt = now
        const coldest = this.#coldest()
        if (coldest !== undefined) this.retire(coldest)
      }
      this.#cool()
    })
  }

  /** One leaves for each idle minute, not all of them after the first. */
  #coolAt(): number | undefined {
    if (this.count("ready") <= this.#options.min) return undefined
    const idleSince = this.#coldest()?.lease.idleSince
    return idleSince === undefined ? undefined : Math.max(idleSince, this.#shrunkAt) + this.#options.cooldown
  }

  #coldest(): Member<W> | undefined {
    let coldest: Member<W> | undefined
    for (const member of this.#members) {
      const { idleSince } = member.lease
      if (idleSince !== undefined && idleSince < (coldest?.lease.idleSince ?? Infinity)) coldest = member
    }
    return coldest
  }
}
