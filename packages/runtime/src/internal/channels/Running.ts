/**
 * The channels that receive. Each runs in a fiber of its own and none waits for
 * another: one that can't receive is tried again with a growing wait and makes the
 * gateway not ready, while all others go on. A server that fails before it was
 * ever ready fails the start, because it has no address that anybody could reach.
 *
 *   starting --ready--> up --fails--> down --wait--> ready: up
 *   any of them --by hand--> stopped --by hand--> starting
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { Channel, ChannelError } from "../../Channel.ts"
import { makeHandle, type Pipeline } from "./handle.ts"

/** What was wrong, and when; epoch milliseconds. */
export interface Mishap {
  readonly at: number
  readonly reason: string
}

/** How the receiving of a channel is. */
export interface Receiving {
  readonly channel: Channel
  readonly state: "starting" | "up" | "down" | "stopped"
  /** Epoch milliseconds. */
  readonly since: number
  /** Why it can't receive. */
  readonly problem: string | undefined
  /** What its platform says is wrong although it receives. */
  readonly trouble: Mishap | undefined
  readonly last: Mishap | undefined
  /** Until it is tried again, milliseconds. */
  readonly retryIn: number | undefined
}

interface One {
  readonly channel: Channel
  readonly fiber: Fiber.Fiber<void> | undefined
  /** Completes when it was ready once (true) or could not begin (false), or fails with why it never can be. */
  readonly ready: Deferred.Deferred<boolean, ChannelError>
  state: Receiving["state"]
  since: number
  problem: string | undefined
  trouble: Mishap | undefined
  last: Mishap | undefined
  retryAt: number | undefined
}

/** How long a start waits for a channel, milliseconds. */
const startWait = 10_000
/** First and longest wait between two tries, milliseconds: what may pass soon, and what somebody has to correct. */
const waits = { passing: { first: 1000, longest: 60_000 }, refused: { first: 5000, longest: 300_000 } }

/** The receiving channels of one gateway. */
export class Running {
  readonly #pipeline: Pipeline
  readonly #fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>
  readonly #wallNow: () => number
  readonly #running = new Map<string, One>()
  /** Kinds that a stop has ended: a reload that began before it starts none of them any more. */
  readonly #over = new Set<Channel["kind"]>()

  constructor(pipeline: Pipeline, fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>, wallNow: () => number) {
    this.#pipeline = pipeline
    this.#fork = fork
    this.#wallNow = wallNow
  }

  /** How each of them is, by name. */
  all(): ReadonlyMap<string, Receiving> {
    return new Map(
      [...this.#running].map(([name, { retryAt, ...one }]) => [
        name,
        { ...one, retryIn: retryAt === undefined ? undefined : Math.max(0, retryAt - this.#wallNow()) }
      ])
    )
  }

  /** Why a channel can't receive now; `undefined` while it is only starting. */
  problem(name: string): string | undefined {
    return this.#running.get(name)?.problem
  }

  /** It was stopped by hand. */
  isStopped(name: string): boolean {
    return this.#running.get(name)?.state === "stopped"
  }

  /** A stop has ended the channels of this kind. */
  isOver(kind: Channel["kind"]): boolean {
    return this.#over.has(kind)
  }

  #enter(channel: Channel, state: "starting" | "stopped", fiber: Fiber.Fiber<void> | undefined): One {
    const ready = Deferred.makeUnsafe<boolean, ChannelError>()
    const nothing = { problem: undefined, trouble: undefined, last: undefined, retryAt: undefined }
    return { channel, fiber, ready, state, since: this.#wallNow(), ...nothing }
  }

  /** Starts a channel and waits until it is ready or can't be yet, at most 10 s; not in a stop. Fails if it is a server that can't start. */
  start(name: string, channel: Channel): Effect.Effect<boolean, ChannelError> {
    return Effect.gen({ self: this }, function* () {
      if (this.isOver(channel.kind)) return false
      const one: One = this.#enter(channel, "starting", this.#fork(this.#receive(name, () => one)))
      this.#running.set(name, one)
      const wait = Effect.timeoutOption(Deferred.await(one.ready), startWait)
      return Option.getOrElse(yield* wait, () => false)
    })
  }

  #move(one: One, state: Receiving["state"], problem?: string) {
    if (one.state !== state) one.since = this.#wallNow()
    one.state = state
    one.problem = problem
    one.retryAt = undefined
    if (problem !== undefined) one.last = { at: this.#wallNow(), reason: problem }
  }

  #handleOf(name: string, one: One) {
    const ready = Effect.suspend(() => {
      this.#move(one, "up")
      return Effect.andThen(Deferred.succeed(one.ready, true), this.#pipeline.outbox.release(name))
    })
    const trouble = (reason: string | undefined) =>
      Effect.suspend(() => {
        if (reason === one.trouble?.reason) return Effect.void
        one.trouble = reason === undefined ? undefined : { at: this.#wallNow(), reason }
        one.last = one.trouble ?? one.last
        const said =
          reason === undefined
            ? Effect.logInfo("A channel's platform has no trouble any more")
            : Effect.logWarning("A channel's platform has trouble with it")
        return Effect.annotateLogs(said, { channel: name, ...(reason === undefined ? {} : { reason }) })
      })
    return makeHandle(name, this.#pipeline, { ready: Effect.asVoid(ready), trouble })
  }

  #receive(name: string, of: () => One): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      // Forked before its record exists: the first step gives the record time to.
      yield* Effect.yieldNow
      const one = of()
      let pause = 0
      while (true) {
        const exit = yield* Effect.exit(Effect.scoped(one.channel.receive(this.#handleOf(name, one))))
        if (Exit.isSuccess(exit)) return
        const error = Option.getOrUndefined(Exit.findErrorOption(exit))
        one.trouble = undefined
        if (one.channel.kind === "server" && error !== undefined && !Deferred.isDoneUnsafe(one.ready)) {
          this.#move(one, "down", error.reason)
          yield* Deferred.fail(one.ready, error)
          return
        }
        const { first, longest } = waits[error?.refused === true ? "refused" : "passing"]
        // It had been receiving: what ended that is new, and tried again soon.
        pause = one.state === "up" ? first : Math.min(Math.max(first, pause * 2), longest)
        yield* this.#failed(name, one, error, exit.cause, pause)
        // One that is away must not hold up the start of all others.
        yield* Deferred.succeed(one.ready, false)
        yield* Effect.sleep(pause)
      }
    })
  }

  /** An expected failure is a line with its reason, and the same one again is none; a defect comes with where it was. */
  #failed(name: string, one: One, error: ChannelError | undefined, cause: Cause.Cause<unknown>, pause: number) {
    const reason = error?.reason ?? `died of ${text(Cause.squash(cause))}`
    const known = one.state === "down" && one.problem === reason
    this.#move(one, "down", reason)
    one.retryAt = this.#wallNow() + pause
    const said = "A channel can't receive and is tried again"
    const line =
      error === undefined ? Effect.logError(said, cause) : Effect.logWithLevel(known ? "Debug" : "Warn")(said)
    return Effect.annotateLogs(line, { channel: name, reason, again: pause })
  }

  /** Ends a channel's receiving and waits until it has let go. */
  stop(name: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const one = this.#running.get(name)
      this.#running.delete(name)
      return one?.fiber === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(one.fiber))
    })
  }

  /** The same by hand: it stays known as stopped. */
  halt(name: string, channel: Channel): Effect.Effect<void> {
    return Effect.andThen(
      this.stop(name),
      Effect.sync(() => void this.#running.set(name, this.#enter(channel, "stopped", undefined)))
    )
  }

  /** Ends all channels of a kind for good, beside each other. */
  stopAll(kind: Channel["kind"]): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#over.add(kind)
      return Effect.forEach(
        [...this.#running].filter(([, { channel }]) => channel.kind === kind),
        ([name]) => this.stop(name),
        { concurrency: "unbounded", discard: true }
      )
    })
  }
}

const text = (error: unknown): string =>
  (error instanceof Error ? `${error.name}: ${error.message}` : String(error)).slice(0, 300)
