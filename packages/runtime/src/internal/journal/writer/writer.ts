/**
 * The writer: one fiber that commits what waits, round after round, and then
 * rings. It answers for a process that dies anywhere (nothing is told before its
 * commit), for a caller that leaves (nobody's interruption reaches a round), for
 * a bad row among good ones (each alone, then), for a database that somebody else
 * holds (it waits without blocking), for a full disk and for a broken handle.
 *
 *   open --full disk--> full --deadline--> ended(Storage)
 *     |--broken handle--> reopened once --again--> ended(Storage)
 *     |--another epoch--> ended(Fenced)
 *     '--close---------> ended(Closed)
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as SqlError from "effect/sql/SqlError"
import { type Accepted, type AcceptError, Busy } from "../../../Message.ts"
import { prepare } from "../writes/admit.ts"
import { Commits } from "./commits.ts"
import { copy, type Counters } from "./counters.ts"
import { boundaryOf, conclude, type Entry, type Failure, type Input, type Kind, type Output } from "./entries.ts"
import { classify, faultText } from "../store/faults.ts"
import { isIntake, Lanes } from "./lanes.ts"
import { makeMemory, type Memory } from "./memory.ts"
import type { WriterOptions } from "./options.ts"
import { preparePost } from "../writes/posts.ts"
import type { Admit, Doorbells, JournalError, Post } from "../records.ts"
import { full, refusal, refuse } from "./refusals.ts"
import { makeRound, type Round } from "./round.ts"
import {
  busyMillis,
  closed,
  Died,
  diskFull,
  ended,
  fencedDetail,
  fullMillis,
  longestRetry,
  survives,
  trialMillis
} from "./trouble.ts"
import { byKind, FencedOff, fill } from "./write.ts"

type RoundFailure = SqlError.SqlError | FencedOff | Died

/** See the header. */
export class Writer {
  readonly memory: Memory
  readonly commits = new Commits()
  readonly failed = Deferred.makeUnsafe<JournalError>()
  readonly #options: WriterOptions
  readonly #lanes: Lanes
  readonly #openedAt: number
  readonly #idle = Deferred.makeUnsafe<void>()
  #counters: Counters
  #rounds = 0
  #end: JournalError | undefined
  #closing = false
  #full = false
  #stopAt: number | undefined
  #fullUntil = Number.POSITIVE_INFINITY
  #reopened = false
  #busyRounds = 0
  #doorbells: Doorbells = { rows: () => {}, replies: () => {}, ended: () => {} }

  constructor(options: WriterOptions) {
    this.#options = options
    this.#lanes = new Lanes(options.laneEntries, options.laneBytes)
    // A round must be able to know all its conversations at once.
    this.memory = makeMemory({ ...options, conversations: Math.max(options.conversations, 1024) })
    this.#counters = options.counters
    this.#openedAt = this.now()
  }

  /** Monotonic milliseconds. */
  now(): number {
    return Number(this.#options.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  /** Epoch milliseconds. */
  wallClock(): number {
    return this.#options.clock.currentTimeMillisUnsafe()
  }

  /** Milliseconds of uptime of the store, this boot included. */
  get uptime(): number {
    return this.#options.uptime + this.now() - this.#openedAt
  }

  get waiting(): number {
    return this.#lanes.size
  }

  listen(doorbells: Doorbells): void {
    this.#doorbells = doorbells
  }

  stopBy(monotonicMillis: number): void {
    this.#stopAt = Math.min(this.#stopAt ?? monotonicMillis, monotonicMillis)
  }

  /** Puts a write in its lane and waits for its outcome. Leaving changes nothing. */
  submit<K extends Kind>(kind: K, input: Input<K>): Effect.Effect<Output<K>, Failure<K>> {
    return Effect.callback<Output<K>, Failure<K>>((resume) => this.#enqueue(kind, input, 0, resume))
  }

  /** Puts a message in its lane. */
  admit(message: Admit): Effect.Effect<Accepted, AcceptError> {
    return Effect.callback<Accepted, AcceptError>((resume) => {
      const prepared = prepare(message)
      this.#enqueue("admit", prepared, prepared.bytes + (prepared.attachments?.length ?? 0), resume)
    })
  }

  /** Puts a post in its lane. */
  post(post: Post): Effect.Effect<Accepted, AcceptError> {
    return Effect.callback<Accepted, AcceptError>((resume) => {
      const prepared = preparePost(post)
      this.#enqueue("post", prepared, prepared.bytes, resume)
    })
  }

  #enqueue<K extends Kind>(
    kind: K,
    input: Input<K>,
    bytes: number,
    tell: (outcome: Exit.Exit<Output<K>, Failure<K>>) => void
  ): void {
    const refused = this.#refused(kind, bytes)
    const entry: Entry<K> = { kind, input, bytes, at: this.now(), tell, outcome: undefined }
    if (refused === undefined) this.#lanes.add(entry as unknown as Entry)
    else tell(Exit.fail(refused))
  }

  #refused(kind: Kind, bytes: number) {
    if (this.#end !== undefined) return refusal(kind, this.#end)
    if (this.#closing) return refusal(kind, closed)
    if (this.#full && !survives(kind)) return refusal(kind, diskFull)
    return isIntake(kind) && !this.#lanes.fits(bytes) ? full : undefined
  }

  /** Commits until it is closed or fails. Runs in a fiber of its own. */
  readonly run: Effect.Effect<void> = Effect.suspend(() =>
    Effect.whileLoop({
      while: () => this.#end === undefined && !(this.#closing && this.#lanes.size === 0),
      body: () =>
        Effect.andThen(
          Effect.callback<void>((resume) => {
            this.#lanes.onWork(() => resume(Effect.void))
          }),
          // Whoever was told meanwhile may write again before the next round is taken.
          Effect.andThen(
            Effect.uninterruptible(Effect.suspend(() => this.#commit(this.#lanes.take()))),
            Effect.yieldNow
          )
        ),
      step: () => {}
    })
  ).pipe(Effect.ensuring(Effect.sync(() => this.#finish())))

  #finish(): void {
    if (this.#end === undefined) this.#conclude(closed)
    Deferred.doneUnsafe(this.#idle, Effect.void)
  }

  /** Ends the writer when everything that waits is written. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.#closing = true
    this.#lanes.rouse()
    return Deferred.await(this.#idle)
  })

  #commit(entries: ReadonlyArray<Entry>): Effect.Effect<void> {
    if (entries.length === 0) return Effect.void
    const round = this.#round()
    const number = this.#rounds + 1
    const started = this.now()
    return Effect.flatMap(Effect.exit(this.#attempt(round, entries, number)), (exit) => {
      if (Exit.isSuccess(exit)) return this.#committed(round, entries, number, started)
      const { cause } = exit
      const [failure] = cause.reasons.filter(Cause.isFailReason)
      const error = failure?.error
      if (error !== undefined && SqlError.isSqlError(error) && classify(error) === "broken") {
        return this.#reopen(round, entries, number, error, started)
      }
      this.#takeBack(round)
      if (error === undefined) return this.#oneByOne(entries, cause)
      if (error instanceof Died) return this.#abort(entries, ended("Storage", error.detail, error))
      if (error instanceof FencedOff) return this.#abort(entries, ended("Fenced", fencedDetail, error))
      switch (classify(error)) {
        case "busy":
          return this.#wait(entries, error)
        case "full":
          return this.#diskFull(entries, error)
        default:
          return this.#oneByOne(entries, cause)
      }
    })
  }

  #round(): Round {
    return makeRound({
      query: this.#options.database.query,
      epoch: this.#options.epoch,
      instance: this.#options.instance,
      retention: this.#options.retention,
      now: this.wallClock(),
      uptime: Math.floor(this.uptime),
      counters: copy(this.#counters),
      memory: this.memory
    })
  }

  #attempt(round: Round, entries: ReadonlyArray<Entry>, number: number): Effect.Effect<void, RoundFailure> {
    const groups = byKind(entries)
    const body = fill(round, groups, number)
    const { boundary, database, inPlace } = this.#options
    const stored = <E>(body: Effect.Effect<void, E>) => Effect.andThen(database.transaction(body), inPlace)
    if (boundary === undefined) return stored(body)
    const kinds = new Set(groups.map(([kind]) => boundaryOf[kind]).filter((kind) => kind !== undefined))
    const cross = (when: "before" | "inside" | "after") =>
      Effect.forEach(kinds, (kind) => Effect.interruptible(boundary(`${when}:${kind}`)), { discard: true }).pipe(
        Effect.catchCause((cause) => Effect.fail(new Died(cause)))
      )
    return Effect.andThen(
      cross("before"),
      Effect.andThen(stored(Effect.andThen(body, cross("inside"))), cross("after"))
    )
  }

  /** Memory as it was before a round that did not commit. */
  #takeBack(round: Round): void {
    for (const undo of round.undo.splice(0).reverse()) undo()
    this.memory.sessions.clear()
  }

  /** From here on it is on disk: bells first, then those who wait. */
  #committed(round: Round, entries: ReadonlyArray<Entry>, number: number, started: number): Effect.Effect<void> {
    this.#counters = round.counters
    this.#rounds = number
    this.#busyRounds = 0
    this.commits.record(entries.length, this.now() - started)
    this.memory.rows.keep(round.rows)
    for (const [id, { last }] of round.numbers) {
      const known = this.memory.conversations.byId(id)
      if (known !== undefined) known.number = last
    }
    const rung = Effect.sync(() => {
      if (round.rows.length > 0) this.#doorbells.rows(round.rows)
      if (round.replies.length > 0) this.#doorbells.replies(round.replies)
      if (round.ended.length > 0) this.#doorbells.ended(round.ended)
    }).pipe(Effect.catchDefect((defect) => Effect.logError("A doorbell failed; the rows are stored", defect)))
    const told = Effect.sync(() => {
      for (const entry of entries) conclude(entry)
    })
    const done = Effect.andThen(rung, told)
    if (round.trials.length === 0) return done
    const trials = Effect.forEach(round.trials, ({ attempt, turn }) => this.#trial(turn, attempt), { discard: true })
    return Effect.andThen(done, trials)
  }

  /** A suspect runs: after five minutes it is innocent enough for a crash to count for everybody. */
  #trial(turn: number, attempt: number) {
    return Effect.sleep(trialMillis).pipe(
      Effect.andThen(this.submit("upkeep", { _tag: "TrialOver", turn, attempt })),
      // A journal that ended meanwhile has said so.
      Effect.ignore,
      Effect.interruptible,
      Effect.forkIn(this.#options.scope)
    )
  }

  #oneByOne(entries: ReadonlyArray<Entry>, cause: Cause.Cause<RoundFailure>): Effect.Effect<void> {
    const [only, ...others] = entries
    if (only === undefined) return Effect.void
    if (others.length === 0) return Effect.sync(() => refuse(only, cause))
    const alone = (entry: Entry) =>
      Effect.suspend(() => {
        entry.outcome = undefined
        // What went wrong with an earlier one may have ended the journal.
        if (this.#end === undefined) return this.#commit([entry])
        this.#refuseAll([entry], this.#end)
        return Effect.void
      })
    return Effect.forEach(entries, alone, { discard: true }).pipe(
      // One of them had to wait for the database when the scope closed: the rest must not wait for ever.
      Effect.onInterrupt(() => Effect.sync(() => this.#refuseAll(entries, closed)))
    )
  }

  /** Tells entries that they were not stored; whoever was told already hears nothing. */
  #refuseAll(entries: ReadonlyArray<Entry>, error: JournalError): void {
    for (const entry of entries) refuse(entry, Cause.fail(refusal(entry.kind, error)))
  }

  /** Somebody else holds the database: waits, without blocking anybody. */
  #wait(entries: ReadonlyArray<Entry>, error: SqlError.SqlError): Effect.Effect<void> {
    const now = this.now()
    this.commits.retries++
    const late = (entry: Entry): boolean => isIntake(entry.kind) && now - entry.at >= busyMillis
    const busy = new Busy({ retryAfter: 1000 })
    for (const entry of [...entries.filter(late), ...this.#lanes.takeIntake(late)]) {
      refuse(entry, Cause.fail(busy))
    }
    const rest = entries.filter((entry) => !late(entry))
    if (this.#stopAt !== undefined && now >= this.#stopAt) {
      return this.#abort(
        rest,
        ended("Storage", `locked by another writer until the deadline: ${faultText(error)}`, error)
      )
    }
    this.#putBack(rest)
    const pause = Math.min(20 * 2 ** this.#busyRounds++, longestRetry)
    return Effect.interruptible(Effect.sleep(pause))
  }

  #putBack(entries: ReadonlyArray<Entry>): void {
    for (const entry of entries) entry.outcome = undefined
    this.#lanes.putBack(entries)
  }

  /** No space: intake stops at once, the reserve makes room for marks and ends. */
  #diskFull(entries: ReadonlyArray<Entry>, error: SqlError.SqlError): Effect.Effect<void> {
    const now = this.now()
    const failure = ended("Storage", diskFull.detail, error)
    const first = !this.#full
    if (first) this.#fullUntil = now + fullMillis
    this.#full = true
    const lost = (entry: Entry): boolean => !survives(entry.kind)
    this.#refuseAll(
      [...entries.filter(lost), ...this.#lanes.takeIntake(lost), ...this.#lanes.takeUrgent(lost)],
      failure
    )
    const rest = entries.filter((entry) => !lost(entry))
    if (now >= (this.#stopAt ?? this.#fullUntil)) return this.#abort(rest, failure)
    this.#putBack(rest)
    const { freeReserve, leaveWord } = this.#options
    const alarm = first ? Effect.andThen(freeReserve, Effect.andThen(leaveWord, this.#fail(failure))) : Effect.void
    return Effect.andThen(alarm, rest.length === 0 ? Effect.void : Effect.interruptible(Effect.sleep(longestRetry)))
  }

  /** The handle can't be trusted: a new one, once; what committed is kept, the rest is written again. */
  #reopen(
    round: Round,
    entries: ReadonlyArray<Entry>,
    number: number,
    error: SqlError.SqlError,
    started: number
  ): Effect.Effect<void> {
    const { database, epoch } = this.#options
    const giveUp = (cause: unknown) => {
      this.#takeBack(round)
      return this.#abort(entries, ended("Storage", faultText(cause), cause))
    }
    if (this.#reopened) return giveUp(error)
    this.#reopened = true
    const latest = database.read(
      database.query<{ readonly epoch: number; readonly rounds: number }>(
        `select epoch, rounds from sluice_boots order by epoch desc limit 1`
      )
    )
    return Effect.logWarning("The store failed; its connection is opened again", error).pipe(
      Effect.andThen(database.reopen),
      Effect.andThen(latest),
      Effect.matchCauseEffect({
        onFailure: (cause) => giveUp(Cause.squash(cause)),
        onSuccess: ([boot]) => {
          if (boot?.epoch === epoch && boot.rounds === number) {
            return this.#committed(round, entries, number, started)
          }
          this.#takeBack(round)
          if (boot?.epoch !== epoch) return this.#abort(entries, ended("Fenced", fencedDetail, error))
          this.#putBack(entries)
          return Effect.void
        }
      })
    )
  }

  #fail(error: JournalError): Effect.Effect<boolean> {
    return Deferred.succeed(this.failed, error)
  }

  /** The journal can't go on: these entries and all that wait are refused. */
  #abort(entries: ReadonlyArray<Entry>, error: JournalError): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#conclude(error, entries)
      const storage = error.reason === "Storage" && !(error.cause instanceof Died)
      // The store may not be able to say that the disk failed and not this program.
      return Effect.andThen(storage ? this.#options.leaveWord : Effect.void, this.#fail(error))
    })
  }

  #conclude(error: JournalError, entries: ReadonlyArray<Entry> = []): void {
    this.#end = error
    this.#refuseAll([...entries, ...this.#lanes.clear()], error)
  }
}
